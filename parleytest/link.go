package parleytest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"
)

// Links of every simulated node, unless Options say otherwise: a home line.
const (
	defaultLatency = 50 * time.Millisecond // one way, 100 ms round trip
	linkBits       = 20_000_000            // per second, each way
	linkPort       = 4001
)

// wires is the simulated network with its cuts.
type wires struct {
	net *simnet.Simnet

	mu   sync.Mutex
	down map[string]bool    // IP -> pulled out
	cut  map[[2]string]bool // sorted pair of IPs -> no packets
	sent map[string]int64   // IP -> bytes in packets it sent or was sent
}

func newWires(latency time.Duration) *wires {
	return &wires{
		net:  &simnet.Simnet{LatencyFunc: simnet.StaticLatency(latency), Logger: quiet},
		down: map[string]bool{}, cut: map[[2]string]bool{}, sent: map[string]int64{},
	}
}

func pair(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

func (w *wires) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// passes reports whether a packet of n bytes gets through, and counts it.
func (w *wires) passes(from, to string, n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down[from] || w.down[to] || w.cut[pair(from, to)] {
		return false
	}
	w.sent[from] += int64(n)
	w.sent[to] += int64(n)
	return true
}

// options make a libp2p host live on a simulated link.
func (w *wires) options() []libp2p.Option {
	source := &fixedSource{}
	listen := func(_ string, addr *net.UDPAddr) (net.PacketConn, error) {
		source.ip.Store(&addr.IP)
		link := simnet.LinkSettings{BitsPerSecond: linkBits}
		conn := w.net.NewEndpoint(addr, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})
		return &cutConn{SimConn: conn, wires: w, ip: addr.IP.String()}, nil
	}
	reuse := func(lc fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
		cm, err := quicreuse.NewConnManager(reset, token, opts...)
		if err != nil {
			return nil, err
		}
		// A manager that was passed in is not closed by the host.
		lc.Append(fx.Hook{OnStop: func(context.Context) error { return cm.Close() }})
		return cm, nil
	}
	return []libp2p.Option{libp2p.QUICReuse(reuse,
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return source, nil }),
		quicreuse.OverrideListenUDP(listen),
	)}
}

// fixedSource answers with the host's only address.
type fixedSource struct{ ip atomic.Pointer[net.IP] }

func (s *fixedSource) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return *s.ip.Load(), nil
}

// cutConn drops packets on cut wires as a network does: silently.
type cutConn struct {
	*simnet.SimConn
	wires *wires
	ip    string
}

func (c *cutConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if u, ok := to.(*net.UDPAddr); ok && !c.wires.passes(c.ip, u.IP.String(), len(p)) {
		return len(p), nil
	}
	return c.SimConn.WriteTo(p, to)
}
