package store

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parley/internal/chat"
)

func TestOutbox(t *testing.T) {
	db := openTest(t, t.TempDir())
	now := time.UnixMilli(1_760_000_000_000)
	m := text(bo, 1, "hello")
	d1, d2 := deviceOf(ana, 1), deviceOf(ana, 2)
	var first int64
	write(t, db, func(tx *Tx) (err error) {
		first, err = tx.Enqueue(OutboxRow{Message: m.ID, Account: ana, Content: m.Content, Created: now, Expires: now.Add(time.Hour), NextTry: now})
		return err
	})
	write(t, db, func(tx *Tx) error {
		if got, err := tx.OutboxAccounts(); len(got) != 1 || got[0] != ana || err != nil {
			t.Errorf("accounts %v %v", got, err)
		}
		if err := tx.OutboxSplit(ana, nil); err != nil {
			return err
		}
		return tx.OutboxSplit(ana, []chat.DeviceID{d1, d2})
	})
	write(t, db, func(tx *Tx) error {
		if got, err := tx.OutboxAccounts(); len(got) != 0 || err != nil {
			t.Errorf("accounts %v %v", got, err)
		}
		devices, err := tx.OutboxDevices()
		if err != nil || len(devices) != 2 || devices[0].Count != 1 || devices[0].Account != ana || !devices[0].NextTry.Equal(now) {
			t.Errorf("devices %+v %v", devices, err)
		}
		rows, err := tx.Outbox(d1, 10)
		if err != nil || len(rows) != 1 || rows[0].ID != first || rows[0].Blob != nil || string(rows[0].Content) != string(m.Content) {
			t.Fatalf("rows %+v %v", rows, err)
		}
		targets, terr := tx.OutboxTargets()
		after, aerr := tx.OutboxAfter(d1, first, 10)
		n, nerr := tx.Unfinished()
		if len(targets) != 2 || targets[0].Account != ana || len(after) != 0 || n != 1 {
			t.Errorf("targets %+v, after the first %+v, unfinished %d", targets, after, n)
		}
		if err := errors.Join(terr, aerr, nerr); err != nil {
			return err
		}
		id := rows[0].ID
		if err := tx.SaveSealed(id, []byte("s"), []byte("blob")); err != nil {
			return err
		}
		if err := tx.SaveSealed(id, []byte("s"), []byte("other")); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("sealed twice: %v", err)
		}
		if err := tx.OutboxRetry(id, now.Add(time.Minute)); err != nil {
			return err
		}
		if rows, err = tx.Outbox(d1, 10); err != nil || string(rows[0].Blob) != "blob" || rows[0].Attempts != 1 || !rows[0].NextTry.Equal(now.Add(time.Minute)) {
			t.Errorf("rows %+v %v", rows, err)
		}
		if err := tx.Unseal(d1, []byte("s")); err != nil {
			return err
		}
		if rows, err = tx.Outbox(d1, 10); err != nil || rows[0].Blob != nil || rows[0].Session != nil {
			t.Errorf("rows %+v %v", rows, err)
		}
		if expired, err := tx.OutboxExpired(now.Add(time.Hour), 10); len(expired) != 2 {
			t.Errorf("expired %v %v", expired, err)
		}
		if expired, err := tx.OutboxExpired(now, 10); len(expired) != 0 {
			t.Errorf("expired too early %v %v", expired, err)
		}
		return errors.Join(tx.OutboxDone(id), tx.OutboxDone(id), tx.OutboxDoneMessage(m.ID, d2))
	})
	var next int64
	write(t, db, func(tx *Tx) (err error) {
		next, err = tx.Enqueue(OutboxRow{Message: m.ID, Account: ana, Device: d1})
		return err
	})
	if next <= first+1 {
		t.Errorf("row number %d was used before", next)
	}
}

// TestDeliveryNeverGoesBack throws random words at a message and holds it to
// the state machine of package chat.
func TestDeliveryNeverGoesBack(t *testing.T) {
	db := openTest(t, t.TempDir())
	var number uint64
	rapid.Check(t, func(rt *rapid.T) {
		number++
		m := text(bo, number, "x")
		add(t, db, m)
		last := chat.Queued
		for i := range rapid.IntRange(1, 12).Draw(rt, "n") {
			d := DeviceDelivery{
				Device: deviceOf(ana, rapid.IntRange(1, 3).Draw(rt, "device")),
				State:  chat.Delivery(rapid.IntRange(1, 7).Draw(rt, "state")),
				Reason: "why", At: time.UnixMilli(int64(i + 1)),
			}
			if rapid.Bool().Draw(rt, "proof") {
				d.Proof = []byte("signed")
			}
			needs := d.State == chat.Held || d.State == chat.Delivered || d.State == chat.Read
			var changed bool
			err := db.Write(t.Context(), func(tx *Tx) (err error) {
				changed, err = tx.SetDelivery(m.ID, d)
				return err
			})
			if needs && d.Proof == nil {
				if !errors.Is(err, chat.ErrInvalid) {
					rt.Fatalf("%s without proof: %v", d.State, err)
				}
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			read(t, db, func(tx *Tx) error {
				got, err := tx.Message(m.ID)
				if err != nil {
					return err
				}
				if last.Advance(got.Delivery) != got.Delivery || changed != (got.Delivery != last) {
					rt.Fatalf("%s -> %s, changed %v", last, got.Delivery, changed)
				}
				if last = got.Delivery; got.Delivery == chat.Delivered && got.Reason == "" {
					rt.Fatal("the reason of the device is lost")
				}
				return nil
			})
		}
	})
}

func TestDeliveries(t *testing.T) {
	db := openTest(t, t.TempDir())
	m, theirs := text(bo, 1, "x"), text(ana, 2, "y")
	add(t, db, m, theirs)
	proof := []byte("signed")
	write(t, db, func(tx *Tx) error {
		_, err := tx.SetDelivery(m.ID, DeviceDelivery{Device: "d1", State: chat.Refused, Reason: "blocked", At: time.UnixMilli(1)})
		if err != nil {
			return err
		}
		if _, err := tx.SetDelivery(m.ID, DeviceDelivery{Device: "d2", State: chat.Delivered, At: time.UnixMilli(2), Proof: proof}); err != nil {
			return err
		}
		if _, err := tx.SetDelivery(theirs.ID, DeviceDelivery{Device: "d2", State: chat.Sent}); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("not ours: %v", err)
		}
		if _, err := tx.SetDelivery(chat.MessageID{1}, DeviceDelivery{Device: "d2", State: chat.Sent}); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		return tx.SetWait(m.ID, "no_address") // delivered: nothing waits
	})
	read(t, db, func(tx *Tx) error {
		got, err := tx.Message(m.ID)
		if err != nil || got.Delivery != chat.Delivered || got.Reason != "" {
			t.Errorf("%s %q %v", got.Delivery, got.Reason, err)
		}
		list, err := tx.Deliveries(m.ID)
		if len(list) != 2 || list[0].Reason != "blocked" || string(list[1].Proof) != "signed" || list[1].Device != "d2" {
			t.Errorf("%+v", list)
		}
		return err
	})
}

func TestClockAndNumbers(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	now := time.UnixMilli(1_760_000_000_000)
	key := chat.PrivateConversation(ana)
	var last chat.HLC
	tick := func(at time.Time) chat.HLC {
		t.Helper()
		var h chat.HLC
		write(t, db, func(tx *Tx) (err error) { h, err = tx.Tick(at); return err })
		if h <= last {
			t.Errorf("stamp %d after %d", h, last)
		}
		last = h
		return h
	}
	tick(now)
	tick(now)
	tick(now.Add(-time.Hour))
	broken := errors.New("broken")
	err := db.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.Tick(now.Add(time.Hour))
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) || tick(now).Time().After(now) {
		t.Errorf("a rollback kept the clock at %v: %v", last.Time(), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir)
	tick(now)
	write(t, db, func(tx *Tx) error { return tx.Observe(chat.NewHLC(now.Add(time.Second)), now) })
	if h := tick(now); !h.Time().Equal(now.Add(time.Second)) {
		t.Errorf("after a peer's stamp: %v", h.Time())
	}
	write(t, db, func(tx *Tx) error { return tx.Observe(chat.NewHLC(now.Add(time.Hour)), now) })
	if h := tick(now); h.Time().After(now.Add(clockLead)) {
		t.Errorf("a peer moved the clock to %v", h.Time())
	}
	tick(now.Add(1000 * time.Hour)) // a wrong month, set right again
	last = 0
	if h := tick(now); !h.Time().Equal(now) {
		t.Errorf("after a wild clock: %v", h.Time())
	}
	write(t, db, func(tx *Tx) error {
		for want := uint64(1); want <= 3; want++ {
			epoch, n, err := tx.NextNumber(key)
			if err != nil || n != want || epoch == 0 {
				t.Errorf("number %d in %d, %v", n, epoch, err)
			}
		}
		if _, n, err := tx.NextNumber(chat.PrivateConversation(cy)); n != 1 || err != nil {
			t.Errorf("other conversation: %d %v", n, err)
		}
		return nil
	})
}
