package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/dm"
	"parley/internal/guard"
	"parley/internal/identity"
	"parley/internal/p2p"
	"parley/internal/store"
	"parley/internal/web"
)

// PortError says that another program has our address.
type PortError struct {
	Address string
	Err     error
}

func (e *PortError) Error() string {
	return fmt.Sprintf("another program uses %s", e.Address)
}

func (e *PortError) Unwrap() error { return e.Err }

// build ties the packages together, from the ground up. Every crossing of
// ARCHITECTURE.md is made here and nowhere else.
func (n *Node) build(ctx context.Context) error {
	cfg := n.opts.Config
	var err error
	if n.db, err = store.Open(store.Config{Dir: cfg.Data.Dir, Log: n.log, Relaxed: n.opts.Relaxed}); err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	if n.keys, err = identity.Load(ctx, n.db, time.Now()); err != nil {
		return fmt.Errorf("loading keys: %w", err)
	}
	if n.guard, err = guard.New(guard.Config{DB: n.db, Banned: n.dropBanned, Blocked: n.blocked, Log: n.log}); err != nil {
		return err
	}
	if err := n.buildHost(ctx); err != nil {
		return err
	}
	peerRecord := n.host.PeerRecord
	if n.opts.Infra {
		// Nobody writes to such a node, so nobody need find it by id.
		peerRecord = func() ([]byte, error) { return nil, nil }
	}
	if err := n.buildMail(); err != nil {
		return fmt.Errorf("building mail: %w", err)
	}
	about := identity.DirectoryConfig{
		DB: n.db, Keys: n.keys, Records: n.host, PeerRecord: peerRecord, Pinned: n.pinned, Log: n.log,
	}
	post := dm.Config{DB: n.db, Keys: n.keys, Guard: n.guard, Dialer: dialer{n}, Log: n.log}
	if n.mail != nil {
		about.Sleepers, post.Depositor = n.mail, n.mail
	}
	n.directory = identity.NewDirectory(about)
	post.Directory = n.directory
	n.courier, err = dm.New(post)
	if err != nil {
		return fmt.Errorf("building dm: %w", err)
	}
	if !n.opts.Infra { // such a node serves the network and talks to nobody
		n.host.Handle(dm.Protocol, n.courier.Handle)
	}
	return n.buildServer()
}

// dropBanned ends what a device has open: the gate is only asked about new
// connections. Nobody can misbehave before there is a host.
func (n *Node) dropBanned(d chat.DeviceID) { n.host.Drop(d) }

// pinned tells the guard that devices may belong to another account now, so
// that a block covers new devices too.
func (n *Node) pinned(a chat.AccountID, devices []chat.DeviceID) {
	if err := n.guard.Pinned(n.stopped, a, devices); err != nil && n.stopped.Err() == nil {
		n.log.Warn("blocks were not read again", "err", err)
	}
}

func (n *Node) buildHost(ctx context.Context) error {
	cfg := n.opts.Config
	port, err := n.ownPort(ctx)
	if err != nil {
		return err
	}
	net := p2p.Config{
		Key:         n.keys.DeviceKey(),
		Listen:      cfg.Net.Listen,
		Port:        port,
		Bootstrap:   cfg.BootstrapPeers(),
		NoBootstrap: len(cfg.BootstrapPeers()) == 0,
		Infra:       n.opts.Infra,
		Loopback:    cfg.Net.Loopback,
		MDNS:        cfg.Net.MDNS && !cfg.Net.Loopback,
		NoRelay:     !cfg.Net.Relay,
		Gate:        n.guard,
		Known:       n.knows,
		Log:         n.log,

		StrictTransport: cfg.Net.Strict,
		Transports: p2p.Transports{
			NoTCP: !cfg.Net.Transports.TCP, NoQUIC: !cfg.Net.Transports.QUIC,
			NoWebTransport: !cfg.Net.Transports.WebTransport, NoWebRTC: !cfg.Net.Transports.WebRTC,
		},
		Namespaces: []p2p.Namespace{
			{
				Name: identity.DeviceNamespace,
				Validate: func(key string, v []byte) error {
					return n.noteRecord(key, v, identity.ValidateDeviceRecord(key, v, time.Now()))
				},
				Select: identity.SelectDeviceRecord,
			},
			{
				Name: identity.AccountNamespace,
				Validate: func(key string, v []byte) error {
					return n.noteRecord(key, v, identity.ValidateAccountRecord(key, v, time.Now()))
				},
				Select: identity.SelectAccountRecord,
			},
		},
	}
	err = n.db.Read(ctx, func(tx *store.Tx) error {
		peers, err := tx.RememberedPeers(chat.MaxRemembers)
		for _, p := range peers {
			net.Remembered = append(net.Remembered, p2p.Peer{Device: p.Device, Addrs: p.Addrs})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading remembered peers: %w", err)
	}
	if n.opts.Adjust != nil {
		n.opts.Adjust(&net)
	}
	if n.host, err = p2p.New(net); err != nil {
		return fmt.Errorf("building the network host: %w", err)
	}
	return nil
}

func (n *Node) buildServer() (err error) {
	cfg := n.opts.Config
	out := api.Config{
		DB: n.db, Keys: n.keys, Directory: n.directory, Courier: n.courier, Guard: n.guard,
		Network: network{n}, Mail: mailView{n}, Pulse: &n.pulse,
		Version: n.opts.Version, DataFolder: cfg.Data.Dir, Started: n.started,
		// The keyring comes later; until then a stolen disk can be read.
		KeyInFile: true,
		Checks:    n.checks, Renamed: n.directory.Nudge,
		Stop: func() { n.stop(errStop) },
		Log:  n.log,
	}
	for _, s := range cfg.Settings() {
		out.Settings = append(out.Settings, api.Setting{Key: s.Key, Value: s.Value, Origin: s.Origin, Help: s.Help})
	}
	if n.opts.Local != nil {
		out.Socket = n.opts.Local
	} else if err = n.listen(&out); err != nil {
		return err
	}
	if n.server, err = api.New(out); err != nil {
		for _, l := range append(out.TCP, out.Socket) {
			err = errors.Join(err, l.Close())
		}
		return fmt.Errorf("building the api: %w", err)
	}
	return nil
}

// listen opens the socket and, unless switched off, the TCP address.
func (n *Node) listen(out *api.Config) (err error) {
	cfg := n.opts.Config
	if out.Socket, err = api.ListenSocket(cfg.API.Socket, n.log); err != nil {
		return err
	}
	if cfg.API.Address == "" {
		return nil
	}
	out.TCP, err = listenNear(cfg.API.Address, n.opts.SparePorts)
	if err != nil {
		return errors.Join(err, out.Socket.Close())
	}
	if cfg.PageOn() && !n.opts.Infra {
		out.Page = web.Handler()
		n.page = pageURL(out.TCP[0])
	}
	return nil
}

func pageURL(l net.Listener) string { return "http://" + l.Addr().String() + "/" }
