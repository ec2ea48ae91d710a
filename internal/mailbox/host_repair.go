package mailbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

const (
	printSize  = 16
	printBatch = 100
	// compareBoxes bounds what one call compares, compareItems what it lists:
	// both keep the frame under its element limit, the answer included.
	compareBoxes = 128
	compareItems = 256
	// compareDeletes bytes of deletes go into one answer, so that a short
	// question never brings a long one (N8).
	compareDeletes = 24 << 10
)

// printOf is over the sorted ids of what a mailbox holds.
func printOf(ids [][32]byte) []byte {
	hash := sha256.New()
	hash.Write([]byte("parley/mail-print/v1\x00"))
	for _, id := range ids {
		hash.Write(id[:])
	}
	return hash.Sum(nil)[:printSize]
}

// printBoxes renews the fingerprints of boxes that changed, a bounded number
// in one commit, and reports whether there are more.
func (h *Host) printBoxes(ctx context.Context) (more bool, err error) {
	err = h.guest.Write(ctx, func(tx *store.GuestTx) error {
		list, err := tx.Unprinted(printBatch)
		if err != nil {
			return err
		}
		for _, b := range list {
			ids, err := tx.MailIDs(b)
			if err == nil {
				err = tx.SetPrint(b.ID, printOf(ids))
			}
			if err != nil {
				return err
			}
		}
		more = len(list) == printBatch
		return nil
	})
	return more, err
}

// compare answers a repair: which boxes differ, and of those listed what we
// lack and what we know to be deleted. Who does not know what we hold learns
// nothing: any guess differs, of an absent box too.
func (h *Host) compare(ctx context.Context, q *wirev1.MailRepair, now time.Time) (*wirev1.MailAnswer, error) {
	items := 0
	for _, d := range q.Boxes {
		items += len(d.GetItems())
		if len(d.GetMailboxId()) != len(chat.MailboxID{}) || len(d.Items) == 0 && len(d.Fingerprint) != printSize {
			return invalid(), nil
		}
		for _, it := range d.Items {
			if len(it.GetId()) != sha256.Size {
				return invalid(), nil
			}
		}
	}
	if items > compareItems || len(q.Boxes) > compareBoxes || len(q.Sleepers) > compareBoxes {
		return invalid(), nil
	}
	a := ok()
	err := h.guest.Read(ctx, func(tx *store.GuestTx) error {
		deletes := map[int64]bool{}
		for _, d := range q.Boxes {
			id := chat.MailboxID(d.MailboxId)
			if !h.nearby.Near(Place(id)).Self {
				continue // we should not hold it, and would take none of it
			}
			var err error
			if len(d.Items) == 0 {
				err = differs(tx, a, d)
			} else {
				err = h.lack(tx, a, d, deletes, now)
			}
			if err != nil {
				return err
			}
		}
		return h.lackSleepers(tx, a, q.Sleepers)
	})
	return a, err
}

// differs adds a box that holds something else here. One that changed since
// its print was taken counts as different: taking it now would show by the
// time it takes.
func differs(tx *store.GuestTx, a *wirev1.MailAnswer, d *wirev1.MailBoxDigest) error {
	box, err := tx.Box(chat.MailboxID(d.MailboxId))
	if err == nil && !bytes.Equal(box.Print, d.Fingerprint) {
		a.Boxes = append(a.Boxes, &wirev1.MailBoxDigest{MailboxId: d.MailboxId})
	}
	return err
}

// lack adds what we do not have of a list and would take, and the proofs that
// some of it was deleted.
func (h *Host) lack(tx *store.GuestTx, a *wirev1.MailAnswer, d *wirev1.MailBoxDigest, deletes map[int64]bool, now time.Time) error {
	size := 0
	for _, signed := range a.Deletes {
		size += len(signed)
	}
	for _, it := range d.Items {
		id := [32]byte(it.Id)
		proof, buried, err := tx.Buried(chat.MailboxID(d.MailboxId), id)
		if err != nil {
			return err
		}
		if buried {
			if deletes[proof] {
				continue
			}
			signed, err := tx.Proof(proof)
			if err != nil {
				return err
			}
			if size += len(signed); size <= compareDeletes {
				a.Deletes, deletes[proof] = append(a.Deletes, signed), true
			}
			continue
		}
		if _, ok := h.pace.ends(it.ExpiryHour, now); !ok {
			continue
		}
		if _, err := tx.Mail(id); errors.Is(err, chat.ErrNotFound) {
			a.Want = append(a.Want, it.Id)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// lackSleepers adds the keys of records that are newer than ours.
func (h *Host) lackSleepers(tx *store.GuestTx, a *wirev1.MailAnswer, list []*wirev1.MailSleeperDigest) error {
	for _, d := range list {
		if len(d.GetKey()) > maxSleeperKey || !h.nearby.Near(SleeperPlace(d.GetKey())).Self {
			continue
		}
		kept, err := tx.Sleeper(d.Key)
		if errors.Is(err, chat.ErrNotFound) || err == nil && kept.Seq < d.Seq {
			a.WantRecords = append(a.WantRecords, d.Key)
		} else if err != nil {
			return err
		}
	}
	return nil
}
