package cli

import (
	"os"
	"path/filepath"
	"time"

	"parley/internal/store"
)

// demoPrefix begins the name of every demo's folder.
const demoPrefix = "parley-demo-"

// sweepAge protects a demo that is just starting and holds no lock yet.
const sweepAge = time.Minute

// sweepDemos removes what killed demos of this user left behind in tmp. Best
// effort: what cannot be judged stays.
func sweepDemos(tmp string, now time.Time) {
	roots, err := filepath.Glob(filepath.Join(tmp, demoPrefix+"*"))
	if err != nil {
		return
	}
	for _, root := range roots {
		info, err := os.Lstat(root)
		if err != nil || !info.IsDir() || !ownFile(info) || now.Sub(info.ModTime()) < sweepAge {
			continue
		}
		if deadDemo(root) {
			_ = os.RemoveAll(root)
		}
	}
}

// deadDemo reports that no node of a demo is at work.
func deadDemo(root string) bool {
	nodes, err := os.ReadDir(root)
	for _, n := range nodes {
		if used, uerr := store.InUse(filepath.Join(root, n.Name())); used || uerr != nil {
			return false
		}
	}
	return err == nil
}
