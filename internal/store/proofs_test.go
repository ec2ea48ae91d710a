package store

import (
	"errors"
	"testing"
	"time"

	"parley/internal/chat"
)

// TestProofsAreShared: one receipt for many messages lies in the store once,
// and each message still shows it.
func TestProofsAreShared(t *testing.T) {
	db := openTest(t, t.TempDir())
	at := time.UnixMilli(1_760_000_003_000)
	var list []*chat.Message
	for i := range 5 {
		list = append(list, text(bo, uint64(i+1), "hello"))
	}
	add(t, db, list...)
	set := func(tx *Tx, state chat.Delivery, proof string, some ...*chat.Message) error {
		for _, m := range some {
			d := DeviceDelivery{Device: deviceOf(ana, 1), State: state, At: at, Proof: []byte(proof), Shared: len(some) > 1}
			if _, err := tx.SetDelivery(m.ID, d); err != nil {
				return err
			}
		}
		return nil
	}
	write(t, db, func(tx *Tx) error {
		return errors.Join(set(tx, chat.Delivered, "one", list[:3]...), set(tx, chat.Delivered, "two", list[3:]...))
	})
	write(t, db, func(tx *Tx) error { return set(tx, chat.Read, "read", list[0]) })
	read(t, db, func(tx *Tx) error {
		for i, want := range []string{"read", "one", "one", "two", "two"} {
			got, err := tx.Deliveries(list[i].ID)
			if err != nil || len(got) != 1 || string(got[0].Proof) != want {
				t.Errorf("message %d: %v %v, want %s", i, got, err, want)
			}
		}
		if n, err := tx.c.number(0, `SELECT count(*) FROM proofs`); n != 2 || err != nil {
			t.Errorf("%d proofs, %v", n, err)
		}
		return nil
	})
}

// TestSealedRowsBorrowContent: a sealed row of a stored message has no second
// copy of its content, and none of it is lost.
func TestSealedRowsBorrowContent(t *testing.T) {
	db := openTest(t, t.TempDir())
	m, d := text(bo, 1, "hello"), deviceOf(ana, 1)
	control := OutboxRow{Message: text(bo, 9, "receipt").ID, Account: ana, Device: d, Content: []byte("receipt"), Control: true}
	add(t, db, m)
	write(t, db, func(tx *Tx) error {
		row := OutboxRow{Message: m.ID, Account: ana, Device: d, Content: m.Content, Session: []byte("s"), Blob: []byte("blob")}
		control.Session, control.Blob = row.Session, []byte("other blob")
		return errors.Join(tx.EnqueueSealed(row), tx.EnqueueSealed(control))
	})
	content := func(tx *Tx, want string) []OutboxRow {
		t.Helper()
		rows, err := tx.Outbox(d, 10)
		if err != nil || len(rows) != 2 || string(rows[0].Content) != want || string(rows[1].Content) != "receipt" {
			t.Fatalf("rows %+v %v", rows, err)
		}
		return rows
	}
	write(t, db, func(tx *Tx) error {
		n, err := tx.c.number(0, `SELECT count(*) FROM outbox WHERE content IS NULL`)
		if n != 1 {
			t.Errorf("%d rows without content", n)
		}
		content(tx, string(m.Content))
		return errors.Join(err, tx.Unseal(d, []byte("s")))
	})
	// A message that is deleted before it left still leaves, and then its delete.
	add(t, db, message(bo, 2, 1_760_000_100_000, chat.KindDelete, "", m.ID))
	write(t, db, func(tx *Tx) error {
		rows, err := tx.OutboxAfter(d, 0, 10)
		if err != nil || string(rows[0].Content) != string(m.Content) {
			t.Errorf("to be sealed again: %+v %v", rows, err)
		}
		var ids []int64
		for _, row := range content(tx, string(m.Content)) {
			ids = append(ids, row.ID)
		}
		if err := tx.OutboxLanded(ids); err != nil {
			return err
		}
		if left, err := tx.Outbox(d, 10); len(left) != 0 || err != nil {
			t.Errorf("left %+v %v", left, err)
		}
		n, err := tx.c.number(0, `PRAGMA secure_delete`)
		if n != 1 {
			t.Errorf("secure_delete is %d", n)
		}
		return err
	})
}
