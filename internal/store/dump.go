package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ncruces/go-sqlite3"
)

// Dump reads a database file of the closed store in dir without its
// encryption, every column of every row, so that a test can search what a node
// keeps. Rows that were sealed besides stay sealed. A table of the full text
// lies in the tables below it.
//
// It fails with LockedError while a node has the folder.
func Dump(dir, file string, each func(table string, row [][]byte) error) (err error) {
	path := filepath.Join(dir, file)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("dumping: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := trimLogFile(path + "-wal"); err != nil {
		return fmt.Errorf("mending the log of %s: %w", file, err)
	}
	key, err := loadKey(dir, true)
	if err != nil {
		return err
	}
	fileKey := key.file()
	if file == guestFile {
		fileKey = key.guestFile()
	}
	c, err := openConn(path, productVFS, fileKey, readerCache, true)
	if err != nil {
		return fmt.Errorf("opening %s: %w", file, err)
	}
	defer func() {
		if cerr := c.close(); err == nil {
			err = cerr
		}
	}()
	var tables []string
	if err := c.query(func(s *sqlite3.Stmt) error {
		tables = append(tables, s.ColumnText(0))
		return nil
	}, `SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'`); err != nil {
		return fmt.Errorf("listing the tables of %s: %w", file, err)
	}
	for _, table := range tables {
		if err := c.query(func(s *sqlite3.Stmt) error {
			row := make([][]byte, s.ColumnCount())
			for i := range row {
				row[i] = slices.Clone(s.ColumnRawBlob(i))
			}
			return each(table, row)
		}, `SELECT * FROM `+sqlite3.QuoteIdentifier(table)); err != nil {
			return fmt.Errorf("reading %s of %s: %w", table, file, err)
		}
	}
	return nil
}
