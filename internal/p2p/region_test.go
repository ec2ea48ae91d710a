package p2p

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/internal/chat"
	"parley/internal/wire"
)

func joinedWorld(t *testing.T, n int) *simWorld {
	w := newSimWorld(t, 25*time.Millisecond)
	for i := range n {
		w.add(i, nil)
	}
	for _, h := range w.hosts {
		await(t, h.Host, "joined", joined)
	}
	return w
}

func TestRegionIsTheNearestNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, places = 62, 8
		w := joinedWorld(t, n)
		defer w.close()
		var all []peer.ID
		for _, h := range w.hosts {
			all = append(all, h.host.ID())
		}
		asker := w.hosts[n-1].Host
		want, hit := 0, 0
		for i := range places {
			place := sha256.Sum256(fmt.Append(nil, "place ", i))
			r, err := asker.Region(t.Context(), place)
			if err != nil {
				t.Fatal(err)
			}
			if r.Small || len(r.Nodes) < chat.RegionSize || len(r.Nodes) > chat.RegionMax {
				t.Errorf("place %d: region of %d, small %v", i, len(r.Nodes), r.Small)
			}
			nearest := slices.DeleteFunc(sortByDistance(place, slices.Clone(all))[:chat.RegionSize], func(p peer.ID) bool { return p == asker.host.ID() })
			for _, p := range nearest {
				want++
				if slices.Contains(r.Nodes, deviceOf(p)) {
					hit++
				}
			}
			if own := !slices.Contains(nearest, asker.host.ID()) && len(nearest) < chat.RegionSize; own && !r.Self {
				t.Errorf("place %d: we are among the nearest and do not know", i)
			}
			if slices.Contains(r.Nodes, asker.Device()) {
				t.Errorf("place %d: the region lists ourselves", i)
			}
			near := asker.Near(place)
			if near.Small != r.Small || len(near.Nodes) == 0 {
				t.Errorf("place %d: near %+v", i, near)
			}
		}
		if recall := float64(hit) / float64(want); recall < 0.95 {
			t.Errorf("regions hold %.3f of the nearest nodes, want 0.95", recall)
		}
		if size := asker.size.nodes(); size < n/2 || size > 2*n {
			t.Errorf("estimate of %d nodes, there are %d", size, n)
		}
		if left := asker.Departures().Load(); left != 0 {
			t.Errorf("%d nodes are counted as gone; all are there", left)
		}
		first := w.hosts[0].Device()
		if asker.KnownFor(first) == 0 || asker.KnownFor("nobody") != 0 {
			t.Errorf("known for %s and %s", asker.KnownFor(first), asker.KnownFor("nobody"))
		}
	})
}

func TestSmallRegionIsEverybodyWilling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 15
		w := joinedWorld(t, n)
		defer w.close()
		w.add(n, func(c *Config) { c.Client = true })
		await(t, w.hosts[n].Host, "joined", joined)
		for _, i := range []int{0, n} {
			r, err := w.hosts[i].Region(t.Context(), sha256.Sum256([]byte{byte(i)}))
			if err != nil {
				t.Fatal(err)
			}
			others := n
			if i == 0 {
				others--
			}
			if !r.Small || len(r.Nodes) != others || r.Self != (i == 0) {
				t.Errorf("host %d: %d nodes, small %v, self %v; want %d", i, len(r.Nodes), r.Small, r.Self, others)
			}
			if slices.Contains(r.Nodes, w.hosts[n].Device()) {
				t.Error("a node that serves nobody is in the region")
			}
		}
	})
}

func TestRegionSpreadsOverNetworks(t *testing.T) {
	h, err := New(Config{Key: testKey("spread"), Listen: []string{}, NoPortMap: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	place := sha256.Sum256([]byte("place"))
	var nodes []peer.ID
	for i := range 60 {
		key, err := crypto.UnmarshalEd25519PrivateKey(testKey(fmt.Sprint("node", i)))
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, id)
	}
	nodes = sortByDistance(place, nodes)
	for i, id := range nodes {
		at := fmt.Sprintf("/ip4/11.7.%d.1/udp/4001/quic-v1", i)
		if i < 30 { // the nearest thirty are one owner's
			at = fmt.Sprintf("/ip4/11.8.9.%d/udp/4001/quic-v1", i)
		}
		h.learn(id, parseAddrs([]string{at}), time.Minute)
	}
	h.size.learn(place, nodes)
	r := h.pick(place, nodes, false)
	owned := 0
	for _, d := range r.Nodes {
		if id, _ := peerOf(d); slices.Index(nodes, id) < 30 {
			owned++
		}
	}
	if len(r.Nodes) < chat.RegionSize {
		t.Errorf("region of %d", len(r.Nodes))
	}
	// What lies beyond the radius does not come in for diversity's sake.
	if inside := slices.IndexFunc(nodes, func(p peer.ID) bool { return apart(place, p) > h.size.radius() }); owned > max(chat.RegionPerNet, chat.RegionSize-max(0, inside-30)) {
		t.Errorf("%d of %d nodes are one network's", owned, len(r.Nodes))
	}
}

func TestGuestIsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := joinedWorld(t, 4)
		defer w.close()
		seen := make(chan chat.DeviceID, 1)
		host := w.hosts[2]
		host.Handle(echoProtocol, func(s wire.Stream) {
			select {
			case seen <- s.Remote():
			default:
			}
			echo(s)
		})
		g, err := w.hosts[1].NewGuest()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := g.Open(ctx, host.Device(), echoProtocol)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("hi")); err != nil {
			t.Fatal(err)
		}
		who := <-seen
		if who != g.Device() || who == w.hosts[1].Device() {
			t.Errorf("the holder sees %s; the guest is %s, we are %s", who, g.Device(), w.hosts[1].Device())
		}
		time.Sleep(10 * time.Second) // identify is done
		id, _ := peerOf(g.Device())
		if addrs := host.host.Peerstore().Addrs(id); len(addrs) > 0 {
			t.Errorf("the holder knows addresses of the guest: %v", addrs)
		}
		for i, h := range w.hosts {
			if h.dht.RoutingTable().Find(id) != "" {
				t.Errorf("host %d has the guest in its routing table", i)
			}
		}
		if net := host.RemoteNet(s); net != "11.0.2.0/24" {
			t.Errorf("network %q", net)
		}
		_ = s.Reset()
		if err := errors.Join(g.Close(), g.Close()); err != nil {
			t.Error(err)
		}
		if _, err := g.Open(ctx, host.Device(), echoProtocol); err == nil {
			t.Error("a closed guest calls")
		}
	})
}

func TestDeparturesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := joinedWorld(t, 6)
		defer w.close()
		_, changed := w.hosts[0].Departures().Watch()
		w.hosts[5].stop()
		select {
		case <-changed:
		case <-time.After(2 * time.Hour):
			t.Error("nobody noticed that a node left")
		}
	})
}
