package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
)

var errReadOnly = errors.New("writing inside Read")

// Tx is one transaction. It is valid inside the function it was given to, in
// that goroutine.
type Tx struct {
	db    *DB
	c     *conn
	write bool

	ring  bool       // the commit must ring the bell
	seq   int64      // newest log row appended here
	fresh freshNames // interned here; shared once committed
	proof proof      // the last one kept here
	added []added    // ids remembered here, forgotten in a rollback
	clock clock      // as it is while writing
}

// writer is the one writing connection. Whoever finds it idle leads: opens a
// transaction, runs its own function and those that arrive meanwhile, commits
// for all, and hands over to the next who waits.
type writer struct {
	// Owned by the leader.
	conn  *conn
	clock clock

	mu      sync.Mutex
	leading bool
	queue   []*request
}

// request is one call of Write.
type request struct {
	fn    func(*Tx) error // nil: wants the connection for itself
	tx    *Tx
	err   error
	panic any           // what fn panicked with; raised again in its own goroutine
	lead  bool          // woken to lead, not because it is finished
	woken chan struct{} // capacity 1
}

// Write runs fn in a transaction and returns after the commit has reached the
// disk. An error of fn rolls back only what fn did. fn runs once at most; it
// must not wait for anything but tx, since others may share its transaction.
// It fails with ctx's error if that ends before fn begins, and with
// chat.ErrStorageFull on a full disk.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if db.closed.Load() {
		return errClosed
	}
	r := &request{fn: fn, woken: make(chan struct{}, 1)}
	if !db.w.join(r) {
		select {
		case <-r.woken:
		case <-ctx.Done():
			if db.w.withdraw(r) {
				return ctx.Err()
			}
			<-r.woken
		}
		if !r.lead {
			return r.result()
		}
	}
	db.lead(r)
	return r.result()
}

// join reports whether r leads; otherwise it waits in the queue.
func (w *writer) join(r *request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leading {
		w.queue = append(w.queue, r)
		return false
	}
	w.leading = true
	return true
}

// withdraw takes r out of the queue, and is false if its turn has begun.
func (w *writer) withdraw(r *request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.queue, r)
	if i < 0 {
		return false
	}
	w.queue = slices.Delete(w.queue, i, i+1)
	return true
}

// next is who joins the running group. One that wants the connection for
// itself does not, and nobody overtakes it.
func (w *writer) next() *request {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 || w.queue[0].fn == nil {
		return nil
	}
	r := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	return r
}

// release ends a leadership: the first who waits leads next.
func (w *writer) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.leading = false
		return
	}
	r := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	r.lead = true
	r.woken <- struct{}{}
}

// acquire makes the caller the leader, alone, for Close and checkpoints.
func (w *writer) acquire() {
	r := &request{woken: make(chan struct{}, 1)}
	if !w.join(r) {
		<-r.woken
	}
}

func (r *request) result() error {
	if r.panic != nil {
		panic(r.panic)
	}
	return r.err
}

// lead runs one group, first to last. Its deferred part also cleans up after
// a function that ends the goroutine, such as a failing test.
func (db *DB) lead(first *request) {
	group := append(make([]*request, 0, 8), first)
	committed := false
	defer func() {
		if !committed {
			db.abandon(group)
		}
		for _, r := range group[1:] {
			r.woken <- struct{}{}
		}
		db.w.release()
	}()
	if db.closed.Load() {
		first.err, committed = errClosed, true
		return
	}
	if first.err = db.space.gate(db.log); first.err != nil {
		committed = true
		return
	}
	if first.err = db.w.conn.exec(`BEGIN IMMEDIATE`); first.err != nil {
		first.err = db.space.failed(db.log, fmt.Errorf("beginning a transaction: %w", first.err))
		committed = true
		return
	}
	begun := time.Now()
	for i := 0; i < len(group); i++ {
		if err := db.run(group[i], i == 0); err != nil { // the transaction is gone
			committed = true
			undoAll(group)
			db.w.clock.now = db.w.clock.saved
			failAll(group, db.space.failed(db.log, err))
			return
		}
		if i+1 == len(group) && i+1 < chat.GroupCommitSize && time.Since(begun) < chat.GroupCommitDelay {
			if r := db.w.next(); r != nil {
				group = append(group, r)
			}
		}
	}
	db.commit(group)
	committed = true
}

// run runs one function between savepoints. The first of a group needs none:
// if it fails, the group goes on in a new transaction, and mostly it is alone.
// An error means that the whole transaction is lost; the function's own error is
// in the request.
func (db *DB) run(r *request, first bool) error {
	c := db.w.conn
	if !first {
		if err := c.exec(`SAVEPOINT fn`); err != nil {
			return err
		}
	}
	r.tx = &Tx{db: db, c: c, write: true, clock: db.w.clock}
	func() {
		defer func() {
			if v := recover(); v != nil {
				r.panic, r.err = v, fmt.Errorf("panic in a transaction: %v", v)
			}
		}()
		r.err = r.fn(r.tx)
	}()
	if c.db.GetAutocommit() { // SQLite rolled back by itself
		if r.err == nil {
			r.err = errors.New("the transaction was rolled back")
		}
		return r.err
	}
	if r.err == nil {
		db.w.clock = r.tx.clock
		if first {
			return nil
		}
		return c.exec(`RELEASE fn`)
	}
	undo(r.tx.added)
	r.tx = nil
	r.err = db.space.failed(db.log, r.err)
	back, on := `ROLLBACK TO fn`, `RELEASE fn`
	if first {
		back, on = `ROLLBACK`, `BEGIN IMMEDIATE`
	}
	if err := c.exec(back); err != nil {
		return err
	}
	return c.exec(on)
}

// commit makes the group durable, then shares what it learned and rings.
func (db *DB) commit(group []*request) {
	if !slices.ContainsFunc(group, func(r *request) bool { return r.err == nil }) {
		db.abandon(group)
		return
	}
	filed, err := db.file()
	if err == nil {
		err = db.w.conn.saveClock(db.w.clock)
	}
	if err == nil {
		err = db.w.conn.exec(`COMMIT`)
	}
	if err != nil {
		failAll(group, db.space.failed(db.log, fmt.Errorf("committing: %w", err)))
		db.abandon(group)
		return
	}
	db.w.clock.saved = db.w.clock.now
	for _, done := range filed {
		done()
	}
	ring, seq := false, db.head.Load()
	for _, r := range group {
		if r.err == nil {
			db.names.share(r.tx.fresh)
			ring, seq = ring || r.tx.ring, max(seq, r.tx.seq)
		}
	}
	if ring {
		db.head.Set(seq)
	}
}

// abandon rolls an open transaction back and makes sure nobody in the group
// believes in it.
func (db *DB) abandon(group []*request) {
	if !db.w.conn.db.GetAutocommit() {
		if err := db.w.conn.exec(`ROLLBACK`); err != nil {
			db.log.Error("rolling back", "error", err)
		}
	}
	undoAll(group)
	db.w.clock.now = db.w.clock.saved
	failAll(group, errors.New("the transaction was abandoned"))
}

// undoAll forgets what the functions of a rolled-back group added.
func undoAll(group []*request) {
	for i := len(group) - 1; i >= 0; i-- {
		if group[i].tx != nil {
			undo(group[i].tx.added)
			group[i].tx.added = nil
		}
	}
}

func failAll(group []*request, err error) {
	for _, r := range group {
		if r.err == nil {
			r.err = err
		}
	}
}

// Bell is closed after the next commit that appended a log row or touched the
// outbox. Take it before reading: what is committed in between then rings.
func (db *DB) Bell() <-chan struct{} {
	_, bell := db.head.Watch()
	return bell
}
