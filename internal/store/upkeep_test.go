package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
)

// TestRun: what is stored can be found a moment later, what expires goes, and
// Run returns when it is told to.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(Config{Dir: dir, Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := db.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
		synctest.Wait()
		hash := [32]byte{1}
		write(t, db, func(tx *Tx) error {
			if err := tx.PutSecret("k", "k", []byte("v"), time.Now().Add(time.Second)); err != nil {
				return err
			}
			return tx.MarkSeen(hash, nil, time.Now().Add(time.Second))
		})
		for i := range 3 {
			add(t, db, text(ana, uint64(i+1), fmt.Sprint("walrus ", i)))
		}
		time.Sleep(2 * indexDelay)
		synctest.Wait()
		read(t, db, func(tx *Tx) error {
			hits, err := tx.Search("walrus", "", 10)
			if len(hits) != 3 {
				t.Errorf("%d hits", len(hits))
			}
			return err
		})
		time.Sleep(sweepEvery + time.Second)
		synctest.Wait()
		read(t, db, func(tx *Tx) error {
			n, err := tx.c.number(-1, `SELECT (SELECT count(*) FROM secrets) + (SELECT count(*) FROM seen)`)
			if n != 0 {
				t.Errorf("%d expired rows are left", n)
			}
			return err
		})
		cancel()
		wg.Wait()
		if err := db.Run(ctx); err != nil {
			t.Errorf("run after its end: %v", err)
		}
	})
}

// TestCheckpointBesideWriters: upkeep takes the connection for itself while
// groups form around it.
func TestCheckpointBesideWriters(t *testing.T) {
	db, err := Open(Config{Dir: t.TempDir(), noReserve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const writers, each = 8, 30
	var acked []*chat.Message
	for n := range writers * each {
		acked = append(acked, text(ana, uint64(n+1), fmt.Sprint("m", n)))
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				add(t, db, acked[w*each+i])
			}
		})
	}
	wg.Go(func() {
		for range each {
			if err := db.checkpoint(); err != nil {
				t.Error(err)
			}
			if err := db.index(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	require(t, db, acked)
}
