package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"parley/internal/chat"
)

// Page caches, in KiB: the writer touches random leaves of the id indexes,
// readers mostly one stretch of one conversation.
const (
	writerCache = 8 << 10
	readerCache = 2 << 10
	// walPages is when the log is written back, 16 MiB: pages that each commit
	// touches are then written back once for many commits.
	walPages = 4096
)

// conn is one connection with its prepared statements. One goroutine at a
// time uses it.
type conn struct {
	db    *sqlite3.Conn
	stmts map[string]*sqlite3.Stmt // SQL constant -> statement; bounded by our source text
}

// openConn opens the database at path under the encrypting file layer.
func openConn(path, vfs string, key []byte, cacheKiB int, relaxed bool) (*conn, error) {
	query := url.Values{"vfs": {vfs}, "modeof": {path}}.Encode()
	query = strings.ReplaceAll(query, "+", "%20") // SQLite reads a plus as a plus
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query}
	db, err := sqlite3.OpenFlags(u.String(), sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE|sqlite3.OPEN_URI|sqlite3.OPEN_EXRESCODE)
	if err != nil {
		return nil, err
	}
	c := &conn{db: db, stmts: make(map[string]*sqlite3.Stmt)}
	sync := "FULL"
	if relaxed {
		sync = "NORMAL"
	}
	setup := []string{
		`PRAGMA hexkey = '` + hex.EncodeToString(key) + `'`,
		`PRAGMA busy_timeout = 200`,
		`PRAGMA temp_store = memory`,
		`PRAGMA synchronous = ` + sync,
		`PRAGMA secure_delete = ON`,
		`PRAGMA foreign_keys = ON`,
		`PRAGMA trusted_schema = OFF`,
		fmt.Sprintf(`PRAGMA cache_size = -%d`, cacheKiB),
		fmt.Sprintf(`PRAGMA wal_autocheckpoint = %d`, walPages),
		fmt.Sprintf(`PRAGMA journal_size_limit = %d`, walPages*walFrame),
	}
	for _, sql := range setup {
		if err := db.Exec(sql); err != nil {
			_ = db.Close()
			if errors.Is(err, sqlite3.NOTADB) {
				err = fmt.Errorf("%w: %s does not open %s: it belongs to another store, or the database is damaged",
					ErrKey, keyFile, dbFile)
			}
			return nil, err // without the statement: the first one holds the key
		}
	}
	if err := fts5.Register(db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("registering full text: %w", err)
	}
	return c, nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.Close() // repeats the fault of its last step, which was handled then
	}
	c.stmts = nil
	return c.db.Close()
}

// stmt is the prepared form of sql with args bound. The same sql must not be
// in use already: queries collect their rows before the next begins.
func (c *conn) stmt(sql string, args []any) (*sqlite3.Stmt, error) {
	s := c.stmts[sql]
	if s == nil {
		var err error
		if s, _, err = c.db.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, err
		}
		c.stmts[sql] = s
	}
	for i, arg := range args {
		if err := bind(s, i+1, arg); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// exec runs a statement that answers no rows.
func (c *conn) exec(sql string, args ...any) error {
	s, err := c.stmt(sql, args)
	if err != nil {
		return err
	}
	return s.Exec()
}

// query calls scan for each row. Raw columns are valid until scan returns.
func (c *conn) query(scan func(*sqlite3.Stmt) error, sql string, args ...any) (err error) {
	s, err := c.stmt(sql, args)
	if err != nil {
		return err
	}
	defer reset(s, &err)
	for s.Step() {
		if err := scan(s); err != nil {
			return err
		}
	}
	return s.Err()
}

// one calls scan for the only row. It fails with chat.ErrNotFound without one.
func (c *conn) one(scan func(*sqlite3.Stmt) error, sql string, args ...any) (err error) {
	s, err := c.stmt(sql, args)
	if err != nil {
		return err
	}
	defer reset(s, &err)
	if s.Step() {
		return scan(s)
	}
	if err := s.Err(); err != nil {
		return err
	}
	return chat.ErrNotFound
}

// reset frees s for its next use, also when a scan panicked.
func reset(s *sqlite3.Stmt, err *error) {
	if rerr := s.Reset(); *err == nil {
		*err = rerr
	}
}

// number is a query of one integer; none when no row answers.
func (c *conn) number(none int64, sql string, args ...any) (int64, error) {
	n := none
	err := c.one(func(s *sqlite3.Stmt) error {
		if s.ColumnType(0) != sqlite3.NULL {
			n = s.ColumnInt64(0)
		}
		return nil
	}, sql, args...)
	if errors.Is(err, chat.ErrNotFound) {
		return none, nil
	}
	return n, err
}

func bind(s *sqlite3.Stmt, i int, arg any) error {
	switch v := arg.(type) {
	case nil:
		return s.BindNull(i)
	case int64:
		return s.BindInt64(i, v)
	case int:
		return s.BindInt64(i, int64(v))
	case uint64:
		return s.BindInt64(i, int64(v)) // bits kept, read back the same way
	case bool:
		return s.BindBool(i, v)
	case string:
		return s.BindText(i, v)
	case []byte:
		return s.BindBlob(i, v) // nil is NULL
	case time.Time:
		return s.BindInt64(i, millis(v))
	case chat.AccountID:
		return s.BindText(i, string(v))
	case chat.DeviceID:
		return s.BindText(i, string(v))
	case chat.Conversation:
		return s.BindText(i, string(v))
	default:
		return fmt.Errorf("no way to bind a %T", arg)
	}
}

// millis is the stored form of a time: 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func columnTime(s *sqlite3.Stmt, col int) time.Time { return fromMillis(s.ColumnInt64(col)) }

// columnBlob is a copy of a column, nil for NULL.
func columnBlob(s *sqlite3.Stmt, col int) []byte {
	raw := s.ColumnRawBlob(col)
	if raw == nil {
		return nil
	}
	return append(make([]byte, 0, len(raw)), raw...)
}
