//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkPrivate accepts a folder of this user or of root that nobody else can
// write to.
func checkPrivate(dir string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("the socket folder %s is not a folder", dir)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if uid := int(st.Uid); uid != os.Getuid() && uid != 0 {
		return fmt.Errorf("the socket folder %s belongs to another user (uid %d)", dir, uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("the socket folder %s is writable by others (mode %04o)", dir, info.Mode().Perm())
	}
	return nil
}
