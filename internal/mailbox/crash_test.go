package mailbox

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// TestReceiptsOutliveACrash copies the files of a holder at every few receipts,
// as a crash would leave them, while it goes on. In each copy all is there
// that was signed for until then, and what was deleted is not.
func TestReceiptsOutliveACrash(t *testing.T) {
	n := newTown(t)
	dir := t.TempDir()
	h := n.host(func(_ *HostConfig, g *store.GuestConfig) { g.Dir, g.Relaxed = dir, false })
	o := newOwner(t)
	c := n.call(h, "sender")
	type crash struct {
		dir          string
		signed, gone int
	}
	var crashes []crash
	var ids [][32]byte
	gone := 0
	for i := range uint64(60) {
		a := c.must(depositOf(o.fromContact(i, 48*time.Hour)))
		if r, _, err := openReceipt(a.Receipt); err != nil {
			t.Fatal(err)
		} else {
			ids = append(ids, [32]byte(r.EnvelopeHash))
		}
		if i%10 == 5 {
			c.must(o.deleteRequest(ids[gone]))
			gone++
		}
		if i%6 == 0 {
			crashes = append(crashes, crash{dir: copyFiles(t, dir), signed: len(ids), gone: gone})
		}
	}
	for _, crash := range crashes {
		guest, err := store.OpenGuest(store.GuestConfig{Dir: crash.dir, Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		err = guest.Read(t.Context(), func(tx *store.GuestTx) error {
			for i, id := range ids[:crash.signed] {
				body, err := tx.MailBody(id, time.Now())
				if err != nil && !errors.Is(err, chat.ErrNotFound) {
					return err
				}
				if there := err == nil; there != (i >= crash.gone) || there && sha256.Sum256(body) != id {
					t.Errorf("crash after %d receipts and %d deletes: envelope %d is there: %v", crash.signed, crash.gone, i, there)
				}
			}
			return nil
		})
		if err := errors.Join(err, guest.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFiles(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	for _, name := range []string{"guest.db", "guest.db-wal", "master.key"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}
