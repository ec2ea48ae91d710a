package p2p

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"

	"parley/internal/chat"
)

const (
	// autoNATInterval is the minute that chat.AutoNATPerPeer counts in.
	autoNATInterval = time.Minute
	// autoRelayDelay lets the first connections arrive before a relay is chosen.
	autoRelayDelay = 10 * time.Second
	// rateGrace is how long an idle address keeps its place in the rate limiter.
	rateGrace = time.Minute
)

// resourceManager sets every limit explicitly: the library's scale with the
// machine, and let a stranger use an eighth of its memory.
func resourceManager() (network.ResourceManager, error) {
	partial := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Streams: 2 * chat.StreamsInbound, StreamsInbound: chat.StreamsInbound, StreamsOutbound: chat.StreamsInbound,
			Conns: chat.ConnsTotal, ConnsInbound: chat.ConnsInbound, ConnsOutbound: chat.ConnsTotal - chat.ConnsInbound,
			FD: 2 * chat.ConnsTotal, Memory: chat.NetMemory,
		},
		// What has not yet said who it is or what it wants.
		Transient: rcmgr.ResourceLimits{
			Streams: chat.StreamsInbound, StreamsInbound: chat.StreamsInbound / 2, StreamsOutbound: chat.StreamsPerProtocol,
			Conns: 2 * chat.ConnsInbound, ConnsInbound: chat.ConnsInbound, ConnsOutbound: chat.ConnsInbound,
			FD: 2 * chat.ConnsInbound, Memory: chat.NetMemory / 4,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Streams: 2 * chat.StreamsPerPeer, StreamsInbound: chat.StreamsPerPeer, StreamsOutbound: chat.StreamsPerPeer,
			Conns: chat.ConnsPerPeer, ConnsInbound: chat.ConnsPerPeerIn, ConnsOutbound: chat.ConnsPerPeer,
			FD: chat.ConnsPerPeer, Memory: chat.NetMemoryPerPeer,
		},
		ProtocolDefault: rcmgr.ResourceLimits{
			Streams: 2 * chat.StreamsPerProtocol, StreamsInbound: chat.StreamsPerProtocol, StreamsOutbound: chat.StreamsPerProtocol,
			Memory: chat.NetMemory / 2,
		},
		ProtocolPeerDefault: rcmgr.ResourceLimits{
			Streams: chat.StreamsPerPeer, StreamsInbound: chat.StreamsPerProtocolPeer, StreamsOutbound: chat.StreamsPerPeer,
			Memory: chat.NetMemoryPerPeer,
		},
		ServiceDefault: rcmgr.ResourceLimits{
			Streams: 2 * chat.StreamsPerProtocol, StreamsInbound: chat.StreamsPerProtocol, StreamsOutbound: chat.StreamsPerProtocol,
			Memory: chat.NetMemory / 2,
		},
		ServicePeerDefault: rcmgr.ResourceLimits{
			Streams: chat.StreamsPerPeer, StreamsInbound: chat.StreamsPerProtocolPeer, StreamsOutbound: chat.StreamsPerPeer,
			Memory: chat.NetMemoryPerPeer,
		},
	}
	defaults := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&defaults)
	manager, err := rcmgr.NewResourceManager(
		rcmgr.NewFixedLimiter(partial.Build(defaults.Scale(chat.NetMemory, 2*chat.ConnsTotal))),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{
				{PrefixLength: 32, ConnCount: chat.ConnsPerIPv4},
				{PrefixLength: 24, ConnCount: chat.ConnsPerIPv4Net},
			},
			[]rcmgr.ConnLimitPerSubnet{
				{PrefixLength: 56, ConnCount: chat.ConnsPerIPv6Site},
				{PrefixLength: 48, ConnCount: chat.ConnsPerIPv6Net},
			}),
		rcmgr.WithConnRateLimiters(connRates()),
	)
	if err != nil {
		return nil, fmt.Errorf("building resource manager: %w", err)
	}
	return manager, nil
}

func connRates() *rate.Limiter {
	pace := rate.Limit{RPS: chat.ConnRate, Burst: chat.ConnBurst}
	wide := rate.Limit{RPS: 4 * chat.ConnRate, Burst: 4 * chat.ConnBurst}
	return &rate.Limiter{
		// Loopback is our own machine: many nodes of a demo share it.
		NetworkPrefixLimits: []rate.PrefixLimit{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: pace}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: pace}, {PrefixLength: 48, Limit: wide}},
			GracePeriod:      rateGrace,
		},
	}
}
