package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const lockFile = "lock"

// errLocked is what lockExclusive answers when another process holds the file.
var errLocked = errors.New("locked")

// takeLock makes this process the only one on dir until the file is closed.
// The file holds our process number for the message of the next one, and is
// never removed: a removed lock file can be held twice.
func takeLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	if err := lockExclusive(f); err != nil {
		_ = f.Close()
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		b, _ := os.ReadFile(path) // best effort: the answer only names the process
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		return nil, &LockedError{PID: pid}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil && !diskFull(err) { // a full disk must not keep the store shut
		_ = f.Close()
		return nil, fmt.Errorf("writing the lock file: %w", err)
	}
	return f, nil
}

// InUse reports whether a process has the store in dir open. It makes nothing.
func InUse(dir string) (bool, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the lock file: %w", err)
	}
	err = lockExclusive(f)
	_ = f.Close() // gives the lock back
	if errors.Is(err, errLocked) {
		return true, nil
	}
	return false, err
}
