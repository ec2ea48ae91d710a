package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// maxConns bounds connections of one listener: browsers keep 6, a bot 1, and
// idle ones end by themselves.
const maxConns = 256

// ListenTCP opens host:port addresses on loopback, and nowhere else: anything
// further away needs TLS, which this version does not offer. When one address
// cannot be had, none is kept.
func ListenTCP(addrs ...string) ([]net.Listener, error) {
	var open []net.Listener
	for _, addr := range addrs {
		l, err := listenLoopback(addr)
		if err != nil {
			for _, l := range open {
				_ = l.Close()
			}
			return nil, err
		}
		open = append(open, netutil.LimitListener(l, maxConns))
	}
	return open, nil
}

func listenLoopback(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listening on %q: only loopback addresses (127.0.0.1, [::1]) are served", addr)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", addr, err)
	}
	return l, nil
}

// ListenSocket opens the Unix socket for this user only: folder 0700, socket
// 0600, and the user of every caller checked. A socket that nobody serves is
// replaced; one that somebody serves is an error.
func ListenSocket(path string, log *slog.Logger) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the socket: %w", err)
	}
	if err := ownFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("checking the folder of the socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on the socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("closing the socket to others: %w", err)
	}
	return netutil.LimitListener(&ownListener{Listener: l, log: log}, maxConns), nil
}

// ownFolder refuses a folder that others may enter. The folder may be older
// than us, so it is narrowed before it is judged.
func ownFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !unixModes || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("%s can be entered by others: %w", dir, err)
	}
	return nil
}

// removeStale makes room for a new socket, unless somebody answers there or
// the path is something else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the socket: %w", err)
	}
	if info.Mode()&os.ModeSocket == 0 && unixModes {
		return fmt.Errorf("listening on the socket: %s exists and is no socket", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if conn, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close()
		return fmt.Errorf("listening on the socket: another node already serves %s", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing the socket of an earlier run: %w", err)
	}
	return nil
}

// ownListener accepts connections of the user that runs this program.
type ownListener struct {
	net.Listener
	log     *slog.Logger
	refused atomic.Int64
}

func (l *ownListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, known, err := peerUID(conn)
		if err == nil && (!known || uid == os.Getuid()) {
			return conn, nil
		}
		_ = conn.Close()
		if l.refused.Add(1) == 1 { // once is enough to notice; a flood must not fill the log
			l.log.Warn("refused another user on the socket", "uid", uid, "err", err)
		}
	}
}
