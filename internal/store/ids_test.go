package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"parley/internal/chat"
)

func found(t *testing.T, tx *Tx, list []*chat.Message, want bool) {
	t.Helper()
	for _, m := range list {
		row, err := tx.row(m.ID)
		if err != nil || (row != 0) != want {
			t.Fatalf("message %d is in row %d, %v", m.Number, row, err)
		}
	}
}

// TestIDsAreFound whether they are filed or not, after a restart and in a
// snapshot from before they were filed.
func TestIDsAreFound(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	var list []*chat.Message
	for i := range fileAfter + 900 {
		list = append(list, text(ana, uint64(i+1), "hello"))
	}
	early, late := list[:fileAfter-200], list[fileAfter-200:]
	add(t, db, early...)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir)
	read(t, db, func(tx *Tx) error {
		found(t, tx, early, true)
		found(t, tx, late, false)
		add(t, db, late...)
		if _, base := db.messages.known(list[0].ID); base == 0 {
			t.Error("nothing was filed")
		}
		found(t, tx, early[:20], true) // no longer known, and in this snapshot not filed
		found(t, tx, late[:20], false)
		return nil
	})
	extra := text(bo, 1, "the newest")
	add(t, db, extra)
	all := append(list, extra)
	write(t, db, func(tx *Tx) error { found(t, tx, all, true); return nil })
	read(t, db, func(tx *Tx) error {
		found(t, tx, all, true)
		n, err := tx.c.number(0, `SELECT count(*) FROM message_ids`)
		filed, ferr := tx.c.number(0, db.messages.filed)
		if int(n) != len(list) || filed != n {
			t.Errorf("%d filed up to %d", n, filed)
		}
		for _, m := range []*chat.Message{list[7], extra} {
			ids, err := tx.FindMessages(fmt.Sprintf("%x", m.ID[:6]), 5)
			if err != nil || len(ids) != 1 || ids[0] != m.ID {
				t.Errorf("found %v %v", ids, err)
			}
		}
		return errors.Join(err, ferr)
	})
}

// TestIDsOfARollback are forgotten, and their rows go to others.
func TestIDsOfARollback(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	a, b := text(ana, 1, "taken back"), text(ana, 2, "kept")
	mark := chat.NewMessageID([]byte("blob"))
	later := time.Now().Add(time.Hour)
	write(t, db, func(tx *Tx) error { return tx.MarkSeen(mark, []byte("first"), later) })
	broken := errors.New("broken")
	err := db.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.AddMessage(a)
		return errors.Join(err, tx.MarkSeen(mark, []byte("second"), later), broken)
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	check := func(value string) {
		t.Helper()
		read(t, db, func(tx *Tx) error {
			found(t, tx, []*chat.Message{a}, false)
			found(t, tx, []*chat.Message{b}, true)
			v, ok, err := tx.Seen(mark)
			if !ok || string(v) != value {
				t.Errorf("seen %q, want %q", v, value)
			}
			return err
		})
	}
	add(t, db, b)
	check("first")
	write(t, db, func(tx *Tx) error { return tx.MarkSeen(mark, []byte("third"), later) })
	check("third")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir)
	check("third")
}

// TestSeenIsFiledAndTrimmed: the index of what was seen follows its table.
func TestSeenIsFiledAndTrimmed(t *testing.T) {
	db := openTest(t, t.TempDir())
	hash := func(i int) [32]byte { return chat.NewMessageID(fmt.Appendf(nil, "blob %d", i)) }
	now := time.Now()
	until := func(i int) time.Time {
		if i < 1000 {
			return now.Add(time.Second)
		}
		return now.Add(time.Hour)
	}
	mark := func(from, to int) {
		write(t, db, func(tx *Tx) error {
			for i := from; i < to; i++ {
				if err := tx.MarkSeen(hash(i), nil, until(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	mark(0, fileAfter)
	mark(500, 600) // again, filed by now
	if err := db.sweep(t.Context(), now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	mark(fileAfter, 2*fileAfter)
	read(t, db, func(tx *Tx) error {
		rows, err := tx.c.number(0, `SELECT count(*) FROM seen`)
		filed, ferr := tx.c.number(0, `SELECT count(*) FROM seen_ids`)
		if want := int64(2*fileAfter - 900); rows != want || filed != want {
			t.Errorf("%d seen, %d filed, want %d", rows, filed, want)
		}
		for _, i := range []int{1000, fileAfter, 2*fileAfter - 1} {
			if _, ok, err := tx.Seen(hash(i)); !ok || err != nil {
				t.Errorf("blob %d is unknown: %v", i, err)
			}
		}
		return errors.Join(err, ferr)
	})
}
