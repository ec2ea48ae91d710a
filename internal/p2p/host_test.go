package p2p

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
	"parley/internal/wire"
)

const echoProtocol = "/parley/echo/1"

// testKey is a different key for every name, the same in every run.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// toyNamespace is "/toy/<name>" with an 8-byte sequence number before the
// value; a value of only a number is invalid.
func toyNamespace() Namespace {
	seq := func(v []byte) uint64 { return binary.BigEndian.Uint64(v) }
	return Namespace{
		Name: "toy",
		Validate: func(key string, value []byte) error {
			if len(value) <= 8 {
				return fmt.Errorf("%w: empty toy", chat.ErrInvalid)
			}
			return nil
		},
		Select: func(key string, values [][]byte) (int, error) {
			best := 0
			for i, v := range values {
				if seq(v) > seq(values[best]) {
					best = i
				}
			}
			return best, nil
		},
	}
}

func toy(seq uint64, text string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, seq), text...)
}

// runner is a host under test with the Run that keeps it alive.
type runner struct {
	*Host
	stop func()
}

func testLog(t *testing.T) *slog.Logger {
	if os.Getenv("P2P_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", t.Name())
}

// start runs a host until the test or stop ends it.
func start(t *testing.T, name string, change func(*Config)) *runner {
	t.Helper()
	cfg := Config{Key: testKey(name), Loopback: true, Namespaces: []Namespace{toyNamespace()}, Log: testLog(t).With("host", name)}
	// QUIC and TCP are enough for most tests, and start faster.
	cfg.Transports = Transports{NoWebRTC: true, NoWebTransport: true}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, h)
	await(t, h, "listening", func(s Status) bool { return len(s.Addrs) > 0 })
	return r
}

// startQuiet runs a host that may have no address to tell.
func startQuiet(t *testing.T, name string, change func(*Config)) *runner {
	t.Helper()
	cfg := Config{Key: testKey(name), Log: testLog(t).With("host", name)}
	change(&cfg)
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, h)
	await(t, h, "running", func(s Status) bool { return s.Alone || s.Ready })
	return r
}

func run(t *testing.T, h *Host) *runner {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stopped := false
	r := &runner{Host: h, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run of %s: %v", h.Device().Short(), err)
		}
	}}
	t.Cleanup(r.stop)
	return r
}

// await watches Status until it is as wanted.
func await(t *testing.T, h *Host, what string, ok func(Status) bool) Status {
	t.Helper()
	return awaitFor(t, h, 20*time.Second, what, ok)
}

func awaitFor(t *testing.T, h *Host, limit time.Duration, what string, ok func(Status) bool) Status {
	t.Helper()
	timeout := time.After(limit)
	for {
		s, changed := h.Status().Watch()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s: not %s: %+v", h.Device().Short(), what, s)
		}
	}
}

func joined(s Status) bool { return s.Ready && !s.Alone }

// guideTo is a bootstrap list that names one host.
func guideTo(h *Host) []string {
	var out []string
	for _, a := range h.Addrs() {
		out = append(out, a+"/p2p/"+string(h.Device()))
	}
	return out
}

func echo(s wire.Stream) {
	if _, err := io.Copy(s, s); err != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// say sends text on a fresh echo stream and returns what comes back.
func say(ctx context.Context, from, to *Host, text string) (string, error) {
	s, err := from.Open(ctx, to.Device(), echoProtocol)
	if err != nil {
		return "", err
	}
	if _, err := s.Write([]byte(text)); err != nil {
		return "", err
	}
	if err := s.CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(s)
	return string(b), errors.Join(err, s.Close())
}

// TestPeerIDVector fixes the id that identity must compute from the same key:
// base58 of the multihash (identity, 36 bytes) of the key's protobuf.
func TestPeerIDVector(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	h, err := New(Config{Key: key, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	const want = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7"
	if got := h.Device(); got != want {
		t.Errorf("device id is %s, want %s", got, want)
	}
	id, err := peerOf(want)
	if err != nil {
		t.Fatal(err)
	}
	raw := append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, key.Public().(ed25519.PublicKey)...)
	if id != "" && string(id) != string(raw) {
		t.Errorf("multihash is %x, want %x", string(id), raw)
	}
}

func TestNewRefuses(t *testing.T) {
	ok := Config{Key: testKey("ana"), Loopback: true}
	tests := map[string]func(*Config){
		"no key":                 func(c *Config) { c.Key = nil },
		"bad listen address":     func(c *Config) { c.Listen = []string{"127.0.0.1:80"} },
		"bad bootstrap address":  func(c *Config) { c.Bootstrap = []string{"/ip4/1.2.3.4/tcp/1"} },
		"namespace without code": func(c *Config) { c.Namespaces = []Namespace{{Name: "toy"}} },
		"remembered nobody":      func(c *Config) { c.Remembered = []Peer{{Device: "ana"}} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := ok
			change(&cfg)
			if h, err := New(cfg); !errors.Is(err, chat.ErrInvalid) {
				t.Errorf("got %v, %v, want ErrInvalid", h, err)
			}
		})
	}
}

// TestBusyPort: a second node on one port is told so, whatever the transport.
func TestBusyPort(t *testing.T) {
	ana := start(t, "ana", nil)
	for _, a := range ana.Addrs() {
		h, err := New(Config{Key: testKey("bo"), Loopback: true, Listen: []string{a}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := h.Run(ctx); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), a) {
			t.Errorf("second host on %s: %v, want the address and EADDRINUSE", a, err)
		}
		cancel()
	}
}

// TestFixedPort: all four transports share one port number.
func TestFixedPort(t *testing.T) {
	c, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := c.Addr().(*net.TCPAddr).Port
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	ana := start(t, "ana", func(c *Config) { c.Port, c.Transports = port, Transports{} })
	kinds := make(map[string]bool)
	for _, a := range ana.Addrs() {
		kinds[transportOf(ma.StringCast(a))] = true
		if got := portOf(ma.StringCast(a)); got != port {
			t.Errorf("%s is not on port %d", a, port)
		}
	}
	if len(kinds) != 4 {
		t.Errorf("transports are %v, want four", kinds)
	}
}

// TestThreeNodes: two that know only a third find each other and talk.
func TestThreeNodes(t *testing.T) {
	infra := start(t, "infra", func(c *Config) { c.Infra = true })
	await(t, infra.Host, "alone and serving", func(s Status) bool { return s.Alone && s.Ready && s.DHTServer })
	meet := func(c *Config) { c.Bootstrap = guideTo(infra.Host) }
	ana, bo := start(t, "ana", meet), start(t, "bo", meet)
	bo.Handle(echoProtocol, echo)
	await(t, ana.Host, "joined", joined)
	await(t, bo.Host, "joined", joined)
	await(t, infra.Host, "joined", joined)

	found, err := ana.Find(t.Context(), bo.Device())
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Addrs) == 0 || found.Asked == 0 || found.Hops != 1 {
		t.Errorf("lookup: %+v, want addresses, somebody asked, one hop", found)
	}
	got, err := say(t.Context(), ana.Host, bo.Host, "see you at nine")
	if err != nil || got != "see you at nine" {
		t.Fatalf("echo: %q, %v", got, err)
	}
	rtt, err := ana.Ping(t.Context(), bo.Device())
	if err != nil || rtt <= 0 {
		t.Errorf("ping: %v, %v", rtt, err)
	}
	var info PeerInfo
	for _, p := range ana.Peers() {
		if p.Device == bo.Device() {
			info = p
		}
	}
	if info.Transport != "quic" || info.Agent != userAgent || info.Since.IsZero() || info.Relayed {
		t.Errorf("peer info: %+v", info)
	}
	near, err := ana.Closest(t.Context(), []byte("any key"))
	if err != nil || len(near) != 2 {
		t.Errorf("closest: %v, %v, want the two others", near, err)
	}
}

func TestRecords(t *testing.T) {
	infra := start(t, "infra", nil)
	meet := func(c *Config) { c.Bootstrap = guideTo(infra.Host) }
	ana, bo := start(t, "ana", meet), start(t, "bo", meet)
	await(t, ana.Host, "joined", joined)
	await(t, bo.Host, "joined", joined)
	ctx := t.Context()

	if _, err := bo.Get(ctx, "/toy/garden"); !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("before the put: %v, want ErrNotFound", err)
	}
	if err := ana.Put(ctx, "/toy/garden", toy(1, "roses")); err != nil {
		t.Fatal(err)
	}
	if got, err := bo.Get(ctx, "/toy/garden"); err != nil || !bytes.Equal(got, toy(1, "roses")) {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := bo.Put(ctx, "/toy/garden", toy(3, "beans")); err != nil {
		t.Fatal(err)
	}
	if err := ana.Put(ctx, "/toy/garden", toy(2, "weeds")); !errors.Is(err, chat.ErrConflict) {
		t.Errorf("older value: %v, want ErrConflict", err)
	}
	for _, h := range []*runner{infra, ana, bo} {
		if got, err := h.Get(ctx, "/toy/garden"); err != nil || !bytes.Equal(got, toy(3, "beans")) {
			t.Errorf("got %q, %v, want the highest number", got, err)
		}
	}
	for name, err := range map[string]error{
		"invalid value":     ana.Put(ctx, "/toy/garden", toy(9, "")),
		"unknown namespace": ana.Put(ctx, "/pk/garden", toy(9, "roses")),
		"no namespace":      ana.Put(ctx, "garden", toy(9, "roses")),
	} {
		if !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if err := ana.Put(ctx, "/toy/garden", toy(9, strings.Repeat("x", chat.MaxRecord))); !errors.Is(err, chat.ErrTooLarge) {
		t.Errorf("large value: %v, want ErrTooLarge", err)
	}
}

func TestLoneHost(t *testing.T) {
	ana := start(t, "ana", nil)
	s := await(t, ana.Host, "ready", func(s Status) bool { return s.Ready })
	if !s.Alone {
		t.Error("a host without anybody does not say it is alone")
	}
	if _, err := ana.Get(t.Context(), "/toy/garden"); !errors.Is(err, chat.ErrUnreachable) {
		t.Errorf("get: %v, want ErrUnreachable: nobody said there is none", err)
	}
	if err := ana.Put(t.Context(), "/toy/garden", toy(1, "roses")); !errors.Is(err, chat.ErrUnreachable) {
		t.Errorf("put: %v, want ErrUnreachable: nobody took it", err)
	}
	if got, err := ana.Get(t.Context(), "/toy/garden"); err != nil || !bytes.Equal(got, toy(1, "roses")) {
		t.Errorf("own copy: %q, %v", got, err)
	}
}

// TestRestart: a node comes back without its bootstrap peer.
func TestRestart(t *testing.T) {
	bo := start(t, "bo", nil)
	ana := start(t, "ana", func(c *Config) { c.Bootstrap = guideTo(bo.Host) })
	await(t, ana.Host, "joined", joined)
	var past []Peer
	await(t, ana.Host, "remembering", func(Status) bool { past = ana.Remember(); return len(past) == 1 })
	device := ana.Device()
	ana.stop()
	await(t, bo.Host, "alone", func(s Status) bool { return s.Peers == 0 && s.Alone })

	again := start(t, "ana", func(c *Config) { c.Remembered, c.NoBootstrap = past, true })
	if again.Device() != device {
		t.Error("the same key gave another device id")
	}
	await(t, again.Host, "joined", joined)
	await(t, bo.Host, "joined again", joined)
}
