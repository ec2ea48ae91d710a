package p2p

import (
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// gater asks the Gate as soon as a device is known: before we dial it, and
// right after the handshake of one that dialled us. A refused device sees a
// connection that closes, as from a busy node.
type gater struct{ gate Gate }

func (g *gater) allowed(p peer.ID) bool {
	return isEd25519(p) && (g.gate == nil || g.gate.Allowed(deviceOf(p)))
}

// InterceptPeerDial is asked before we look for addresses.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.allowed(p) }

// InterceptAddrDial keeps strangers' records from making us knock at
// addresses that lead nowhere or everywhere (N7).
func (g *gater) InterceptAddrDial(_ peer.ID, a ma.Multiaddr) bool {
	return !manet.IsIPUnspecified(a) && !isMulticast(a)
}

// InterceptAccept knows an address only: the resource manager counts those.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured is the first moment a dialling device is proven.
func (g *gater) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return g.allowed(p)
}

// InterceptUpgraded asks again: a block may have come during the handshake.
func (g *gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.allowed(c.RemotePeer()), 0
}

func isMulticast(a ma.Multiaddr) bool {
	ip, err := manet.ToIP(a)
	return err == nil && ip.IsMulticast()
}
