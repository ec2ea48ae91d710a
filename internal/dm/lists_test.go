package dm

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

// list is a device list of p's account, signed like the one it has, after
// change.
func (p *party) list(change func(*wirev1.Manifest)) *identity.Manifest {
	p.w.t.Helper()
	var entropy []byte
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) (err error) {
		entropy, err = tx.Secret("account", "entropy")
		return err
	}))
	seed, err := hkdf.Key(sha256.New, entropy, nil, "parley/account/v1", ed25519.SeedSize)
	p.must(err)
	payload, err := identity.OpenSigned(p.keys.AccountKey(), seal.PurposeManifest, p.keys.ManifestBytes())
	p.must(err)
	m := new(wirev1.Manifest)
	p.must(wire.Unmarshal(payload, m))
	change(m)
	signed := identity.SignedBytes(ed25519.NewKeyFromSeed(seed), seal.PurposeManifest, encode(m))
	list, err := identity.OpenManifest(signed, time.Now())
	p.must(err)
	return list
}

func (p *party) pinOf(o *party) (pin store.Pin) {
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) (err error) {
		pin, err = tx.Pin(o.account())
		return err
	}))
	return pin
}

// TestNamedListIsLookedUp: a message that names another device list than the
// pinned one makes its reader ask the network, though the cache is fresh, and
// not at each message.
func TestNamedListIsLookedUp(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		bo.await(bo.say(ana, "hello").ID, chat.Delivered)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		key := identity.AccountRecordKey(ana.account())
		newer := func() *identity.Manifest {
			m := ana.list(func(m *wirev1.Manifest) { m.Seq++ })
			ana.must(ana.keys.Adopt(context.Background(), ana.db, m, time.Now()))
			return m
		}
		before := w.asked(key)
		m := newer() // another device of ana's made it; the network does not have it yet
		ana.await(ana.say(bo, "from a newer list").ID, chat.Delivered)
		time.Sleep(time.Second)
		if n := w.asked(key) - before; n != 1 {
			t.Fatalf("%d look-ups after a message that names a newer list", n)
		}
		for range 10 {
			ana.await(ana.say(bo, "again").ID, chat.Delivered)
			time.Sleep(time.Minute)
		}
		if n := w.asked(key) - before; n != 1 {
			t.Errorf("%d look-ups within the hour", n)
		}
		ana.directory.Nudge() // publishes
		time.Sleep(confirmEvery)
		ana.await(ana.say(bo, "an hour later").ID, chat.Delivered)
		time.Sleep(time.Second)
		if got := bo.pinOf(ana); got.Hash != m.Hash {
			t.Errorf("bo's pin has number %d, the named list %d", got.Seq, m.Seq)
		}
	})
}

func TestDoubtsAreBounded(t *testing.T) {
	c := &Courier{doubts: map[chat.AccountID]*doubt{}, again: make(chan struct{}, 1)}
	now := time.Unix(1e9, 0)
	for i := range 3 * maxDoubts {
		c.doubtList(chat.AccountID(fmt.Sprint(i)), [32]byte{1}, now)
	}
	if len(c.doubts) != maxDoubts {
		t.Fatalf("%d doubts are kept", len(c.doubts))
	}
	for _, d := range c.doubts {
		d.due = false
	}
	c.doubtList("late", [32]byte{1}, now.Add(confirmEvery))
	if len(c.doubts) != 1 || !c.doubts["late"].due {
		t.Errorf("%d doubts after an hour", len(c.doubts))
	}
	c.doubts["late"].due = false
	c.doubtList("late", [32]byte{2}, now.Add(confirmEvery+time.Minute))
	if c.doubts["late"].due {
		t.Error("another named list is asked about within the hour")
	}
}

// publishes puts an account record with another device list in the place of
// p's own.
func (p *party) publishes(list *identity.Manifest) {
	p.w.t.Helper()
	key := identity.AccountRecordKey(p.account())
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	payload, err := identity.OpenSigned(keyOf(p.w.t, p), seal.PurposeAccountRecord, p.w.records[key])
	p.must(err)
	r := new(wirev1.AccountRecord)
	p.must(wire.Unmarshal(payload, r))
	r.Seq, r.Manifest, r.Issued, r.Expires = r.Seq+1, list.Bytes, time.Now().Unix(), time.Now().Add(chat.RecordLife).Unix()
	p.w.records[key] = identity.SignedBytes(p.keys.DeviceKey(), seal.PurposeAccountRecord, encode(r))
}

// TestEquivocationHoldsARunningSession: an account that signs two lists of one
// number gets nothing more, until it signs a higher one.
func TestEquivocationHoldsARunningSession(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		bo.await(bo.say(ana, "hello").ID, chat.Delivered)
		time.Sleep(2 * time.Hour)
		bo.publishes(bo.list(func(m *wirev1.Manifest) { m.VaultGeneration++ }))
		first := ana.say(bo, "this finds out")
		ana.await(first.ID, chat.Delivered) // a running session waits for no look-up
		time.Sleep(time.Minute)
		held := ana.say(bo, "this waits")
		time.Sleep(30 * time.Minute)
		if got := ana.message(held.ID); got.Delivery != chat.Queued || got.Reason != waitListsDiffer || bo.has(held.ID) {
			t.Errorf("to an account with two lists the message is %s (%s)", got.Delivery, got.Reason)
		}
		got := bo.say(ana, "but we hear them")
		bo.await(got.ID, chat.Delivered)
		bo.publishes(bo.list(func(m *wirev1.Manifest) { m.Seq++ }))
		ana.awaitWithin(held.ID, chat.Delivered, 3*time.Hour)
	})
}

// TestEquivocationInAHandshake: a second list that comes with a first contact
// is refused and remembered.
func TestEquivocationInAHandshake(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.await(bo.say(ana, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute) // bo has ana's list
		other := ana.list(func(m *wirev1.Manifest) { m.VaultGeneration++ })
		blob := boxed(ana, bo, func(f *wirev1.FirstContact) { f.Manifest = other.Bytes })
		if o := bo.receives(ana, blob)[0]; o.Answer != Invalid {
			t.Errorf("a second list of one number: %+v", o)
		}
		time.Sleep(time.Minute)
		m := bo.say(ana, "still there?")
		time.Sleep(time.Minute)
		if got := bo.message(m.ID); got.Delivery != chat.Queued || got.Reason != waitListsDiffer {
			t.Errorf("the message is %s (%s)", got.Delivery, got.Reason)
		}
	})
}

// TestRevokedDeviceGetsNothingOnARunningSession: a list without the device
// counts while the stream stands.
func TestRevokedDeviceGetsNothingOnARunningSession(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo, cem := w.join("ana"), w.join("bo"), w.join("cem")
		ana.knows(bo)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		if !ana.streaming(bo.keys.Device()) {
			t.Fatal("no stream stands")
		}
		list := bo.list(func(m *wirev1.Manifest) {
			m.Seq++
			m.Revoked = append(m.Revoked, keyOf(t, bo))
			m.Devices = append(m.Devices, &wirev1.ManifestDevice{DeviceKey: keyOf(t, cem), Added: time.Now().Unix()})
		})
		var m *chat.Message
		ana.must(ana.db.Write(context.Background(), func(tx *store.Tx) (err error) {
			if m, err = ana.SendIn(tx, Draft{To: bo.account(), Text: "not for a lost phone"}); err != nil {
				return err
			}
			_, err = ana.directory.LearnIn(tx, list.Bytes, time.Now())
			return err
		}))
		time.Sleep(time.Minute)
		if got := ana.message(m.ID); got.Delivery != chat.Queued || bo.has(m.ID) {
			t.Errorf("the message is %s (%s), on the removed device: %v", got.Delivery, got.Reason, bo.has(m.ID))
		}
		if n := len(ana.waiting(bo)); n != 0 {
			t.Errorf("%d rows wait for the removed device", n)
		}
	})
}
