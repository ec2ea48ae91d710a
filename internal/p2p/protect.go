package p2p

import (
	"net/netip"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/internal/chat"
)

// protectTag is ours in the connection manager.
const protectTag = "parley"

// protect keeps the first outbound connections through a flood (N2), over at
// least chat.ProtectedNets networks, so that no owner of a few has them all
// (D1). Those on private networks and loopback are all one's own.
func (h *Host) protect(id peer.ID) {
	net, public, ok := h.outbound(id)
	if !ok {
		return
	}
	conns := h.host.ConnManager()
	nets := map[netip.Prefix]int{net: 1}
	protected, doubled := 0, 0
	for _, p := range h.host.Network().Peers() {
		if p == id || !conns.IsProtected(p, protectTag) {
			continue
		}
		protected++
		if at, public, ok := h.outbound(p); ok && public {
			if nets[at]++; nets[at] > 1 {
				doubled++
			}
		}
	}
	if protected >= chat.ConnsProtected || public && nets[net] > 1 && doubled > chat.ConnsProtected-chat.ProtectedNets {
		return
	}
	conns.Protect(id, protectTag)
}

// outbound is the /16 (IPv6: /32) that we dialled a peer in, and whether it is
// a public one. It is not ok for peers that dialled us or are relayed.
func (h *Host) outbound(id peer.ID) (net netip.Prefix, public, ok bool) {
	for _, c := range h.host.Network().ConnsToPeer(id) {
		if c.Stat().Direction == network.DirOutbound && !c.Stat().Limited {
			a := c.RemoteMultiaddr()
			net, known := netOf(a, 16, 32)
			return net, known && !local(a), true
		}
	}
	return netip.Prefix{}, false, false
}
