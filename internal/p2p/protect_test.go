package p2p

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"parley/internal/chat"
)

// TestProtectedSpread: the connections that a flood cannot cut are not all in
// one owner's networks (D1).
func TestProtectedSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 0)
		defer w.close()
		ana := w.add(0, nil)
		dial := func(i int, net string) {
			h := w.add(i, func(c *Config) {
				c.Bootstrap = nil
				c.Listen = []string{fmt.Sprintf("/ip4/%s.%d.1/udp/4717/quic-v1", net, i)}
			})
			meet(t, ana.Host, h.Host)
			if _, err := ana.Ping(t.Context(), h.Device()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		protected := func() (n int) {
			for _, p := range ana.host.Network().Peers() {
				if ana.host.ConnManager().IsProtected(p, protectTag) {
					n++
				}
			}
			return n
		}
		for i := range 6 {
			dial(1+i, "12.1") // one owner
		}
		if got, want := protected(), 1+chat.ConnsProtected-chat.ProtectedNets; got != want {
			t.Errorf("%d of one network are protected, want %d", got, want)
		}
		for i := range 7 {
			dial(10+i, fmt.Sprint("13.", i))
		}
		if got := protected(); got != chat.ConnsProtected {
			t.Errorf("%d are protected, want %d", got, chat.ConnsProtected)
		}
	})
}

// TestFeeler: a node that we only heard of, in a network where we know nobody,
// is dialled and enters the table; one in a network that we know is not.
func TestFeeler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 5*time.Millisecond)
		defer w.close()
		ana := w.add(0, nil)
		bo, carl, dora := w.add(1, nil), w.add(2, func(c *Config) { c.Bootstrap = nil }), w.add(3, func(c *Config) {
			c.Bootstrap = nil
			c.Listen = []string{"/ip4/12.1.0.1/udp/4717/quic-v1"}
		})
		await(t, bo.Host, "joined", joined) // bo dials ana, who is in its network
		for _, h := range []*runner{carl, dora} {
			id := h.host.ID()
			bo.host.Peerstore().AddAddrs(id, h.host.Addrs(), time.Hour)
		}
		time.Sleep(10 * chat.FeelerEvery)
		if bo.dht.RoutingTable().Find(dora.host.ID()) == "" || bo.dht.RoutingTable().Find(ana.host.ID()) == "" {
			t.Error("the node in a new network is not in the table")
		}
		if bo.host.Network().Connectedness(carl.host.ID()) == network.Connected {
			t.Error("a node in a known network was dialled too")
		}
	})
}
