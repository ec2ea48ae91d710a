package mailbox

import (
	"bytes"
	"context"
	"errors"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/store"
)

const (
	// maxFresh bounds the records that wait for a look; a record that finds no
	// place comes with the next repair.
	maxFresh = 1024
	// maxSleepers bounds the records kept: as many as the DHT itself would.
	maxSleepers = chat.DHTRecords
	// maxSleeperKey: the longest namespace and id.
	maxSleeperKey = 128
)

// Keep takes note of a record that the DHT stored here. Run keeps the last one
// of every device and account in whose region we are. It never blocks, and
// verifies nothing yet.
func (h *Host) Keep(key string, record []byte) {
	if len(key) > maxSleeperKey || len(record) > chat.MaxRecord {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, waits := h.fresh[key]; !waits && len(h.fresh) >= maxFresh {
		return
	}
	h.fresh[key] = bytes.Clone(record)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// takeFresh keeps what Keep was told, in one commit.
func (h *Host) takeFresh(ctx context.Context, now time.Time) error {
	h.mu.Lock()
	fresh := h.fresh
	h.fresh = map[string][]byte{}
	h.mu.Unlock()
	var list []store.GuestSleeper
	for key, record := range fresh {
		if r, err := openSleeper(key, record, now); err == nil && h.nearby.Near(SleeperPlace(key)).Self {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return h.guest.Write(ctx, func(tx *store.GuestTx) error {
		for _, r := range list {
			if err := h.keepSleeper(tx, r, now); err != nil {
				return err
			}
		}
		return tx.TrimSleepers(maxSleepers)
	})
}

func openSleeper(key string, record []byte, now time.Time) (store.GuestSleeper, error) {
	l, err := identity.OpenLast(key, record, now)
	return store.GuestSleeper{Key: key, Issued: l.Issued, Seq: l.Seq, Record: record}, err
}

// keepSleeper keeps a verified record if it is newer than what is there and
// there is room.
func (h *Host) keepSleeper(tx *store.GuestTx, r store.GuestSleeper, now time.Time) error {
	if h.drop {
		return nil
	}
	kept, err := tx.Sleeper(r.Key)
	switch {
	case err == nil:
		if i, err := identity.SelectLast(r.Key, [][]byte{kept.Record, r.Record}); err != nil || i == 0 {
			return nil
		}
	case !errors.Is(err, chat.ErrNotFound):
		return err
	}
	if room, err := tx.Room(len(r.Record)+rowCost, !h.diskLow(now)); !room || err != nil {
		return err
	}
	return tx.PutSleeper(r)
}

// sleeper answers a question for a last record, or takes one from another
// holder.
func (h *Host) sleeper(ctx context.Context, net string, q *wirev1.MailSleeper, now time.Time) (*wirev1.MailAnswer, error) {
	if len(q.Key) > maxSleeperKey {
		return invalid(), nil
	}
	if len(q.Record) > 0 {
		return h.takeSleeper(ctx, net, q, now)
	}
	a := ok()
	err := h.guest.Read(ctx, func(tx *store.GuestTx) error {
		r, err := tx.Sleeper(q.Key)
		a.Record = r.Record
		return err
	})
	if errors.Is(err, chat.ErrNotFound) {
		return status(wirev1.Status_STATUS_NOT_FOUND), nil
	}
	return a, err
}

func (h *Host) takeSleeper(ctx context.Context, net string, q *wirev1.MailSleeper, now time.Time) (*wirev1.MailAnswer, error) {
	if !h.nearby.Near(SleeperPlace(q.Key)).Self {
		return status(wirev1.Status_STATUS_NOT_ACCEPTING), nil // before anything is verified
	}
	r, err := openSleeper(q.Key, q.Record, now)
	if errors.Is(err, chat.ErrTooLarge) {
		return status(wirev1.Status_STATUS_TOO_LARGE), nil
	}
	if err != nil {
		// Age hangs on our clock, so it is nobody's fault.
		return status(wirev1.Status_STATUS_NOT_ACCEPTING), nil
	}
	a := ok()
	err = h.guest.Write(ctx, func(tx *store.GuestTx) error {
		charged, err := tx.Charge(net, h.day(now), len(r.Record)+rowCost, chat.HolderPerNet)
		if err != nil || !charged {
			a = status(wirev1.Status_STATUS_QUOTA)
			return err
		}
		return h.keepSleeper(tx, r, now)
	})
	return a, err
}
