package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/identity"
	"parley/internal/store"
)

const (
	// shortest needle: less is found by chance, or is no secret ("ok").
	shortest = 12
	// sleepersTable keeps the last records of devices that no longer publish:
	// what they signed for everybody to read names them, and nothing ties it
	// to a mailbox.
	sleepersTable = "sleepers"
	mainFile      = "parley.db"
	guestFile     = "guest.db"
	// aloud is how many hits are shown one by one.
	aloud = 10
)

// findings is what the search of the folders brought.
type findings struct {
	mu      sync.Mutex
	plain   int // hits
	folders int // of holders
	mail    int // envelopes that lay with them
	needles int
	faults  []error
}

func (f *findings) hit(where, needle string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plain++; f.plain <= aloud {
		log.Printf("found %q in %s", needle, where)
	}
}

func (f *findings) fault(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, fmt.Errorf(format, args...))
}

// needles finds many texts in bytes at once.
type needles struct {
	pairs [1 << 16]bool       // first two bytes of any
	heads map[uint64][]string // first eight bytes -> needles
	count int
}

func newNeedles(texts ...string) *needles {
	n := &needles{heads: map[uint64][]string{}}
	for _, t := range slices.Compact(slices.Sorted(slices.Values(texts))) {
		if len(t) < shortest {
			continue
		}
		n.pairs[binary.LittleEndian.Uint16([]byte(t))] = true
		head := binary.LittleEndian.Uint64([]byte(t))
		n.heads[head] = append(n.heads[head], t)
		n.count++
	}
	return n
}

func (n *needles) in(b []byte, hit func(needle string)) {
	for i := 0; i+shortest <= len(b); i++ {
		if !n.pairs[uint16(b[i])|uint16(b[i+1])<<8] {
			continue
		}
		for _, t := range n.heads[binary.LittleEndian.Uint64(b[i:])] {
			if len(b)-i >= len(t) && string(b[i:i+len(t)]) == t {
				hit(t)
			}
		}
	}
}

// ids of a person in every form in which they are written.
func (p *person) ids() ([]string, error) {
	var out []string
	for _, id := range []string{p.Account, p.Device} {
		_, key, err := identity.ParseDeviceID(id) // accounts have the same form
		if err != nil {
			return nil, err
		}
		out = append(out, id, string(key), hex.EncodeToString(key))
	}
	return out, nil
}

// secrets are what only the person may have.
func (p *person) secrets(ctx context.Context) ([]string, error) {
	db, err := store.Open(store.Config{Dir: p.folder()})
	if err != nil {
		return nil, fmt.Errorf("opening the store of %s: %w", p.Name(), err)
	}
	defer db.Close()
	keys, err := identity.Load(ctx, db, time.Now())
	if err != nil {
		return nil, err
	}
	return []string{string(keys.DeviceKey().Seed()), keys.Phrase()}, nil
}

// folder is where the node keeps its data.
func (p *person) folder() string { return dataFolder(p.Dir) }

// dataFolder is the one below a home that has a key.
func dataFolder(home string) (dir string) {
	_ = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "master.key" {
			dir = filepath.Dir(path)
			return fs.SkipAll
		}
		return nil //nolint:nilerr // a folder that cannot be read is searched, and fails, later
	})
	return dir
}

// search looks into everything that any holder ever had, after all nodes were
// killed: into its files as they are, and into its databases without their
// encryption. The mail may hold nothing of sender and receiver but the
// mailbox; what a node knows of its neighbours in the network lies in its own
// database, where no word and no secret may be.
func (s *story) search(ctx context.Context) (*findings, error) {
	var ids, secrets []string
	for _, p := range append(append([]*person(nil), s.senders...), s.receivers...) {
		own, err := p.ids()
		if err != nil {
			return nil, err
		}
		hidden, err := p.secrets(ctx)
		if err != nil {
			return nil, err
		}
		ids, secrets = append(ids, own...), append(secrets, hidden...)
	}
	never := newNeedles(append(append([]string(nil), s.words...), secrets...)...)
	whole := newNeedles(append(append(append([]string(nil), s.words...), secrets...), ids...)...)
	f := &findings{folders: len(s.w.folders), needles: whole.count}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(startsAtOnce)
	for _, home := range s.w.folders {
		g.Go(func() error {
			if err := f.files(ctx, home, whole); err != nil {
				return err
			}
			return f.databases(home, whole, never)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := s.searchPeople(f); err != nil {
		return nil, err
	}
	if f.mail == 0 {
		f.fault("the holders kept no mail at all")
	}
	if f.plain > 0 {
		f.fault("%d hits in the files of holders", f.plain)
	}
	log.Printf("searched %d holders with %d envelopes for %d words, keys and ids", f.folders, f.mail, f.needles)
	return f, nil
}

// files searches every file of a holder as it lies on the disk.
func (f *findings) files(ctx context.Context, home string, n *needles) error {
	return filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n.in(b, func(needle string) { f.hit(path, needle) })
		return ctx.Err()
	})
}

func (f *findings) databases(home string, whole, never *needles) error {
	dir := dataFolder(home)
	if dir == "" {
		return nil // killed before it had any
	}
	search := func(file string, n func(table string) *needles) error {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			return nil //nolint:nilerr // killed before it had one
		}
		return store.Dump(dir, file, func(table string, row [][]byte) error {
			if table == "envelopes" {
				f.mu.Lock()
				f.mail++
				f.mu.Unlock()
			}
			for _, column := range row {
				n(table).in(column, func(needle string) { f.hit(filepath.Base(home)+" "+file+" "+table, needle) })
			}
			return nil
		})
	}
	if err := search(mainFile, func(string) *needles { return never }); err != nil {
		return err
	}
	return search(guestFile, func(table string) *needles {
		if table == sleepersTable {
			return never
		}
		return whole
	})
}

// searchPeople searches what senders and receivers keep for each other: words
// that are neither from them nor for them. It also shows that the search finds
// what is there.
func (s *story) searchPeople(f *findings) error {
	for _, p := range append(append([]*person(nil), s.senders...), s.receivers...) {
		own := map[string]bool{}
		for _, pair := range s.pairs {
			if pair.from == p || pair.to == p {
				for _, t := range append([]string{pair.helloText(), pair.answerText()}, pair.texts...) {
					own[t] = true
				}
			}
		}
		var mine, others []string
		for _, t := range s.words {
			if own[t] {
				mine = append(mine, t)
			} else {
				others = append(others, t)
			}
		}
		known, foreign, found := newNeedles(mine...), newNeedles(others...), map[string]bool{}
		for _, file := range []string{mainFile, guestFile} {
			if _, err := os.Stat(filepath.Join(p.folder(), file)); err != nil {
				continue
			}
			if err := store.Dump(p.folder(), file, func(table string, row [][]byte) error {
				for _, column := range row {
					known.in(column, func(needle string) { found[needle] = true })
					foreign.in(column, func(needle string) {
						if !contained(needle, mine) {
							f.hit(strings.Join([]string{p.Name(), file, table}, " "), needle)
						}
					})
				}
				return nil
			}); err != nil {
				return err
			}
		}
		if len(found) < known.count*99/100 {
			f.fault("the search is blind: it found %d of %d own texts with %s", len(found), known.count, p.Name())
		}
	}
	return nil
}

// contained reports whether a text is part of one of the others.
func contained(text string, others []string) bool {
	for _, o := range others {
		if strings.Contains(o, text) {
			return true
		}
	}
	return false
}
