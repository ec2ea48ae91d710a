//go:build linux || darwin

package api

import (
	"net"
	"syscall"
)

// rawConn is the descriptor behind a connection.
func rawConn(conn net.Conn) (syscall.RawConn, bool) {
	s, ok := conn.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := s.SyscallConn()
	return raw, err == nil
}
