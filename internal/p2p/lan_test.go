package p2p

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
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

// TestLANInventions: one machine that makes devices up has us dial a few, at
// its own address, and takes nothing from others.
func TestLANInventions(t *testing.T) {
	h := start(t, "ana", nil)
	l := newLAN(h.Host)
	bad, good := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")
	link := lanLink{conn: nil, to: nil} // an announcement is not answered
	announce := func(name, ip string) []byte {
		t.Helper()
		text := lanPrefix + "/ip4/" + ip + "/tcp/4717/p2p/" + testPeer(t, name).String()
		m := dnsmessage.Message{
			Header: dnsmessage.Header{Response: true},
			Answers: []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("x." + lanService), Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.TXTResource{TXT: []string{text}},
			}},
		}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	var dialing errgroup.Group
	dialing.SetLimit(1)
	hold := make(chan struct{})
	dialing.Go(func() error { <-hold; return nil }) // what is learned counts here
	learned := func(name string) bool { return len(h.host.Peerstore().Addrs(testPeer(t, name))) > 0 }
	n := 0
	for i := range 100 {
		name := fmt.Sprint("invented", i)
		l.heard(t.Context(), link, bad, announce(name, bad.String()), &dialing)
		if learned(name) {
			n++
		}
	}
	if n != lanNodes {
		t.Errorf("%d invented devices are dialled, want %d", n, lanNodes)
	}
	l.heard(t.Context(), link, good, announce("victim", "127.0.0.4"), &dialing)
	if learned("victim") {
		t.Error("a device is dialled at somebody else's address")
	}
	l.heard(t.Context(), link, good, announce("honest", good.String()), &dialing)
	if !learned("honest") {
		t.Error("a flood keeps an honest machine out")
	}
	close(hold)
	if err := dialing.Wait(); err != nil {
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
