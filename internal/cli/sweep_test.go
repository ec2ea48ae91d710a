package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/internal/store"
)

// TestSweepDemos: folders of dead demos go, those at work, starting or not
// ours to judge stay.
func TestSweepDemos(t *testing.T) {
	tmp := t.TempDir()
	for _, name := range []string{demoPrefix + "dead/0", demoPrefix + "alive/0", demoPrefix + "young/0", "parley-run-x/0"} {
		dir := filepath.Join(tmp, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(store.Config{Dir: dir, Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		if name == demoPrefix+"alive/0" {
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		} else if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if name != demoPrefix+"young/0" {
			old := time.Now().Add(-2 * sweepAge)
			if err := os.Chtimes(filepath.Dir(dir), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	sweepDemos(tmp, time.Now())
	left, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if len(names) != 3 || names[0] != demoPrefix+"alive" || names[1] != demoPrefix+"young" || names[2] != "parley-run-x" {
		t.Errorf("left %v", names)
	}
}
