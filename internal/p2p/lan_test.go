package p2p

import (
	"context"
	"net"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestLocalDiscovery: two hosts that know nobody hear of each other. The
// group is stood in for by two sockets, because multicast needs a network.
func TestLocalDiscovery(t *testing.T) {
	ana, bo := start(t, "ana", nil), start(t, "bo", nil)
	socket := func() net.PacketConn {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := socket(), socket()
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return ana.serveLAN(ctx, lanLink{a, b.LocalAddr()}) })
	group.Go(func() error { return bo.serveLAN(ctx, lanLink{b, a.LocalAddr()}) })
	await(t, ana.Host, "joined", joined)
	await(t, bo.Host, "joined", joined)
	cancel()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func FuzzParseLAN(f *testing.F) {
	h, err := New(Config{Key: testKey("ana"), Loopback: true, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		f.Fatal(err)
	}
	defer h.Close()
	if err := h.listen(); err != nil {
		f.Fatal(err)
	}
	l := &lan{h: h, name: "someone." + lanService}
	answer, err := l.answer()
	if err != nil {
		f.Fatal(err)
	}
	question, err := l.question()
	if err != nil {
		f.Fatal(err)
	}
	if asked, _ := parseLAN(question); !asked {
		f.Error("our own question is not understood")
	}
	if _, found := parseLAN(answer); len(found) != 1 || found[0].ID != h.host.ID() || len(found[0].Addrs) != 1 {
		f.Errorf("our own answer reads as %v", found)
	}
	f.Add(question)
	f.Add(answer)
	f.Fuzz(func(t *testing.T, packet []byte) {
		asked, found := parseLAN(packet)
		if asked && found != nil {
			t.Error("a packet is a question or an answer")
		}
	})
}
