package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
	"parley/internal/wire"
)

// meet makes a know where b is.
func meet(t *testing.T, a, b *Host) {
	t.Helper()
	if err := a.AddPeer(b.Device(), b.Addrs(), time.Hour); err != nil {
		t.Fatal(err)
	}
}

func TestEveryTransport(t *testing.T) {
	all := func(c *Config) { c.Transports = Transports{} }
	bo := start(t, "bo", all)
	bo.Handle(echoProtocol, echo)
	// Listening on everything, bo is dialled over one transport at a time.
	only := map[string]Transports{
		"quic":          {NoTCP: true, NoWebTransport: true, NoWebRTC: true},
		"tcp":           {NoQUIC: true, NoWebTransport: true, NoWebRTC: true},
		"webtransport":  {NoQUIC: true, NoTCP: true, NoWebRTC: true},
		"webrtc-direct": {NoQUIC: true, NoTCP: true, NoWebTransport: true},
	}
	for name, transports := range only {
		t.Run(name, func(t *testing.T) {
			ana := start(t, "ana over "+name, func(c *Config) { c.Transports = transports })
			for _, a := range ana.Addrs() {
				if got := transportOf(ma.StringCast(a)); got != name {
					t.Errorf("listens on %s", a)
				}
			}
			meet(t, ana.Host, bo.Host)
			if got, err := say(t.Context(), ana.Host, bo.Host, "hi"); err != nil || got != "hi" {
				t.Fatalf("echo: %q, %v", got, err)
			}
			if peers := ana.Peers(); len(peers) != 1 || peers[0].Transport != name {
				t.Errorf("peers: %+v, want one over %s", peers, name)
			}
		})
	}
}

// TestStrictTransport: no Noise, so no WebTransport and no WebRTC either.
func TestStrictTransport(t *testing.T) {
	ana := start(t, "ana", func(c *Config) { c.StrictTransport, c.Transports = true, Transports{} })
	for _, a := range ana.Addrs() {
		if got := transportOf(ma.StringCast(a)); got != "quic" && got != "tcp" {
			t.Errorf("strict host listens on %s", a)
		}
	}
	ana.Handle(echoProtocol, echo)
	bo := start(t, "bo", func(c *Config) { c.Transports = Transports{NoQUIC: true, NoWebTransport: true, NoWebRTC: true} })
	meet(t, bo.Host, ana.Host)
	if got, err := say(t.Context(), bo.Host, ana.Host, "hi"); err != nil || got != "hi" {
		t.Fatalf("TLS over TCP: %q, %v", got, err)
	}
	for _, c := range bo.host.Network().Conns() {
		if got := string(c.ConnState().Security); got != "/tls/1.0.0" {
			t.Errorf("security is %s, want TLS before Noise", got)
		}
	}
}

func TestUnreachable(t *testing.T) {
	ana, bo, gone := start(t, "ana", nil), start(t, "bo", nil), start(t, "gone", nil)
	goneAddrs := gone.Addrs()
	gone.stop()
	carl := chat.DeviceID("12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7")
	tests := []struct {
		name   string
		device chat.DeviceID
		addrs  []string
		want   Reason
	}{
		{"nobody knows where", carl, nil, NoAddress},
		{"nobody listens", gone.Device(), goneAddrs, NoAnswer},
		{"another device listens", testDevice("mallory"), bo.Addrs(), Refused},
		{"another protocol", bo.Device(), bo.Addrs(), NoProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.addrs != nil {
				if err := ana.AddPeer(tt.device, tt.addrs, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			_, err := ana.Open(t.Context(), tt.device, echoProtocol)
			var u *UnreachableError
			if !errors.As(err, &u) || !errors.Is(err, chat.ErrUnreachable) {
				t.Fatalf("got %v, want an UnreachableError", err)
			}
			if u.Reason != tt.want || u.Device != tt.device || reasonWords[u.Reason] == "" {
				t.Errorf("got %+v, want %s", u, tt.want)
			}
			if (tt.want == NoAnswer || tt.want == Refused) && len(u.Tried) == 0 {
				t.Error("the tried addresses are missing")
			}
		})
	}
	if _, err := ana.Open(t.Context(), "ana", echoProtocol); !errors.Is(err, chat.ErrInvalid) {
		t.Errorf("a name that is no id: %v, want ErrInvalid", err)
	}
}

func testDevice(name string) chat.DeviceID {
	h, err := New(Config{Key: testKey(name), Loopback: true})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	return h.Device()
}

// blocks is a Gate that refuses the devices in it.
type blocks struct{ devices sync.Map }

func (b *blocks) Allowed(d chat.DeviceID) bool {
	_, blocked := b.devices.Load(d)
	return !blocked
}

// TestGate: a blocked device gets silence, and loses what it has.
func TestGate(t *testing.T) {
	gate := &blocks{}
	ana := start(t, "ana", func(c *Config) { c.Gate = gate })
	bo := start(t, "bo", nil)
	ana.Handle(echoProtocol, echo)
	bo.Handle(echoProtocol, echo)
	meet(t, ana.Host, bo.Host)
	meet(t, bo.Host, ana.Host)
	if _, err := say(t.Context(), bo.Host, ana.Host, "hi"); err != nil {
		t.Fatal(err)
	}

	device := bo.Device()
	gate.devices.Store(device, true)
	ana.Drop(device)
	await(t, ana.Host, "rid of bo", func(s Status) bool { return s.Peers == 0 })
	await(t, bo.Host, "rid of ana", func(s Status) bool { return s.Peers == 0 })
	// Whatever bo does and over whichever transport, it hears what it would
	// hear of a node that is switched off.
	for i, from := range []*runner{bo, start(t, "bo over TCP", func(c *Config) { c.Transports.NoQUIC = true }), start(t, "bo over all", func(c *Config) { c.Transports = Transports{} })} {
		gate.devices.Store(from.Device(), true)
		meet(t, from.Host, ana.Host)
		for range 3 {
			_, err := from.Open(t.Context(), ana.Device(), echoProtocol)
			var u *UnreachableError
			if !errors.As(err, &u) || u.Reason != NoAnswer {
				t.Errorf("host %d: a blocked device hears %v, want the reason %s", i, err, NoAnswer)
			}
			if _, err := from.Ping(t.Context(), ana.Device()); !errors.As(err, &u) || u.Reason != NoAnswer {
				t.Errorf("host %d: a ping of a blocked device: %v, want the reason %s", i, err, NoAnswer)
			}
		}
	}
	if len(ana.Peers()) != 0 {
		t.Error("a blocked device is connected")
	}
	_, err := ana.Open(t.Context(), device, echoProtocol)
	var u *UnreachableError
	if !errors.As(err, &u) || u.Reason != Blocked {
		t.Errorf("dialling a blocked device: %v, want the reason %s", err, Blocked)
	}
}

// TestPanickingHandler: one bad handler costs one stream.
func TestPanickingHandler(t *testing.T) {
	ana, bo := start(t, "ana", nil), start(t, "bo", nil)
	bo.Handle("/parley/bad/1", func(wire.Stream) { panic("oh no") })
	bo.Handle(echoProtocol, echo)
	meet(t, ana.Host, bo.Host)
	s, err := ana.Open(t.Context(), bo.Device(), "/parley/bad/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read %v, want a reset", err)
	}
	if got, err := say(t.Context(), ana.Host, bo.Host, "hi"); err != nil || got != "hi" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// TestRunDrains: Run lets a handler finish and cuts one that does not.
func TestRunDrains(t *testing.T) {
	ana, bo := start(t, "ana", nil), start(t, "bo", nil)
	entered := make(chan struct{}, 1)
	var finished atomic.Bool
	bo.Handle(echoProtocol, func(s wire.Stream) {
		entered <- struct{}{}
		if err := s.SetDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		_, err := s.Read(make([]byte, 1)) // a peer that never writes
		finished.Store(err != nil)
	})
	meet(t, ana.Host, bo.Host)
	s, err := ana.Open(t.Context(), bo.Device(), echoProtocol)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(nil); err != nil { // sends the protocol's name
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err == nil {
		// An empty stream ends at once for the handler; that is a drain too.
		<-entered
	}
	bo.stop()
	if !finished.Load() {
		t.Error("Run returned before its handler")
	}
}

// TestStreamFlood is N1: raw peers open a thousand streams each and stay
// silent; eight of each peer are served, honest ones are not disturbed.
func TestStreamFlood(t *testing.T) {
	const raw, each = 10, 1000
	bo := start(t, "bo", nil)
	var open, most atomic.Int32
	bo.Handle(echoProtocol, func(s wire.Stream) {
		most.Store(max(most.Load(), open.Add(1)))
		defer open.Add(-1)
		echo(s)
	})
	to := peer.AddrInfo{ID: bo.host.ID(), Addrs: bo.host.Addrs()}
	var wg sync.WaitGroup
	for i := range raw {
		limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
		if err != nil {
			t.Fatal(err)
		}
		mallory, err := libp2p.New(libp2p.NoListenAddrs, libp2p.ResourceManager(limits), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		defer mallory.Close()
		if err := mallory.Connect(t.Context(), to); err != nil {
			t.Fatalf("attacker %d: %v", i, err)
		}
		wg.Go(func() {
			for range each {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				s, err := mallory.NewStream(network.WithNoDial(ctx, "flood streams, not connections"), to.ID, echoProtocol)
				cancel()
				if err == nil {
					_, _ = s.Write([]byte("x"))
				}
			}
		})
	}
	wg.Wait()
	served := most.Load()
	if limit := int32(raw * chat.StreamsPerProtocolPeer); served > limit || served < limit/2 {
		t.Errorf("%d streams were open, want about %d and no more", served, limit)
	}
	ana := start(t, "ana", nil)
	meet(t, ana.Host, bo.Host)
	if got, err := say(t.Context(), ana.Host, bo.Host, "hi"); err != nil || got != "hi" {
		t.Errorf("an honest peer in the flood: %q, %v", got, err)
	}
	t.Logf("ATTACK N1 open_streams %d %d", served, raw*chat.StreamsPerProtocolPeer)
}

// TestOnlyEd25519 is N4: other keys never get in.
func TestOnlyEd25519(t *testing.T) {
	bo := start(t, "bo", nil)
	ecdsa, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), identityECDSA(t))
	if err != nil {
		t.Fatal(err)
	}
	defer ecdsa.Close()
	err = ecdsa.Connect(t.Context(), peer.AddrInfo{ID: bo.host.ID(), Addrs: bo.host.Addrs()})
	if err == nil && ecdsa.Network().Connectedness(bo.host.ID()) == network.Connected {
		// The dialler may finish its handshake before it hears the refusal.
		if _, err = ecdsa.NewStream(t.Context(), bo.host.ID(), echoProtocol); err == nil {
			t.Error("an ECDSA host got a stream")
		}
	}
	if peers := bo.Peers(); len(peers) != 0 {
		t.Errorf("an ECDSA host is connected: %+v", peers)
	}
}

func ExampleUnreachableError() {
	err := &UnreachableError{Reason: NoAnswer, Tried: []string{"/ip4/203.0.113.7/udp/4718/quic-v1"}}
	fmt.Println(err)
	// Output: unreachable: none of its addresses answers (tried /ip4/203.0.113.7/udp/4718/quic-v1)
}
