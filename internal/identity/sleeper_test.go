package identity

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
)

// keepers is a region in place of the network: every copy it has of a key.
type keepers map[string][][]byte

func (k keepers) Stale(_ context.Context, key string) ([][]byte, error) { return k[key], nil }

func TestOpenLast(t *testing.T) {
	ana, bo := newPerson("ana"), newPerson("bo")
	key := DeviceRecordKey(ana.deviceID())
	for _, c := range []struct {
		name   string
		key    string
		signed []byte
		age    time.Duration
		cause  string
	}{
		{"fresh", key, ana.deviceRecord(), time.Hour, ""},
		{"asleep for two weeks", key, ana.deviceRecord(), chat.SleeperLife, ""},
		{"asleep for too long", key, ana.deviceRecord(), chat.SleeperLife + time.Hour, "was issued on"},
		{"from the future", key, ana.deviceRecord(), -time.Hour, "future"},
		{"an account's", AccountRecordKey(ana.accountID()), ana.accountRecord(), 13 * 24 * time.Hour, ""},
		{"somebody else's", key, bo.deviceRecord(), time.Hour, "own key"},
		{"of the other kind", key, ana.accountRecord(), time.Hour, "own key"},
		{"spoiled", key, flip(ana.deviceRecord(), 80*8), time.Hour, "own key"},
		{"nothing", key, nil, time.Hour, "without a time"},
		{"too large", key, make([]byte, chat.MaxRecord+1), time.Hour, "record of"},
	} {
		last, err := OpenLast(c.key, c.signed, noon.Add(c.age))
		if c.name == "nothing" || c.name == "spoiled" {
			if !errors.Is(err, chat.ErrInvalid) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		wantCause(t, c.name, err, c.cause)
		if c.cause == "" && !last.Issued.Equal(noon) {
			t.Errorf("%s: issued %s", c.name, last.Issued)
		}
	}
}

// TestSleeperIsFound: nobody but the region of a sleeper knows it any more.
func TestSleeperIsFound(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		ana := newPerson("ana")
		box := &wirev1.MailboxEntry{Id: bytes.Repeat([]byte{7}, 32), From: noon.Unix(), Until: noon.Add(chat.MailboxLife).Unix()}
		device := ana.deviceRecord(func(r *wirev1.DeviceRecord) { r.Mailboxes = []*wirev1.MailboxEntry{box} })
		old := ana.deviceRecord(func(r *wirev1.DeviceRecord) { r.Seq = 3 })
		w.dir.sleepers = keepers{
			DeviceRecordKey(ana.deviceID()):   {old, []byte("garbage"), device, newPerson("bo").deviceRecord()},
			AccountRecordKey(ana.accountID()): {ana.accountRecord()},
		}
		time.Sleep(time.Until(noon.Add(10 * 24 * time.Hour)))
		m, err := w.dir.Account(t.Context(), ana.accountID())
		if err != nil || !m.Lists(ana.deviceID()) {
			t.Fatalf("account: %v, %v", m, err)
		}
		r, err := w.dir.Device(t.Context(), ana.deviceID())
		if err != nil || !r.Stale || !bytes.Equal(r.Bytes, device) || len(r.Bundle.Bytes) == 0 || len(r.Mailboxes) != 1 {
			t.Fatalf("device: %+v, %v", r, err)
		}
		// The bundle's own time ends the use of its keys, the record's name stays.
		time.Sleep(5 * 24 * time.Hour)
		if r, err = w.dir.Device(t.Context(), ana.deviceID()); err != nil || len(r.Bundle.Bytes) != 0 {
			t.Errorf("after the bundle's end: %+v, %v", r, err)
		}
		// A fresh record replaces the last word.
		w.cloud.set(DeviceRecordKey(ana.deviceID()), ana.deviceRecord(func(r *wirev1.DeviceRecord) {
			now := time.Now()
			r.Seq, r.Issued, r.Expires = 9, now.Unix(), now.Add(chat.RecordLife).Unix()
			r.Bundle = ana.bundle(func(b *wirev1.Bundle) {
				b.Seq, b.From, b.Until = 2, now.Unix(), now.Add(chat.BundleLife).Unix()
			})
		}))
		if r, err = w.dir.Device(t.Context(), ana.deviceID()); err != nil || r.Stale || r.Seq != 9 {
			t.Errorf("awake: %+v, %v", r, err)
		}
		synctest.Wait()
	})
}

func TestNobodyAsleepIsNotAskedForAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.dir.sleepers = keepers{}
		who := newPerson("nobody")
		for range 3 {
			if _, err := w.dir.Device(t.Context(), who.deviceID()); !errors.Is(err, chat.ErrNotFound) {
				t.Fatal(err)
			}
		}
		if w.dir.mayAsk(DeviceRecordKey(who.deviceID()), time.Now()) {
			t.Error("every message would ask the region")
		}
		if !w.dir.mayAsk(DeviceRecordKey(who.deviceID()), time.Now().Add(sleeperPause)) {
			t.Error("it is never asked again")
		}
	})
}
