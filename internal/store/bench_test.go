//go:build linux

package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// The benchmarks measure the store against a bare, plain table of the same
// driver in alternating rounds, and report the median of the ratios. One
// iteration is one round. Texts have 200 bytes.

const benchGroup = 64

// benchMessage has as many content bytes as a real one: 180 beside the text.
func benchMessage(i int) *chat.Message {
	words := strings.Fields("the quick brown fox jumps over a lazy dog while seven grey cats watch from their warm window and nobody says anything about tomorrow")
	seed := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	var b strings.Builder
	for j := 0; b.Len() < 190; j++ {
		b.WriteString(words[(int(seed[j%32])+j)%len(words)])
		if j%5 == 0 {
			fmt.Fprintf(&b, "%d", seed[(j+7)%32])
		}
		b.WriteByte(' ')
	}
	m := text(ana, uint64(i+1), (b.String() + strings.Repeat("x", 10))[:200])
	m.Time = chat.NewHLC(time.UnixMilli(1_760_000_000_000 + int64(i)*100))
	m.Content = make([]byte, 0, 400)
	for len(m.Content) < 180 {
		seed = sha256.Sum256(seed[:])
		m.Content = append(m.Content, seed[:]...)
	}
	m.Content = append(m.Content[:180], m.Text...)
	m.ID = chat.NewMessageID(m.Content)
	return m
}

// bare is the baseline: one table of what a reader sees of a message, found by
// number and id, no encryption, the same driver.
type bare struct{ c *conn }

func openBare(b testing.TB, dir string) *bare {
	db, err := sqlite3.Open("file:" + filepath.Join(dir, "bare.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	for _, sql := range []string{
		`PRAGMA journal_mode = WAL`, `PRAGMA synchronous = FULL`, fmt.Sprintf(`PRAGMA cache_size = -%d`, writerCache),
		`CREATE TABLE m (id INTEGER PRIMARY KEY, hash BLOB UNIQUE, conv INTEGER, author TEXT, number INTEGER,
			time INTEGER, received INTEGER, own INTEGER, delivery INTEGER, text TEXT)`,
	} {
		if err := db.Exec(sql); err != nil {
			b.Fatal(err)
		}
	}
	return &bare{&conn{db: db, stmts: map[string]*sqlite3.Stmt{}}}
}

func (p *bare) add(b testing.TB, list []*chat.Message) {
	err := p.c.exec(`BEGIN IMMEDIATE`)
	for _, m := range list {
		if err == nil {
			err = p.c.exec(`INSERT INTO m (hash, conv, author, number, time, received, own, delivery, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				m.ID[:], 1, m.Author, m.Number, int64(m.Time), m.Received, m.Own, int64(m.Delivery), string(m.Text))
		}
	}
	if err == nil {
		err = p.c.exec(`COMMIT`)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (p *bare) page(b testing.TB, before int64) []chat.Message {
	out := make([]chat.Message, 0, 50)
	err := p.c.query(func(s *sqlite3.Stmt) error {
		m := chat.Message{
			Author: chat.AccountID(s.ColumnText(2)), Number: uint64(s.ColumnInt64(3)), Time: chat.HLC(s.ColumnInt64(4)),
			Received: columnTime(s, 5), Own: s.ColumnBool(6), Delivery: chat.Delivery(s.ColumnInt64(7)), Text: chat.Body(s.ColumnText(8)),
		}
		copy(m.ID[:], s.ColumnRawBlob(1))
		out = append(out, m)
		return nil
	}, `SELECT id, hash, author, number, time, received, own, delivery, text FROM m WHERE conv = 1 AND id < ? ORDER BY id DESC LIMIT 50`, before)
	if err != nil || len(out) != 50 {
		b.Fatal(len(out), err)
	}
	return out
}

func openBench(b testing.TB, dir string) *DB {
	db, err := Open(Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func addAll(b testing.TB, db *DB, list []*chat.Message) {
	err := db.Write(b.Context(), func(tx *Tx) error {
		for _, m := range list {
			if added, err := tx.AddMessage(m); err != nil || !added {
				return fmt.Errorf("added %v: %w", added, err)
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// ratios collects the rounds of one benchmark.
type ratios struct{ value, base, ratio []float64 }

func (r *ratios) add(value, base float64) {
	r.value, r.base, r.ratio = append(r.value, value), append(r.base, base), append(r.ratio, value/base)
}

func (r *ratios) report(b *testing.B, unit string) {
	median := func(v []float64) float64 {
		slices.Sort(v)
		return v[len(v)/2]
	}
	b.ReportMetric(median(r.value), unit)
	b.ReportMetric(median(r.base), "base-"+unit)
	b.ReportMetric(median(r.ratio), "ratio")
	b.ReportMetric(0, "ns/op")
}

// perItem is the CPU time of fn over n items, in microseconds.
func perItem(n int, fn func()) float64 {
	start := cpuTime()
	fn()
	return float64((cpuTime() - start).Nanoseconds()) / 1e3 / float64(n)
}

// BenchmarkAppend is store.append: CPU per message in groups of 64, log row,
// indexes and full text included. Sub-benchmark calls makes each message a
// call of Write of its own, 64 at a time.
func BenchmarkAppend(b *testing.B) {
	const n = 64 << 10
	list := make([]*chat.Message, n)
	for i := range list {
		list[i] = benchMessage(i)
	}
	plain := func(b *testing.B) float64 {
		p := openBare(b, b.TempDir())
		return perItem(n, func() {
			for group := range slices.Chunk(list, benchGroup) {
				p.add(b, group)
			}
		})
	}
	run := func(b *testing.B, add func(*DB, []*chat.Message)) {
		var r ratios
		for b.Loop() {
			db := openBench(b, b.TempDir())
			base := plain(b)
			value := perItem(n, func() {
				for group := range slices.Chunk(list, benchGroup) {
					add(db, group)
				}
				if err := db.index(b.Context()); err != nil {
					b.Fatal(err)
				}
			})
			r.add(value, base)
			_ = db.Close()
		}
		r.report(b, "us/msg")
	}
	b.Run("group", func(b *testing.B) { run(b, func(db *DB, group []*chat.Message) { addAll(b, db, group) }) })
	b.Run("calls", func(b *testing.B) {
		run(b, func(db *DB, group []*chat.Message) {
			var wg sync.WaitGroup
			for i := range group {
				wg.Go(func() { addAll(b, db, group[i:i+1]) })
			}
			wg.Wait()
		})
	})
}

// BenchmarkCommit is store.commit: one message, one commit, wall time, against
// one fdatasync of 220 bytes.
func BenchmarkCommit(b *testing.B) {
	dir := b.TempDir()
	db := openBench(b, dir)
	f, err := os.Create(filepath.Join(dir, "appended"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var r ratios
	for i := 0; b.Loop(); i++ {
		m := benchMessage(i)
		start := time.Now()
		if _, err := f.Write(m.Content[:220]); err != nil {
			b.Fatal(err)
		}
		if err := dataSync(f); err != nil {
			b.Fatal(err)
		}
		base := time.Since(start)
		start = time.Now()
		addAll(b, db, []*chat.Message{m})
		r.add(float64(time.Since(start).Nanoseconds())/1e3, float64(base.Nanoseconds())/1e3)
	}
	r.report(b, "us/commit")
}

// benchRows is how many messages pages and searches are read from.
// PARLEY_BENCH_ROWS=1000000 is the size of the published figure.
func benchRows() int {
	var n int
	if _, err := fmt.Sscan(os.Getenv("PARLEY_BENCH_ROWS"), &n); err != nil {
		return 100_000
	}
	return n
}

// filled are a store and a bare table with the same rows.
func filled(b *testing.B) (db *DB, p *bare, dir string, n int) {
	dir = b.TempDir()
	db, p, n = openBench(b, dir), openBare(b, dir), benchRows()
	for i := 0; i < n; i += 1000 {
		list := make([]*chat.Message, 0, 1000)
		for j := i; j < min(i+1000, n); j++ {
			list = append(list, benchMessage(j))
		}
		addAll(b, db, list)
		p.add(b, list)
	}
	if err := db.index(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Logf("merging the full text, in idle minutes: %.1f us/msg", perItem(n, func() {
		if err := db.merge(b.Context()); err != nil {
			b.Fatal(err)
		}
	}))
	return db, p, dir, n
}

// BenchmarkRead is store.page, store.find and store.size on the same rows:
// a page of 50 before a random position, the 20 newest hits of a word, and
// bytes on disk per message.
func BenchmarkRead(b *testing.B) {
	db, p, dir, n := filled(b)
	const rounds = 200
	at := func(i int) int64 { return int64((i*7919)%(n-100)) + 51 }
	barePages := func() float64 {
		return perItem(rounds, func() {
			for i := range rounds {
				p.page(b, at(i))
			}
		})
	}
	b.Run("page", func(b *testing.B) {
		before := make([]string, rounds)
		for i := range before {
			before[i] = place{position(benchMessage(int(at(i)) - 1)), at(i)}.String()
		}
		key := chat.PrivateConversation(ana)
		var r ratios
		for b.Loop() {
			base := barePages()
			value := perItem(rounds, func() {
				for i := range rounds {
					read(b, db, func(tx *Tx) error {
						msgs, _, _, err := tx.Messages(Page{Conversation: key, Before: before[i], Limit: 50})
						if len(msgs) != 50 {
							b.Fatal(len(msgs), err)
						}
						return err
					})
				}
			})
			r.add(value, base)
		}
		r.report(b, "us/page")
	})
	b.Run("find", func(b *testing.B) {
		words := []string{"fox", "tomorrow", "window cats", "nobody", "lazy dog"}
		var r ratios
		for b.Loop() {
			base := barePages()
			value := perItem(rounds, func() {
				for i := range rounds {
					read(b, db, func(tx *Tx) error {
						msgs, err := tx.Search(words[i%len(words)], "", 20)
						if len(msgs) != 20 {
							b.Fatal(len(msgs), err)
						}
						return err
					})
				}
			})
			r.add(value, base)
		}
		r.report(b, "us/search")
	})
	b.Run("size", func(b *testing.B) {
		var r ratios
		for b.Loop() {
			if err := db.checkpoint(); err != nil {
				b.Fatal(err)
			}
			if _, _, err := p.c.db.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil {
				b.Fatal(err)
			}
			r.add(fileSize(b, filepath.Join(dir, dbFile))/float64(n), fileSize(b, filepath.Join(dir, "bare.db"))/float64(n))
		}
		r.report(b, "B/msg")
	})
}

func fileSize(b *testing.B, path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return float64(info.Size())
}
