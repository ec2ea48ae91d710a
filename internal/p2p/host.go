package p2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/sync/errgroup"

	"parley/internal/chat"
	"parley/internal/live"
)

// drainTime is how long Run lets handlers finish before their streams are cut.
const drainTime = 2 * time.Second

// Host is one node on the network. Its methods may be called from any
// goroutine, before, during and after Run; before Run nothing is reachable.
type Host struct {
	// Set by New, never changed.
	cfg       Config
	log       *slog.Logger
	key       crypto.PrivKey
	host      host.Host
	gate      *gater
	dials     *dialPace
	dht       *dht.IpfsDHT
	validator validator
	store     *recordStore
	values    *records.ValueStore // the store under the validator's rules
	guide     []peer.AddrInfo     // bootstrap peers
	past      []peer.AddrInfo     // remembered peers
	built     chan struct{}       // closed at the end of New

	status  live.Value[Status]
	ready   atomic.Bool // joined and refreshed, or alone
	alone   atomic.Bool
	running atomic.Bool
	// reachable is a network.Reachability.
	reachable atomic.Int32
	nudge     chan struct{} // capacity 1: the join loop should look again

	told told
	pool pool
	size netSize
	met  met
	// left counts nodes that left the routing table; departures tells of it.
	left       atomic.Int64
	departures live.Value[int]
}

// New builds a host that neither listens nor dials before Run. Without a Run
// it must be closed with Close.
func New(cfg Config) (*Host, error) {
	if len(cfg.Key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: the host needs an Ed25519 key", chat.ErrInvalid)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("reading host key: %w", err)
	}
	h := &Host{cfg: cfg, log: cfg.Log, key: key, nudge: make(chan struct{}, 1), built: make(chan struct{})}
	if !cfg.NoBootstrap {
		if h.guide, err = parseGuides(cfg.Bootstrap); err != nil {
			return nil, err
		}
	}
	if h.past, err = parsePeers(cfg.Remembered); err != nil {
		return nil, err
	}
	if _, err := h.listenAddrs(); err != nil {
		return nil, err
	}
	h.pool.slots = make(chan struct{}, chat.StreamsInbound)

	h.gate, h.dials = &gater{h}, newDialPace()
	for _, p := range h.past {
		h.told.add(p.ID, p.Addrs, time.Now().Add(chat.RecordCache))
	}
	options, err := h.options()
	if err != nil {
		return nil, err
	}
	if h.host, err = libp2p.New(options...); err != nil {
		return nil, fmt.Errorf("building host: %w", err)
	}
	if err := h.buildDHT(); err != nil {
		return nil, errors.Join(err, h.host.Close())
	}
	close(h.built)
	h.refreshStatus()
	return h, nil
}

// Run listens, joins the network and stays in it until ctx ends. It returns
// when every handler has returned and everything is closed; the Host is then
// of no more use. A second call is a bug.
func (h *Host) Run(ctx context.Context) error {
	if !h.running.CompareAndSwap(false, true) {
		panic("p2p: Run called twice")
	}
	defer h.log.Debug("network closed", "device", h.Device().Short())
	if err := h.listen(); err != nil {
		return errors.Join(err, h.Close())
	}
	h.refreshStatus()
	watch, err := h.watchEvents()
	if err != nil {
		return errors.Join(err, h.Close())
	}
	h.log.Info("network up", "device", h.Device().Short(), "addrs", h.Addrs())

	group, loops := errgroup.WithContext(ctx)
	group.Go(func() error { return watch.run(loops) })
	group.Go(func() error { return h.join(loops) })
	group.Go(func() error { return h.feel(loops) })
	if h.cfg.MDNS && !h.cfg.Loopback && !h.cfg.Simulated {
		group.Go(func() error { return h.runLAN(loops) })
	}
	err = group.Wait()
	h.drain()
	return errors.Join(err, h.Close())
}

// drain refuses new streams, lets the handlers finish for a while, then cuts
// their streams and waits.
func (h *Host) drain() {
	done := h.pool.close()
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// Close ends a Host that was built and never run; Run calls it at its end.
func (h *Host) Close() error {
	h.pool.close()
	var errs []error
	if err := h.dht.Close(); err != nil {
		errs = append(errs, fmt.Errorf("closing dht: %w", err))
	}
	if err := h.host.Close(); err != nil {
		errs = append(errs, fmt.Errorf("closing host: %w", err))
	}
	<-h.pool.close()
	h.pool.beside.Wait()
	return errors.Join(errs...)
}

// Device is this host's own id.
func (h *Host) Device() chat.DeviceID { return deviceOf(h.host.ID()) }

// listen opens every address. One that cannot be had (no IPv6 here) is a
// warning; a port that another program holds is an error, because a node on
// half of its port would be found by half of the others.
func (h *Host) listen() error {
	addrs, err := h.listenAddrs()
	if err != nil || len(addrs) == 0 {
		return err
	}
	// WebRTC shares QUIC's port only when QUIC is there first.
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return transportRank(a) - transportRank(b) })
	var failed error
	opened := 0
	for _, a := range addrs {
		switch err := h.listenOn(a); {
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("listening on %s: another program uses this port: %w", a, err)
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("listening on %s: %w", a, err))
		default:
			opened++
		}
	}
	if opened == 0 {
		return failed
	}
	if failed != nil {
		h.log.Warn("some addresses could not be listened on", "error", failed)
	}
	return nil
}

// listenOn opens one address. The swarm keeps the cause; its list form
// flattens it to text.
func (h *Host) listenOn(a ma.Multiaddr) error {
	if err := probe(a); err != nil {
		return err
	}
	if s, ok := h.host.Network().(*swarm.Swarm); ok {
		return s.AddListenAddr(a)
	}
	return h.host.Network().Listen(a)
}

// probe finds out whether a TCP port is free. The library's sockets, which
// share their port for hole punching, would also share it with another
// program of this user and lose half of the callers to it.
func probe(a ma.Multiaddr) error {
	if transportOf(a) != "tcp" || portOf(a) == 0 {
		return nil
	}
	l, err := manet.Listen(a)
	if err != nil {
		return err
	}
	return l.Close()
}

func deviceOf(p peer.ID) chat.DeviceID { return chat.DeviceID(p.String()) }

// peerOf reads a device id. It fails with chat.ErrInvalid unless the id holds
// an Ed25519 key: other keys never run a Parley host (N4).
func peerOf(d chat.DeviceID) (peer.ID, error) {
	id, err := peer.Decode(string(d))
	if err != nil {
		return "", fmt.Errorf("%w: not a device id: %q", chat.ErrInvalid, d)
	}
	if !isEd25519(id) {
		return "", fmt.Errorf("%w: device id without an Ed25519 key", chat.ErrInvalid)
	}
	return id, nil
}

func isEd25519(id peer.ID) bool {
	pub, err := id.ExtractPublicKey()
	return err == nil && pub.Type() == crypto.Ed25519
}

func parseGuides(texts []string) ([]peer.AddrInfo, error) {
	addrs := make([]ma.Multiaddr, 0, len(texts))
	for _, text := range texts {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return nil, fmt.Errorf("%w: bootstrap address %q: %w", chat.ErrInvalid, text, err)
		}
		addrs = append(addrs, a)
	}
	guides, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil, fmt.Errorf("%w: a bootstrap address needs a /p2p part: %w", chat.ErrInvalid, err)
	}
	return guides, nil
}

// parsePeers forgives: remembered peers come from a store that outlives
// address formats.
func parsePeers(peers []Peer) ([]peer.AddrInfo, error) {
	var out []peer.AddrInfo
	for _, p := range peers {
		id, err := peerOf(p.Device)
		if err != nil {
			return nil, fmt.Errorf("remembered peer: %w", err)
		}
		if addrs := parseAddrs(p.Addrs); len(addrs) > 0 {
			out = append(out, peer.AddrInfo{ID: id, Addrs: addrs})
		}
	}
	return out, nil
}
