package identity

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"parley/internal/seal"
	"parley/internal/store"
)

// A device that was away collects its mail before it erases what opens it, and
// the store's upkeep, which looks at the clock alone, takes nothing from it.
func TestCollectsBeforeErasing(t *testing.T) {
	back := noon.Add(60 * day24)
	for name, away := range map[string]func(*store.DB, *Keys) *Keys{
		"asleep":       func(_ *store.DB, k *Keys) *Keys { return k },
		"switched off": func(db *store.DB, _ *Keys) *Keys { return load(t, db, back) },
	} {
		db := openStore(t, t.TempDir())
		k := load(t, db, noon)
		record, err := k.deviceRecord(nil, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		k = away(db, k)
		alive := func() (pair, box bool) {
			read(t, db, func(tx *store.Tx) error {
				_, _, _, err := k.PrekeyByBundle(tx, record.BundleHash)
				pair = err == nil
				secrets, err := k.BoxSecrets(tx)
				box = slices.ContainsFunc(secrets, func(s *seal.BoxSecret) bool { return bytes.Equal(s.Public(), record.SealingKey) })
				return err
			})
			return pair, box
		}
		for _, after := range []time.Duration{0, time.Minute, collectTime - time.Minute} {
			if _, err := k.Rotate(t.Context(), db, back.Add(after)); err != nil {
				t.Fatal(err)
			}
			if pair, box := alive(); !pair || !box {
				t.Errorf("%s: %s after it came back: prekeys %v, sealing key %v", name, after, pair, box)
			}
		}
		if _, err := k.Rotate(t.Context(), db, back.Add(collectTime+time.Minute)); err != nil {
			t.Fatal(err)
		}
		if pair, box := alive(); pair || box {
			t.Errorf("%s: after the time to collect: prekeys %v, sealing key %v", name, pair, box)
		}
		read(t, db, func(tx *store.Tx) error {
			for _, kind := range []string{kindPrekey, kindBox} {
				rows, err := tx.Secrets(kind)
				if err != nil {
					return err
				}
				for _, row := range rows {
					if !row.Expires.IsZero() {
						t.Errorf("the store may take a %s at %s", kind, row.Expires)
					}
				}
			}
			return nil
		})
	}
}

// TestErasingWaitsForTheCollector: at most a day, if no network is found.
func TestErasingWaitsForTheCollector(t *testing.T) {
	back := noon.Add(60 * day24)
	for _, c := range []struct {
		name      string
		collected bool
		after     time.Duration
		kept      bool
	}{
		{"not collected yet", false, collectTime + time.Minute, true},
		{"collected", true, collectTime + time.Minute, false},
		{"no network for a day", false, collectPatience + collectTime + time.Minute, false},
	} {
		db := openStore(t, t.TempDir())
		record, err := load(t, db, noon).deviceRecord(nil, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		k := load(t, db, back)
		k.Collects()
		if c.collected {
			k.Collected()
		}
		for after := time.Minute; after <= c.after; after += 10 * time.Minute { // through the day's new keys
			if _, err := k.Rotate(t.Context(), db, back.Add(after)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := k.Rotate(t.Context(), db, back.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		read(t, db, func(tx *store.Tx) error {
			_, _, _, err := k.PrekeyByBundle(tx, record.BundleHash)
			if kept := err == nil; kept != c.kept {
				t.Errorf("%s: the old prekeys are there: %v", c.name, kept)
			}
			return nil
		})
	}
}
