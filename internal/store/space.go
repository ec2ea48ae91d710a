package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
	"parley/internal/live"
)

const (
	reserveFile = "reserve"
	// probeEvery is how often a full disk is asked again: well inside the ten
	// seconds in which we promise to go on.
	probeEvery = time.Second
)

// space keeps 8 MiB of the disk for the day it is full. They are given back
// then, so that SQLite can finish what it holds and the node can say so;
// writes wait until the reserve can be taken again.
type space struct {
	// Set by Open, never changed.
	path string
	off  bool // relaxed stores in tests keep no reserve

	health live.Value[Health]

	mu    sync.Mutex
	full  bool
	probe time.Time          // of the last try to take the reserve again
	take  func(string) error // tests refuse; nil: takeReserve
}

// check takes the reserve at the start. Without room for it the store opens
// all the same, for reading.
func (s *space) check(log *slog.Logger) {
	if s.off {
		return
	}
	if info, err := os.Stat(s.path); err == nil && info.Size() == chat.DiskReserve {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.takeLocked(s.path); err != nil {
		s.fullLocked(log, err)
	}
}

// gate lets a write pass, or fails with chat.ErrStorageFull.
func (s *space) gate(log *slog.Logger) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.full {
		return nil
	}
	if now := time.Now(); now.Sub(s.probe) >= probeEvery {
		s.probe = now
		if s.roomLocked() {
			s.full = false
			s.health.Set(Health{})
			log.Info("disk has room again")
			return nil
		}
	}
	return fmt.Errorf("%w: the disk under the data folder", chat.ErrStorageFull)
}

// failed looks at a fault of a write; a full disk frees the reserve and comes
// back as chat.ErrStorageFull.
func (s *space) failed(log *slog.Logger, err error) error {
	if err == nil || !diskFull(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fullLocked(log, err)
	if errors.Is(err, chat.ErrStorageFull) {
		return err
	}
	return fmt.Errorf("%w: %w", chat.ErrStorageFull, err)
}

// explain looks behind a fault of the disk that came before any connection
// could say more: without room for the reserve, that is the reason.
func (s *space) explain(err error) error {
	if s.off || diskFull(err) || !errors.Is(err, sqlite3.IOERR) {
		return err
	}
	if info, serr := os.Stat(s.path); serr == nil && info.Size() == chat.DiskReserve {
		return err
	}
	if terr := s.takeLocked(s.path); terr != nil && noSpace(terr) {
		return fmt.Errorf("%w: %w", chat.ErrStorageFull, err)
	}
	return err
}

// roomLocked takes the reserve again if there is room for a second one
// besides: without slack the next commit would fill the disk and free the
// reserve once more.
func (s *space) roomLocked() bool {
	if s.off {
		return true
	}
	slack := s.path + ".slack"
	err := s.takeLocked(slack)
	if rerr := os.Remove(slack); err == nil {
		err = rerr
	}
	return err == nil && s.takeLocked(s.path) == nil
}

func (s *space) fullLocked(log *slog.Logger, err error) {
	if s.full {
		return
	}
	s.full, s.probe = true, time.Now()
	s.health.Set(Health{Full: true, Since: s.probe})
	log.Warn("disk full: reading only", "error", err)
	if rerr := os.Remove(s.path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
		log.Warn("the reserve could not be freed", "error", rerr)
	}
}

// takeLocked writes a file of the reserve's size, or leaves none.
func (s *space) takeLocked(path string) error {
	if s.off {
		return nil
	}
	take := s.take
	if take == nil {
		take = takeReserve
	}
	if err := take(path); err != nil {
		_ = os.Remove(path) // part of it would be no help
		return err
	}
	return nil
}

// takeReserve writes the file in full: a sparse one would reserve nothing.
func takeReserve(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for n := 0; n < chat.DiskReserve && err == nil; n += len(block) {
		_, err = f.Write(block)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func diskFull(err error) bool {
	return errors.Is(err, sqlite3.FULL) || noSpace(err) || errors.Is(err, chat.ErrStorageFull)
}
