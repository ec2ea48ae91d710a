package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/internal/chat"
)

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	_, err := Open(Config{Dir: dir})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("got %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err == nil {
		t.Error("closed twice")
	}
	if err := db.Write(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("write after close: %v", err)
	}
	if err := db.Read(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("read after close: %v", err)
	}
	openTest(t, dir)
}

// A folder's name is anything: "Application Support" on macOS.
func TestFolderNames(t *testing.T) {
	for _, name := range []string{"Application Support", "a+b", "50%20", "a&b=c#d", "Привет"} {
		dir := filepath.Join(t.TempDir(), name)
		db := openTest(t, dir)
		add(t, db, text(ana, 1, "hello"))
		if err := db.Close(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		openTest(t, dir)
	}
}

func TestKeyFaults(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	add(t, db, text(ana, 1, "hello"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := openTest(t, other).Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, keyFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(other, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[40] ^= 1
	for _, c := range []struct {
		name, says string
		key        []byte
	}{
		{"missing", "is missing", nil},
		{"empty", "is damaged", []byte{}},
		{"cut", "is damaged", good[:50]},
		{"one bit", "is damaged", flipped},
		{"of another store", "belongs to another store", foreign},
	} {
		before := snapshot(t, dir)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if c.key != nil {
			if err := os.WriteFile(path, c.key, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(Config{Dir: dir, Relaxed: true})
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.key == nil {
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: a new key was made over the old database", c.name)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if after := snapshot(t, dir); after[dbFile] != before[dbFile] {
			t.Errorf("%s: the database was touched", c.name)
		}
	}
	db = openTest(t, dir)
	read(t, db, func(tx *Tx) error {
		_, err := tx.Message(text(ana, 1, "hello").ID)
		return err
	})
}

// snapshot is name -> content of the files in dir.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

func TestFilesAreOurs(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // folders of a user are closed to others there
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	db, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	add(t, db, text(ana, 1, "hello"))
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v %v", info.Mode(), err)
	}
	for name := range snapshot(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 && !strings.HasSuffix(name, "-shm") { // page numbers only, in a closed folder
			t.Errorf("%s is %v", name, info.Mode())
		}
		if name == reserveFile && info.Size() != chat.DiskReserve {
			t.Errorf("reserve of %d", info.Size())
		}
	}
}

// TestNoPlaintextOnDisk looks for every kind of content in every file the
// store makes, while it is open and after it is closed.
func TestNoPlaintextOnDisk(t *testing.T) {
	for _, relaxed := range []bool{true, false} {
		dir := t.TempDir()
		db, err := Open(Config{Dir: dir, Relaxed: relaxed})
		if err != nil {
			t.Fatal(err)
		}
		m := text(ana, 1, "the walrus speaks at midnight")
		add(t, db, m)
		write(t, db, func(tx *Tx) error {
			return errors.Join(
				tx.PutContact(Contact{Account: ana, Petname: "Annabel Lee"}),
				tx.PutSecret("prekey", "zanzibar", []byte("private material"), time.Time{}),
				tx.PutSession(SessionRow{Device: deviceOf(ana, 1), ID: []byte("session-name"), State: []byte("chain state")}),
				tx.SetDraft(m.Conversation, "unfinished symphony"),
				tx.PutRecord(Record{Key: "/parley-device/quebec", Value: []byte("address book")}),
			)
		})
		if err := db.index(t.Context()); err != nil {
			t.Fatal(err)
		}
		words := []string{
			"walrus", "midnight", string(ana), string(m.Device), string(m.ID[:]), hex.EncodeToString(m.ID[:]), string(m.Content[1:17]),
			"Annabel", "zanzibar", "private material", "session-name", "chain state", "symphony", "quebec", "address book",
			"SQLite format 3", "CREATE TABLE", string(db.fileKey), hex.EncodeToString(db.fileKey),
		}
		scan := func(when string) {
			n := 0
			for name, content := range snapshot(t, dir) {
				n += len(content)
				for _, w := range words {
					if strings.Contains(content, w) {
						t.Errorf("%s: %s holds %q", when, name, w)
					}
				}
			}
			if n < 10<<10 {
				t.Errorf("%s: only %d bytes looked at", when, n)
			}
		}
		scan("open")
		if err := db.checkpoint(); err != nil {
			t.Fatal(err)
		}
		scan("checkpointed")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		scan("closed")
	}
}
