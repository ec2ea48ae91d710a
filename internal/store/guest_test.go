package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/internal/chat"
)

func openGuestTest(t testing.TB, cfg GuestConfig) *Guest {
	t.Helper()
	cfg.Relaxed = true
	g, err := OpenGuest(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func guestWrite(t testing.TB, g *Guest, fn func(*GuestTx) error) {
	t.Helper()
	if err := g.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// envelope is the n-th of a mailbox, of a size.
func envelope(box chat.MailboxID, n uint64, size int, contact bool, ends time.Time) *GuestMail {
	body := make([]byte, size)
	copy(body, box[:])
	binary.BigEndian.PutUint64(body[32:], n)
	return &GuestMail{ID: sha256.Sum256(body), Box: box, Ends: ends, Contact: contact, Work: int(n), Body: body}
}

func TestGuestKeepsAndForgets(t *testing.T) {
	g := openGuestTest(t, GuestConfig{Dir: t.TempDir()})
	now, box, other := time.Now(), chat.MailboxID{1}, chat.MailboxID{2}
	var kept []*GuestMail
	for n := uint64(1); n <= 4; n++ {
		kept = append(kept, envelope(box, n, 1000, n > 3, now.Add(time.Duration(n)*time.Hour)))
	}
	guestWrite(t, g, func(tx *GuestTx) error {
		for _, m := range kept {
			if err := tx.PutMail(m); err != nil {
				return err
			}
		}
		b, err := tx.Box(box)
		if b.Contacts != 1 || b.Strangers != 3 || b.StrangerBytes != 3000 || b.Print != nil {
			t.Errorf("box: %+v", b)
		}
		if w, werr := tx.Weaker(&b, 3, 9, 0); werr != nil || len(w) != 2 || w[0].Work != 1 {
			t.Errorf("weaker: %+v, %v", w, werr)
		}
		if w, werr := tx.Weaker(nil, 9, 0, 1500); werr != nil || len(w) != 2 {
			t.Errorf("as many as free 1500 bytes: %+v, %v", w, werr)
		}
		return errors.Join(err, tx.SetPrint(box, []byte{1}))
	})
	guestWrite(t, g, func(tx *GuestTx) error {
		proof := []byte("signed by another")
		if err := tx.Bury(other, [][32]byte{kept[1].ID}, proof, now.Add(time.Hour), 8); err != nil {
			return err
		}
		if _, err := tx.Mail(kept[1].ID); err != nil {
			t.Errorf("the owner of another mailbox deleted it: %v", err)
		}
		if _, buried, err := tx.Buried(box, kept[1].ID); buried || err != nil {
			t.Errorf("another's delete buried it: %v, %v", buried, err)
		}
		if err := tx.Bury(box, [][32]byte{kept[1].ID}, []byte("signed"), now.Add(time.Hour), 8); err != nil {
			return err
		}
		row, buried, err := tx.Buried(box, kept[1].ID)
		signed, perr := tx.Proof(row)
		if !buried || string(signed) != "signed" {
			t.Errorf("tombstone: %v, proof %q", buried, signed)
		}
		if _, merr := tx.Mail(kept[1].ID); !errors.Is(merr, chat.ErrNotFound) {
			t.Errorf("deleted and there: %v", merr)
		}
		b, berr := tx.Box(box)
		if b.Strangers != 2 || b.Print != nil {
			t.Errorf("after a delete: %+v", b)
		}
		return errors.Join(err, perr, berr)
	})
	guestWrite(t, g, func(tx *GuestTx) error {
		_, err := tx.Expire(now.Add(3*time.Hour), now, 0, 100)
		n, cerr := tx.Count()
		if n.Envelopes != 1 || n.Boxes != 1 || n.Bytes != 1000 {
			t.Errorf("after three hours: %+v", n)
		}
		if _, buried, berr := tx.Buried(box, kept[1].ID); buried || berr != nil {
			t.Errorf("the tombstone is still there: %v", berr)
		}
		if _, err := tx.Expire(now.Add(5*time.Hour), now, 0, 100); err != nil {
			return err
		}
		if n, err := tx.Count(); n.Envelopes+n.Boxes != 0 || err != nil {
			t.Errorf("after all: %+v, %v", n, err)
		}
		return errors.Join(err, cerr)
	})
}

func TestGuestForgetsTheOldestDeletes(t *testing.T) {
	g := openGuestTest(t, GuestConfig{Dir: t.TempDir()})
	box, ends := chat.MailboxID{1}, time.Now().Add(time.Hour)
	guestWrite(t, g, func(tx *GuestTx) error {
		for n := range byte(20) {
			for range 2 { // again: nothing
				if err := tx.Bury(box, [][32]byte{{n}}, []byte{n}, ends, 8); err != nil {
					return err
				}
			}
		}
		for n := range byte(20) {
			if _, buried, err := tx.Buried(box, [32]byte{n}); buried != (n >= 12) || err != nil {
				t.Errorf("delete %d is remembered: %v, %v", n, buried, err)
			}
		}
		return nil
	})
}

// TestGuestBound fills a small file with envelopes of every size: all files
// together stay under the bound, and nearly all of it can be used.
func TestGuestBound(t *testing.T) {
	const most = 24 << 20
	dir := t.TempDir()
	g := openGuestTest(t, GuestConfig{Dir: dir, MaxBytes: most})
	ends := time.Now().Add(time.Hour)
	size := func() (sum int64) {
		names, err := filepath.Glob(filepath.Join(dir, guestFile+"*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				sum += info.Size()
			}
		}
		return sum
	}
	kept, peak := int64(0), int64(0)
	full := false
	for n := uint64(0); !full; n++ {
		m := envelope(chat.MailboxID{byte(n)}, n, chat.BlobSizes[n%4]+200, true, ends)
		guestWrite(t, g, func(tx *GuestTx) error {
			ok, err := tx.Room(len(m.Body), true)
			if full = !ok; full || err != nil {
				return err
			}
			kept += int64(len(m.Body))
			return tx.PutMail(m)
		})
		peak = max(peak, size())
	}
	t.Logf("%d bytes of envelopes in %d of files, bound %d", kept, peak, most)
	if peak > most+most/100 {
		t.Errorf("the files took %d bytes, the bound is %d", peak, most)
	}
	if kept < most/2 {
		t.Errorf("only %d bytes of %d could be used", kept, most)
	}
	guestWrite(t, g, func(tx *GuestTx) error {
		_, err := tx.Expire(ends, time.Now(), 0, 1<<20)
		ok, rerr := tx.Room(most/2, true)
		if !ok {
			t.Error("no room after all ended")
		}
		return errors.Join(err, rerr)
	})
	if err := g.Tidy(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestGuestStartsAnewWhenUnreadable(t *testing.T) {
	dir := t.TempDir()
	open := func() *Guest { return openGuestTest(t, GuestConfig{Dir: dir}) }
	g := open()
	epoch := g.Epoch()
	if _, err := OpenGuest(GuestConfig{Dir: dir}); !errors.As(err, new(*LockedError)) {
		t.Errorf("opened twice: %v", err)
	}
	guestWrite(t, g, func(tx *GuestTx) error {
		return tx.PutMail(envelope(chat.MailboxID{1}, 1, 1000, true, time.Now().Add(time.Hour)))
	})
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = open()
	if err := g.Read(t.Context(), func(tx *GuestTx) error {
		n, err := tx.Count()
		if n.Envelopes != 1 || g.Epoch() != epoch {
			t.Errorf("opened again: %+v, epoch %d, was %d", n, g.Epoch(), epoch)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, guestFile), make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	g = open()
	if g.Epoch() == epoch {
		t.Error("another file has the epoch of the first")
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenGuest(GuestConfig{Dir: dir}); !errors.Is(err, ErrKey) {
		t.Errorf("a missing key: %v", err)
	}
}

func TestGuestCharges(t *testing.T) {
	g := openGuestTest(t, GuestConfig{Dir: t.TempDir()})
	guestWrite(t, g, func(tx *GuestTx) error {
		for i, c := range []struct {
			net string
			day int64
			n   int
			ok  bool
		}{{"a", 1, 60, true}, {"a", 1, 41, false}, {"a", 1, 40, true}, {"b", 1, 100, true}, {"a", 2, 100, true}} {
			if ok, err := tx.Charge(c.net, c.day, c.n, 100); ok != c.ok || err != nil {
				t.Errorf("charge %d: %v, %v", i, ok, err)
			}
		}
		if _, err := tx.Expire(time.Now(), time.Now(), 2, 10); err != nil {
			return err
		}
		if ok, err := tx.Charge("a", 1, 100, 100); !ok || err != nil {
			t.Errorf("the sums of yesterday are kept: %v", err)
		}
		return nil
	})
}

func TestGuestSleepers(t *testing.T) {
	g := openGuestTest(t, GuestConfig{Dir: t.TempDir()})
	now := time.Now().Truncate(time.Millisecond)
	guestWrite(t, g, func(tx *GuestTx) error {
		for i, key := range []string{"/a", "/b", "/c"} {
			r := GuestSleeper{Key: key, Issued: now.Add(time.Duration(i) * time.Hour), Seq: uint64(i), Record: []byte(key)}
			if err := tx.PutSleeper(r); err != nil {
				return err
			}
		}
		list, err := tx.Sleepers("/a", 10)
		if len(list) != 2 || list[0].Key != "/b" || !list[0].Issued.Equal(now.Add(time.Hour)) || string(list[1].Record) != "/c" {
			t.Errorf("after the first: %+v", list)
		}
		if err := tx.TrimSleepers(2); err != nil {
			return err
		}
		if _, err := tx.Sleeper("/a"); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("the oldest stays: %v", err)
		}
		if _, err := tx.Expire(now, now.Add(time.Hour), 0, 10); err != nil {
			return err
		}
		if _, err := tx.Sleeper("/b"); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("a record at its end stays: %v", err)
		}
		return err
	})
}
