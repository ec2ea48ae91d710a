package p2p

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"parley/internal/chat"
)

// simWorld is hosts on simulated links: QUIC over an in-memory switch, virtual
// time. Each host has its own /24, or the routing table's diversity rule
// would keep most of them out.
type simWorld struct {
	t     *testing.T
	net   *simnet.Simnet
	links simnet.NodeBiDiLinkSettings
	hosts []*runner
}

func newSimWorld(t *testing.T, oneWay time.Duration) *simWorld {
	const bandwidth = 20 * simlibp2p.OneMbps
	w := &simWorld{
		t:   t,
		net: &simnet.Simnet{LatencyFunc: simnet.StaticLatency(oneWay)},
		links: simnet.NodeBiDiLinkSettings{
			Downlink: simnet.LinkSettings{BitsPerSecond: bandwidth},
			Uplink:   simnet.LinkSettings{BitsPerSecond: bandwidth},
		},
	}
	w.net.Start()
	return w
}

// config is that of host i, which meets the network through host 0.
func (w *simWorld) config(i int, change func(*Config)) Config {
	cfg := Config{
		Key:        testKey(fmt.Sprint("sim", i)),
		Simulated:  true,
		Listen:     []string{fmt.Sprintf("/ip4/11.%d.%d.1/udp/4717/quic-v1", i/256, i%256)},
		Namespaces: []Namespace{toyNamespace()},
		Options:    []libp2p.Option{simlibp2p.QUICSimnet(w.net, w.links)},
	}
	if i > 0 {
		cfg.Bootstrap = guideTo(w.hosts[0].Host)
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// add starts host i.
func (w *simWorld) add(i int, change func(*Config)) *runner {
	w.t.Helper()
	h, err := New(w.config(i, change))
	if err != nil {
		w.t.Fatal(err)
	}
	r := run(w.t, h)
	await(w.t, h, "listening", func(s Status) bool { return len(s.Addrs) > 0 })
	w.hosts = append(w.hosts, r)
	return r
}

// close must run inside the bubble, before the test function returns.
func (w *simWorld) close() {
	for _, h := range w.hosts {
		h.stop()
	}
	w.net.Close()
}

func TestSimulatedNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 25*time.Millisecond)
		defer w.close()
		const n = 12
		for i := range n {
			w.add(i, nil)
		}
		for _, h := range w.hosts {
			await(t, h.Host, "joined", joined)
		}
		for i, h := range w.hosts {
			key := fmt.Sprintf("/toy/%d", i)
			if err := h.Put(t.Context(), key, toy(1, key)); err != nil {
				t.Errorf("put by %d: %v", i, err)
			}
		}
		for i := range w.hosts {
			key := fmt.Sprintf("/toy/%d", i)
			got, err := w.hosts[(i+5)%n].Get(t.Context(), key)
			if err != nil || !bytes.Equal(got, toy(1, key)) {
				t.Errorf("get of %d: %q, %v", i, got, err)
			}
		}
		for i, h := range w.hosts {
			to := w.hosts[(i+7)%n]
			to.Handle(echoProtocol, echo)
			if got, err := say(t.Context(), h.Host, to.Host, "hi"); err != nil || got != "hi" {
				t.Errorf("%d to %d: %q, %v", i, (i+7)%n, got, err)
			}
		}
		// A killed node is gone for the others, and back under its own key and
		// address.
		w.hosts[3].stop()
		time.Sleep(time.Second) // the goodbye travels
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.hosts[4].Open(ctx, w.hosts[3].Device(), echoProtocol); err == nil {
			t.Error("opened a stream to a stopped host")
		}
		back := w.add(3, nil)
		await(t, back.Host, "joined", joined)
		if got, err := back.Get(t.Context(), "/toy/3"); err != nil || !bytes.Equal(got, toy(1, "/toy/3")) {
			t.Errorf("after the restart: %q, %v", got, err)
		}
	})
}

// TestRecordLife: a record that nobody renews is gone after 48 hours (D5).
func TestRecordLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 5*time.Millisecond)
		defer w.close()
		for i := range 2 {
			w.add(i, nil)
		}
		for _, h := range w.hosts {
			await(t, h.Host, "joined", joined)
		}
		if err := w.hosts[1].Put(t.Context(), "/toy/garden", toy(1, "roses")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(chat.RecordLife - time.Hour)
		if _, err := w.hosts[0].Get(t.Context(), "/toy/garden"); err != nil {
			t.Errorf("before the end of its life: %v", err)
		}
		time.Sleep(3 * time.Hour)
		if got, err := w.hosts[0].Get(t.Context(), "/toy/garden"); err == nil {
			t.Errorf("after 50 hours: %q", got)
		}
		for _, h := range w.hosts {
			if n := h.store.size(); n != 0 {
				t.Errorf("%s still keeps %d records", h.Device().Short(), n)
			}
		}
	})
}

// TestLookups: from a bare device id to its addresses and to a record, every
// time, among more nodes than one bucket holds; and a third of the nodes gone.
func TestLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 25*time.Millisecond)
		defer w.close()
		const n = 30 // more than the 20 of a bucket
		for i := range n {
			w.add(i, nil)
		}
		for _, h := range w.hosts {
			await(t, h.Host, "joined", joined)
		}
		time.Sleep(time.Minute)
		var took []time.Duration
		hops, asked := 0, 0
		for i, h := range w.hosts {
			key := fmt.Sprintf("/toy/%d", i)
			if err := h.Put(t.Context(), key, toy(1, key)); err != nil {
				t.Errorf("put by %d: %v", i, err)
			}
			found, err := h.Find(t.Context(), w.hosts[(i+13)%n].Device())
			if err != nil {
				t.Errorf("find by %d: %v", i, err)
			}
			took = append(took, found.Took)
			hops, asked = hops+found.Hops, asked+found.Asked
		}
		slices.Sort(took)
		t.Logf("find, %d nodes, 50 ms round trip: p50 %v, p99 %v, %.1f hops, %.1f asked",
			n, took[n/2], took[n-1], float64(hops)/n, float64(asked)/n)

		for i := 1; i < n; i += 3 {
			w.hosts[i].stop()
		}
		time.Sleep(time.Minute)
		var worst time.Duration
		for i := 0; i < n; i += 3 {
			for _, of := range []int{i, (i + 14) % n} {
				key := fmt.Sprintf("/toy/%d", of)
				start := time.Now()
				got, err := w.hosts[i].Get(t.Context(), key)
				if err != nil || !bytes.Equal(got, toy(1, key)) {
					t.Errorf("get of %d by %d after the loss: %q, %v", of, i, got, err)
				}
				worst = max(worst, time.Since(start))
			}
		}
		t.Logf("get with a third of the nodes gone: worst %v", worst)
	})
}

// TestRejoinAmongTheDead: who was away for long remembers many that are gone,
// and is back with the first that answers.
func TestRejoinAmongTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 25*time.Millisecond)
		defer w.close()
		for i := range 3 {
			w.add(i, nil)
		}
		var gone []Peer
		for i := range 200 {
			key, err := crypto.UnmarshalEd25519PrivateKey(testKey(fmt.Sprint("gone", i)))
			if err != nil {
				t.Fatal(err)
			}
			id, err := peer.IDFromPrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			gone = append(gone, Peer{Device: deviceOf(id), Addrs: []string{fmt.Sprintf("/ip4/11.9.%d.1/udp/4717/quic-v1", i)}})
		}
		for _, h := range w.hosts {
			await(t, h.Host, "joined", joined)
		}
		began := time.Now()
		h := w.add(3, func(c *Config) { c.Remembered = gone })
		await(t, h.Host, "joined", joined)
		if took := time.Since(began); took > headStart+3*time.Second {
			t.Errorf("back after %s", took)
		}
	})
}
