package node

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parley/internal/chat"
	"parley/internal/config"
	"parley/internal/p2p"
	"parley/internal/store"
)

// startNode runs a node on loopback without a page until the test ends.
func startNode(t *testing.T) *Node {
	t.Helper()
	dir := t.TempDir()
	cfg, err := config.Load(config.Options{Bare: true, Flags: map[string]string{
		"data.dir": dir, "api.socket": filepath.Join(dir, "s"), "api.address": "off",
		"net.loopback": "on", "net.mdns": "off", "net.use_bootstrap": "off",
	}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(t.Context(), Options{Config: cfg, Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, n.Run)
	awaitStatus(t, n.host, "listening", func(s p2p.Status) bool { return len(s.Addrs) > 0 })
	return n
}

// startPeer runs a bare host that knows n.
func startPeer(t *testing.T, name string, n *Node) *p2p.Host {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	h, err := p2p.New(p2p.Config{Key: ed25519.NewKeyFromSeed(seed[:]), Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, h.Run)
	if err := h.AddPeer(n.host.Device(), n.host.Addrs(), time.Hour); err != nil {
		t.Fatal(err)
	}
	return h
}

func runUntilEnd(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func awaitStatus(t *testing.T, h *p2p.Host, what string, ok func(p2p.Status) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s, changed := h.Status().Watch()
		if ok(s) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("not %s: %+v", what, s)
		}
	}
}

// TestAnchorsStayFirst: the next start dials in the order of Remember.
func TestAnchorsStayFirst(t *testing.T) {
	n := startNode(t)
	var peers []p2p.Peer
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		peers = append(peers, p2p.Peer{Device: chat.DeviceID(name), Addrs: []string{"/ip4/9.9.9.9/tcp/4717"}})
	}
	slices.Reverse(peers)
	for range 2 { // again, as every two minutes
		if err := n.keepPeers(t.Context(), peers); err != nil {
			t.Fatal(err)
		}
	}
	err := n.db.Read(t.Context(), func(tx *store.Tx) error {
		kept, err := tx.RememberedPeers(chat.MaxRemembers)
		if len(kept) != len(peers) {
			t.Fatalf("%d peers are kept, want %d", len(kept), len(peers))
		}
		for i := range kept {
			if kept[i].Device != peers[i].Device {
				t.Errorf("place %d is %s's, want %s", i, kept[i].Device, peers[i].Device)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBanEndsConnections: a device that keeps sending garbage loses what it has
// open, not only what it would open next.
func TestBanEndsConnections(t *testing.T) {
	n := startNode(t)
	bad := startPeer(t, "bad", n)
	if _, err := bad.Ping(t.Context(), n.host.Device()); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, n.host, "connected", func(s p2p.Status) bool { return s.Peers == 1 })
	for n.guard.Allowed(bad.Device()) {
		n.guard.Misbehaved(bad.Device(), "undecodable frame")
	}
	awaitStatus(t, n.host, "rid of the banned device", func(s p2p.Status) bool { return s.Peers == 0 })
	awaitStatus(t, bad, "cut off", func(s p2p.Status) bool { return s.Peers == 0 })
	if _, err := bad.Ping(t.Context(), n.host.Device()); err == nil {
		t.Error("a banned device is answered")
	}
}
