package p2p

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"parley/internal/chat"
	"parley/internal/live"
)

const (
	// statusDelay gathers a burst of events into one Status.
	statusDelay = 100 * time.Millisecond
	// statusEvery catches what has no event: table size and kept records.
	statusEvery = 10 * time.Second
	// eventBuffer is the events we may lag behind: only their happening counts.
	eventBuffer = 64
)

// Status is watched by the faces and by whoever publishes our addresses.
func (h *Host) Status() *live.Value[Status] { return &h.status }

// watcher turns libp2p's events into Status.
type watcher struct {
	h   *Host
	sub event.Subscription
}

func (h *Host) watchEvents() (*watcher, error) {
	sub, err := h.host.EventBus().Subscribe([]any{
		new(event.EvtPeerConnectednessChanged), new(event.EvtLocalAddressesUpdated),
		new(event.EvtLocalReachabilityChanged), new(event.EvtLocalProtocolsUpdated),
		new(event.EvtPeerIdentificationCompleted),
	}, eventbus.BufSize(eventBuffer), eventbus.Name("parley status"))
	if err != nil {
		return nil, fmt.Errorf("subscribing to network events: %w", err)
	}
	return &watcher{h: h, sub: sub}, nil
}

func (w *watcher) run(ctx context.Context) error {
	defer w.sub.Close()
	slow := time.NewTicker(statusEvery)
	defer slow.Stop()
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.sub.Out():
			if !ok {
				return nil
			}
			w.note(e)
			if soon == nil {
				soon = time.After(statusDelay)
			}
		case <-soon:
			soon = nil
			w.h.refreshStatus()
		case <-slow.C:
			w.h.refreshStatus()
		}
	}
}

func (w *watcher) note(e any) {
	switch e := e.(type) {
	case event.EvtLocalReachabilityChanged:
		w.h.reachable.Store(int32(e.Reachability))
	case event.EvtPeerConnectednessChanged:
		w.h.lookAgain()
		if e.Connectedness == network.Connected {
			w.h.met.note(deviceOf(e.Peer), time.Now())
			w.h.protect(e.Peer)
		}
	case event.EvtPeerIdentificationCompleted:
		w.h.lookAgain()
	}
}

func (h *Host) refreshStatus() {
	s := Status{
		Ready:     h.ready.Load(),
		Alone:     h.alone.Load(),
		DHTServer: slices.Contains(h.host.Mux().Protocols(), kadProtocol),
		DHTPeers:  h.dht.RoutingTable().Size(),
		Records:   h.store.size(),
		Addrs:     h.Addrs(),
	}
	switch reachable := network.Reachability(h.reachable.Load()); {
	case reachable == network.ReachabilityPublic && h.assumesPublic():
		s.Reachability = "assumed"
	case reachable == network.ReachabilityPublic:
		s.Reachability = "public"
	case reachable == network.ReachabilityPrivate:
		s.Reachability = "private"
	default:
		s.Reachability = "unknown"
	}
	for _, p := range h.host.Network().Peers() {
		s.Peers++
		if relayed(h.host.Network().ConnsToPeer(p)) {
			s.Relayed++
		}
	}
	if !sameStatus(h.status.Load(), s) {
		h.status.Set(s)
	}
}

func sameStatus(a, b Status) bool {
	if !slices.Equal(a.Addrs, b.Addrs) {
		return false
	}
	a.Addrs, b.Addrs = nil, nil
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func relayed(conns []network.Conn) bool {
	return len(conns) > 0 && !slices.ContainsFunc(conns, func(c network.Conn) bool { return !c.Stat().Limited })
}

// Peers lists connected devices; of several connections the best is shown.
func (h *Host) Peers() []PeerInfo {
	var out []PeerInfo
	for _, p := range h.host.Network().Peers() {
		conns := h.host.Network().ConnsToPeer(p)
		if len(conns) == 0 {
			continue
		}
		slices.SortStableFunc(conns, func(a, b network.Conn) int {
			return rank(a.RemoteMultiaddr()) - rank(b.RemoteMultiaddr())
		})
		best := conns[0]
		info := PeerInfo{
			Device:    deviceOf(p),
			Addr:      best.RemoteMultiaddr().String(),
			Transport: transportOf(best.RemoteMultiaddr()),
			Direction: "in",
			RTT:       h.host.Peerstore().LatencyEWMA(p),
			Since:     best.Stat().Opened,
			Relayed:   relayed(conns),
		}
		if best.Stat().Direction == network.DirOutbound {
			info.Direction = "out"
		}
		for _, c := range conns {
			for _, s := range c.GetStreams() {
				if id := string(s.Protocol()); id != "" && !slices.Contains(info.Protocols, id) {
					info.Protocols = append(info.Protocols, id)
				}
			}
		}
		slices.Sort(info.Protocols)
		if agent, err := h.host.Peerstore().Get(p, "AgentVersion"); err == nil {
			info.Agent, _ = agent.(string)
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b PeerInfo) int { return a.Since.Compare(b.Since) })
	return out
}

// Ping measures one round trip to a device, dialling it if needed.
func (h *Host) Ping(ctx context.Context, d chat.DeviceID) (time.Duration, error) {
	id, err := peerOf(d)
	if err != nil {
		return 0, err
	}
	fresh, err := h.connect(ctx, id)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, chat.HandshakeTimeout)
	defer cancel()
	answer, ok := <-ping.Ping(network.WithAllowLimitedConn(ctx, "ping"), h.host, id)
	if !ok {
		return 0, h.unreachable(id, ctx.Err(), fresh)
	}
	if answer.Error != nil {
		return 0, h.unreachable(id, answer.Error, fresh)
	}
	return answer.RTT, nil
}
