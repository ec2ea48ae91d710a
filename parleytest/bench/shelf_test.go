package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"parley/internal/chat"
	"parley/internal/store"
)

// rows is how many messages pages and searches are read from.
func rows() int {
	n := sized(20_000, 1_000_000)
	if text := os.Getenv("PARLEY_BENCH_ROWS"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			panic("bench: PARLEY_BENCH_ROWS: " + err.Error())
		}
	}
	return n
}

// shelf is a store and a plain table with the same rows, made for the first
// who asks.
type shelf struct {
	dir    string
	n      int
	db     *opened
	plain  *plain
	places []string // positions all over the conversation
}

func fillShelf(dir string) (*shelf, error) {
	f := &shelf{dir: filepath.Join(dir, "shelf"), n: rows()}
	db, err := openStore(f.dir, true)
	if err != nil {
		return nil, err
	}
	if f.plain, err = openPlain(dir); err != nil {
		return nil, errors.Join(err, db.stop())
	}
	for i := 0; i < f.n; i += 4000 {
		list := messages(i, min(4000, f.n-i))
		if i+len(list) == f.n {
			list[len(list)-1] = written(f.n-1, rareWord+" ends the run")
		}
		var both errgroup.Group
		both.Go(func() error { return addMessages(db.DB, list) })
		both.Go(func() error { return f.plain.add(list) })
		if err := both.Wait(); err != nil {
			return nil, errors.Join(err, db.stop())
		}
	}
	if err := errors.Join(db.indexed(rareWord), db.stop()); err != nil {
		return nil, err
	}
	if f.db, err = openStore(f.dir, false); err != nil {
		return nil, err
	}
	f.places, err = places(f.db.DB, f.n)
	return f, err
}

// close leaves only the files.
func (f *shelf) close() error {
	if f.db == nil {
		return nil
	}
	err := errors.Join(f.db.stop(), f.plain.close())
	f.db = nil
	return err
}

// shelfReads is how many reads make one round.
const shelfReads = 200

func (f *shelf) plainPages() (float64, error) {
	return perItem(shelfReads, func() error {
		for range shelfReads {
			if err := f.plain.read(51 + rand.Int64N(int64(f.n)-51)); err != nil {
				return err
			}
		}
		return nil
	})
}

// benchShelf is pages, searches and size of the same rows.
func benchShelf(t *testing.T, s *suite, dir string) {
	filled := sync.OnceValues(func() (*shelf, error) { return fillShelf(dir) })
	compare := func(metric, unit string, read func(*shelf) error) {
		s.measure(t, metric, sized(9, 15), func(rounds int) (Line, error) {
			f, err := filled()
			if err != nil {
				return Line{}, err
			}
			return Compare(metric, unit, rounds, func() (float64, error) {
				return perItem(shelfReads, func() error { return read(f) })
			}, f.plainPages)
		})
	}
	compare("store.page", "us/page", func(f *shelf) error { return pages(f.db.DB, f.places, shelfReads) })
	compare("store.find", "us/search", func(f *shelf) error { return finds(f.db.DB, shelfReads) })
	s.measure(t, "store.size", 1, func(int) (Line, error) {
		f, err := filled()
		if err != nil {
			return Line{}, err
		}
		if err := f.close(); err != nil {
			return Line{}, err
		}
		return Compare("store.size", "B/msg", 1,
			func() (float64, error) { return sizePer(filepath.Join(f.dir, "parley.db"), f.n) },
			func() (float64, error) { return sizePer(filepath.Join(dir, "plain.db"), f.n) })
	})
}

// places are positions all over the conversation, in random order.
func places(db *store.DB, n int) ([]string, error) {
	var out []string
	page := store.Page{Conversation: chat.PrivateConversation(pal), Limit: 500, Newest: true}
	for more := true; more; {
		err := db.Read(context.Background(), func(tx *store.Tx) error {
			_, prev, _, err := tx.Messages(page)
			page.Before, page.Newest = prev, false
			if more = prev != ""; more {
				out = append(out, prev)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out, undelivered(len(out), (n-1)/500)
}

func pages(db *store.DB, places []string, times int) error {
	for i := range times {
		err := db.Read(context.Background(), func(tx *store.Tx) error {
			list, _, _, err := tx.Messages(store.Page{Conversation: chat.PrivateConversation(pal), Before: places[i%len(places)], Limit: 50})
			return errors.Join(err, undelivered(len(list), 50))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func finds(db *store.DB, times int) error {
	words := []string{"fox", "tomorrow", "window cats", "nobody", "lazy dog"}
	for i := range times {
		err := db.Read(context.Background(), func(tx *store.Tx) error {
			hits, err := tx.Search(words[i%len(words)], "", 20)
			return errors.Join(err, undelivered(len(hits), 20))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func sizePer(path string, n int) (float64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / float64(n), nil
}
