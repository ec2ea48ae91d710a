package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/store"
)

// portSetting keeps the port of the network between starts: records and
// remembered addresses stay true over a restart.
const portSetting = "net_port"

// portTries bounds the search for a port that is free for TCP and UDP alike.
const portTries = 16

// ownPort is the port that Options names, else that of the last start, else
// another one, whichever is free first.
// With addresses in the settings, or on simulated links, there is none to
// choose.
func (n *Node) ownPort(ctx context.Context) (int, error) {
	if len(n.opts.Config.Net.Listen) > 0 || n.opts.Adjust != nil {
		return 0, nil
	}
	host := "" // every interface
	if n.opts.Config.Net.Loopback {
		host = "127.0.0.1"
	}
	if n.opts.Port != 0 && portFree(ctx, host, n.opts.Port) {
		return n.opts.Port, nil
	}
	var kept string
	err := n.db.Read(ctx, func(tx *store.Tx) (err error) {
		kept, err = tx.Setting(portSetting)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reading the port: %w", err)
	}
	if port, err := strconv.Atoi(kept); err == nil && portFree(ctx, host, port) {
		return port, nil
	}
	port, err := freePort(ctx, host)
	if err != nil {
		return 0, err
	}
	err = n.db.Write(ctx, func(tx *store.Tx) error { return tx.SetSetting(portSetting, strconv.Itoa(port)) })
	if err != nil && !errors.Is(err, chat.ErrStorageFull) { // the next start chooses again
		return 0, fmt.Errorf("keeping the port: %w", err)
	}
	return port, nil
}

// portFree reports whether a port can be had for TCP and UDP.
func portFree(ctx context.Context, host string, port int) bool {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	p, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err == nil {
		err = p.Close()
	}
	return errors.Join(err, l.Close()) == nil
}

func freePort(ctx context.Context, host string) (int, error) {
	for range portTries {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return 0, fmt.Errorf("looking for a free port: %w", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("looking for a free port: %w", err)
		}
		if portFree(ctx, host, port) {
			return port, nil
		}
	}
	return 0, errors.New("no port is free for both TCP and UDP")
}

// listenNear opens addr, or the first free one of the spare ports after it.
func listenNear(addr string, spare int) ([]net.Listener, error) {
	first, err := api.ListenTCP(addr)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return first, err
	}
	taken := &PortError{Address: addr, Err: err}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, taken
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, taken
	}
	for i := 1; i <= spare; i++ {
		l, err := api.ListenTCP(net.JoinHostPort(host, strconv.Itoa(n+i)))
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
	return nil, taken
}
