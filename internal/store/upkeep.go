package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

const (
	// indexDelay gathers what a conversation brings into one index group; a
	// search finds a message this much later at most.
	indexDelay = 500 * time.Millisecond
	// sweepEvery and sweepRows: expiry in small steps, so that no write waits
	// long behind one.
	sweepEvery = time.Minute
	sweepRows  = 2000
)

// Run does the upkeep: full text, expiry, and writing the log of the database
// back. It returns when ctx ends, or on a fault the store cannot mend.
func (db *DB) Run(ctx context.Context) error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	reached := int64(-1) // row of the index at the last sweep
	for {
		bell := db.Bell()
		if err := db.upkeep(db.index(ctx)); err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-bell:
			if !pause(ctx, indexDelay) {
				return nil
			}
		case now := <-sweep.C:
			err := db.sweep(ctx, now)
			if err == nil {
				reached, err = db.tidy(ctx, reached)
			}
			if err := db.upkeep(err); err != nil {
				return err
			}
		}
	}
}

// upkeep decides on a fault of the upkeep: a full disk and the end of ctx pass.
func (db *DB) upkeep(err error) error {
	if errors.Is(err, chat.ErrStorageFull) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// sweep removes what has expired at now, a bounded number of rows each time.
func (db *DB) sweep(ctx context.Context, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error { return tx.expire(now) })
	if err == nil {
		err = db.dropCopies(now)
	}
	if err == nil {
		err = db.checkpoint()
	}
	return err
}

// tidy merges the full text if nothing was added since the last sweep.
func (db *DB) tidy(ctx context.Context, reached int64) (int64, error) {
	worth, done, err := db.unmerged(ctx)
	if err == nil && worth && done == reached {
		err = db.merge(ctx)
	}
	return done, err
}

// expire runs once a minute over tables that are short or indexed by what it
// asks for; seen and requests are read from their oldest end.
func (tx *Tx) expire(now time.Time) error {
	statements := []struct {
		sql  string
		args []any
	}{
		{
			`DELETE FROM requests WHERE row IN (SELECT row FROM requests ORDER BY row LIMIT ?2) AND at <= ?1`,
			[]any{now.Add(-chat.RequestIDLife), sweepRows},
		},
		{
			`DELETE FROM records WHERE row IN (SELECT row FROM records ORDER BY row LIMIT ?2) AND fetched <= ?1`,
			[]any{now.Add(-chat.RecordCache), sweepRows},
		},
		{`DELETE FROM secrets WHERE expires > 0 AND expires <= ?`, []any{now}},
		{`DELETE FROM unopened WHERE until <= ?`, []any{now}},
		{`DELETE FROM pins WHERE row <= (SELECT max(row) FROM pins) - ? AND account NOT IN (SELECT account FROM contacts) AND account NOT IN (SELECT account FROM blocks)`, []any{maxPins}},
	}
	for _, s := range statements {
		if err := tx.c.exec(s.sql, s.args...); err != nil {
			return err
		}
	}
	if err := tx.expireSeen(now, sweepRows); err != nil {
		return err
	}
	return tx.trimLog(sweepRows)
}

// checkpoint writes the log of the database back and empties it: free pages
// in it would keep old keys and deleted texts.
func (db *DB) checkpoint() error {
	db.w.acquire()
	defer db.w.release()
	if db.closed.Load() {
		return nil
	}
	_, _, err := db.w.conn.db.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	switch {
	case err == nil, errors.Is(err, sqlite3.BUSY): // a reader holds an old snapshot: next time
		return nil
	case errors.Is(err, sqlite3.IOERR), diskFull(err):
		db.log.Warn("the log of the database could not be written back", "error", err)
		return nil // commits do not depend on it; they find the disk full themselves
	default:
		return fmt.Errorf("writing back the log of the database: %w", err)
	}
}
