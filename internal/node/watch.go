package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/p2p"
	"parley/internal/store"
)

// rememberEvery is how often the peers of the moment are written down for the
// next start: a crash loses at most this much of them.
const rememberEvery = 2 * time.Minute

// watch turns what the network and the disk do into the pulse line, tells dm
// and the directory about new connections, and remembers peers.
func (n *Node) watch(ctx context.Context) error {
	remember := time.NewTicker(rememberEvery)
	defer remember.Stop()
	known := map[chat.DeviceID]bool{} // connected now; as many as the host allows
	var addrs []string
	ready := false
	for {
		status, network := n.host.Status().Watch()
		health, disk := n.db.Health().Watch()
		n.setPulse(pulseOf(status, health))
		n.greet(known)
		if online := status.Ready && !status.Alone; online != ready {
			if ready = online; ready {
				n.courier.Nudge("") // the network is back: try everything
				n.online.Set(n.online.Load() + 1)
			}
		}
		if !slices.Equal(addrs, status.Addrs) {
			addrs = status.Addrs
			n.directory.Nudge() // our record names them
		}
		select {
		case <-ctx.Done():
			// The last word of this run, while the store is still open.
			return n.remember(context.WithoutCancel(ctx))
		case <-network:
		case <-disk:
		case <-remember.C:
			if err := n.remember(ctx); err != nil {
				n.log.Warn("peers were not remembered", "err", err)
			}
		}
	}
}

// greet nudges what waits for devices that have just connected.
func (n *Node) greet(known map[chat.DeviceID]bool) {
	now := map[chat.DeviceID]bool{}
	for _, p := range n.host.Peers() {
		now[p.Device] = true
		if !known[p.Device] {
			known[p.Device] = true
			n.courier.Nudge(p.Device)
			n.directory.Nudge()
		}
	}
	for d := range known {
		if !now[d] {
			delete(known, d)
		}
	}
}

func (n *Node) setPulse(p api.Pulse) {
	if p != n.pulse.Load() {
		n.pulse.Set(p)
	}
}

// pulseOf is the one line of docs/words.md for a state.
func pulseOf(s p2p.Status, h store.Health) api.Pulse {
	switch {
	case h.Full:
		return api.Pulse{
			Code: "NET-11", Text: "Disk full. Nothing stored is lost; you can read, not write, until there is space.",
			Hint: "Free some space; Parley goes on by itself.",
		}
	case s.Peers == 0 && s.Alone:
		return api.Pulse{
			Code: "NET-02", Text: "Offline. You can read and write; messages go out later.",
			Hint: "Nobody answers yet. Add a bootstrap address or open an invite; Parley keeps trying.",
		}
	case s.Peers == 0:
		return api.Pulse{Code: "NET-03", Text: "Looking for other nodes…"}
	case !s.Ready:
		return api.Pulse{Code: "NET-01", Text: "Starting your node…"}
	case s.Relayed == s.Peers:
		return api.Pulse{Code: "NET-07", Text: "Connected through a relay (slower)"}
	case s.Peers == 1:
		return api.Pulse{Code: "NET-05", Text: "Connected to 1 node"}
	default:
		return api.Pulse{Code: "NET-05", Text: fmt.Sprintf("Connected to %d nodes", s.Peers)}
	}
}

func (n *Node) remember(ctx context.Context) error {
	return n.keepPeers(ctx, n.host.Remember())
}

// keepPeers writes peers down so that they are read in the same order.
func (n *Node) keepPeers(ctx context.Context, peers []p2p.Peer) error {
	if len(peers) == 0 {
		return nil
	}
	now := time.Now()
	return n.db.Write(ctx, func(tx *store.Tx) error {
		for _, p := range slices.Backward(peers) { // what is written last is read first
			if err := tx.RememberPeer(store.RememberedPeer{Device: p.Device, Addrs: p.Addrs, Seen: now}); err != nil {
				return err
			}
		}
		return nil
	})
}

// checks are the parts of doctor that need the whole node.
func (n *Node) checks(context.Context) []api.Check {
	s := n.host.Status().Load()
	out := []api.Check{}
	switch {
	case s.Peers == 0:
		out = append(out, api.Check{Name: "network", Result: api.Problem, Text: "no other node is connected", Fix: "add one with `parley net connect <address>` or set net.bootstrap"})
	case !s.Ready:
		out = append(out, api.Check{Name: "network", Result: api.Warning, Text: "the routing table is not ready yet", Fix: "wait a few seconds"})
	default:
		out = append(out, api.Check{Name: "network", Result: api.OK, Text: fmt.Sprintf("%d nodes connected, %d in the routing table", s.Peers, s.DHTPeers)})
	}
	switch s.Reachability {
	case "public":
		out = append(out, api.Check{Name: "reachability", Result: api.OK, Text: "others can call this node directly"})
	case "assumed":
		out = append(out, n.assumedCheck())
	case "private":
		out = append(out, api.Check{Name: "reachability", Result: api.Warning, Text: "this node is behind a NAT: others reach it by hole punching or a relay", Fix: "forward a port to it if you can"})
	default:
		out = append(out, api.Check{Name: "reachability", Result: api.OK, Text: "not known yet: it takes a few peers to tell"})
	}
	return out
}

// assumedCheck is about a node that calls itself reachable by its settings.
func (n *Node) assumedCheck() api.Check {
	if n.opts.Config.Net.Loopback {
		return api.Check{Name: "reachability", Result: api.OK, Text: "loopback: only nodes of this computer can call this one"}
	}
	return api.Check{
		Name: "reachability", Result: api.Warning, Text: "assumed, because of --infra: nobody confirmed that others can call this node",
		Fix: "try `parley net connect` with its address on a machine elsewhere; open or forward its port if that fails",
	}
}
