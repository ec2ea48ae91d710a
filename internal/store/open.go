package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
	"parley/internal/live"
	"parley/internal/seal"
)

const dbFile = "parley.db"

// DB is one open store. It is safe for concurrent use.
type DB struct {
	// Set by Open, never changed.
	dir     string
	path    string
	vfs     string
	relaxed bool
	log     *slog.Logger
	lock    *os.File
	fileKey []byte
	rowKey  seal.RowKey
	epoch   uint64
	// numberEpoch is what our messages are numbered in.
	numberEpoch uint64

	w       writer
	readers readers
	closed  atomic.Bool
	names   names
	// messages and seen find rows by hash.
	messages, seen *ids
	indexes        []*ids // both; guest mail has none
	space          space
	head           live.Value[int64] // the bell: newest log number, set after commits that matter
}

// Open opens the store in cfg.Dir, or makes it, and brings its schema up to
// date. It fails with LockedError, NewerError, ErrKey, or chat.ErrStorageFull
// when a migration has no room; the store is then as it was.
func Open(cfg Config) (*DB, error) {
	steps, err := loadSteps(schemaFiles)
	if err != nil {
		return nil, err
	}
	return open(cfg, steps)
}

func open(cfg Config, steps []step) (_ *DB, err error) {
	db := &DB{
		dir: cfg.Dir, path: filepath.Join(cfg.Dir, dbFile), vfs: cfg.vfs, relaxed: cfg.Relaxed, log: cfg.Log,
		readers:  readers{slots: make(chan struct{}, maxReaders), gone: make(chan struct{})},
		messages: newIDs("messages", "id"), seen: newIDs("seen", "hash"),
	}
	db.indexes = []*ids{db.messages, db.seen}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	if db.vfs == "" && cfg.Relaxed {
		db.vfs = relaxedVFS
	} else if db.vfs == "" {
		db.vfs = productVFS
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	if db.lock, err = takeLock(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = db.lock.Close()
		}
	}()
	if err := os.Chmod(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("closing the data folder to others: %w", err)
	}
	if err := trimLogFile(db.path + "-wal"); err != nil {
		return nil, fmt.Errorf("mending the log of the database: %w", err)
	}
	exists, err := db.exists()
	if err != nil {
		return nil, err
	}
	key, err := loadKey(cfg.Dir, exists)
	if err != nil {
		return nil, err
	}
	db.fileKey, db.rowKey = key.file(), seal.DeriveRowKey(key)
	clear(key[:])
	db.space = space{path: filepath.Join(cfg.Dir, reserveFile), off: cfg.Relaxed || cfg.noReserve}
	if err := db.prepare(exists, steps); err != nil {
		return nil, db.space.explain(err)
	}
	db.space.check(db.log)
	return db, nil
}

// exists reports whether there is a database with anything in it.
func (db *DB) exists() (bool, error) {
	for _, path := range []string{db.path, db.path + "-wal"} {
		info, err := os.Stat(path)
		if err == nil && info.Size() > 0 {
			return true, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("looking for the database: %w", err)
		}
	}
	return false, nil
}

// prepare checks key and version before anything is written, then copies,
// migrates, and leaves the writing connection open.
func (db *DB) prepare(exists bool, steps []step) error {
	known := len(steps)
	from := 0
	if exists {
		var err error
		if from, err = db.peek(known); err != nil {
			return err
		}
	} else if f, err := os.OpenFile(db.path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("making the database: %w", err)
	} else if err := f.Close(); err != nil {
		return err
	}
	if from > 0 && from < known {
		if err := copyBefore(db.path, from); err != nil {
			return err
		}
	}
	c, err := openConn(db.path, db.vfs, db.fileKey, writerCache, db.relaxed)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if err := db.begin(c, from, steps); err != nil {
		_ = c.close()
		return err
	}
	db.w.conn = c
	return nil
}

func (db *DB) begin(c *conn, from int, steps []step) error {
	if err := c.db.Exec(`PRAGMA journal_mode = WAL`); err != nil {
		if diskFull(err) {
			err = fmt.Errorf("%w: %w", chat.ErrStorageFull, err)
		}
		return fmt.Errorf("choosing the journal: %w", err)
	}
	if err := c.migrate(from, steps); err != nil {
		return err
	}
	epoch, err := c.number(0, `SELECT value FROM meta WHERE key = 'epoch'`)
	if err != nil {
		return fmt.Errorf("reading the epoch: %w", err)
	}
	db.epoch = uint64(epoch)
	numbers, err := c.number(0, `SELECT value FROM meta WHERE key = 'number_epoch'`)
	if err != nil {
		return fmt.Errorf("reading the numbering epoch: %w", err)
	}
	db.numberEpoch = uint64(numbers)
	if db.w.clock, err = c.readClock(); err != nil {
		return err
	}
	for _, x := range db.indexes {
		if err := x.load(c); err != nil {
			return fmt.Errorf("reading the newest ids: %w", err)
		}
	}
	head, err := c.number(0, `SELECT max(seq) FROM log`)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	db.head.Set(head)
	return syncDir(db.dir)
}

// peek reads the schema number and closes again without a trace. A database
// that will be migrated is checkpointed, so that its one file is all of it.
func (db *DB) peek(known int) (int, error) {
	c, err := openConn(db.path, db.vfs, db.fileKey, readerCache, db.relaxed)
	if err != nil {
		return 0, fmt.Errorf("opening the database: %w", err)
	}
	if _, err := c.db.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
		_ = c.close()
		return 0, err
	}
	version, err := c.version()
	switch {
	case err != nil:
	case version > known:
		err = &NewerError{Found: version, Known: known}
	case version > 0 && version < known:
		_, _, err = c.db.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	}
	if cerr := c.close(); err == nil {
		err = cerr
	}
	return version, err
}

// Close waits for running transactions, writes the log of the database back
// into it and frees the folder. Later calls fail with an error.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return errClosed
	}
	db.readers.close()
	db.w.acquire()
	err := db.w.conn.close()
	clear(db.fileKey)
	if lerr := db.lock.Close(); err == nil {
		err = lerr
	}
	if err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Epoch names this store: another one, or a recreated one, has another.
func (db *DB) Epoch() uint64 { return db.epoch }

// Health is the state of the disk.
func (db *DB) Health() *live.Value[Health] { return &db.space.health }

var errClosed = errors.New("the store is closed")
