package dm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// trimEvery is how long a key that nobody uses may outlive its 17 days.
	trimEvery = 24 * time.Hour
	// trimGroup sessions are looked at a minute, 5 ms of work: more than there
	// can be are through in trimEvery.
	trimGroup = 64
)

// rest is how far the upkeep of sessions at rest has come. Run owns it.
type rest struct {
	after []byte    // the last session of this pass that was looked at
	next  time.Time // when the next pass begins
}

// trimSessions erases skipped keys of sessions in which nothing comes any more:
// one group of sessions, or nothing between two passes.
func (c *Courier) trimSessions(ctx context.Context, r *rest, now time.Time) error {
	if r.after == nil && now.Before(r.next) {
		return nil
	}
	var rows []store.SessionRow
	var old [][]byte // sessions with such keys
	err := c.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		rows, err = tx.SessionsAfter(r.after, trimGroup)
		return err
	})
	for _, row := range rows {
		if s, serr := readRatchet(row); serr != nil {
			err = errors.Join(err, serr)
		} else if s.state.Expire(now) != s.state {
			old = append(old, row.ID)
		}
	}
	if len(old) > 0 {
		err = errors.Join(err, c.db.Write(ctx, func(tx *store.Tx) error { return trim(tx, old, now) }))
	}
	if r.after = nil; len(rows) == trimGroup {
		r.after = rows[len(rows)-1].ID
	} else {
		r.next = now.Add(trimEvery)
	}
	if err != nil {
		return fmt.Errorf("reading sessions at rest: %w", err)
	}
	return nil
}

// trim saves sessions without their old keys.
func trim(tx *store.Tx, ids [][]byte, now time.Time) error {
	for _, id := range ids {
		row, err := tx.SessionByID(id)
		if errors.Is(err, chat.ErrNotFound) {
			continue // dropped since
		}
		if err != nil {
			return err
		}
		r, err := readRatchet(row)
		if err != nil {
			return err
		}
		r.state = r.state.Expire(now)
		if err := r.save(tx); err != nil {
			return err
		}
	}
	return nil
}
