package store

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/ncruces/go-sqlite3/vfs/adiantum"
)

const (
	// productVFS encrypts every file of the database and gathers writes to its
	// log. relaxedVFS does not gather: its stores do not sync at each commit,
	// and a killed process would take commits along.
	productVFS = "parley"
	relaxedVFS = "parley-relaxed"
	// maxGathered bounds what is held between two syncs: one large group.
	maxGathered = 256 << 10
)

func init() {
	vfs.Register(productVFS, gather(adiantum.Wrap(vfs.Find(""), nil)))
	relaxed := gather(adiantum.Wrap(vfs.Find(""), nil))
	relaxed.direct = true
	vfs.Register(relaxedVFS, relaxed)
}

// gather wraps an encrypting file layer. SQLite appends to its log in pieces
// of 24 and 4096 bytes, none of them on the cipher's blocks of 4 KiB, so that
// each piece costs up to three decryptions and encryptions. Gathered, a group
// costs one encryption a block.
//
// Nothing is held back across a sync: what SQLite believes durable is, and a
// full disk is found before the commit counts.
func gather(base vfs.VFS) *gatherVFS {
	return &gatherVFS{VFS: base, open: make(map[string]*gathered)}
}

type gatherVFS struct {
	vfs.VFS
	direct bool // write at once; only keep readers out meanwhile

	mu   sync.Mutex
	open map[string]*gathered // path of a log -> its pending bytes, while a handle is open
}

// gathered are bytes of one log that are not in the file yet. Connections of
// this process share it: there is no other process, the store is locked.
//
// mu also keeps readers out while a block is rewritten: half an encrypted
// block is no block at all.
type gathered struct {
	refs int // guarded by gatherVFS.mu

	mu    sync.RWMutex
	owner *gatherFile // who wrote the bytes
	off   int64
	buf   []byte
	size  int64 // the file is at least this long
}

// maxAhead bounds what grow writes ahead.
const maxAhead = 1 << 20

// grow makes the file longer than what is about to be written up to end, with
// zeros: a sync costs a third less where the length of the file stays. Frames
// are told by their checksums, so what follows the last does no harm. The
// shorter the log, the less is written ahead. It is a favour: without room for
// it the commit itself may still fit.
func (s *gathered) grow(end int64) {
	base, ok := s.owner.File.(interface{ Unwrap() vfs.File })
	if !ok || end <= s.size {
		return
	}
	file := base.Unwrap()
	size, err := file.Size()
	if err != nil || size%blockSize != 0 || end <= size {
		s.size = size
		return
	}
	to := end + min(end, maxAhead)
	to -= to % blockSize
	if _, err := file.WriteAt(make([]byte, to-size), size); err != nil {
		_ = file.Truncate(size)
		return
	}
	s.size = to
}

func (g *gatherVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return g.VFS.Open(name, flags)
}

// OpenFilename wraps the log only; every other file stays as it is.
func (g *gatherVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, out, err := vfsutil.WrapOpenFilename(g.VFS, name, flags)
	if err != nil || flags&vfs.OPEN_WAL == 0 {
		return file, out, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	path := name.String()
	s := g.open[path]
	if s == nil {
		s = &gathered{}
		g.open[path] = s
	}
	s.refs++
	return &gatherFile{File: file, vfs: g, path: path, s: s}, out, nil
}

// gatherFile is one handle of a log.
type gatherFile struct {
	vfs.File
	vfs  *gatherVFS
	path string
	s    *gathered

	// through: a sync has just ended a commit. SQLite may still finish the
	// frame that pads it; that part must be in the file when the commit is
	// shown to readers.
	through bool
}

// Layout of an SQLite log: a header, then frames of header and page.
const (
	walHeader = 32
	walFrame  = 24 + 4096
)

// blockSize is what the cipher works on: part of a block cannot be decrypted.
const blockSize = 4096

// trimLogFile cuts a part of a block off the end of a log. Only a power cut in
// the middle of a write leaves one; nothing in it was synced, but the driver
// would not read past it.
func trimLogFile(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.Size()%blockSize == 0 {
		return err
	}
	return os.Truncate(path, info.Size()-info.Size()%blockSize)
}

func (f *gatherFile) WriteAt(p []byte, off int64) (int, error) {
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if off >= walHeader && (off-walHeader)%walFrame == 0 {
		f.through = false // a frame begins
	}
	if len(s.buf) > 0 && (s.owner != f || off != s.off+int64(len(s.buf)) || len(s.buf)+len(p) > maxGathered) {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	if f.through || f.vfs.direct {
		n, err := f.File.WriteAt(p, off)
		return n, spaceError(err)
	}
	if len(s.buf) == 0 {
		s.owner, s.off = f, off
	}
	s.buf = append(s.buf, p...)
	return len(p), nil
}

// flush writes what is pending. After a fault it stays pending: the next write
// or sync fails the same way until the disk takes it.
func (s *gathered) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	s.grow(s.off + int64(len(s.buf)))
	if _, err := s.owner.File.WriteAt(s.buf, s.off); err != nil {
		return spaceError(err)
	}
	s.buf = s.buf[:0]
	return nil
}

// spaceError gives a full disk its own code. The driver's layer lets it pass
// for any fault of the disk.
func spaceError(err error) error {
	if err != nil && noSpace(err) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
}

func (f *gatherFile) ReadAt(p []byte, off int64) (int, error) {
	s := f.s
	s.mu.RLock()
	if len(s.buf) == 0 || off+int64(len(p)) <= s.off || off >= s.off+int64(len(s.buf)) {
		defer s.mu.RUnlock()
		return f.File.ReadAt(p, off)
	}
	s.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.flush(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *gatherFile) Sync(flags vfs.SyncFlag) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.s.flush(); err != nil {
		return err
	}
	f.through = true
	return spaceError(f.File.Sync(flags))
}

func (f *gatherFile) Truncate(size int64) error {
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off >= size {
		s.buf = s.buf[:0]
	} else if err := s.flush(); err != nil {
		return err
	}
	s.size = 0
	return f.File.Truncate(size)
}

func (f *gatherFile) Size() (int64, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.s.flush(); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *gatherFile) Close() error {
	f.vfs.mu.Lock()
	defer f.vfs.mu.Unlock()
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	var err error
	if f.s.owner == f {
		err = f.s.flush()
		f.s.buf, f.s.owner, f.s.size = f.s.buf[:0], nil, 0
	}
	if f.s.refs--; f.s.refs == 0 {
		delete(f.vfs.open, f.path)
	}
	if cerr := f.File.Close(); err == nil {
		err = cerr
	}
	return err
}
