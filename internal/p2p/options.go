package p2p

import (
	"context"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	webrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"

	"parley/internal/chat"
)

const userAgent = "parley"

func (h *Host) options() ([]libp2p.Option, error) {
	limits, err := resourceManager()
	if err != nil {
		return nil, err
	}
	conns, err := connmgr.NewConnManager(chat.ConnsLow, chat.ConnsHigh, connmgr.WithGracePeriod(chat.ConnsGrace))
	if err != nil {
		return nil, fmt.Errorf("building connection manager: %w", err)
	}
	peers, err := pstoremem.NewPeerstore(
		pstoremem.WithMaxAddresses(chat.UnconnectedAddrs),
		pstoremem.WithMaxAddressesPerPeer(chat.PeerAddrs),
		pstoremem.WithMaxSignedPeerRecords(chat.UnconnectedAddrs),
	)
	if err != nil {
		return nil, fmt.Errorf("building peer store: %w", err)
	}
	options := []libp2p.Option{
		libp2p.Identity(h.key),
		libp2p.NoListenAddrs, // Run listens
		libp2p.UserAgent(userAgent),
		libp2p.DisableMetrics(), // the library's registry is global: several hosts would clash
		libp2p.Peerstore(peers),
		libp2p.ResourceManager(&siteLimits{ResourceManager: limits, h: h, sites: make(map[site]siteStreams)}),
		libp2p.ConnectionManager(conns),
		libp2p.ConnectionGater(h.gate),
		libp2p.MultiaddrResolver(newNames(h.guide, swarm.ResolverFromMaDNS{Resolver: madns.DefaultResolver})),
		libp2p.SwarmOpts(swarm.WithDialTimeout(chat.HandshakeTimeout), swarm.WithDialTimeoutLocal(chat.HandshakeTimeout)),
	}
	options = append(options, h.transports()...)
	options = append(options, h.reach()...)
	return append(options, h.cfg.Options...), nil
}

// transports: TLS comes before Noise, because only TLS (and QUIC, which is
// TLS) has a post-quantum key exchange. Noise is for foreign peers, and
// inside WebTransport and WebRTC-direct.
func (h *Host) transports() []libp2p.Option {
	off, strict := h.cfg.Transports, h.cfg.StrictTransport
	options := []libp2p.Option{libp2p.Security(libp2ptls.ID, libp2ptls.New)}
	if !strict {
		options = append(options, libp2p.Security(noise.ID, noise.New))
	}
	if h.cfg.Simulated {
		return append(options, libp2p.Transport(quic.NewTransport))
	}
	if !off.NoTCP {
		options = append(options, libp2p.Transport(tcp.NewTCPTransport))
	}
	if !off.NoQUIC {
		options = append(options, libp2p.Transport(quic.NewTransport))
	}
	if !off.NoWebTransport && !strict {
		options = append(options, libp2p.Transport(webtransport.New))
	}
	if !off.NoWebRTC && !strict {
		options = append(options, libp2p.Transport(webrtc.New))
	}
	return options
}

// reach is how nodes behind address translation are found: they learn what
// they are from AutoNAT, hold a place at public nodes that relay, and punch
// through. A node on loopback or simulated links is reachable as it is.
func (h *Host) reach() []libp2p.Option {
	if h.cfg.Loopback {
		return []libp2p.Option{libp2p.DisableRelay(), libp2p.ForceReachabilityPublic()}
	}
	if h.cfg.Simulated {
		options := append(h.relay(), libp2p.DisableIdentifyAddressDiscovery())
		if !h.assumesPublic() {
			return append(options, libp2p.ForceReachabilityPrivate())
		}
		return append(options, libp2p.ForceReachabilityPublic())
	}
	options := append(h.relay(),
		libp2p.EnableAutoNATv2(),
		libp2p.EnableNATService(),
		libp2p.AutoNATServiceRateLimit(30*chat.AutoNATPerPeer, chat.AutoNATPerPeer, autoNATInterval),
	)
	if !h.cfg.NoPortMap {
		options = append(options, libp2p.NATPortMap())
	}
	if h.assumesPublic() {
		options = append(options, libp2p.ForceReachabilityPublic())
	}
	return options
}

// assumesPublic reports whether our settings say that others can dial us: then
// nobody is asked, so nobody confirmed it.
func (h *Host) assumesPublic() bool {
	if h.cfg.Simulated {
		return !h.hidden()
	}
	return h.cfg.Loopback || h.cfg.Infra
}

// hidden reports whether nobody can dial us by our own choice.
func (h *Host) hidden() bool { return h.cfg.Listen != nil && len(h.cfg.Listen) == 0 }

// relay is the way through others: as their client, with hole punching to get
// off them again, and as a relay, which the library is only while public.
func (h *Host) relay() []libp2p.Option {
	if h.cfg.NoRelay {
		return []libp2p.Option{libp2p.DisableRelay()}
	}
	resources := relay.DefaultResources()
	resources.MaxReservations = chat.RelayReservations
	resources.MaxCircuits = chat.RelayReservations
	resources.Limit = &relay.RelayLimit{Duration: chat.RelayTime, Data: chat.RelayBytes}
	options := []libp2p.Option{
		libp2p.EnableRelay(),
		libp2p.EnableHolePunching(),
		libp2p.EnableRelayService(relay.WithResources(resources)),
	}
	if h.cfg.Infra || h.cfg.Simulated && !h.hidden() {
		return options
	}
	return append(options, libp2p.EnableAutoRelayWithPeerSource(h.relayCandidates, autorelay.WithBootDelay(autoRelayDelay)))
}

// relayCandidates are connected peers that offer to relay.
func (h *Host) relayCandidates(ctx context.Context, n int) <-chan peer.AddrInfo {
	found := make(chan peer.AddrInfo, n)
	defer close(found)
	select {
	case <-h.built:
	default: // the library asks while New is still building
		return found
	}
	for _, p := range h.host.Network().Peers() {
		if len(found) == n || ctx.Err() != nil {
			break
		}
		if ok, err := h.host.Peerstore().SupportsProtocols(p, proto.ProtoIDv2Hop); err == nil && len(ok) > 0 {
			found <- peer.AddrInfo{ID: p, Addrs: h.host.Peerstore().Addrs(p)}
		}
	}
	return found
}

// listenAddrs is where Run listens.
func (h *Host) listenAddrs() ([]ma.Multiaddr, error) {
	texts := h.cfg.Listen
	if texts == nil {
		texts = defaultListen(h.cfg)
	}
	addrs := make([]ma.Multiaddr, 0, len(texts))
	for _, text := range texts {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return nil, fmt.Errorf("%w: listen address %q: %w", chat.ErrInvalid, text, err)
		}
		addrs = append(addrs, a)
	}
	return slices.DeleteFunc(addrs, func(a ma.Multiaddr) bool { return switchedOff(a, h.cfg) }), nil
}

func defaultListen(cfg Config) []string {
	hosts := []string{"/ip4/0.0.0.0", "/ip6/::"}
	if cfg.Loopback {
		hosts = []string{"/ip4/127.0.0.1", "/ip6/::1"}
	}
	var texts []string
	for _, at := range hosts {
		texts = append(texts,
			fmt.Sprintf("%s/udp/%d/quic-v1", at, cfg.Port),
			fmt.Sprintf("%s/tcp/%d", at, cfg.Port),
			fmt.Sprintf("%s/udp/%d/quic-v1/webtransport", at, cfg.Port),
			fmt.Sprintf("%s/udp/%d/webrtc-direct", at, cfg.Port),
		)
	}
	return texts
}

func switchedOff(a ma.Multiaddr, cfg Config) bool {
	switch off := cfg.Transports; transportOf(a) {
	case "tcp":
		return off.NoTCP
	case "quic":
		return off.NoQUIC
	case "webtransport":
		return off.NoWebTransport || cfg.StrictTransport
	case "webrtc-direct":
		return off.NoWebRTC || cfg.StrictTransport
	}
	return false
}
