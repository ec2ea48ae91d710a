package store

import (
	"bytes"
	"errors"
	"testing"
)

func TestDump(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	const words = "the heron stands in the reeds"
	m := text(ana, 1, words)
	if err := db.Write(t.Context(), func(tx *Tx) error { _, err := tx.AddMessage(m); return err }); err != nil {
		t.Fatal(err)
	}
	if locked := new(LockedError); !errors.As(Dump(dir, dbFile, nil), &locked) {
		t.Error("the folder of a running node was read")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	if err := Dump(dir, dbFile, func(table string, row [][]byte) error {
		for _, column := range row {
			if bytes.Contains(column, []byte(words)) {
				found[table] = true
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || !found["messages"] {
		t.Errorf("the words lie in %v, want messages alone", found)
	}
	if err := Dump(dir, guestFile, nil); err == nil {
		t.Error("a file that is not there was read")
	}
	guest, err := OpenGuest(GuestConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := guest.Close(); err != nil {
		t.Fatal(err)
	}
	tables := map[string]int{}
	if err := Dump(dir, guestFile, func(table string, _ [][]byte) error { tables[table]++; return nil }); err != nil || tables["meta"] != 1 {
		t.Errorf("strangers' mail has %v, %v", tables, err)
	}
}
