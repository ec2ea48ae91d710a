package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/config"
	"parley/internal/dm"
	"parley/internal/guard"
	"parley/internal/identity"
	"parley/internal/live"
	"parley/internal/mailbox"
	"parley/internal/p2p"
	"parley/internal/store"
)

// Options say what to build.
type Options struct {
	Config  *config.Config
	Infra   bool // serve the network only
	Version string
	Log     *slog.Logger
	// Port to listen on, for TCP and UDP alike; 0, or one that is taken: the
	// port of the last start.
	Port int
	// SparePorts are how many ports after that of api.address may take its
	// place; none: a taken one is a PortError.
	SparePorts int

	// Local, if set, is served with full rights instead of the socket and the
	// TCP address of Config: simulated networks have an in-memory one.
	Local net.Listener
	// Adjust changes the network's settings before the host is built, if set:
	// simulated networks put their links there.
	Adjust func(*p2p.Config)
	// Relaxed does not wait for the disk. Tests only.
	Relaxed bool
}

// Node is one whole Parley node.
type Node struct {
	// Set by New, never changed.
	opts      Options
	log       *slog.Logger
	started   time.Time
	db        *store.DB
	keys      *identity.Keys
	guard     *guard.Guard
	host      *p2p.Host
	directory *identity.Directory
	courier   *dm.Courier
	guest     *store.Guest                 // nil: nothing is kept for others
	keeper    atomic.Pointer[mailbox.Host] // nil like guest; the DHT may ask before it is there
	mail      *mailbox.Client              // nil: nobody writes to us
	online    live.Value[int]              // times that the network came back
	server    *api.Server
	page      string // address of the page, empty if there is none
	pulse     live.Value[api.Pulse]
	meet      chan chat.DeviceID // new acquaintances to call; full: not called
	met       acquaintances
	stop      context.CancelCauseFunc
	stopped   context.Context // done when somebody asked the node to stop
}

// errStop is the cause of an orderly end asked for through the API.
var errStop = errors.New("asked to stop")

// New opens the store, loads or makes the keys and builds everything. Nothing
// runs and no peer is called before Run. Close releases a node that is never
// run. It fails with store.LockedError, store.NewerError or store.ErrKey, and
// with a PortError when another program has the port.
func New(ctx context.Context, opts Options) (*Node, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{opts: opts, log: opts.Log, started: time.Now(), meet: make(chan chat.DeviceID, 16)}
	n.stopped, n.stop = context.WithCancelCause(context.Background())
	if err := n.build(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Close releases what New opened. Run does it itself.
func (n *Node) Close() error {
	var errs []error
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	errs = append(errs, n.closeGuest())
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	return errors.Join(errs...)
}

// Run works until ctx ends or the API asked to stop, and returns when all is
// drained and the store is closed.
func (n *Node) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.stopped, cancel)()
	defer func() {
		if cerr := n.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("closing: %w", cerr)
		}
	}()
	return runStages(ctx, []stage{
		{"store", n.db.Run},
		{"p2p", n.host.Run},
		{"keeper", n.runKeeper},
		{"mail", n.runMail},
		{"directory", n.directory.Run},
		{"dm", n.courier.Run},
		{"watch", n.watch},
		{"greeting", n.greetNew},
		{"api", n.server.Run},
	})
}

// Page is the address of the page, without secrets; empty if none is served.
func (n *Node) Page() string { return n.page }

// Server gives the API without a listener, for callers in this process.
func (n *Node) Server() *api.Server { return n.server }

// Host is the network under the node; for parleytest.
func (n *Node) Host() *p2p.Host { return n.host }

// Keys are the node's own; for parleytest.
func (n *Node) Keys() *identity.Keys { return n.keys }
