package dm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

const (
	// silentAttempts streams without one receipt look like a session that the
	// other side lost. A block looks the same, so that a fresh set-up on
	// suspicion is made once in silentEvery only.
	silentAttempts = 6
	silentEvery    = 24 * time.Hour

	kindRepair = "dm-repair" // secrets: device -> when it was last repaired
)

// repair replaces a session in which the device opens nothing: what waits is
// sealed again, in a newer session if there is one, else in a fresh one, at
// most hourly. The old session still receives. Message ids stay the same, so
// nothing is shown twice.
func (c *Courier) repair(ctx context.Context, w *worker, res result) result {
	stuck := result{reason: res.reason, until: res.until, progress: res.progress}
	if stuck.reason == "" {
		stuck.reason = waitUnreachable
	}
	if res.broken == nil {
		if res.broken = w.leading(ctx); res.broken == nil {
			return stuck
		}
	}
	every := chat.FreshSessionEvery
	if res.silent {
		every = silentEvery
	}
	plan, err := c.planRepair(ctx, w, res.broken, every)
	if err != nil {
		c.log.Warn("session not repaired", "device", w.device.Short(), "cause", err)
		return stuck
	}
	if plan.newer {
		return result{}
	}
	if plan.next.After(time.Now()) {
		if !res.silent {
			stuck.until = plan.next
		}
		return stuck
	}
	rec, reason := c.record(ctx, w.account, w.device, true)
	if reason != "" {
		stuck.reason = reason
		return stuck
	}
	if err := c.renew(ctx, w, rec); err != nil {
		c.log.Warn("session not repaired", "device", w.device.Short(), "cause", err)
		return stuck
	}
	c.log.Info("session made anew", "device", w.device.Short())
	return result{}
}

// plan is what to do about a broken session.
type plan struct {
	newer bool      // another session sends now, and rows were unsealed for it
	next  time.Time // a fresh set-up is allowed from then on
}

func (c *Courier) planRepair(ctx context.Context, w *worker, broken []byte, every time.Duration) (plan, error) {
	var p plan
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		list, err := w.sessions(tx)
		if err != nil {
			return err
		}
		if r := choose(list); r == nil || !bytes.Equal(r.row.ID, broken) {
			p.newer = true
			return tx.Unseal(w.device, broken)
		}
		last, err := tx.Secret(kindRepair, string(w.device))
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		if err == nil && len(last) == 8 {
			p.next = time.UnixMilli(int64(binary.BigEndian.Uint64(last))).Add(every)
		}
		return err
	})
	if err != nil {
		return plan{}, fmt.Errorf("reading sessions: %w", err)
	}
	return p, nil
}

// renew makes a fresh session and takes what waits out of the old ones.
func (c *Courier) renew(ctx context.Context, w *worker, rec *identity.DeviceRecord) error {
	return c.db.Write(ctx, func(tx *store.Tx) error {
		now := time.Now()
		list, err := w.sessions(tx)
		if err != nil {
			return err
		}
		for _, r := range list {
			if err := tx.Unseal(w.device, r.row.ID); err != nil {
				return err
			}
			if r.row.Ours && !r.row.Answered && len(r.about.sealing) > 0 {
				r.about.sealing = nil // an unanswered one could win by its id
				if err := r.save(tx); err != nil {
					return err
				}
			}
		}
		fresh, err := c.initiate(w.account, rec, list, now)
		if err != nil {
			return err
		}
		if _, err := addSession(tx, list, fresh); err != nil {
			return err
		}
		at := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
		return tx.PutSecret(kindRepair, string(w.device), at, now.Add(silentEvery))
	})
}
