package bench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	commitGroup = 64
	textBytes   = 200
	pal         = chat.AccountID("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN")
	rareWord    = "zeugma"
)

// message number i: 200 bytes of text in 380 bytes of content.
func message(i int) *chat.Message {
	words := strings.Fields("the quick brown fox jumps over a lazy dog while seven grey cats watch from their warm window and nobody says anything about tomorrow")
	seed := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	var b strings.Builder
	for j := 0; b.Len() < textBytes; j++ {
		b.WriteString(words[(int(seed[j%32])+j)%len(words)])
		if j%5 == 0 {
			fmt.Fprintf(&b, "%d", seed[(j+7)%32])
		}
		b.WriteByte(' ')
	}
	return written(i, b.String()[:textBytes])
}

func written(i int, text string) *chat.Message {
	at := time.UnixMilli(1_760_000_000_000 + int64(i)*100)
	m := &chat.Message{
		Conversation: chat.PrivateConversation(pal), Author: pal, Device: chat.DeviceID(pal), Epoch: 1, Number: uint64(i + 1),
		Time: chat.NewHLC(at), Kind: chat.KindText, Text: chat.Body(text), Received: at,
	}
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("content"), uint64(i)))
	for len(m.Content) < 180 {
		m.Content = append(m.Content, seed[:]...)
		seed = sha256.Sum256(seed[:])
	}
	m.Content = append(m.Content[:180], text...)
	m.ID = chat.NewMessageID(m.Content)
	return m
}

func messages(from, n int) []*chat.Message {
	out := make([]*chat.Message, n)
	for i := range out {
		out[i] = message(from + i)
	}
	return out
}

func addMessages(db *store.DB, list []*chat.Message) error {
	return db.Write(context.Background(), func(tx *store.Tx) error {
		for _, m := range list {
			if added, err := tx.AddMessage(m); err != nil || !added {
				return fmt.Errorf("adding: %v, %w", added, err)
			}
		}
		return nil
	})
}

// opened is a store at work: its upkeep fills the full text meanwhile.
type opened struct {
	*store.DB
	stop func() error
}

func openStore(dir string, relaxed bool) (*opened, error) {
	db, err := store.Open(store.Config{Dir: dir, Relaxed: relaxed})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	return &opened{db, func() error {
		cancel()
		return errors.Join(<-done, db.Close())
	}}, nil
}

// indexed waits until a search finds the newest message.
func (o *opened) indexed(word string) error {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		n := 0
		err := o.Read(context.Background(), func(tx *store.Tx) error {
			hits, err := tx.Search(word, "", 1)
			n = len(hits)
			return err
		})
		if err != nil || n == 1 {
			return err
		}
	}
	return errors.New("the full text is not complete")
}

// plain is the baseline: one plain table of the same driver.
type plain struct {
	db                       *sqlite3.Conn
	begin, insert, end, page *sqlite3.Stmt
}

func openPlain(dir string) (*plain, error) {
	db, err := sqlite3.Open("file:" + filepath.Join(dir, "plain.db"))
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{
		`PRAGMA journal_mode = WAL`, `PRAGMA synchronous = FULL`, `PRAGMA cache_size = -8192`,
		`CREATE TABLE m (id INTEGER PRIMARY KEY, hash BLOB UNIQUE, conv INTEGER, author TEXT, time INTEGER, text TEXT)`,
	} {
		if err := db.Exec(sql); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	p := &plain{db: db}
	for sql, s := range map[string]**sqlite3.Stmt{
		`BEGIN IMMEDIATE`: &p.begin, `COMMIT`: &p.end,
		`INSERT INTO m (hash, conv, author, time, text) VALUES (?, 1, ?, ?, ?)`:                          &p.insert,
		`SELECT id, hash, author, time, text FROM m WHERE conv = 1 AND id < ? ORDER BY id DESC LIMIT 50`: &p.page,
	} {
		if *s, _, err = db.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return p, nil
}

func (p *plain) close() error {
	for _, s := range []*sqlite3.Stmt{p.begin, p.insert, p.end, p.page} {
		_ = s.Close()
	}
	return p.db.Close()
}

func (p *plain) add(list []*chat.Message) error {
	err := p.begin.Exec()
	for _, m := range list {
		err = errors.Join(err, p.insert.BindBlob(1, m.ID[:]), p.insert.BindText(2, string(m.Author)),
			p.insert.BindInt64(3, int64(m.Time)), p.insert.BindText(4, string(m.Text)), p.insert.Exec())
	}
	return errors.Join(err, p.end.Exec())
}

func (p *plain) read(before int64) error {
	out := make([]chat.Message, 0, 50)
	if err := p.page.BindInt64(1, before); err != nil {
		return err
	}
	for s := p.page; s.Step(); {
		m := chat.Message{Author: chat.AccountID(s.ColumnText(2)), Time: chat.HLC(s.ColumnInt64(3)), Text: chat.Body(s.ColumnText(4))}
		copy(m.ID[:], s.ColumnRawBlob(1))
		out = append(out, m)
	}
	return errors.Join(p.page.Err(), p.page.Reset(), undelivered(len(out), 50))
}

// perItem is the CPU time of fn over n items, in microseconds.
func perItem(n int, fn func() error) (float64, error) {
	used, err := CPUOf(fn)
	return float64(used.Nanoseconds()) / 1e3 / float64(n), err
}

func benchStore(t *testing.T, s *suite) {
	dir := t.TempDir()
	s.measure(t, "store.append", 5, func(rounds int) (Line, error) { return appends(dir, rounds) })
	s.measure(t, "store.commit", sized(50, 200), func(rounds int) (Line, error) { return commits(dir, rounds) })
	benchShelf(t, s, dir)
}

// appends is CPU per message in groups of 64: log row, indexes and full text
// included, one sync a group on both sides.
func appends(dir string, rounds int) (Line, error) {
	n := sized(8<<10, 64<<10)
	list := messages(0, n)
	list[n-1] = written(n-1, rareWord+" ends the run")
	return Compare("store.append", "us/msg", rounds, func() (float64, error) {
		at, err := os.MkdirTemp(dir, "append")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(at)
		db, err := openStore(at, false)
		if err != nil {
			return 0, err
		}
		used, err := perItem(n, func() error {
			for group := range slices.Chunk(list, commitGroup) {
				if err := addMessages(db.DB, group); err != nil {
					return err
				}
			}
			return db.indexed(rareWord)
		})
		return used, errors.Join(err, db.stop())
	}, func() (float64, error) {
		at, err := os.MkdirTemp(dir, "plain")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(at)
		db, err := openPlain(at)
		if err != nil {
			return 0, err
		}
		used, err := perItem(n, func() error {
			for group := range slices.Chunk(list, commitGroup) {
				if err := db.add(group); err != nil {
					return err
				}
			}
			return nil
		})
		return used, errors.Join(err, db.close())
	})
}

// commits is the wall time of one message in one commit against one fdatasync
// of 220 bytes.
func commits(dir string, rounds int) (Line, error) {
	at, err := os.MkdirTemp(dir, "commit")
	if err != nil {
		return Line{}, err
	}
	db, err := openStore(at, false)
	if err != nil {
		return Line{}, err
	}
	f, err := os.Create(filepath.Join(at, "appended"))
	if err != nil {
		return Line{}, errors.Join(err, db.stop())
	}
	next := 0
	l, err := Compare("store.commit", "us", rounds, func() (float64, error) {
		next++
		m := []*chat.Message{message(next)}
		began := time.Now()
		err := addMessages(db.DB, m)
		return micros(time.Since(began)), err
	}, func() (float64, error) {
		b := message(next).Content[:220]
		began := time.Now()
		_, err := f.Write(b)
		if err == nil {
			err = syscall.Fdatasync(int(f.Fd()))
		}
		return micros(time.Since(began)), err
	})
	return l, errors.Join(err, f.Close(), db.stop())
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
