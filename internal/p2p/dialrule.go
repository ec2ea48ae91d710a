package p2p

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/internal/chat"
)

// minPort is the lowest port we dial on another's word: below it live other
// people's services (N7).
const minPort = 1024

// worthDialing drops what others may not make us dial for device p (N7). The
// gate asks again when it comes to dialing, because addresses also come from
// where we cannot filter, and because names have become addresses by then.
func (h *Host) worthDialing(p peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr {
	var out []ma.Multiaddr
	size := 0
	for _, a := range addrs {
		if len(out) == chat.PeerAddrs || size+len(a.Bytes()) > chat.PeerAddrBytes {
			break
		}
		if h.mayDial(p, a) {
			out = append(out, a)
			size += len(a.Bytes())
		}
	}
	return out
}

// mayDial judges an address that anybody may have named. Relayed addresses are
// judged by the relay's. Configured addresses are the person's own choice.
func (h *Host) mayDial(p peer.ID, a ma.Multiaddr) bool {
	configured, named := h.guideAddr(p, a)
	if configured {
		return true
	}
	ip, ok := h.dialIP(a, !named)
	switch {
	case !ok:
		return ip == nil && isBareRelay(a)
	case h.cfg.Loopback, h.cfg.Simulated:
		return true
	case manet.IsPrivateAddr(a): // link-local and loopback are out already
		return h.sharesNet(a) || h.told.has(p, a)
	}
	return true
}

// mayDialTold judges an address that our person or an invite gave.
func (h *Host) mayDialTold(a ma.Multiaddr) bool {
	ip, ok := h.dialIP(a, true)
	return ok || ip == nil && isBareRelay(a)
}

// dialIP is the address to knock at, and whether no rule stands against it
// whoever named it. It is nil for names: only those in our settings are looked
// up, and what comes out is judged again.
func (h *Host) dialIP(a ma.Multiaddr, portRule bool) (net.IP, bool) {
	ip, err := manet.ToIP(a)
	if err != nil {
		return nil, false
	}
	if port := portOf(a); portRule && port != 0 && port < minPort {
		return ip, false
	}
	switch {
	case ip.IsUnspecified(), ip.IsMulticast(), ip.IsInterfaceLocalMulticast():
		return ip, false
	case h.cfg.Loopback:
		return ip, ip.IsLoopback()
	case h.cfg.Simulated:
		return ip, true
	}
	// NAT64 would lead a global address to a private one.
	return ip, !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !manet.IsNAT64IPv4ConvertedIPv6Addr(a)
}

// isBareRelay is an address through a device whose own addresses are judged
// when it is dialled.
func isBareRelay(a ma.Multiaddr) bool {
	return transportOf(a) == "relay" && !hasName(a)
}

func hasName(a ma.Multiaddr) bool {
	return nameOf(a) != ""
}

// nameOf is the DNS name that an address is to be looked up by, or empty.
func nameOf(a ma.Multiaddr) string {
	for _, code := range []int{ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR} {
		if name, err := a.ValueForProtocol(code); err == nil {
			return name
		}
	}
	return ""
}

// guideAddr says whether the settings give p this very address, and whether
// they give it a name.
func (h *Host) guideAddr(p peer.ID, a ma.Multiaddr) (configured, named bool) {
	for _, g := range h.guide {
		if g.ID == p {
			configured = configured || slices.ContainsFunc(g.Addrs, a.Equal)
			named = named || slices.ContainsFunc(g.Addrs, hasName)
		}
	}
	return configured, named
}

// sharesNet reports whether one of our own interfaces is on a's network, by
// its first 16 bits (48 for IPv6).
func (h *Host) sharesNet(a ma.Multiaddr) bool {
	own, err := h.host.Network().InterfaceListenAddresses()
	if err != nil {
		return false
	}
	want, ok := netOf(a, 16, 48)
	return ok && slices.ContainsFunc(own, func(o ma.Multiaddr) bool {
		got, ok := netOf(o, 16, 48)
		return ok && got == want
	})
}

// told keeps which addresses our person, invites and earlier connections
// vouch for: private ones among them may be dialled.
type told struct {
	mu    sync.Mutex
	peers map[peer.ID]toldAddrs // at most chat.MaxStrangers; full: the first to end goes
}

type toldAddrs struct {
	addrs []ma.Multiaddr // at most chat.PeerAddrs
	until time.Time
}

func (t *told) add(p peer.ID, addrs []ma.Multiaddr, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.peers == nil {
		t.peers = make(map[peer.ID]toldAddrs)
	}
	if _, known := t.peers[p]; !known && len(t.peers) >= chat.MaxStrangers {
		var first peer.ID
		for id, x := range t.peers {
			if first == "" || x.until.Before(t.peers[first].until) {
				first = id
			}
		}
		delete(t.peers, first)
	}
	t.peers[p] = toldAddrs{slices.Clone(addrs), until}
}

func (t *told) has(p peer.ID, a ma.Multiaddr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.peers[p]
	return time.Now().Before(x.until) && slices.ContainsFunc(x.addrs, a.Equal)
}
