package store

import (
	"context"
	"fmt"
	"sync"
)

// maxReaders bounds snapshots open at a time; further readers wait. Each
// connection holds its own cache and statements, about 3 MiB.
const maxReaders = 4

// readers are the reading connections. The one used last is used next: its
// cache is warm, and most nodes never open a second.
type readers struct {
	slots chan struct{} // one entry for each reader at work
	gone  chan struct{} // closed by close

	mu   sync.Mutex
	idle []*conn
}

func (r *readers) take(ctx context.Context, open func() (*conn, error)) (*conn, error) {
	select {
	case r.slots <- struct{}{}:
	case <-r.gone:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := r.pop(); c != nil {
		return c, nil
	}
	c, err := open()
	if err != nil {
		<-r.slots
	}
	return c, err
}

func (r *readers) pop() *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.idle)
	if n == 0 {
		return nil
	}
	c := r.idle[n-1]
	r.idle = r.idle[:n-1]
	return c
}

func (r *readers) put(c *conn) {
	r.mu.Lock()
	r.idle = append(r.idle, c)
	r.mu.Unlock()
	<-r.slots
}

// close waits for those at work and turns away those who wait.
func (r *readers) close() {
	close(r.gone)
	for range maxReaders {
		r.slots <- struct{}{}
	}
	for _, c := range r.idle {
		_ = c.close() // a reader has nothing to lose
	}
}

// Read runs fn on a snapshot of the store. Methods that write fail in it.
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if db.closed.Load() {
		return errClosed
	}
	c, err := db.readers.take(ctx, db.openReader)
	if err != nil {
		return err
	}
	defer db.readers.put(c)
	if err := c.exec(`BEGIN`); err != nil {
		return fmt.Errorf("beginning a snapshot: %w", err)
	}
	old := c.db.SetInterrupt(ctx)
	defer func() {
		c.db.SetInterrupt(old)
		if eerr := c.exec(`COMMIT`); eerr != nil && err == nil {
			err = fmt.Errorf("ending a snapshot: %w", eerr)
		}
		if ctx.Err() != nil && err != nil {
			err = ctx.Err() // not the driver's word for it
		}
	}()
	return fn(&Tx{db: db, c: c})
}

func (db *DB) openReader() (*conn, error) {
	c, err := openConn(db.path, db.vfs, db.fileKey, readerCache, db.relaxed)
	if err == nil {
		if err = c.exec(`PRAGMA query_only = ON`); err != nil {
			_ = c.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening a reader: %w", err)
	}
	return c, nil
}
