package p2p

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/internal/chat"
)

const (
	// feelerLife is how long a dialled node has to be asked by the DHT, which
	// takes it into the table then.
	feelerLife = 30 * time.Second
	// feelerLooks bounds the search for a node to dial among those we heard of.
	feelerLooks = 256
)

// feel dials, every chat.FeelerEvery, one node that we only heard of, in a
// network that we are not connected to: who fills our table from a few networks
// cannot keep it to themselves (D1). With few connections it stays.
func (h *Host) feel(ctx context.Context) error {
	for {
		if !sleep(ctx, jitter(chat.FeelerEvery)) {
			return nil
		}
		id, ok := h.stranger()
		if !ok {
			continue
		}
		h.dialOne(ctx, peer.AddrInfo{ID: id})
		if !sleep(ctx, feelerLife) {
			return nil
		}
		if h.connected() > chat.ConnsWanted && !h.busy(id) {
			_ = h.host.Network().ClosePeer(id) // its end is all the same to us
		}
	}
}

// stranger is a random node that may be dialled, in a public /16 that none of
// our outbound connections is in.
func (h *Host) stranger() (peer.ID, bool) {
	own := map[netip.Prefix]bool{}
	for _, p := range h.host.Network().Peers() {
		if at, public, ok := h.outbound(p); ok && public {
			own[at] = true
		}
	}
	heard := shuffled(h.host.Peerstore().PeersWithAddrs())
	for _, p := range heard[:min(len(heard), feelerLooks)] {
		if p == h.host.ID() || h.host.Network().Connectedness(p) == network.Connected || !h.gate.allowed(p) {
			continue
		}
		for _, a := range h.worthDialing(p, h.host.Peerstore().Addrs(p)) {
			if at, ok := netOf(a, 16, 32); ok && !local(a) && transportOf(a) != "relay" && !own[at] {
				return p, true
			}
		}
	}
	return "", false
}

// busy reports whether a connection is one to keep: it is protected, or
// something but the DHT's questions goes on over it.
func (h *Host) busy(id peer.ID) bool {
	return h.host.ConnManager().IsProtected(id, protectTag) ||
		slices.ContainsFunc(h.host.Network().ConnsToPeer(id), func(c network.Conn) bool {
			return c.Stat().Direction == network.DirInbound ||
				slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool { return s.Protocol() != kadProtocol })
		})
}

// sleep waits, and is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
