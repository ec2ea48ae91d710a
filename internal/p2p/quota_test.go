package p2p

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p-kbucket/peerdiversity"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
)

func TestRecordStoreQuota(t *testing.T) {
	s := newRecordStore()
	ctx := t.Context()
	value := make([]byte, chat.MaxRecord)
	n := 0
	for {
		err := s.Put(ctx, ds.NewKey(fmt.Sprint(n)), value)
		if errors.Is(err, chat.ErrStorageFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if s.bytes > chat.DHTBytes || s.bytes < chat.DHTBytes-2*chat.MaxRecord {
		t.Errorf("full at %d bytes of %d", s.bytes, chat.DHTBytes)
	}
	if err := s.Put(ctx, ds.NewKey("0"), value[:100]); err != nil {
		t.Errorf("renewing a known record in a full store: %v", err)
	}
	for i := range n {
		if err := s.Delete(ctx, ds.NewKey(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if s.bytes != 0 || s.size() != 0 {
		t.Errorf("after deleting all: %d bytes, %d records", s.bytes, s.size())
	}
	for i := range chat.DHTRecords {
		if err := s.Put(ctx, ds.NewKey(fmt.Sprint(i)), nil); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	if err := s.Put(ctx, ds.NewKey("more"), nil); !errors.Is(err, chat.ErrStorageFull) {
		t.Errorf("record %d: %v, want ErrStorageFull", chat.DHTRecords, err)
	}
}

// TestStoreKey: our guess of where the library files a record is right, or
// renewals would be counted as new.
func TestStoreKey(t *testing.T) {
	ana := start(t, "ana", nil)
	if err := ana.Put(t.Context(), "/toy/garden", toy(1, "roses")); !errors.Is(err, chat.ErrUnreachable) {
		t.Fatalf("a lone put: %v", err)
	}
	if ok, err := ana.store.Has(t.Context(), storeKey("/toy/garden")); !ok || err != nil {
		t.Errorf("the record is not under its key: %v", err)
	}
}

func TestPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaces[int](time.Second, 5, 100)
		count := func(key int) (n int) {
			for p.take(key, time.Now()) {
				n++
			}
			return n
		}
		if n := count(1); n != 5 {
			t.Errorf("burst of %d, want 5", n)
		}
		time.Sleep(3 * time.Second)
		if n := count(1); n != 3 {
			t.Errorf("%d after three seconds, want 3", n)
		}
		if n := count(2); n != 5 {
			t.Errorf("a stranger's burst is %d, want 5", n)
		}
		for key := range 10_000 {
			p.take(key, time.Now())
		}
		if len(p.full) > 100 {
			t.Errorf("%d keys are remembered, want 100 at most", len(p.full))
		}
	})
}

// TestNewKeysQuota floods a host with new keys over the wire (D4).
func TestNewKeysQuota(t *testing.T) {
	bo := start(t, "bo", nil)
	mallory := start(t, "mallory", func(c *Config) { c.Bootstrap = guideTo(bo.Host) })
	await(t, mallory.Host, "joined", joined)
	taken := 0
	for i := range chat.DHTNewBurst + 50 {
		if err := mallory.Put(t.Context(), fmt.Sprintf("/toy/%d", i), toy(1, "spam")); err == nil {
			taken++
		}
	}
	if taken < chat.DHTNewBurst || taken > chat.DHTNewBurst+5 {
		t.Errorf("%d new keys were taken, want about %d", taken, chat.DHTNewBurst)
	}
	if err := mallory.Put(t.Context(), "/toy/0", toy(2, "renewed")); err != nil {
		t.Errorf("renewing: %v", err)
	}
	ana := start(t, "ana", func(c *Config) { c.Bootstrap = guideTo(bo.Host) })
	await(t, ana.Host, "joined", joined)
	if took, _, err := ana.publish(t.Context(), "/toy/garden", toy(1, "roses")); err != nil || took == 0 {
		t.Errorf("an honest put in the flood: %d, %v", took, err)
	}
}

func TestDiversity(t *testing.T) {
	d := newDiversity(nil)
	spread := netip.MustParsePrefix("9.9.9.0/24")
	enter := func(i, bucket int) {
		g := peerdiversity.PeerGroupInfo{Id: peer.ID(fmt.Sprint(i)), Cpl: bucket}
		d.countLocked(g, spread)
	}
	enter(0, 1)
	if !d.roomLocked(1, spread) {
		t.Error("no room for the second in a bucket")
	}
	enter(1, 1)
	if d.roomLocked(1, spread) {
		t.Error("room for a third in a bucket")
	}
	enter(2, 2)
	if d.roomLocked(3, spread) {
		t.Error("room for a fourth in the table")
	}
	for i := range 3 {
		d.Decrement(peerdiversity.PeerGroupInfo{Id: peer.ID(fmt.Sprint(i)), Cpl: 1 + i/2})
	}
	if len(d.nets)+len(d.table)+len(d.buckets) != 0 {
		t.Errorf("left over: %v %v %v", d.nets, d.table, d.buckets)
	}
}

// TestRequestPace is N8 and D4: a thousand made-up peers behind one address,
// private or not, get what an address gets; others get theirs meanwhile.
func TestRequestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd = 1000
		for _, at := range []string{"/ip4/9.9.9.9/udp/4717/quic-v1", "/ip4/192.168.1.7/tcp/4717", "/ip6/fd00::7/tcp/4717"} {
			e := newEntrance(&Host{})
			addr := ma.StringCast(at)
			flood := func(take func(p peer.ID) bool) (taken int) {
				for i := range 10 * crowd {
					if take(peer.ID(fmt.Sprint(i % crowd))) {
						taken++
					}
				}
				return taken
			}
			limit := chat.DHTRequestBurst * chat.DHTPeersPerIP
			if n := flood(func(p peer.ID) bool { return e.admit(p, addr, time.Now()) }); n != limit {
				t.Errorf("%s: %d requests in a burst, want %d", at, n, limit)
			}
			time.Sleep(time.Second)
			if n := flood(func(p peer.ID) bool { return e.admit(p, addr, time.Now()) }); n != chat.DHTRequests*chat.DHTPeersPerIP {
				t.Errorf("%s: %d requests after a second, want %d", at, n, chat.DHTRequests*chat.DHTPeersPerIP)
			}
			limit = chat.DHTNewBurst * chat.DHTPeersPerIP
			if n := flood(func(p peer.ID) bool { return e.mayAdd(p, addr, true, time.Now()) }); n != limit {
				t.Errorf("%s: %d new keys in a small network, want %d", at, n, limit)
			}
			other := ma.StringCast("/ip4/192.168.1.8/tcp/4717")
			if !e.admit("honest", other, time.Now()) || !e.mayAdd("honest", other, true, time.Now()) {
				t.Errorf("%s: a flood keeps another address out", at)
			}
		}
		e := newEntrance(&Host{})
		one := ma.StringCast("/ip4/9.9.9.9/tcp/4717")
		loops := []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/4717"), ma.StringCast("/ip6/::1/tcp/4717")}
		for i := range 2 * chat.DHTRequestBurst {
			if got, want := e.admit("one", one, time.Now()), i < chat.DHTRequestBurst; got != want {
				t.Fatalf("request %d of one peer: %v, want %v", i, got, want)
			}
			for _, loop := range loops {
				if !e.admit("one", loop, time.Now()) {
					t.Fatalf("requests over %s are paced", loop)
				}
			}
		}
	})
}

// TestRawRequestPace: what comes too fast is cut off before it is decoded.
func TestRawRequestPace(t *testing.T) {
	left := 3
	request := find(t, "key")
	s := &kadStream{Stream: &fakeStream{Reader: bytes.NewReader(bytes.Repeat(request, 5))}, limit: kadRequest, admit: func() bool { left--; return left >= 0 }}
	got, err := io.ReadAll(s)
	if err == nil || !bytes.Equal(got, bytes.Repeat(request, 3)) || !s.Stream.(*fakeStream).reset {
		t.Errorf("read %d bytes, %v, want three requests and a reset", len(got), err)
	}
}

// fakeStream reads what it is given.
type fakeStream struct {
	network.Stream
	io.Reader
	reset bool
}

func (s *fakeStream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

func (s *fakeStream) ResetWithError(network.StreamErrorCode) error {
	s.reset = true
	return nil
}

// TestAnchors is D1: who stood longest among those we chose leads, in what is
// remembered and in what is dialled.
func TestAnchors(t *testing.T) {
	var infos []PeerInfo
	for i := range 12 {
		info := PeerInfo{Device: chat.DeviceID(fmt.Sprint(i)), Direction: "in", Relayed: i == 3}
		if i%2 == 1 {
			info.Direction = "out"
		}
		infos = append(infos, info)
	}
	var got []string
	for _, info := range anchorsFirst(infos) {
		got = append(got, string(info.Device))
	}
	if want := strings.Fields("1 5 7 9 0 2 3 4 6 8 10 11"); !slices.Equal(got, want) {
		t.Errorf("remembered are %v, want %v", got, want)
	}
	var past []peer.AddrInfo
	for i := range 100 {
		past = append(past, peer.AddrInfo{ID: peer.ID(fmt.Sprint(i))})
	}
	order := dialOrder(past)
	sorted := true
	for i := range order {
		same := order[i].ID == past[i].ID
		if i < chat.Anchors && !same {
			t.Errorf("place %d is dialled as %s", i, order[i].ID)
		}
		sorted = sorted && same
	}
	if sorted || len(order) != len(past) {
		t.Errorf("%d are dialled, in the order of the list: %v; want all, the rest shuffled", len(order), sorted)
	}
	if got := dialOrder(past[:2]); len(got) != 2 {
		t.Errorf("two remembered make %d", len(got))
	}
}
