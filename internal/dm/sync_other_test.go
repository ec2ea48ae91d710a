//go:build !linux

package dm

import "os"

func syncData(f *os.File) error { return f.Sync() }
