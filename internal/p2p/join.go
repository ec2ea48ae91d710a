package p2p

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"parley/internal/chat"
)

const (
	// dialAtOnce bounds the parallel dials of one round of joining.
	dialAtOnce = 8
	// headStart is what remembered peers have before the bootstrap peers are
	// asked too: a dial across the world fits twice.
	headStart = 2 * time.Second
	// tableWait is how long the routing table may take to hold the first
	// connected peer: it is asked two questions before.
	tableWait = 3 * time.Second
	tablePoll = 20 * time.Millisecond
)

// join keeps the host in the network: remembered peers first, then bootstrap
// peers, again and again with a jittered backoff while fewer than
// chat.ConnsWanted are connected. After the first connection, and again after
// having been alone, it refreshes the routing table: before that lookups would
// miss half of what is there.
func (h *Host) join(ctx context.Context) error {
	h.keepGuides()
	wait := chat.RejoinMin
	for first := true; ; first = false {
		connected := h.meet(ctx, first)
		if connected == 0 {
			wait = min(2*wait, chat.RejoinMax)
			if first {
				h.log.Info("nobody answers yet", "bootstrap", len(h.guide), "remembered", len(h.past))
			}
		} else {
			wait = min(4*wait, chat.RejoinMax)
		}
		lost := h.rest(ctx, jitter(wait))
		if ctx.Err() != nil {
			return nil
		}
		if lost {
			wait = chat.RejoinMin
		}
	}
}

// rest waits until it is time to look for peers again, and keeps the view of
// the network current meanwhile. It ends early, with true, when the last
// connection is lost.
func (h *Host) rest(ctx context.Context, d time.Duration) (lost bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return false
		case <-h.nudge:
			// Somebody came while we were alone, or everybody left.
			if h.alone.Load() != (h.connected() == 0) && h.settle(ctx, false) == 0 {
				return true
			}
		}
	}
}

// settle brings Ready and Alone in line with who is connected.
func (h *Host) settle(ctx context.Context, first bool) int {
	connected := h.connected()
	switch {
	case connected == 0:
		h.alone.Store(true)
		// With nobody to wait for, alone is as ready as it gets.
		if first && len(h.guide)+len(h.past) == 0 {
			h.ready.Store(true)
		}
	case h.alone.Load() || !h.ready.Load():
		if h.fillTable(ctx) {
			h.alone.Store(false)
			h.ready.Store(true)
			h.log.Info("joined the network", "peers", connected, "table", h.dht.RoutingTable().Size())
		}
	}
	h.refreshStatus()
	return connected
}

// fillTable waits until the routing table holds somebody, then refreshes it.
// Peers that serve no DHT leave it empty: then there is nothing to refresh.
func (h *Host) fillTable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, chat.LookupTimeout)
	defer cancel()
	poll := time.NewTicker(tablePoll)
	defer poll.Stop()
	for start := time.Now(); h.dht.RoutingTable().Size() == 0; {
		select {
		case <-ctx.Done():
			return false
		case <-poll.C:
		}
		if time.Since(start) > tableWait {
			return h.connected() > 0
		}
	}
	select {
	case err := <-h.dht.RefreshRoutingTable():
		if err != nil {
			h.log.Debug("refreshing routing table", "error", err)
		}
	case <-ctx.Done():
		return false
	}
	return true
}

func (h *Host) connected() int { return len(h.host.Network().Peers()) }

// lookAgain nudges the join loop.
func (h *Host) lookAgain() {
	select {
	case h.nudge <- struct{}{}:
	default:
	}
}

// meet looks for peers and settles with the first that answer: who was away
// for long remembers many that are gone, and their dials take minutes.
func (h *Host) meet(ctx context.Context, first bool) int {
	var search sync.WaitGroup
	defer search.Wait()
	over := make(chan struct{})
	search.Go(func() {
		defer close(over)
		h.findPeers(ctx)
	})
	for {
		select {
		case <-over:
			return h.settle(ctx, first)
		case <-h.nudge:
			if h.connected() > 0 && (h.alone.Load() || !h.ready.Load()) {
				h.settle(ctx, first)
			}
		}
	}
}

// findPeers dials until enough are connected: first who was there before,
// anchors ahead, then, if too few answer, the bootstrap peers.
func (h *Host) findPeers(ctx context.Context) {
	var past sync.WaitGroup
	defer past.Wait()
	over := make(chan struct{})
	past.Go(func() {
		defer close(over)
		h.dialSome(ctx, dialOrder(h.past))
	})
	start := time.NewTimer(headStart)
	defer start.Stop()
	select {
	case <-over:
	case <-start.C:
	}
	if h.connected() < chat.ConnsWanted {
		h.dialSome(ctx, shuffled(h.guide))
	}
}

func dialOrder(past []peer.AddrInfo) []peer.AddrInfo {
	anchors := min(len(past), chat.Anchors)
	return slices.Concat(past[:anchors], shuffled(past[anchors:]))
}

func shuffled[T any](peers []T) []T {
	out := slices.Clone(peers)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// dialSome dials peers in their order, several at once.
func (h *Host) dialSome(ctx context.Context, peers []peer.AddrInfo) {
	var group errgroup.Group
	group.SetLimit(dialAtOnce)
	for _, p := range peers {
		if ctx.Err() != nil || h.connected() >= chat.ConnsWanted {
			break
		}
		if p.ID == h.host.ID() || h.host.Network().Connectedness(p.ID) == network.Connected {
			continue
		}
		group.Go(func() error {
			h.dialOne(ctx, p)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
}

func (h *Host) dialOne(ctx context.Context, p peer.AddrInfo) {
	ctx, cancel := context.WithTimeout(ctx, chat.DialTimeout)
	defer cancel()
	if err := h.host.Connect(ctx, p); err != nil {
		h.log.Debug("peer not reached", "peer", deviceOf(p.ID).Short(), "error", err)
	}
}

// jitter spreads d over ± 20 %, so that a crowd that lost the same peer does
// not come back at once.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5)
}
