package store

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"parley/internal/chat"
)

func TestDepositsFollowTheOutbox(t *testing.T) {
	db := openTest(t, t.TempDir())
	now := time.UnixMilli(1_760_000_000_000)
	d := deviceOf(ana, 1)
	var ids []int64
	write(t, db, func(tx *Tx) error {
		for n := range uint64(3) {
			m := text(bo, n+1, "hello")
			id, err := tx.Enqueue(OutboxRow{Message: m.ID, Account: ana, Device: d, Content: m.Content, Created: now, Expires: now.Add(time.Hour)})
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	due := func(at time.Time) (out []int64) {
		read(t, db, func(tx *Tx) error {
			rows, err := tx.MailDue(d, at, 10)
			for _, r := range rows {
				out = append(out, r.ID)
			}
			return err
		})
		return out
	}
	if got := due(now); !slices.Equal(got, ids) {
		t.Fatalf("due %v, want %v", got, ids)
	}
	box := chat.MailboxID{7}
	write(t, db, func(tx *Tx) error {
		if err := tx.PutDeposit(Deposit{Outbox: ids[0], Mailbox: box, Stamp: []byte("s"), Receipts: []byte("r"), Held: true, Next: now.Add(time.Hour)}); err != nil {
			return err
		}
		if err := tx.SaveSealed(ids[1], []byte("session"), []byte("blob")); err != nil {
			return err
		}
		if err := tx.PutDeposit(Deposit{Outbox: ids[1], Mailbox: box, Next: now.Add(2 * time.Hour)}); err != nil {
			return err
		}
		return tx.PutDeposit(Deposit{Outbox: 999, Mailbox: box}) // done meanwhile
	})
	if got := due(now); !slices.Equal(got, ids[2:]) {
		t.Errorf("due %v, want %v", got, ids[2:])
	}
	read(t, db, func(tx *Tx) error {
		next, err := tx.MailNext(d)
		if !next.Equal(now.Add(time.Hour)) {
			t.Errorf("next %s", next)
		}
		rows, _ := tx.MailDue(d, now.Add(time.Hour), 10)
		if got := rows[0].Deposit; !got.Held || got.Mailbox != box || string(got.Stamp) != "s" || string(got.Receipts) != "r" || got.Outbox != ids[0] {
			t.Errorf("deposit %+v", got)
		}
		if rows[1].Deposit.Mailbox != (chat.MailboxID{}) {
			t.Errorf("a row without a deposit has %+v", rows[1].Deposit)
		}
		return err
	})
	write(t, db, func(tx *Tx) error { // what is sealed anew was never left with anybody
		return tx.Unseal(d, []byte("session"))
	})
	if got := due(now); !slices.Equal(got, ids[1:]) {
		t.Errorf("due %v, want %v", got, ids[1:])
	}
	write(t, db, func(tx *Tx) error { return tx.OutboxDone(ids[0]) })
	read(t, db, func(tx *Tx) error {
		left, err := tx.Deposits(10)
		if len(left) != 0 {
			t.Errorf("left %+v", left)
		}
		return err
	})
}

func TestMailCursors(t *testing.T) {
	db := openTest(t, t.TempDir())
	now := time.UnixMilli(1_760_000_000_000)
	a, b, holder := chat.MailboxID{1}, chat.MailboxID{2}, deviceOf(ana, 1)
	write(t, db, func(tx *Tx) error {
		for _, box := range []chat.MailboxID{a, b} {
			if err := tx.PutMailCursor(box, holder, []byte("x"), now); err != nil {
				return err
			}
		}
		if err := tx.PutMailCursor(a, holder, []byte("y"), now); err != nil {
			return err
		}
		return tx.DropMailCursors(b)
	})
	for box, want := range map[chat.MailboxID]string{a: "y", b: ""} {
		read(t, db, func(tx *Tx) error {
			got, err := tx.MailCursor(box, holder)
			if string(got) != want {
				t.Errorf("cursor of %d is %q, want %q", box[0], got, want)
			}
			return err
		})
	}
	write(t, db, func(tx *Tx) error {
		return tx.PutMailCursor(a, deviceOf(ana, 2), []byte("z"), now.Add(cursorLife))
	})
	read(t, db, func(tx *Tx) error {
		got, err := tx.MailCursor(a, holder)
		if got != nil {
			t.Errorf("an old cursor is kept: %q", got)
		}
		return err
	})
}

func TestUnopenedIsARing(t *testing.T) {
	db := openTest(t, t.TempDir())
	now := time.UnixMilli(1_760_000_000_000)
	blob := func(i int) chat.Sealed { return chat.Sealed{byte(i), byte(i >> 8)} }
	write(t, db, func(tx *Tx) error {
		for i := range maxUnopened + 5 {
			for range 2 { // twice is once
				if err := tx.PutUnopened(sha256.Sum256(blob(i)), blob(i), now.Add(time.Hour)); err != nil {
					return err
				}
			}
		}
		return tx.DropUnopened(sha256.Sum256(blob(6)))
	})
	read(t, db, func(tx *Tx) error {
		all, err := tx.Unopened(1000)
		if len(all) != maxUnopened-1 || string(all[0]) != string(blob(5)) || string(all[1]) != string(blob(7)) {
			t.Errorf("%d kept, from %x", len(all), all[0])
		}
		return err
	})
	write(t, db, func(tx *Tx) error { return tx.expire(now.Add(time.Hour)) })
	read(t, db, func(tx *Tx) error {
		all, err := tx.Unopened(1000)
		if len(all) != 0 {
			t.Errorf("%d outlive their time", len(all))
		}
		return err
	})
}
