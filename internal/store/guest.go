package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

//go:embed guest/schema/*.sql
var guestFiles embed.FS

const (
	guestFile = "guest.db"
	guestLock = "guest.lock"
	// guestLog is what the log of the database may take of the bound: two
	// groups of commits of the largest envelopes.
	guestLog = 12 << 20
	// guestSpare pages stay free below the bound, so that the indexes of a
	// group never run into it.
	guestSpare = 64
	guestPage  = 4096
	// guestNets bounds the sums of networks, about 4 MB; the smallest go.
	guestNets = 65_536
	// guestVacuum pages go back to the disk at a time.
	guestVacuum = 256
)

var errUnreadable = errors.New("unreadable")

// GuestConfig is what a Guest is opened with.
type GuestConfig struct {
	Dir string
	Log *slog.Logger
	// MaxBytes bounds all files together; 0 is chat.HolderBytes. Lowered below
	// what is held, it refuses more and gives space back as mail expires.
	MaxBytes int64
	// Relaxed commits without waiting for the disk. For tests only.
	Relaxed bool
}

// Guest keeps what belongs to strangers, in a file of its own with a hard
// bound. It is safe for concurrent use.
type Guest struct {
	db    *DB
	epoch uint64
	pages int64 // of the database at most
	log   int64 // bytes of its log that are too many
}

// GuestTx is one transaction of a Guest, valid inside the function it was
// given to.
type GuestTx struct {
	c *conn
	g *Guest
}

// OpenGuest opens the file in cfg.Dir, or makes it. One that cannot be read
// any more is replaced by an empty one: other holders have what was in it. It
// fails with LockedError, NewerError or ErrKey.
func OpenGuest(cfg GuestConfig) (*Guest, error) {
	sub, err := fs.Sub(guestFiles, "guest")
	if err != nil {
		return nil, err
	}
	steps, err := loadSteps(sub)
	if err != nil {
		return nil, err
	}
	g, err := openGuest(cfg, steps)
	if errors.Is(err, errUnreadable) {
		if cfg.Log != nil {
			cfg.Log.Warn("strangers' mail cannot be read: starting empty", "cause", err)
		}
		for _, end := range []string{"", "-wal", "-shm"} {
			if rerr := os.Remove(filepath.Join(cfg.Dir, guestFile+end)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				return nil, fmt.Errorf("removing unreadable mail: %w", rerr)
			}
		}
		g, err = openGuest(cfg, steps)
	}
	if err != nil {
		return nil, fmt.Errorf("opening strangers' mail: %w", err)
	}
	return g, nil
}

func openGuest(cfg GuestConfig, steps []step) (_ *Guest, err error) {
	most := cfg.MaxBytes
	if most <= 0 {
		most = chat.HolderBytes
	}
	log := min(int64(guestLog), most/4)
	db := &DB{
		dir: cfg.Dir, path: filepath.Join(cfg.Dir, guestFile), vfs: productVFS, relaxed: cfg.Relaxed, log: cfg.Log,
		readers: readers{slots: make(chan struct{}, maxReaders), gone: make(chan struct{})},
		space:   space{off: true}, // the reserve of the store beside it is enough
	}
	if cfg.Relaxed {
		db.vfs = relaxedVFS
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if db.lock, err = os.OpenFile(filepath.Join(cfg.Dir, guestLock), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = db.lock.Close()
		}
	}()
	if err := lockExclusive(db.lock); errors.Is(err, errLocked) {
		return nil, &LockedError{}
	} else if err != nil {
		return nil, err
	}
	if err := trimLogFile(db.path + "-wal"); err != nil {
		return nil, err
	}
	exists, err := db.exists()
	if err != nil {
		return nil, err
	}
	key, err := loadKey(cfg.Dir, exists)
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	db.fileKey = key.guestFile()
	g := &Guest{db: db, pages: (most-log)/guestPage - guestSpare, log: log / 2}
	err = g.begin(exists, steps, most-log)
	if errors.Is(err, ErrKey) || errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) {
		err = fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return g, err
}

// begin checks the version before anything is written, and leaves the writing
// connection open.
func (g *Guest) begin(exists bool, steps []step, most int64) error {
	from := 0
	if exists {
		var err error
		if from, err = g.db.peek(len(steps)); err != nil {
			return err
		}
	} else if f, err := os.OpenFile(g.db.path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	} else if err := f.Close(); err != nil {
		return err
	}
	c, err := openConn(g.db.path, g.db.vfs, g.db.fileKey, writerCache, g.db.relaxed)
	if err != nil {
		return err
	}
	for _, sql := range []string{
		`PRAGMA auto_vacuum = INCREMENTAL`,
		`PRAGMA journal_mode = WAL`,
		fmt.Sprintf(`PRAGMA max_page_count = %d`, most/guestPage),
		fmt.Sprintf(`PRAGMA wal_autocheckpoint = %d`, max(g.log/2/guestPage, 1)),
		fmt.Sprintf(`PRAGMA journal_size_limit = %d`, g.log),
	} {
		if err == nil {
			err = c.db.Exec(sql)
		}
	}
	if err == nil {
		err = c.migrate(from, steps)
	}
	epoch := int64(0)
	if err == nil {
		epoch, err = c.number(0, `SELECT value FROM meta WHERE key = 'epoch'`)
	}
	if err == nil {
		err = syncDir(g.db.dir)
	}
	if err != nil {
		_ = c.close()
		return err
	}
	g.epoch, g.db.w.conn = uint64(epoch), c
	return nil
}

// Epoch names this file: cursors into another one mean nothing here.
func (g *Guest) Epoch() uint64 { return g.epoch }

// Close waits for running transactions.
func (g *Guest) Close() error { return g.db.Close() }

// Write runs fn in a transaction and returns after the commit has reached the
// disk; those that run at a time share it. See DB.Write.
func (g *Guest) Write(ctx context.Context, fn func(*GuestTx) error) error {
	if info, err := os.Stat(g.db.path + "-wal"); err == nil && info.Size() > g.log {
		// Somebody read while it could have been written back.
		if err := g.db.checkpoint(); err != nil {
			return err
		}
	}
	return g.db.Write(ctx, func(tx *Tx) error { return fn(&GuestTx{c: tx.c, g: g}) })
}

// Read runs fn on a snapshot.
func (g *Guest) Read(ctx context.Context, fn func(*GuestTx) error) error {
	return g.db.Read(ctx, func(tx *Tx) error { return fn(&GuestTx{c: tx.c, g: g}) })
}

// Tidy writes the log back into the file, and gives pages beyond the bound
// back to the disk.
func (g *Guest) Tidy(ctx context.Context) error {
	err := g.db.Write(ctx, func(tx *Tx) error {
		n, err := tx.c.number(0, `PRAGMA page_count`)
		if err != nil || n <= g.pages+guestSpare {
			return err
		}
		return tx.c.db.Exec(fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, guestVacuum))
	})
	if err != nil {
		return fmt.Errorf("tidying strangers' mail: %w", err)
	}
	return g.db.checkpoint()
}

// Room reports whether n more bytes fit under the bound; with grow false,
// whether they fit without a larger file.
func (tx *GuestTx) Room(n int, grow bool) (bool, error) {
	pages, err := tx.c.number(0, `PRAGMA page_count`)
	if err != nil {
		return false, err
	}
	free, err := tx.c.number(0, `PRAGMA freelist_count`)
	if err != nil {
		return false, err
	}
	need := int64(n+guestPage-1) / guestPage
	if !grow {
		return need+guestSpare <= free, nil
	}
	return pages-free+need <= tx.g.pages, nil
}

// Disk is what is free on the disk below the file, and its size.
func (g *Guest) Disk() (free, size uint64, err error) { return diskSpace(g.db.dir) }

// GuestCount is what a Guest keeps, in numbers.
type GuestCount struct {
	Boxes, Envelopes, Sleepers int
	Bytes                      int64 // of envelopes
}

// Count is what is kept.
func (tx *GuestTx) Count() (n GuestCount, err error) {
	err = tx.c.one(func(s *sqlite3.Stmt) error {
		n.Boxes, n.Envelopes, n.Bytes = s.ColumnInt(0), s.ColumnInt(1), s.ColumnInt64(2)
		return nil
	}, `SELECT count(*), total(contacts + strangers), total(contact_bytes + stranger_bytes) FROM boxes`)
	if err != nil {
		return n, err
	}
	sleepers, err := tx.c.number(0, `SELECT count(*) FROM sleepers`)
	n.Sleepers = int(sleepers)
	return n, err
}

// Charge adds n bytes to what a network left on a day, unless that would be
// over its limit.
func (tx *GuestTx) Charge(net string, day int64, n int, limit int64) (bool, error) {
	used, err := tx.c.number(0, `SELECT bytes FROM nets WHERE day = ? AND net = ?`, day, net)
	if err != nil || used+int64(n) > limit {
		return false, err
	}
	return true, tx.c.exec(`INSERT INTO nets (day, net, bytes) VALUES (?1, ?2, ?3)
	  ON CONFLICT (day, net) DO UPDATE SET bytes = bytes + ?3`, day, net, n)
}
