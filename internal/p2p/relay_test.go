package p2p

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"parley/internal/chat"
)

// addHidden starts host i on links that it can dial from and nobody can dial.
func (w *simWorld) addHidden(i int) *runner {
	w.t.Helper()
	build := func(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, options ...quicreuse.Option) (*quicreuse.ConnManager, error) {
		conns, err := quicreuse.NewConnManager(reset, token, options...)
		if err == nil {
			l.Append(fx.StopHook(conns.Close))
		}
		return conns, err
	}
	at := &net.UDPAddr{IP: net.IPv4(11, 9, byte(i), 1), Port: 4718}
	links := libp2p.QUICReuse(build, quicreuse.OverrideListenUDP(func(string, *net.UDPAddr) (net.PacketConn, error) {
		return w.net.NewEndpoint(at, w.links), nil
	}))
	h, err := New(w.config(i, func(c *Config) {
		c.Listen, c.Client, c.Options = []string{}, true, []libp2p.Option{links}
	}))
	if err != nil {
		w.t.Fatal(err)
	}
	r := run(w.t, h)
	w.hosts = append(w.hosts, r)
	return r
}

// TestRelayed: a device that nobody can dial is reached through a public node,
// found by its signed record alone, and no further than the relay's limit (N6).
func TestRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 25*time.Millisecond)
		defer w.close()
		infra := w.add(0, func(c *Config) { c.Infra = true })
		// Both are hidden: else the one would call the other back directly.
		ana, bo := w.addHidden(1), w.addHidden(2)
		bo.Handle(echoProtocol, echo)
		status := awaitFor(t, bo.Host, 2*time.Minute, "reachable through the relay", func(s Status) bool { return len(s.Addrs) > 0 })
		for _, a := range status.Addrs {
			if !strings.Contains(a, string(infra.Device())+"/p2p-circuit") {
				t.Errorf("a hidden device tells %s", a)
			}
		}
		record, err := bo.PeerRecord()
		if err != nil {
			t.Fatal(err)
		}
		if _, addrs, err := ana.LearnPeerRecord(record); err != nil || len(addrs) == 0 {
			t.Fatalf("learned %v, %v", addrs, err)
		}
		if got, err := say(t.Context(), ana.Host, bo.Host, "hi"); err != nil || got != "hi" {
			t.Fatalf("echo through the relay: %q, %v", got, err)
		}
		i := slices.IndexFunc(ana.Peers(), func(p PeerInfo) bool { return p.Device == bo.Device() })
		if i < 0 || !ana.Peers()[i].Relayed || ana.Peers()[i].Transport != "relay" {
			t.Errorf("peers: %+v, want one that is relayed", ana.Peers())
		}

		s, err := ana.Open(t.Context(), bo.Device(), echoProtocol)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = s.Write(make([]byte, 2*chat.RelayBytes)) // breaks at the limit
			_ = s.CloseWrite()
		}()
		got, err := io.Copy(new(bytes.Buffer), s)
		<-sent
		if err == nil || got > chat.RelayBytes {
			t.Errorf("%d bytes came back, %v; want the relay to end it at %d", got, err, chat.RelayBytes)
		}
	})
}

// TestNoRelay: switched off, a host neither relays nor asks others to.
func TestNoRelay(t *testing.T) {
	speaks := func(off bool) []protocol.ID {
		h := startQuiet(t, "ana", func(c *Config) {
			c.NoRelay, c.Infra, c.NoPortMap = off, true, true
			c.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
		})
		defer h.stop()
		timeout := time.After(20 * time.Second)
		for !off && !slices.Contains(h.host.Mux().Protocols(), proto.ProtoIDv2Hop) {
			_, changed := h.Status().Watch()
			select {
			case <-changed:
			case <-timeout:
				t.Fatal("a public host does not relay")
			}
		}
		return h.host.Mux().Protocols()
	}
	relaying := []protocol.ID{proto.ProtoIDv2Hop, proto.ProtoIDv2Stop}
	on, off := speaks(false), speaks(true)
	for _, id := range relaying {
		if !slices.Contains(on, id) || slices.Contains(off, id) {
			t.Errorf("%s is spoken with relaying on %v, off %v", id, slices.Contains(on, id), slices.Contains(off, id))
		}
	}
	if slices.Contains(off, protocol.ID(holepunch.Protocol)) {
		t.Error("holes are punched with relaying off")
	}
	ana := startQuiet(t, "ana", func(c *Config) { c.NoRelay, c.NoPortMap, c.Listen = true, true, []string{} })
	via := "/ip4/9.9.9.9/tcp/4717/p2p/" + string(testDevice("infra")) + "/p2p-circuit"
	bo := testDevice("bo")
	if err := ana.AddPeer(bo, []string{via}, time.Hour); err != nil {
		t.Fatal(err)
	}
	_, err := ana.Open(t.Context(), bo, echoProtocol)
	var u *UnreachableError
	if !errors.As(err, &u) || u.Reason != NoAddress {
		t.Errorf("a relayed address: %v, want the reason %s", err, NoAddress)
	}
}
