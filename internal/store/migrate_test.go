package store

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"parley/internal/chat"
)

var rewrite = flag.Bool("rewrite", false, "make the newest testdata/v000N anew")

// openSteps opens with more schema steps than there are.
func openSteps(t *testing.T, dir string, more ...string) (*DB, error) {
	t.Helper()
	steps, err := loadSteps(schemaFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range more {
		steps = append(steps, step{version: len(steps) + 1, sql: sql})
	}
	db, err := open(Config{Dir: dir, Relaxed: true}, steps)
	if err == nil {
		t.Cleanup(func() { _ = db.Close() })
	}
	return db, err
}

// present is the newest schema's number.
func present(t *testing.T) int {
	t.Helper()
	steps, err := loadSteps(schemaFiles)
	if err != nil {
		t.Fatal(err)
	}
	return len(steps)
}

func TestMigration(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	add(t, db, text(ana, 1, "hello"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, dbFile)

	// A step that fails leaves the old version, and the copy.
	good := `CREATE TABLE extra (a INTEGER) STRICT; INSERT INTO extra VALUES (7);`
	if _, err := openSteps(t, dir, good, `CREATE TABLE other (a INTEGER); INSERT INTO missing VALUES (1);`); err == nil {
		t.Fatal("a broken step passed")
	}
	db, err := openSteps(t, dir, good)
	if err != nil {
		t.Fatal(err)
	}
	read(t, db, func(tx *Tx) error {
		n, err := tx.c.number(0, `SELECT a FROM extra`)
		other, oerr := tx.c.number(0, `SELECT count(*) FROM sqlite_schema WHERE name = 'other'`)
		_, merr := tx.Message(text(ana, 1, "hello").ID)
		if n != 7 || other != 0 {
			t.Errorf("extra %d, other %d", n, other)
		}
		return errors.Join(err, oerr, merr)
	})
	if _, err := os.Stat(copyPath(path, present(t))); err != nil {
		t.Errorf("no copy: %v", err)
	}
	if err := db.dropCopies(time.Now().Add(copyLife + time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(path + ".v*"); len(left) != 0 {
		t.Errorf("copies left: %v", left)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	// The older program refuses, and touches nothing.
	before := snapshot(t, dir)
	_, err = Open(Config{Dir: dir, Relaxed: true})
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Found != newer.Known+1 {
		t.Fatalf("got %v", err)
	}
	after := snapshot(t, dir)
	for name := range before {
		if name != lockFile && before[name] != after[name] {
			t.Errorf("%s was touched", name)
		}
	}
}

// TestCopyOpens: the copy made before a migration is a whole store.
func TestCopyOpens(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	add(t, db, text(ana, 1, "hello"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := openSteps(t, dir, `CREATE TABLE extra (a INTEGER) STRICT;`)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, dbFile)
	if err := os.Rename(copyPath(path, present(t)), path); err != nil {
		t.Fatal(err)
	}
	read(t, openTest(t, dir), func(tx *Tx) error {
		_, err := tx.Message(text(ana, 1, "hello").ID)
		return err
	})
}

func TestStepsAreNumbered(t *testing.T) {
	files := fstest.MapFS{"schema/0001_a.sql": {}, "schema/0003_b.sql": {}}
	if _, err := loadSteps(files); err == nil || !strings.Contains(err.Error(), "0003_b.sql") {
		t.Errorf("a gap passed: %v", err)
	}
}

// TestGolden opens the stores that were made when their version was new, with
// all that has been added to the schema since.
func TestGolden(t *testing.T) {
	for version := 1; version <= present(t); version++ {
		t.Run(fmt.Sprintf("v%04d", version), func(t *testing.T) { testGolden(t, version) })
	}
}

func testGolden(t *testing.T, version int) {
	golden := filepath.Join("testdata", fmt.Sprintf("v%04d", version))
	m := text(ana, 1, "kept since version one")
	edited := message(ana, 3, 1_760_000_100_000, chat.KindEdit, "edited in version one", m.ID)
	own := text(bo, 2, "our answer")
	proof := DeviceDelivery{Device: deviceOf(ana, 1), State: chat.Delivered, At: time.UnixMilli(1_760_000_003_000), Proof: []byte("signed")}
	contact := Contact{
		Account: ana, Petname: "Ana", State: ContactAdded,
		Added: time.UnixMilli(1_760_000_000_000), Changed: time.UnixMilli(1_760_000_000_000),
	}
	if *rewrite && version == present(t) {
		dir := t.TempDir()
		db := openTest(t, dir)
		add(t, db, m, own, edited)
		if err := db.index(t.Context()); err != nil {
			t.Fatal(err)
		}
		write(t, db, func(tx *Tx) error {
			_, err := tx.SetDelivery(own.ID, proof)
			return errors.Join(err, tx.PutContact(contact), tx.PutSecret("device", "key", []byte("seed"), time.Time{}),
				tx.PutSession(SessionRow{Device: deviceOf(ana, 1), ID: []byte{1}, Setup: 5, State: []byte("state")}))
		})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(golden, 0o755); err != nil {
			t.Fatal(err)
		}
		copyFiles(t, dir, golden)
	}
	dir := t.TempDir()
	copyFiles(t, golden, dir)
	db := openTest(t, dir)
	read(t, db, func(tx *Tx) error {
		got, err := tx.Message(m.ID)
		if err != nil || got.Text != edited.Text || string(got.Content) != string(m.Content) {
			t.Errorf("message %v", err)
		}
		hits, err := tx.Search("edited version", "", 5)
		if err != nil || len(hits) != 1 {
			t.Errorf("search %d %v", len(hits), err)
		}
		list, err := tx.Deliveries(own.ID)
		if err != nil || len(list) != 1 || string(list[0].Proof) != "signed" {
			t.Errorf("deliveries %v %v", list, err)
		}
		if c, err := tx.Contact(ana); c != contact || err != nil {
			t.Errorf("contact %+v %v", c, err)
		}
		if v, err := tx.Secret("device", "key"); string(v) != "seed" {
			t.Errorf("secret %v", err)
		}
		s, err := tx.SessionByID([]byte{1})
		if string(s.State) != "state" {
			t.Errorf("session %v", err)
		}
		return err
	})
	if err := db.index(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, db, func(tx *Tx) error {
		return tx.c.exec(`INSERT INTO fulltext (fulltext) VALUES ('integrity-check')`)
	})
}

func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{dbFile, keyFile} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
