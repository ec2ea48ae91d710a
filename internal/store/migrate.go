package store

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/chat"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// copyLife is how long the copy made before a migration is kept: time to
// notice a fault, short because it still holds what is deleted later.
const copyLife = 7 * 24 * time.Hour

// step is one numbered schema file. Steps only go forward.
type step struct {
	version int
	sql     string
}

// loadSteps reads NNNN_name.sql files, numbered from 1 without gaps.
func loadSteps(files fs.FS) ([]step, error) {
	names, err := fs.Glob(files, "schema/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	steps := make([]step, 0, len(names))
	for i, name := range names {
		digits, _, _ := strings.Cut(filepath.Base(name), "_")
		if n, err := strconv.Atoi(digits); err != nil || n != i+1 {
			return nil, fmt.Errorf("schema file %s is not number %d", name, i+1)
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{version: i + 1, sql: string(b)})
	}
	return steps, nil
}

// version reads the schema number. It leaves the files as they are.
func (c *conn) version() (int, error) {
	n, err := c.number(0, `PRAGMA user_version`)
	if err != nil {
		return 0, fmt.Errorf("reading the schema number: %w", err)
	}
	return int(n), nil
}

// migrate runs the steps above the present schema, each in one transaction:
// after a crash the store is of one version or the next.
func (c *conn) migrate(from int, steps []step) error {
	for _, s := range steps {
		if s.version <= from {
			continue
		}
		err := c.db.Exec(`BEGIN IMMEDIATE`)
		if err == nil {
			err = c.db.Exec(s.sql)
		}
		if err == nil {
			err = c.db.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, s.version))
		}
		if err == nil {
			err = c.db.Exec(`COMMIT`)
		}
		if err != nil {
			if !c.db.GetAutocommit() {
				_ = c.db.Exec(`ROLLBACK`) // closing the connection does the same
			}
			if diskFull(err) {
				err = fmt.Errorf("%w: %w", chat.ErrStorageFull, err)
			}
			return fmt.Errorf("migrating to schema %d: %w", s.version, err)
		}
	}
	return nil
}

// copyBefore keeps the database as it was at version from. The caller holds
// the lock file and has no connection open, so the file stands still.
func copyBefore(path string, from int) error {
	target := copyPath(path, from)
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.CreateTemp(filepath.Dir(path), ".copy-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = dst.Sync()
	}
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(dst.Name(), target)
	}
	if err != nil {
		_ = os.Remove(dst.Name())
		if diskFull(err) {
			err = fmt.Errorf("%w: %w", chat.ErrStorageFull, err)
		}
		return fmt.Errorf("copying the store before its migration: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func copyPath(path string, version int) string { return fmt.Sprintf("%s.v%d", path, version) }

// dropCopies removes copies of old versions that are past their use.
func (db *DB) dropCopies(now time.Time) error {
	names, err := filepath.Glob(filepath.Join(db.dir, dbFile+".v*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err == nil && now.Sub(info.ModTime()) > copyLife {
			err = os.Remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
