//go:build unix

package node

import "golang.org/x/sys/unix"

// Harden keeps what this process writes and holds from other users: files are
// ours alone whatever the shell's umask says, and a crash leaves no memory
// with keys on the disk. What a system does not offer is left as it is.
func Harden() {
	unix.Umask(0o077)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // lowering one's own limit is always allowed
	undumpable()
}
