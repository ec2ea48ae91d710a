package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/ncruces/go-sqlite3/vfs/adiantum"

	"parley/internal/chat"
)

// weather is a disk with faults, under the encryption. It counts writes and
// syncs and fails them on order.
type weather struct {
	vfs.VFS

	mu    sync.Mutex
	calls int               // writes, syncs and truncations so far
	fail  func(n int) error // asked before the n-th; nil: fair
}

// newWeather registers a disk for one test.
func newWeather(t *testing.T) (*weather, string) {
	w := &weather{VFS: vfs.Find("")}
	name := "weather-" + strings.ReplaceAll(t.Name(), "/", "-")
	vfs.Register(name, gather(adiantum.Wrap(w, nil)))
	t.Cleanup(func() { vfs.Unregister(name) })
	return w, name
}

func (w *weather) set(fail func(int) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls, w.fail = 0, fail
}

func (w *weather) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := vfsutil.WrapOpenFilename(w.VFS, name, flags)
	if err != nil {
		return f, out, err
	}
	return &faultFile{File: f, w: w}, out, nil
}

// Open is never called: OpenFilename is.
func (w *weather) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, sqlite3.CANTOPEN
}

type faultFile struct {
	vfs.File
	w *weather
}

func (f *faultFile) Unwrap() vfs.File               { return f.File }
func (f *faultFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }

func (f *faultFile) step() error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.calls++
	if f.w.fail == nil {
		return nil
	}
	return f.w.fail(f.w.calls)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.step(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Sync(flags vfs.SyncFlag) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.File.Sync(flags)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// require holds a store to what was acknowledged: all of it there, once, and
// the database whole.
func require(t *testing.T, db *DB, acked []*chat.Message) {
	t.Helper()
	read(t, db, func(tx *Tx) error {
		for _, m := range acked {
			if got, err := tx.Message(m.ID); err != nil || got.Text != m.Text {
				t.Errorf("acknowledged and lost: %q, %v", string(m.Text), err)
			}
		}
		n, err := tx.c.number(0, `SELECT count(*) FROM messages`)
		distinct, derr := tx.c.number(0, `SELECT count(DISTINCT id) FROM messages`)
		bad, ierr := tx.c.number(0, `SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'`)
		if n != distinct || bad != 0 || int(n) < len(acked) {
			t.Errorf("%d rows of %d messages, %d acknowledged, %d faults in the database", n, distinct, len(acked), bad)
		}
		return errors.Join(err, derr, ierr)
	})
}

// TestFaultAtEveryCall fails the n-th write, sync or truncation of a script,
// for every n, once or from then on, then opens the store again on a fair disk.
func TestFaultAtEveryCall(t *testing.T) {
	step := 5 // each run tries every call at first, then fewer and fewer
	if os.Getenv("PARLEY_LONG") != "" {
		step = 1000
	}
	for _, fault := range []error{sqlite3.IOERR_WRITE, syscall.EIO} {
		for _, forever := range []bool{false, true} {
			for n, done := 1, false; !done; n += 1 + n/step {
				w, name := newWeather(t)
				dir := t.TempDir()
				hit := false
				var acked []*chat.Message
				db, err := Open(Config{Dir: dir, vfs: name, noReserve: true})
				if err != nil {
					t.Fatal(err)
				}
				w.set(func(i int) error {
					if i == n || forever && i > n {
						hit = true
						return fault
					}
					return nil
				})
				for i := range 12 {
					m := text(ana, uint64(i+1), fmt.Sprint("message ", i, strings.Repeat(" and more", 300)))
					err := db.Write(t.Context(), func(tx *Tx) error {
						_, err := tx.AddMessage(m)
						return err
					})
					if err == nil {
						acked = append(acked, m)
					}
					if i == 6 {
						_ = db.checkpoint() // may meet the fault
						_ = db.index(t.Context())
					}
				}
				done = !hit
				_ = db.Close()
				vfs.Unregister(name)
				again, err := Open(Config{Dir: dir, noReserve: true})
				if err != nil {
					t.Fatalf("fault %d: the store needs a hand: %v", n, err)
				}
				require(t, again, acked)
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestDiskFull: the reserve is freed, writes say so and lose nothing, reads go
// on, and the store goes on by itself when there is room.
func TestDiskFull(t *testing.T) {
	for _, fault := range []error{sqlite3.FULL, syscall.ENOSPC} {
		w, name := newWeather(t)
		dir := t.TempDir()
		db, err := Open(Config{Dir: dir, vfs: name})
		if err != nil {
			t.Fatal(err)
		}
		var acked []*chat.Message
		try := func(i int) error {
			m := text(ana, uint64(i+1), fmt.Sprint("message ", i))
			err := db.Write(t.Context(), func(tx *Tx) error {
				_, err := tx.AddMessage(m)
				return err
			})
			if err == nil {
				acked = append(acked, m)
			}
			return err
		}
		if err := try(0); err != nil {
			t.Fatal(err)
		}
		full, tight := true, false
		db.space.take = func(path string) error {
			if full || tight && strings.HasSuffix(path, ".slack") {
				return fault
			}
			return takeReserve(path)
		}
		w.set(func(int) error { return fault })
		health, changed := db.Health().Watch()
		if health.Full {
			t.Fatal("full before it is")
		}
		for i := 1; i < 4; i++ {
			if err := try(i); !errors.Is(err, chat.ErrStorageFull) {
				t.Fatalf("write %d on a full disk: %v", i, err)
			}
		}
		<-changed
		if !db.Health().Load().Full {
			t.Error("health does not say so")
		}
		if _, there := snapshot(t, dir)[reserveFile]; there {
			t.Error("the reserve is still taken")
		}
		require(t, db, acked)

		w.set(nil)
		full = false
		if err := try(4); !errors.Is(err, chat.ErrStorageFull) {
			t.Errorf("asked again at once: %v", err)
		}
		ask := func() {
			db.space.mu.Lock()
			defer db.space.mu.Unlock()
			db.space.probe = time.Now().Add(-probeEvery)
		}
		tight = true
		ask()
		if err := try(4); !errors.Is(err, chat.ErrStorageFull) {
			t.Errorf("with room for the reserve and nothing else: %v", err)
		}
		if _, there := snapshot(t, dir)[reserveFile+".slack"]; there {
			t.Error("the slack stays taken")
		}
		tight = false
		ask()
		if err := try(5); err != nil {
			t.Errorf("with room again: %v", err)
		}
		if db.Health().Load().Full || len(snapshot(t, dir)[reserveFile]) != chat.DiskReserve {
			t.Error("not healthy again")
		}
		require(t, db, acked)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		vfs.Unregister(name)
		again, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		require(t, again, acked)
		_ = again.Close()
	}
}

// TestTornLog cuts the log of the database at many places, as a power cut in
// the middle of a write does: what was committed before the cut is there, and
// the store opens without a hand.
func TestTornLog(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Config{Dir: dir, noReserve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.checkpoint(); err != nil {
		t.Fatal(err)
	}
	var list []*chat.Message
	var ends []int // size of the log after each commit
	for i := range 4 {
		list = append(list, text(ana, uint64(i+1), fmt.Sprint("message ", i)))
		add(t, db, list[i])
		ends = append(ends, len(snapshot(t, dir)[dbFile+"-wal"]))
	}
	files := snapshot(t, dir)
	log := files[dbFile+"-wal"]
	stride := 2047 // twice in every block
	if os.Getenv("PARLEY_LONG") != "" {
		stride = 1
	}
	for cut := 0; cut <= len(log); cut += stride {
		torn := t.TempDir()
		for name, content := range files {
			switch name {
			case lockFile, reserveFile, dbFile + "-shm":
				continue
			case dbFile + "-wal":
				content = log[:cut]
			}
			if err := writeFile(filepath.Join(torn, name), []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		again := openTest(t, torn)
		kept := 0
		for kept < len(ends) && ends[kept] <= cut {
			kept++
		}
		require(t, again, list[:kept])
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
