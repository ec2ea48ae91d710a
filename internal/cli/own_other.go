//go:build !unix

package cli

import "io/fs"

// ownFile is always true: the temporary folder is this user's own.
func ownFile(fs.FileInfo) bool { return true }
