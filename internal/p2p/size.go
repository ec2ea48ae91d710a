package p2p

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/internal/chat"
)

// sizeSamples is how many estimates of the network's size are kept. Their
// median survives somebody who crowds a few places.
const sizeSamples = 9

// netSize estimates how many nodes serve the DHT, from how near the nearest
// ones lie to places that we looked at (as the estimator of kad-dht does). It
// is safe for concurrent use.
type netSize struct {
	mu      sync.Mutex
	samples []sizeSample // oldest first
}

type sizeSample struct {
	place [32]byte
	nodes float64
}

// learn takes the nodes around a place, nearest first, as a sample. A place
// counts once: looking again proves no more.
func (s *netSize) learn(place [32]byte, nodes []peer.ID) {
	nodes = nodes[:min(len(nodes), chat.RegionSize)]
	if len(nodes) == 0 {
		return
	}
	// The i-th of n nodes lies at i/(n+1) on average: least squares.
	var squares, moments float64
	for i, p := range nodes {
		rank := float64(i + 1)
		squares += rank * rank
		moments += rank * apart(place, p)
	}
	sample := sizeSample{place, max(squares/moments-1, float64(len(nodes)))}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = slices.DeleteFunc(s.samples, func(old sizeSample) bool { return old.place == place })
	if len(s.samples) == sizeSamples {
		s.samples = s.samples[1:]
	}
	s.samples = append(s.samples, sample)
}

// nodes is the estimate, us included; 1 before the first sample.
func (s *netSize) nodes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.samples) == 0 {
		return 1
	}
	sorted := slices.Clone(s.samples)
	slices.SortFunc(sorted, func(a, b sizeSample) int { return int(a.nodes - b.nodes) })
	return int(sorted[len(sorted)/2].nodes + 0.5)
}

// radius is the distance within which chat.RegionSize nodes are expected, as a
// share of the key space.
func (s *netSize) radius() float64 {
	return min(1, float64(chat.RegionSize)/float64(s.nodes()+1))
}

// met is when we first connected to devices, at most chat.MaxStrangers.
type met struct {
	mu    sync.Mutex
	first map[chat.DeviceID]time.Time
}

func (m *met) note(d chat.DeviceID, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first == nil {
		m.first = map[chat.DeviceID]time.Time{}
	}
	if _, known := m.first[d]; known {
		return
	}
	if len(m.first) >= chat.MaxStrangers {
		// The newest goes, so that a flood of new ones drives out itself alone.
		newest, at := chat.DeviceID(""), time.Time{}
		for d, t := range m.first {
			if t.After(at) {
				newest, at = d, t
			}
		}
		delete(m.first, newest)
	}
	m.first[d] = now
}

func (m *met) since(d chat.DeviceID, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, known := m.first[d]
	if !known {
		return 0
	}
	return now.Sub(at)
}
