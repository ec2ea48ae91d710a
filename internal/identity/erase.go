package identity

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// collectTime is how long private halves whose time is over stay at least
	// when a device was away: senders call it then, and mail comes in.
	collectTime = time.Hour
	// collectPatience is how long they stay at most while no mail can be
	// collected: a node without a network must not keep old keys for ever.
	collectPatience = 24 * time.Hour
)

// Collected says that mail was collected since the start, if we collect at all:
// what no message needs any more may be erased.
func (k *Keys) Collected() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.collects = false
}

// Collects says that this device collects mail and has not done so yet.
func (k *Keys) Collects() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.collects = true
}

// eraseDue erases once the time to collect has passed and mail was collected.
func (k *Keys) eraseDue(ctx context.Context, db *store.DB, now time.Time) error {
	k.mu.Lock()
	at := k.erase
	if late := k.loaded.Add(collectPatience); k.collects && !at.IsZero() && late.After(at) {
		at = late
	}
	k.mu.Unlock()
	if at.IsZero() || at.After(now) && at.Sub(now) <= collectPatience { // or the clock was set back
		return nil
	}
	if err := db.Write(ctx, func(tx *store.Tx) error { return erase(tx, now) }); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.erase = time.Time{}
	return nil
}

// erase deletes private halves whose time is over, and the oldest above the
// caps.
func erase(tx *store.Tx, now time.Time) error {
	for _, of := range []struct {
		kind string
		most int
		life time.Duration // from the day they were made
	}{{kindPrekey, maxBundles, HandshakeLife}, {kindBox, maxBoxes, boxTurn + chat.PrekeyLife}} {
		all, err := tx.Secrets(of.kind)
		if err != nil {
			return fmt.Errorf("erasing old keys: %w", err)
		}
		type aged struct {
			key  string
			from time.Time
		}
		rows := make([]aged, len(all))
		for i, s := range all {
			var row struct {
				Format int
				From   int64
			}
			if err := readRow(s.Value, &row, &row.Format); err != nil {
				return fmt.Errorf("erasing old keys: %w", err)
			}
			rows[i] = aged{s.Key, time.Unix(row.From, 0)}
		}
		slices.SortFunc(rows, func(a, b aged) int { return a.from.Compare(b.from) })
		for i, row := range rows {
			if len(rows)-i <= of.most && row.from.Add(of.life).After(now) {
				break
			}
			if err := tx.DeleteSecret(of.kind, row.key); err != nil {
				return fmt.Errorf("erasing old keys: %w", err)
			}
		}
	}
	return nil
}
