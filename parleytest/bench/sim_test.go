package bench

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"path/filepath"
	"runtime/debug"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"golang.org/x/sync/errgroup"

	"parley/internal/p2p"
)

const (
	simPort = 4717

	echoID = "/bare/echo/1"
)

// links are 100 ms round trips on average, 60 to 140 by pair, at 20 Mbit/s.
// Without the spread a percentile jumps by whole hops.
func links(seed uint64) *simnet.Simnet {
	return &simnet.Simnet{Logger: quiet, LatencyFunc: func(p *simnet.Packet) time.Duration {
		from, to := p.From.(*net.UDPAddr), p.To.(*net.UDPAddr)
		a, b := binary.BigEndian.Uint32(from.IP.To4()), binary.BigEndian.Uint32(to.IP.To4())
		h := fnv.New64a()
		_ = binary.Write(h, binary.BigEndian, []uint64{seed, uint64(min(a, b)), uint64(max(a, b))})
		return 30*time.Millisecond + time.Duration(h.Sum64()%40_000)*time.Microsecond
	}}
}

// simAddr gives each host a network of its own, as diversity rules want.
func simAddr(i int) string {
	return fmt.Sprintf("/ip4/11.%d.%d.1/udp/%d/quic-v1", i/256, i%256, simPort)
}

func onLinks(n *simnet.Simnet) libp2p.Option {
	link := simnet.LinkSettings{BitsPerSecond: 20 * simlibp2p.OneMbps}
	return simlibp2p.QUICSimnet(n, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})
}

func simKey(seed uint64, i int) ed25519.PrivateKey {
	s := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(s, seed)
	binary.BigEndian.PutUint64(s[8:], uint64(i))
	return ed25519.NewKeyFromSeed(s)
}

// town is n of our hosts, the first of them people with stores.
type town struct {
	hosts  []*p2p.Host
	people []*person
	stops  []func() error
}

// newTown starts n hosts of which the first knows nobody and all others know
// the first. change, if set, puts them on simulated links.
func newTown(dir string, seed uint64, n, people int, change func(i int, cfg *p2p.Config)) (*town, error) {
	w := &town{}
	adjust := func(i int) func(*p2p.Config) {
		return func(cfg *p2p.Config) {
			change(i, cfg)
			if i > 0 {
				cfg.Bootstrap = guideTo(w.hosts[0])
			}
		}
	}
	for i := range n {
		h, err := w.add(filepath.Join(dir, fmt.Sprint(i)), seed, i, i >= n-people, adjust(i))
		if err == nil {
			err = await(h, "listening", func(s p2p.Status) bool { return len(s.Addrs) > 0 })
		}
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
	}
	for _, h := range w.hosts {
		if err := await(h, "ready", func(s p2p.Status) bool { return s.Ready && !s.Alone }); err != nil {
			return nil, errors.Join(err, w.stop())
		}
	}
	for _, p := range w.people {
		for end := time.Now().Add(2 * time.Minute); p.directory.Published().Load().At.IsZero(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				return nil, errors.Join(errors.New("records are not published: "+p.directory.Published().Load().Cause), w.stop())
			}
		}
	}
	return w, nil
}

func (w *town) add(dir string, seed uint64, i int, full bool, adjust func(*p2p.Config)) (*p2p.Host, error) {
	if full {
		p, err := newPerson(dir, true, adjust)
		if err != nil {
			return nil, err
		}
		w.people, w.hosts = append(w.people, p), append(w.hosts, p.host)
		w.stops = append(w.stops, p.stop)
		return p.host, nil
	}
	cfg := p2p.Config{Key: simKey(seed, i), Namespaces: namespaces(), Log: quiet}
	adjust(&cfg)
	h, err := p2p.New(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	w.hosts = append(w.hosts, h)
	w.stops = append(w.stops, func() error { cancel(); return <-done })
	return h, nil
}

func (w *town) stop() error { return closers(w.stops...) }

func onSim(n *simnet.Simnet) func(int, *p2p.Config) {
	return func(i int, cfg *p2p.Config) {
		cfg.Simulated, cfg.Loopback, cfg.Infra = true, false, true
		cfg.Listen = []string{simAddr(i)}
		cfg.Options = append(cfg.Options, onLinks(n))
	}
}

// bareHost is the baseline: libp2p and kad-dht, nothing of ours.
type bareHost struct {
	host.Host
	dht *dht.IpfsDHT
}

// newBare starts a bare DHT server that keeps nothing and joins it to guide, if
// there is one.
func newBare(key ed25519.PrivateKey, listen string, guide *peer.AddrInfo, opts ...libp2p.Option) (*bareHost, error) {
	return newBareDHT(key, listen, guide, dht.DisableValues(), opts...)
}

func newBareDHT(key ed25519.PrivateKey, listen string, guide *peer.AddrInfo, values dht.Option, opts ...libp2p.Option) (*bareHost, error) {
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(append([]libp2p.Option{
		libp2p.Identity(k), libp2p.ListenAddrStrings(listen), libp2p.DisableMetrics(), libp2p.DisableRelay(),
		libp2p.ForceReachabilityPublic(), libp2p.DisableIdentifyAddressDiscovery(),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	h.SetStreamHandler(echoID, func(s network.Stream) {
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
	d, err := dht.New(h, dht.Mode(dht.ModeServer), dht.ProtocolPrefix("/bare"), dht.DisableProviders(), values)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	b := &bareHost{h, d}
	if guide != nil {
		if err := h.Connect(context.Background(), *guide); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

func (b *bareHost) info() *peer.AddrInfo { return &peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()} }

func (b *bareHost) close() error { return errors.Join(b.dht.Close(), b.Host.Close()) }

// fill waits for the first entry of the routing table and refreshes it.
func (b *bareHost) fill() error {
	for end := time.Now().Add(time.Minute); b.dht.RoutingTable().Size() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("a bare host's routing table stays empty")
		}
	}
	return <-b.dht.RefreshRoutingTable()
}

// bareTown is n bare hosts, joined through the first.
type bareTown []*bareHost

func newBareTown(n int, make func(i int, guide *peer.AddrInfo) (*bareHost, error)) (bareTown, error) {
	var w bareTown
	var guide *peer.AddrInfo
	for i := range n {
		h, err := make(i, guide)
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
		if w = append(w, h); i == 0 {
			for end := time.Now().Add(time.Minute); len(h.Addrs()) == 0 && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			guide = h.info()
		}
	}
	var group errgroup.Group
	for _, h := range w {
		group.Go(h.fill)
	}
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w bareTown) stop() error {
	var list []func() error
	for _, h := range w {
		list = append(list, h.close)
	}
	return closers(list...)
}

// simulation is what one seed brought, medians of its look-ups.
type simulation struct {
	lookup, known, stream, rpcs, hops, first float64 // seconds and counts
}

// settleTime lets joins and publications end before anything is measured.
const settleTime = 30 * time.Second

// simulate runs one seed: ours, or the baseline, in a bubble.
func simulate(t *testing.T, seed uint64, n int, bare bool) (out simulation) {
	t.Helper()
	dir := t.TempDir()
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // collecting costs more than it frees here
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		wires := links(seed)
		wires.Start()
		defer wires.Close()
		var err error
		if bare {
			var w bareTown
			w, err = newBareTown(n, func(i int, guide *peer.AddrInfo) (*bareHost, error) {
				return newBare(simKey(seed, i), simAddr(i), guide, libp2p.Transport(quic.NewTransport), onLinks(wires))
			})
			if err == nil {
				time.Sleep(settleTime)
				out, err = w.measure(seed)
				err = errors.Join(err, w.stop())
			}
		} else {
			var w *town
			if w, err = newTown(dir, seed, n, min(simPeople, n/2), onSim(wires)); err == nil {
				time.Sleep(settleTime)
				out, err = w.measure()
				err = errors.Join(err, w.stop())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return out
}

// simPeople is how many hosts of a town are asked for.
const simPeople = 12
