package p2p

import (
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// gater asks the Gate as soon as a device is known: before we dial it, and
// right after the handshake of one that dialled us. A refused device sees a
// connection that closes, as from a busy node.
type gater struct{ h *Host }

func (g *gater) allowed(p peer.ID) bool {
	gate := g.h.cfg.Gate
	return isEd25519(p) && (gate == nil || gate.Allowed(deviceOf(p)))
}

// InterceptPeerDial is asked before we look for addresses.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.allowed(p) }

// InterceptAddrDial is asked for every address that is about to be dialled,
// names resolved (N7). It also hears of dial-backs that peers ask for.
func (g *gater) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	select {
	case <-g.h.built:
	default: // the library begins before New is done
		return false
	}
	return g.h.mayDial(p, a) && g.h.dials.take(p, a, time.Now())
}

// InterceptAccept knows an address only: the resource manager counts those.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured is the first moment a dialling device is proven.
func (g *gater) InterceptSecured(dir network.Direction, p peer.ID, addrs network.ConnMultiaddrs) bool {
	if dir == network.DirOutbound {
		g.h.dials.answered(p, addrs.RemoteMultiaddr())
		g.h.forgetProtocols(p)
	}
	return g.allowed(p)
}

// InterceptUpgraded asks again: a block may have come during the handshake.
func (g *gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.allowed(c.RemotePeer()), 0
}
