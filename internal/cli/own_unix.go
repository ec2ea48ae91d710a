//go:build unix

package cli

import (
	"io/fs"
	"os"
	"syscall"
)

// ownFile reports that a file belongs to this user.
func ownFile(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(stat.Uid) == int64(os.Getuid())
}
