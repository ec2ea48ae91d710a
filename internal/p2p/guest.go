package p2p

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/internal/chat"
	"parley/internal/wire"
)

// Guest calls nodes under a throw-away key, so that they cannot tie what is
// asked to this device: it dials only, over TLS or QUIC, listens nowhere, and
// takes no part in the DHT. Its IP address is ours and stays visible. It is
// safe for concurrent use.
type Guest struct {
	h    *Host
	host host.Host
	once sync.Once
}

// NewGuest makes a Guest with a key of its own. Whoever made it closes it.
func (h *Host) NewGuest() (*Guest, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a throw-away key: %w", err)
	}
	limits, err := resourceManager()
	if err != nil {
		return nil, err
	}
	options := []libp2p.Option{
		libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.UserAgent(userAgent), libp2p.DisableMetrics(),
		libp2p.ResourceManager(limits), libp2p.ConnectionGater(h.gate), libp2p.DisableRelay(),
		libp2p.DisableIdentifyAddressDiscovery(), libp2p.ForceReachabilityPrivate(),
		libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return nil }), // nobody calls back
		libp2p.Security(libp2ptls.ID, libp2ptls.New),
	}
	if !h.cfg.Transports.NoQUIC || h.cfg.Simulated {
		options = append(options, libp2p.Transport(quic.NewTransport))
	}
	if !h.cfg.Transports.NoTCP && !h.cfg.Simulated {
		options = append(options, libp2p.Transport(tcp.NewTCPTransport))
	}
	g := &Guest{h: h}
	if g.host, err = libp2p.New(append(options, h.cfg.Options...)...); err != nil {
		return nil, fmt.Errorf("building a guest: %w", err)
	}
	if err := g.takeSimulatedPort(); err != nil {
		return nil, errors.Join(err, g.host.Close())
	}
	return g, nil
}

// takeSimulatedPort gives a guest on simulated links an end there: they know
// no port that the system chooses.
func (g *Guest) takeSimulatedPort() error {
	if !g.h.cfg.Simulated {
		return nil
	}
	for _, a := range g.h.host.Network().ListenAddresses() {
		ip, err := manet.ToIP(a)
		if err != nil {
			continue
		}
		at, err := ma.NewMultiaddr(fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", ip, 1<<14+mrand.N(3<<14)))
		if err != nil {
			return err
		}
		return g.host.Network().Listen(at)
	}
	return fmt.Errorf("%w: no simulated address to call from", chat.ErrUnreachable)
}

// Device is the throw-away id.
func (g *Guest) Device() chat.DeviceID { return deviceOf(g.host.ID()) }

// Open calls a device at the addresses that the Host knows of it, within
// chat.DialTimeout. It fails with chat.ErrUnreachable.
func (g *Guest) Open(ctx context.Context, d chat.DeviceID, protocolID string) (wire.Stream, error) {
	id, err := peerOf(d)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, chat.DialTimeout)
	defer cancel()
	defer g.h.dials.want(id)()
	if g.host.Network().Connectedness(id) != network.Connected {
		if err := g.host.Connect(ctx, peer.AddrInfo{ID: id, Addrs: g.h.addrsOf(id)}); err != nil {
			return nil, fmt.Errorf("calling %s: %w: %w", d.Short(), chat.ErrUnreachable, err)
		}
	}
	s, err := g.host.NewStream(ctx, id, protocol.ID(protocolID))
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w: %w", d.Short(), chat.ErrUnreachable, err)
	}
	return stream{s, d}, nil
}

// addrsOf is where a device can be called: what is known of it, and where we
// are connected to it.
func (h *Host) addrsOf(id peer.ID) []ma.Multiaddr {
	addrs := slices.Clone(h.host.Peerstore().Addrs(id))
	for _, c := range h.host.Network().ConnsToPeer(id) {
		if c.Stat().Direction == network.DirOutbound {
			addrs = append(addrs, c.RemoteMultiaddr())
		}
	}
	return ma.Unique(addrs)
}

// Close ends every connection and frees the key. A second call does nothing.
func (g *Guest) Close() error {
	var err error
	g.once.Do(func() { err = g.host.Close() })
	return err
}
