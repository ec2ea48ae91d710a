package store

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLogGrowsAhead: most commits find their place in the log, and a log whose
// end was never written opens with every commit.
func TestLogGrowsAhead(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	db, err := Open(Config{Dir: dir, noReserve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const commits = 64
	sizes := map[int64]bool{}
	for i := range commits {
		add(t, db, text(ana, uint64(i+1), "hello"))
		info, err := os.Stat(filepath.Join(dir, dbFile+"-wal"))
		if err != nil || info.Size()%blockSize != 0 {
			t.Fatalf("a log of %d bytes, %v", info.Size(), err)
		}
		sizes[info.Size()] = true
	}
	if len(sizes) > 12 {
		t.Errorf("%d commits grew the log %d times", commits, len(sizes))
	}
	copyFiles(t, dir, copied) // as a crash would leave it
	b, err := os.ReadFile(filepath.Join(dir, dbFile+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, dbFile+"-wal"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	read(t, openTest(t, copied), func(tx *Tx) error {
		for i := range commits {
			if _, err := tx.Message(text(ana, uint64(i+1), "hello").ID); err != nil {
				t.Errorf("message %d: %v", i+1, err)
			}
		}
		return nil
	})
}
