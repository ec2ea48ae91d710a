package parleytest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/p2p"
)

// quiet drops the nodes' own logs: a test that fails reports what it saw.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// Options of a World. The zero value is a small network of ordinary nodes.
type Options struct {
	Latency time.Duration // one way; 0: 50 ms
	// Lonely starts the nodes without telling them of one another.
	Lonely bool
}

// World is a network of whole nodes. Create it inside synctest.Test.
type World struct {
	t     *testing.T
	opts  Options
	wires *wires
	nodes []*Node
}

// NewWorld starts n nodes that know of one another only through the first,
// their bootstrap peer. It returns when all are ready, and stops them when the
// test ends.
func NewWorld(t *testing.T, n int, opts Options) *World {
	t.Helper()
	if opts.Latency == 0 {
		opts.Latency = defaultLatency
	}
	w := &World{t: t, opts: opts, wires: newWires(opts.Latency)}
	w.wires.net.Start()
	dir := t.TempDir()
	t.Cleanup(w.close)
	for i := range n {
		w.nodes = append(w.nodes, &Node{w: w, index: i, dir: filepath.Join(dir, fmt.Sprint(i)), ip: address(i)})
	}
	for _, node := range w.nodes {
		node.start()
	}
	for _, node := range w.nodes {
		node.awaitReady()
	}
	return w
}

// address gives each node a network of its own: several in one /24 look like
// one owner, whom the routing table gives little room.
func address(i int) string { return fmt.Sprintf("11.%d.%d.1", i/256, i%256) }

// Len is the number of nodes.
func (w *World) Len() int { return len(w.nodes) }

// Node is the i-th node.
func (w *World) Node(i int) *Node { return w.nodes[i] }

// Kill drops a node without a goodbye: its packets stop first, so that no peer
// hears of its end. Its store stays.
func (w *World) Kill(i int) {
	w.t.Helper()
	w.wires.set(func() { w.wires.down[w.nodes[i].ip] = true })
	w.nodes[i].stop()
}

// Restart brings a node back with the same keys, address and store. A running
// node is stopped in order first.
func (w *World) Restart(i int) {
	w.t.Helper()
	w.nodes[i].stop()
	w.wires.set(func() { delete(w.wires.down, w.nodes[i].ip) })
	w.nodes[i].start()
	w.nodes[i].awaitReady()
}

// RestartAll is Restart of several nodes at a time: all of them are gone
// before the first comes back.
func (w *World) RestartAll(nodes ...int) {
	w.t.Helper()
	for _, i := range nodes {
		w.nodes[i].stop()
	}
	for _, i := range nodes {
		w.wires.set(func() { delete(w.wires.down, w.nodes[i].ip) })
		w.nodes[i].start()
	}
	for _, i := range nodes {
		w.nodes[i].awaitReady()
	}
}

// Cut stops all packets between two nodes.
func (w *World) Cut(i, j int) {
	w.wires.set(func() { w.wires.cut[pair(w.nodes[i].ip, w.nodes[j].ip)] = true })
}

// Heal mends every cut.
func (w *World) Heal() { w.wires.set(func() { clear(w.wires.cut) }) }

// Pass lets simulated time go by.
func (w *World) Pass(d time.Duration) { time.Sleep(d) }

// Settle waits until nothing runs: every goroutine waits for time or a peer.
func (w *World) Settle() { synctest.Wait() }

func (w *World) close() {
	for _, n := range w.nodes {
		n.stop()
	}
	w.wires.net.Close()
}

// adjust puts a node's host on its simulated link.
func (w *World) adjust(n *Node) func(*p2p.Config) {
	return func(cfg *p2p.Config) {
		cfg.Simulated = true
		cfg.Loopback = false
		cfg.MDNS = false
		cfg.Transports = p2p.Transports{} // the zero node.Config switched all off
		cfg.Listen = []string{fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", n.ip, linkPort)}
		cfg.Options = append(cfg.Options, w.wires.options()...)
		cfg.Bootstrap, cfg.NoBootstrap = nil, false
		if first := w.nodes[0]; n.index > 0 && !w.opts.Lonely {
			cfg.Bootstrap = []string{fmt.Sprintf("/ip4/%s/udp/%d/quic-v1/p2p/%s", first.ip, linkPort, first.device)}
		}
		// Simulated addresses are public and reachable: every node serves.
		cfg.Infra = true
	}
}

// until polls cond in simulated time; every wait ends.
func (w *World) until(what string, limit time.Duration, cond func(context.Context) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	for !cond(ctx) {
		if ctx.Err() != nil {
			w.t.Fatalf("%s: not within %s of simulated time", what, limit)
		}
		time.Sleep(pollEvery)
	}
}

const pollEvery = 20 * time.Millisecond // simulated
