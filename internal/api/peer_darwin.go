package api

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// unixModes says whether file modes keep others out.
const unixModes = true

// peerUID asks the kernel who is at the other end of a Unix socket. Other
// connections, which only tests make, have nobody to ask for.
func peerUID(conn net.Conn) (uid int, known bool, err error) {
	raw, ok := rawConn(conn)
	if !ok {
		return 0, false, nil
	}
	var cred *unix.Xucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	}); err != nil {
		return 0, false, fmt.Errorf("reaching the socket: %w", err)
	}
	if credErr != nil {
		return 0, false, fmt.Errorf("asking who calls: %w", credErr)
	}
	return int(cred.Uid), true, nil
}
