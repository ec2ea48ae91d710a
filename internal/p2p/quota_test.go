package p2p

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p-kbucket/peerdiversity"
	"github.com/libp2p/go-libp2p/core/peer"

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
