package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSocketPath is what every system takes: macOS and the BSDs have 104 bytes
// with the final zero, Linux 108.
const maxSocketPath = 103

const socketName = "api.sock"

// socketPath is the default socket of a data folder: in the runtime folder of
// this user for the default data, else beside the data. Where that is missing
// or its path too long, a short folder under the system's temporary one takes
// its place, named after the data folder so that nodes never share a socket.
func socketPath(data string, dataIsDefault bool) string {
	path := filepath.Join(data, socketName)
	if dataIsDefault {
		path = filepath.Join(stateFolder(), socketName)
		if run := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) && isFolder(run) {
			path = filepath.Join(run, folderName, socketName)
		}
	}
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(shortFolder(), hex.EncodeToString(sum[:6])+".sock")
}

// shortFolder is private to this user; EnsureSocketFolder and
// CheckSocketFolder hold it to that.
func shortFolder() string {
	return filepath.Join(os.TempDir(), folderName+"-"+strconv.Itoa(os.Getuid()))
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// EnsureSocketFolder makes the folder of the API socket, private to this user.
// It refuses a folder that another user could have put there.
func (c *Config) EnsureSocketFolder() error {
	dir := filepath.Dir(c.API.Socket)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the socket folder: %w", err)
	}
	return c.CheckSocketFolder()
}

// CheckSocketFolder is asked before anything is said to the socket: whoever
// may write in its folder may answer in the node's place. A folder that does
// not exist is fine, since nothing answers there.
func (c *Config) CheckSocketFolder() error {
	dir := filepath.Dir(c.API.Socket)
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("checking the socket folder: %w", err)
	}
	if dir == shortFolder() && info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("the socket folder %s is a link: another user may have put it there", dir)
	}
	if info, err = os.Stat(dir); err != nil {
		return fmt.Errorf("checking the socket folder: %w", err)
	}
	return checkPrivate(dir, info)
}

// checkSocketName refuses a path no system can bind.
func checkSocketName(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("%d bytes are too long for a socket path, at most %d", len(path), maxSocketPath)
	}
	if strings.ContainsRune(path, 0) {
		return errors.New("holds a zero byte")
	}
	return nil
}
