package store

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	keyFile   = "master.key"
	keyPrefix = "parley-master-key-v1"
)

// masterKey encrypts the whole store. It never appears in text.
type masterKey [32]byte

func (masterKey) String() string   { return "[key]" }
func (masterKey) GoString() string { return "[key]" }

// file derives the key of the encrypting file layer, guestFile that of the
// file with strangers' mail.
func (k masterKey) file() []byte      { return k.derive("parley/file/v1") }
func (k masterKey) guestFile() []byte { return k.derive("parley/guest-file/v1") }

func (k masterKey) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, k[:], nil, purpose, 32)
	if err != nil {
		panic(err) // lengths are constant
	}
	return key
}

// loadKey reads the master key of the store in dir, or makes one while there
// is no database yet. A new key over an old database would lose everything
// without saying so: that is refused.
func loadKey(dir string, exists bool) (masterKey, error) {
	path := filepath.Join(dir, keyFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && exists:
		return masterKey{}, fmt.Errorf("%w: %s is missing, and %s cannot be opened without it; bring the file back from your backup",
			ErrKey, keyFile, dbFile)
	case errors.Is(err, fs.ErrNotExist):
		return makeKey(path)
	case err != nil:
		return masterKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	key, err := parseKey(string(b))
	if err != nil {
		return masterKey{}, fmt.Errorf("%w: %s is damaged (%w); bring the file back from your backup", ErrKey, keyFile, err)
	}
	return key, os.Chmod(path, 0o600)
}

func makeKey(path string) (masterKey, error) {
	var key masterKey
	_, _ = rand.Read(key[:]) // never fails
	if err := writeFile(path, []byte(formatKey(key))); err != nil {
		return masterKey{}, fmt.Errorf("%w: writing it: %w", ErrKey, err)
	}
	return key, nil
}

// formatKey is one line: prefix, key, and four bytes that tell a damaged file
// from one of another store.
func formatKey(key masterKey) string {
	sum := sha256.Sum256(append([]byte(keyPrefix), key[:]...))
	return fmt.Sprintf("%s %x %x\n", keyPrefix, key[:], sum[:4])
}

func parseKey(s string) (masterKey, error) {
	var key masterKey
	fields := strings.Fields(s)
	if len(fields) != 3 || fields[0] != keyPrefix {
		return key, errors.New("not one line of prefix, key and check")
	}
	b, err := hex.DecodeString(fields[1])
	if err != nil || len(b) != len(key) {
		return key, errors.New("the key is not 64 hex digits")
	}
	copy(key[:], b)
	clear(b)
	if strings.TrimSpace(s) != strings.TrimSpace(formatKey(key)) {
		return masterKey{}, errors.New("the check does not match")
	}
	return key, nil
}

// writeFile makes a 0600 file that is there whole or not at all, whatever
// breaks in between.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}
