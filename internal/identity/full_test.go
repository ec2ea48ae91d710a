package identity

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// On a full disk a node starts with the keys it has, due or not, and makes the
// next ones once there is room; without any keys it does not start.
func TestLoadOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	db := openStore(t, dir)
	old := load(t, db, noon)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	full := openFullStore(t, dir)
	for _, age := range []time.Duration{time.Hour, 30 * day24, 300 * day24} {
		k := load(t, full, noon.Add(age))
		if k.Device() != old.Device() || k.Account() != old.Account() || k.Phrase() != old.Phrase() || k.Self().DH != old.Self().DH ||
			!bytes.Equal(k.snapshot().bundle.bytes, old.snapshot().bundle.bytes) || !bytes.Equal(k.ManifestBytes(), old.ManifestBytes()) {
			t.Errorf("after %s on a full disk: %v", age, k)
		}
	}
	if err := full.Close(); err != nil {
		t.Fatal(err)
	}
	k := load(t, openStore(t, dir), noon.Add(300*day24))
	if k.Device() != old.Device() || bytes.Equal(k.snapshot().bundle.bytes, old.snapshot().bundle.bytes) || bytes.Equal(k.ManifestBytes(), old.ManifestBytes()) {
		t.Error("with room again nothing was renewed")
	}
	if _, err := Load(t.Context(), openFullStore(t, t.TempDir()), noon); !errors.Is(err, chat.ErrStorageFull) {
		t.Errorf("a first run: %v", err)
	}
}

// openFullStore opens a store that cannot take its reserve: what stands in
// the way is a folder.
func openFullStore(t *testing.T, dir string) *store.DB {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "reserve")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "reserve", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if !db.Health().Load().Full {
		t.Fatal("the store finds room")
	}
	return db
}
