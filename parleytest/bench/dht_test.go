package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"parley/internal/dm"
	"parley/internal/identity"
	"parley/internal/p2p"
)

// path is what one look-up cost.
type path struct {
	took       time.Duration
	rpcs, hops float64
}

// walk follows a look-up of key: questions sent, and over how many nodes one
// after another the nearest node that answered was reached.
func walk(key string, look func(context.Context) error) (path, error) {
	ctx, cancel := context.WithCancel(context.Background())
	watched, queries := routing.RegisterForQueryEvents(ctx)
	done := make(chan path)
	go func() { done <- follow(key, queries) }()
	began := time.Now()
	err := look(watched)
	took := time.Since(began)
	cancel()
	p := <-done
	p.took = took
	if p.rpcs == 0 && err == nil {
		err = errors.New("void: a look-up that asked nobody")
	}
	return p, err
}

func follow(key string, queries <-chan *routing.QueryEvent) (out path) {
	depth := map[peer.ID]int{} // node -> hops to ask it
	var nearest peer.ID
	for e := range queries {
		switch e.Type {
		case routing.SendingQuery:
			out.rpcs++
			if depth[e.ID] == 0 {
				depth[e.ID] = 1 // from our own table: nobody had named it yet
			}
		case routing.PeerResponse:
			for _, next := range e.Responses {
				if next != nil && depth[next.ID] == 0 {
					depth[next.ID] = depth[e.ID] + 1
				}
			}
			if nearest == "" || kb.Closer(e.ID, nearest, key) {
				nearest = e.ID
			}
		}
	}
	out.hops = float64(depth[nearest])
	return out
}

// means sums paths up: median time, mean counts.
func (s *simulation) means(paths []path) {
	var took []float64
	for _, p := range paths {
		took = append(took, p.took.Seconds())
		s.rpcs += p.rpcs / float64(len(paths))
		s.hops += p.hops / float64(len(paths))
	}
	s.lookup = Median(took)
}

// measure asks for people whom nobody has asked for before.
func (w *town) measure() (out simulation, err error) {
	half := len(w.people) / 2
	var first []float64
	for i, p := range w.people[:half] { // strangers first: nothing is cached
		q := w.people[half+i]
		w.isolate(p)
		began := time.Now()
		id, err := p.send(q, "hello, we have not met")
		if err == nil {
			err = p.delivered(id)
		}
		if err != nil {
			return out, fmt.Errorf("to a stranger: %w", err)
		}
		first = append(first, time.Since(began).Seconds())
	}
	out.first = Median(first)
	paths, err := w.lookups(half)
	if err != nil {
		return out, err
	}
	out.means(paths)
	var known, stream []float64
	for i, p := range w.people[:half] {
		q := w.people[half+i] // whose record the first message brought
		w.isolate(p)
		connected, open, err := p.call(q)
		if err != nil {
			return out, fmt.Errorf("calling a known contact: %w", err)
		}
		known, stream = append(known, connected.Seconds()), append(stream, open.Seconds())
	}
	out.known, out.stream = Median(known), Median(stream)
	return out, nil
}

// call opens a stream to somebody whose record is cached, and tells when the
// connection stood and when the stream did.
func (p *person) call(q *person) (connected, open time.Duration, err error) {
	began := time.Now()
	stood := make(chan time.Duration, 1)
	go func() {
		for !slices.ContainsFunc(p.host.Peers(), func(i p2p.PeerInfo) bool { return i.Device == q.host.Device() }) && time.Since(began) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		stood <- time.Since(began)
	}()
	s, err := dialer{p}.Open(context.Background(), q.host.Device(), dm.Protocol)
	open = time.Since(began)
	connected = <-stood
	if err != nil {
		return 0, 0, err
	}
	return connected, open, s.Reset()
}

// calm is how long goodbyes travel.
const calm = 500 * time.Millisecond

// isolate leaves a host one connection, to the guide: what it asks next is
// asked cold, from what its routing table remembers. Without any it would
// begin to join again.
func (w *town) isolate(p *person) {
	for _, peer := range p.host.Peers() {
		if peer.Device != w.hosts[0].Device() {
			p.host.Drop(peer.Device)
		}
	}
	time.Sleep(calm)
}

func (w bareTown) isolate(h *bareHost) {
	for _, peer := range h.Network().Peers() {
		if peer != w[0].ID() {
			_ = h.Network().ClosePeer(peer)
		}
	}
	time.Sleep(calm)
}

// lookups is every one of the first half asking for the others of it, cold.
func (w *town) lookups(half int) ([]path, error) {
	var paths []path
	for i, p := range w.people[:half] {
		for j, q := range w.people[:half] {
			if i == j {
				continue
			}
			dev := q.host.Device()
			w.isolate(p)
			got, err := walk(identity.DeviceRecordKey(dev), func(ctx context.Context) error {
				r, err := p.directory.Device(ctx, dev)
				if err == nil && r.Device != dev {
					err = errors.New("void: another device's record")
				}
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("look-up of a device: %w", err)
			}
			paths = append(paths, got)
		}
	}
	return paths, nil
}

// lookups is look-ups of nodes near random keys by the same number of hosts.
func (w bareTown) lookups(seed uint64, half int) ([]path, error) {
	dice := rand.New(rand.NewPCG(seed, 1))
	var paths []path
	for _, h := range w[len(w)-half:] {
		for range half - 1 {
			key := fmt.Sprintf("/parley-device/%d", dice.Uint64())
			w.isolate(h)
			got, err := walk(key, func(ctx context.Context) error {
				near, err := h.dht.GetClosestPeers(ctx, key)
				if len(near) == 0 && err == nil {
					err = errors.New("void: nobody is near")
				}
				return err
			})
			if err != nil {
				return nil, err
			}
			paths = append(paths, got)
		}
	}
	return paths, nil
}

// measure is the same for bare hosts: FindPeer, connect and echo in place of
// a first message.
func (w bareTown) measure(seed uint64) (out simulation, err error) {
	half := min(simPeople, len(w)/2) / 2
	var first []float64
	for i := range half {
		h, q := w[len(w)-1-i], w[len(w)-1-half-i]
		w.isolate(h)
		began := time.Now()
		if err := h.strangerEcho(q.ID()); err != nil {
			return out, fmt.Errorf("to a bare stranger: %w", err)
		}
		first = append(first, time.Since(began).Seconds())
	}
	out.first = Median(first)
	paths, err := w.lookups(seed, half)
	if err != nil {
		return out, err
	}
	out.means(paths)
	out.known, out.stream = out.lookup, out.lookup
	return out, nil
}

func (b *bareHost) strangerEcho(id peer.ID) error {
	ctx := context.Background()
	info, err := b.dht.FindPeer(ctx, id)
	if err != nil {
		return err
	}
	if err := b.Connect(ctx, info); err != nil {
		return err
	}
	s, err := b.NewStream(network.WithNoDial(ctx, "echo"), id, echoID)
	if err != nil {
		return err
	}
	defer s.Reset()
	if _, err := s.Write(make([]byte, 1024)); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(s)
	return errors.Join(err, undelivered(len(got), 1024))
}

// simulations runs every seed once, for all areas that read from it.
func (s *suite) simulations(t *testing.T) (ours, bare []simulation) {
	t.Helper()
	if s.ours == nil {
		for seed := range uint64(sized(3, 5)) {
			n := sized(24, 100)
			s.ours = append(s.ours, simulate(t, seed, n, false))
			s.bare = append(s.bare, simulate(t, seed, n, true))
			t.Logf("seed %d: ours %+v, bare %+v", seed, s.ours[seed], s.bare[seed])
		}
	}
	return s.ours, s.bare
}

// paired measures one figure of the simulations.
func (s *suite) paired(t *testing.T, metric, unit string, figure func(simulation) float64) {
	s.measure(t, metric, 1, func(int) (Line, error) {
		ours, bare := s.simulations(t)
		var a, b []float64
		for i := range ours {
			a, b = append(a, figure(ours[i])), append(b, figure(bare[i]))
		}
		return Paired(metric, unit, a, b)
	})
}

func benchDHT(t *testing.T, s *suite) {
	s.paired(t, "dht.lookup", "s", func(m simulation) float64 { return m.lookup })
	s.paired(t, "dht.known", "s", func(m simulation) float64 { return m.known })
	s.paired(t, "dht.known/stream", "s", func(m simulation) float64 { return m.stream })
	s.paired(t, "dht.rpcs", "RPCs", func(m simulation) float64 { return m.rpcs })
	s.paired(t, "dht.hops", "hops", func(m simulation) float64 { return m.hops })
	benchFound(t, s)
	s.measure(t, "dht.cpu", sized(3, 9), func(rounds int) (Line, error) { return lookupCPU(t, rounds) })
}

// lookupCPU is CPU per cold look-up of whole networks on loopback, both ends
// and all between.
func lookupCPU(t *testing.T, rounds int) (line Line, err error) {
	n := sized(16, 50)
	loop := func(_ int, cfg *p2p.Config) {
		cfg.Loopback, cfg.Listen = true, []string{"/ip4/127.0.0.1/tcp/0"}
	}
	ours, err := newTown(t.TempDir(), 1, n, min(simPeople, n/2), loop)
	if err != nil {
		return line, err
	}
	bare, err := newBareTown(n, func(i int, guide *peer.AddrInfo) (*bareHost, error) {
		return newBare(simKey(2, i), "/ip4/127.0.0.1/tcp/0", guide, libp2p.Transport(tcp.NewTCPTransport))
	})
	if err != nil {
		return line, errors.Join(err, ours.stop())
	}
	half := len(ours.people) / 2
	next := 0
	line, err = Compare("dht.cpu", "us/look-up", rounds, func() (float64, error) {
		next++
		return coldCPU(half, func(i int) func() error {
			p, dev := ours.people[i], ours.people[(i+1+next%(half-1))%half].host.Device()
			ours.isolate(p)
			return func() error { _, err := p.directory.Refresh(context.Background(), dev); return err }
		})
	}, func() (float64, error) {
		return coldCPU(half, func(i int) func() error {
			h := bare[n-1-i]
			bare.isolate(h)
			return func() error {
				_, err := h.dht.GetClosestPeers(context.Background(), fmt.Sprintf("/parley-device/%d/%d", next, i))
				return err
			}
		})
	})
	return line, errors.Join(err, ours.stop(), bare.stop())
}

// coldCPU is the CPU of n look-ups, without what prepares each.
func coldCPU(n int, prepare func(i int) func() error) (float64, error) {
	total := 0.0
	for i := range n {
		used, err := perItem(n, prepare(i))
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}
