package dm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

// seal gives every row its ciphertext, in one transaction with the session
// that made it. Without a session it makes one from rec; without rec it
// answers waitNoBundle.
func (w *worker) seal(ctx context.Context, rows []store.OutboxRow, rec *identity.DeviceRecord) (sealed []store.OutboxRow, reason string, err error) {
	w.mu.Lock()
	reached := make(map[string]uint64, len(w.reached))
	for id, n := range w.reached {
		reached[id] = n
	}
	w.mu.Unlock()
	err = w.c.db.Write(ctx, func(tx *store.Tx) error {
		sealed, reason = nil, ""
		list, err := w.sessions(tx)
		if err != nil {
			return err
		}
		now := time.Now()
		r := choose(list)
		if r == nil && rec != nil {
			if r, err = w.c.initiate(w.account, rec, list, now); err != nil {
				w.c.log.Debug("no session", "device", w.device.Short(), "cause", err)
				r = nil
			} else if _, err = addSession(tx, list, r); err != nil {
				return err
			}
		}
		if r != nil {
			r.state = r.state.Receipted(reached[string(r.row.ID)])
		}
		if sealed, reason, err = w.c.sealRows(tx, r, rows, now); err != nil || r == nil {
			return err
		}
		return r.save(tx)
	})
	if err != nil {
		return nil, "", err
	}
	return sealed, reason, nil
}

// sealRows seals in order and stops at the first row that cannot be.
func (c *Courier) sealRows(tx *store.Tx, r *ratchet, rows []store.OutboxRow, now time.Time) (sealed []store.OutboxRow, reason string, err error) {
	for _, row := range rows {
		if row.Blob != nil {
			sealed = append(sealed, row)
			continue
		}
		if r == nil {
			return sealed, waitNoBundle, nil
		}
		if r.state.Lead() >= chat.SenderLead {
			return sealed, waitSenderLead, nil
		}
		number, blob, err := c.seal(r, now, row.Content)
		if err != nil {
			return nil, "", err
		}
		row.Session, row.Blob = r.row.ID, withNumber(number, blob)
		switch err := tx.SaveSealed(row.ID, row.Session, row.Blob); {
		case errors.Is(err, chat.ErrNotFound): // ended meanwhile
		case err != nil:
			return nil, "", err
		default:
			sealed = append(sealed, row)
		}
	}
	return sealed, "", nil
}

// sessions are those with the worker's account: a device that changed hands
// has others.
func (w *worker) sessions(tx *store.Tx) ([]*ratchet, error) {
	list, err := sessionsOf(tx, w.device)
	return slices.DeleteFunc(list, func(r *ratchet) bool { return r.about.account != w.account }), err
}

// leading is the session whose receipts we wait for, as one to be made anew.
func (w *worker) leading(ctx context.Context) (id []byte) {
	err := w.c.db.Read(ctx, func(tx *store.Tx) error {
		list, err := w.sessions(tx)
		if r := choose(list); r != nil {
			id = r.row.ID
		}
		return err
	})
	if err != nil {
		return nil
	}
	return id
}

// record finds the verified record of a device that its account lists, with a
// bundle that a session can be made from. Otherwise it says why not.
func (c *Courier) record(ctx context.Context, a chat.AccountID, d chat.DeviceID, fresh bool) (*identity.DeviceRecord, string) {
	look := c.directory.Device
	if fresh {
		look = c.directory.Refresh
	}
	var rec *identity.DeviceRecord
	var err error
	var other sync.WaitGroup
	other.Go(func() { rec, err = look(ctx, d) })
	m, merr := c.directory.Account(ctx, a)
	other.Wait()
	if merr != nil {
		c.log.Debug("devices not found", "account", a.Short(), "cause", merr)
		return nil, lookUpReason(merr)
	}
	if err == nil && !fresh && !hasBundle(rec) {
		rec, err = c.directory.Refresh(ctx, d)
	}
	switch {
	case err != nil:
		c.log.Debug("device not found", "device", d.Short(), "cause", err)
		return nil, waitNoRecord
	case !m.Usable(rec):
		return nil, waitDevicesChanged
	case !hasBundle(rec):
		return nil, waitNoBundle
	}
	return rec, ""
}

func hasBundle(rec *identity.DeviceRecord) bool {
	return len(rec.Bundle.Bytes) > 0 && rec.BundleUntil.After(time.Now()) && len(rec.SealingKey) > 0
}

// listed reports whether the pinned manifest of an account lists a device.
// Without a pin, or with one whose time is over, nothing speaks against it.
func (c *Courier) listed(tx *store.Tx, a chat.AccountID, d chat.DeviceID) (bool, error) {
	pin, err := tx.Pin(a)
	if err != nil {
		return true, notFoundIsNil(err)
	}
	if slices.Contains(pin.Devices, d) {
		return true, nil
	}
	m, err := identity.OpenManifest(pin.Manifest, time.Now())
	if err != nil {
		return true, nil //nolint:nilerr // over: a look-up will tell
	}
	return m.Lists(d), nil
}
