package store

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// fileAfter is how many rows wait to be filed: enough that many of them land on
// one page of the index, few enough to be read again at the start and to be
// filed within a commit.
const fileAfter = 4096

// ids finds rows by hash. A hash lands anywhere in its index, so that a group
// of 64 new ones would rewrite 64 pages. The newest rows are therefore only
// remembered, and filed in the index in large groups; at the start they are
// read from the table.
type ids struct {
	// Set by newIDs, never changed.
	find   string // a hash's row in the index
	check  string // whether a row has a hash
	unread string // what is not filed
	scan   string // a hash's row in what a snapshot has not filed
	filed  string // up to which row the index is complete
	file   string // files up to a row
	mark   string // notes up to which

	mu sync.RWMutex
	// Guarded by mu; written by the leader only.
	rows map[[32]byte]int64 // row of what is not filed, committed or about to be
	base int64              // up to here all rows are filed
	last int64              // the highest row ever
}

func newIDs(table, column string) *ids {
	index := "message_ids"
	if table == "seen" {
		index = "seen_ids"
	}
	filed := `SELECT value FROM meta WHERE key = 'filed ` + table + `'`
	return &ids{
		find: `SELECT i.row FROM ` + index + ` i JOIN ` + table + ` t ON t.row = i.row
			WHERE i.hash = ? AND t.` + column + ` = ? ORDER BY i.row DESC LIMIT 1`,
		check:  `SELECT row FROM ` + table + ` WHERE row = ? AND ` + column + ` = ?`,
		unread: `SELECT row, ` + column + ` FROM ` + table + ` WHERE row > ? ORDER BY row`,
		scan:   `SELECT row FROM ` + table + ` WHERE row > ? AND ` + column + ` = ? ORDER BY row DESC LIMIT 1`,
		filed:  filed,
		file: `INSERT INTO ` + index + ` SELECT substr(` + column + `, 1, 8), row FROM ` + table + `
			WHERE row > ? AND row <= ? ORDER BY 1, 2`,
		mark: `UPDATE meta SET value = ? WHERE key = 'filed ` + table + `'`,
		rows: make(map[[32]byte]int64),
	}
}

// load reads what is not filed.
func (x *ids) load(c *conn) (err error) {
	if x.base, err = c.number(0, x.filed); err != nil {
		return err
	}
	x.last = x.base
	return c.query(func(s *sqlite3.Stmt) error {
		x.last = s.ColumnInt64(0)
		x.rows[[32]byte(s.ColumnRawBlob(1))] = x.last
		return nil
	}, x.unread, x.base)
}

// known is the row of a hash that was not filed when base was so, else 0.
func (x *ids) known(hash [32]byte) (row, base int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.rows[hash], x.base
}

// added is a hash that a transaction added, and what it stood for before.
type added struct {
	x    *ids
	hash [32]byte
	old  int64
}

// add remembers a row that is being inserted. It is seen before its commit:
// readers check in their snapshot.
func (x *ids) add(tx *Tx, hash [32]byte, row int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	tx.added = append(tx.added, added{x, hash, x.rows[hash]})
	x.rows[hash] = row
	x.last = max(x.last, row)
}

// undo forgets what a transaction added that was rolled back.
func undo(list []added) {
	for i := len(list) - 1; i >= 0; i-- {
		a := list[i]
		a.x.mu.Lock()
		if a.old == 0 {
			delete(a.x.rows, a.hash)
		} else {
			a.x.rows[a.hash] = a.old
		}
		a.x.mu.Unlock()
	}
}

// row is where a hash is stored, 0 if it is not. The writer sees everything, and
// what is known is so. A reader looks into its snapshot, which may be older.
func (x *ids) row(tx *Tx, hash [32]byte) (int64, error) {
	row, _ := x.known(hash)
	if row != 0 && !tx.write {
		var err error
		if row, err = tx.c.number(0, x.check, row, hash[:]); err != nil {
			return 0, err
		}
	}
	if row != 0 {
		return row, nil
	}
	row, err := tx.c.number(0, x.find, hash[:8], hash[:])
	if err != nil || row != 0 || tx.write {
		return row, err
	}
	// The snapshot has begun by now: what it has beside the index is known,
	// unless it was filed since.
	row, base := x.known(hash)
	if row != 0 {
		return tx.c.number(0, x.check, row, hash[:])
	}
	filed, err := tx.c.number(0, x.filed)
	if err != nil || filed >= base {
		return 0, err
	}
	return tx.c.number(0, x.scan, filed, hash[:])
}

// next is a row number that no row ever had, and no filed one will have.
func (x *ids) next() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.last + 1
}

// waiting is how many rows are not filed, and between which they lie.
func (x *ids) waiting() (n int, base, last int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if n, base, last = len(x.rows), x.base, x.base; n < fileAfter {
		return n, base, last
	}
	for _, row := range x.rows {
		last = max(last, row)
	}
	return n, base, last
}

// fileRows files what waits, if it is much, in the open transaction. filed is to
// be called after its commit.
func (x *ids) fileRows(c *conn) (filed func(), err error) {
	n, base, last := x.waiting()
	if n < fileAfter {
		return nil, nil
	}
	if err = c.exec(x.file, base, last); err == nil {
		err = c.exec(x.mark, last)
	}
	if err != nil {
		return nil, fmt.Errorf("filing ids: %w", err)
	}
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		clear(x.rows)
		x.base = last
	}, nil
}

// file files what waits for the indexes.
func (db *DB) file() (filed []func(), err error) {
	for _, x := range db.indexes {
		one, err := x.fileRows(db.w.conn)
		if err != nil {
			return nil, err
		}
		if one != nil {
			filed = append(filed, one)
		}
	}
	return filed, nil
}

// row is where a message is stored, 0 if it is not.
func (tx *Tx) row(id chat.MessageID) (int64, error) {
	n, err := tx.db.messages.row(tx, id)
	if err != nil {
		return 0, fmt.Errorf("looking for a message: %w", err)
	}
	return n, nil
}

// mustRow is row, or chat.ErrNotFound.
func (tx *Tx) mustRow(id chat.MessageID) (int64, error) {
	n, err := tx.row(id)
	if err == nil && n == 0 {
		err = chat.ErrNotFound
	}
	return n, err
}

// Seen is the value kept with a hash, and whether it is there. Expired ones
// are not.
func (tx *Tx) Seen(hash [32]byte) (value []byte, ok bool, err error) {
	row, err := tx.db.seen.row(tx, hash)
	if err == nil && row != 0 {
		err = tx.c.one(func(s *sqlite3.Stmt) error {
			ok, value = true, columnBlob(s, 0)
			return nil
		}, `SELECT value FROM seen WHERE row = ? AND hash = ? AND until > ?`, row, hash[:], time.Now())
	}
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return nil, false, fmt.Errorf("reading seen: %w", err)
	}
	return value, ok, nil
}

// MarkSeen keeps a hash and a value until a time; a hash again, the newest.
func (tx *Tx) MarkSeen(hash [32]byte, value []byte, until time.Time) error {
	if !tx.write {
		return errReadOnly
	}
	old, err := tx.db.seen.row(tx, hash)
	if err == nil && old != 0 {
		err = tx.dropSeen(`row = ?`, old)
	}
	row := tx.db.seen.next()
	if err == nil {
		err = tx.c.exec(`INSERT INTO seen (row, hash, value, until) VALUES (?, ?, ?, ?)`, row, hash[:], value, until)
	}
	if err == nil && row%trimEvery == 0 {
		err = tx.dropSeen(`row <= ?`, row-maxSeen)
	}
	if err != nil {
		return fmt.Errorf("keeping a row: %w", err)
	}
	tx.db.seen.add(tx, hash, row)
	return nil
}

// trimEvery is by how many rows seen may be longer than maxSeen.
const trimEvery = 1024

// dropSeen removes rows and where the index has them.
func (tx *Tx) dropSeen(where string, arg any) error {
	err := tx.c.exec(`DELETE FROM seen_ids WHERE (hash, row) IN (SELECT substr(hash, 1, 8), row FROM seen WHERE `+where+`)`, arg)
	if err != nil {
		return err
	}
	return tx.c.exec(`DELETE FROM seen WHERE `+where, arg)
}

// expireSeen removes what has expired, read from the oldest end.
func (tx *Tx) expireSeen(now time.Time, limit int) error {
	end, err := tx.c.number(0, `SELECT max(row) FROM (SELECT row FROM seen ORDER BY row LIMIT ?)`, limit)
	if err != nil {
		return err
	}
	err = tx.c.exec(`DELETE FROM seen_ids WHERE (hash, row) IN (SELECT substr(hash, 1, 8), row FROM seen WHERE row <= ? AND until <= ?)`, end, now)
	if err != nil {
		return err
	}
	return tx.c.exec(`DELETE FROM seen WHERE row <= ? AND until <= ?`, end, now)
}
