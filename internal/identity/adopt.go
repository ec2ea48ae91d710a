package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// adoptTimeout bounds how long the first publication waits for the answer.
const adoptTimeout = 5 * time.Second

// adopt asks the DHT what it knows of our own account before we publish over
// it: after a restore from the phrase the account may have other devices. It
// reports whether the question was answered.
func (p *publisher) adopt(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	value, leave, err := p.lookUp(ctx, AccountRecordKey(p.keys.Account()), nil)
	defer leave()
	if err != nil {
		return errors.Is(err, chat.ErrNotFound)
	}
	now := time.Now()
	r, err := OpenAccountRecord(value, now)
	if err != nil || r.Manifest.Account != p.keys.Account() {
		return true
	}
	if err := p.keys.Adopt(ctx, p.db, r.Manifest, now); err != nil {
		p.log.Warn("our account's device list was not taken over", "cause", err)
	}
	return true
}

// Adopt takes over a manifest of our own account that somebody else signed: one
// of our other devices. If it does not list this device, the next one lists
// both. It fails with chat.ErrBlocked when this device was removed.
func (k *Keys) Adopt(ctx context.Context, db *store.DB, m *Manifest, now time.Time) error {
	own := k.Manifest()
	if m.Account != k.accountID || m.Hash == own.Hash {
		return nil
	}
	// A manifest below ours is an old copy, unless ours is the first one after
	// a restore, which did not know of it.
	restored := len(own.message.PrevHash) == 0
	if m.Seq < own.Seq && !restored {
		return nil
	}
	if slices.Contains(m.Revoked, k.deviceID) {
		return fmt.Errorf("adopting device list: %w: this device was removed from the account", chat.ErrBlocked)
	}
	next := m
	err := db.Write(ctx, func(tx *store.Tx) error {
		if m.Seq > own.Seq && m.Lists(k.deviceID) {
			return tx.PutPin(pinOf(m))
		}
		var err error
		next, err = k.writeManifest(tx, m, own.Seq, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("adopting device list: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.manifest = next
	return nil
}
