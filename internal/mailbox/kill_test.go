package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

// killSteps is every moment of a collect that a power cut can choose.
var killSteps = []string{"fetched", "committed", "deleted", "kept"}

// TestKilledCollector kills a collecting process at each step, several times
// over, and requires every letter to have arrived exactly once in the end.
func TestKilledCollector(t *testing.T) {
	if dir := os.Getenv("PARLEY_COLLECT_DIR"); dir != "" {
		collectUntilKilled(t, dir)
		return
	}
	w := newParish(t, 4)
	w.small = true
	bo := w.join("bo")
	parcels := bo.parcels(90, true) // two pages
	bo.leave(parcels)
	kinds := map[string]int{}
	w.end()
	w.must(bo.db.Close())
	for _, step := range killSteps {
		for at := range 2 {
			err := collector(t, w.dir, step, at)
			var exit *exec.ExitError
			switch {
			case errors.As(err, &exit) && !exit.Exited():
				kinds[step]++
			case err != nil:
				t.Fatalf("collector to be killed at %s %d: %v", step, at, err)
			}
		}
	}
	w.must(collector(t, w.dir, "", 0))
	if kinds["fetched"] == 0 || kinds["committed"] == 0 || kinds["deleted"] == 0 || kinds["kept"] == 0 {
		t.Errorf("killed at %v, want every step", kinds)
	}
	db, err := store.Open(store.Config{Dir: filepath.Join(w.dir, "bo"), Relaxed: true})
	w.must(err)
	defer db.Close()
	w.must(db.Read(context.Background(), func(tx *store.Tx) error {
		for i, p := range parcels {
			if n, err := arrivals(tx, sha256.Sum256(p.Blob)); n != 1 || err != nil {
				t.Errorf("letter %d arrived %d times (%v)", i, n, err)
			}
		}
		return nil
	}))
	for i := range w.holders {
		w.holders[i] = w.build(i)
	}
	defer w.end()
	if n := w.total(); n != 0 {
		t.Errorf("%d envelopes are left on the holders", n)
	}
}

// collector runs this test binary as a collector that dies at a step.
func collector(t *testing.T, dir, step string, at int) error {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledCollector$")
	child.Env = append(os.Environ(), "PARLEY_COLLECT_DIR="+dir, "PARLEY_COLLECT_STEP="+step, "PARLEY_COLLECT_AT="+strconv.Itoa(at))
	out, err := child.CombinedOutput()
	if err != nil && strings.Contains(string(out), "--- FAIL") {
		t.Fatalf("collector: %s", out)
	}
	return err
}

// kindArrived secrets: hash of a blob -> a byte for each time it was taken.
const kindArrived = "test-arrived"

func arrivals(tx *store.Tx, hash [32]byte) (int, error) {
	b, err := tx.Secret(kindArrived, hex.EncodeToString(hash[:]))
	if errors.Is(err, chat.ErrNotFound) {
		return 0, nil
	}
	return len(b), err
}

// collectUntilKilled is the life of the collector.
func collectUntilKilled(t *testing.T, dir string) {
	w := &parish{t: t, dir: dir, small: true, known: time.Hour}
	for i := range 4 {
		w.holders = append(w.holders, w.build(i))
	}
	db, err := store.Open(store.Config{Dir: filepath.Join(dir, "bo")})
	w.must(err)
	keys, err := identity.Load(context.Background(), db, time.Now())
	w.must(err)
	c, err := NewClient(Config{DB: db, Keys: keys, Regions: w, NewLine: w.newLine, Receive: func(ctx context.Context, mail []chat.Sealed) ([]Fate, error) {
		fates := make([]Fate, len(mail))
		return fates, db.Write(ctx, func(tx *store.Tx) error {
			for i, blob := range mail {
				fates[i] = Taken
				hash := sha256.Sum256(blob)
				_, seen, err := tx.Seen(hash)
				if err == nil && seen {
					continue
				}
				n := 0
				if err == nil {
					n, err = arrivals(tx, hash)
				}
				if err == nil {
					err = tx.PutSecret(kindArrived, hex.EncodeToString(hash[:]), make([]byte, n+1), time.Time{})
				}
				if err == nil {
					err = tx.MarkSeen(hash, nil, time.Now().Add(time.Hour))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}})
	w.must(err)
	left := make(chan int, 1)
	at, _ := strconv.Atoi(os.Getenv("PARLEY_COLLECT_AT"))
	left <- at
	c.fault = func(step string) {
		if step != os.Getenv("PARLEY_COLLECT_STEP") {
			return
		}
		n := <-left
		if n == 0 {
			self, err := os.FindProcess(os.Getpid())
			w.must(err)
			w.must(self.Kill())
			select {} // until it takes effect
		}
		left <- n - 1
	}
	if !c.round(context.Background(), true) {
		t.Fatal("the round reached nobody")
	}
	c.lines.close()
	w.end()
	w.must(db.Close())
}
