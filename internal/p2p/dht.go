package p2p

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	kadrecord "github.com/libp2p/go-libp2p-record"
	recpb "github.com/libp2p/go-libp2p-record/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sync/errgroup"

	"parley/internal/chat"
	"parley/internal/wire"
)

const (
	kadPrefix   = protocol.ID("/parley")
	kadProtocol = kadPrefix + "/kad/1.0.0"
	recordGC    = time.Hour // sweep of records past chat.RecordLife
	// tableRefresh is how often an idle node looks around. The library's ten
	// minutes were nine tenths of all that an idle node of 20 connections sends;
	// nodes that left are found out by the look-ups that meet them.
	tableRefresh = 30 * time.Minute
	putTimeout   = 10 * time.Second // one peer's answer to a put
)

// validator gives kad-dht our namespaces; it knows no others.
type validator = kadrecord.NamespacedValidator

type namespace struct{ Namespace }

func (n namespace) Validate(key string, value []byte) error {
	if len(value) > chat.MaxRecord {
		return fmt.Errorf("%w: record of %d bytes", chat.ErrTooLarge, len(value))
	}
	return n.Namespace.Validate(key, value)
}

func (n namespace) Select(key string, values [][]byte) (int, error) {
	return n.Namespace.Select(key, values)
}

func (h *Host) buildDHT() error {
	h.validator = validator{}
	for _, n := range h.cfg.Namespaces {
		if n.Name == "" || n.Validate == nil || n.Select == nil {
			return fmt.Errorf("%w: namespace %q is incomplete", chat.ErrInvalid, n.Name)
		}
		h.validator[n.Name] = namespace{n}
	}
	h.store = newRecordStore()
	h.values = records.NewValueStore(h.store, h.validator, chat.RecordLife)
	// Until somebody proves the contrary a node serves: in a young network or
	// on a lonely LAN nobody else would.
	mode := dht.ModeAutoServer
	switch {
	case h.cfg.Client:
		mode = dht.ModeClient
	case h.cfg.Infra, h.cfg.Loopback, h.cfg.Simulated:
		mode = dht.ModeServer
	}
	entrance, rules := newEntrance(h), newDiversity(h.host)
	var err error
	h.dht, err = dht.New(kadHost{h.host, h, entrance},
		dht.ProtocolPrefix(kadPrefix),
		dht.Mode(mode),
		dht.Validator(h.validator),
		dht.Datastore(h.store),
		dht.MaxRecordAge(chat.RecordLife),
		dht.ValueGCInterval(recordGC),
		dht.RoutingTableRefreshPeriod(tableRefresh),
		dht.DisableProviders(), // until rooms need rendezvous
		dht.OnRequestHook(entrance.check),
		dht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr { return h.worthDialing("", addrs) }),
		dht.RoutingTablePeerDiversityFilter(rules),
	)
	if err != nil {
		return fmt.Errorf("building dht: %w", err)
	}
	entrance.table = h.dht.RoutingTable()
	h.watchTable(&rules.pace)
	return nil
}

// Put stores a value on the nodes nearest to key. It is published when
// chat.DHTMinAsked of them, or all there are, took it; else it fails with
// chat.ErrUnreachable, and the caller tries again, as it must before the
// value expires. A newer known value fails with chat.ErrConflict.
func (h *Host) Put(ctx context.Context, key string, value []byte) error {
	took, asked, err := h.publish(ctx, key, value)
	if err != nil {
		return err
	}
	if took < min(chat.DHTMinAsked, max(asked, 1)) {
		return fmt.Errorf("publishing record: %w: %d of %d nodes took it", chat.ErrUnreachable, took, asked)
	}
	return nil
}

func (h *Host) publish(ctx context.Context, key string, value []byte) (took, asked int, err error) {
	if err := h.knows(key); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, chat.LookupTimeout)
	defer cancel()
	rec := kadrecord.MakePutRecord(key, value)
	// Our own copy first: whoever joins later and asks us finds it.
	switch err := h.values.Put(ctx, key, rec); {
	case errors.Is(err, records.ErrOldRecord):
		return 0, 0, fmt.Errorf("%w: a newer record is known", chat.ErrConflict)
	case err != nil:
		return 0, 0, fmt.Errorf("storing own record: %w", err)
	}
	w := newWalk(h, sha256.Sum256([]byte(key)))
	if err := w.toward(ctx, w.place, []byte(key)); err != nil {
		return 0, 0, fmt.Errorf("finding nodes near the key: %w", err)
	}
	peers := w.found()
	peers = peers[:min(len(peers), chat.RegionSize)]
	answers := make([]bool, len(peers))
	var group errgroup.Group
	for i, p := range peers {
		group.Go(func() error {
			err := h.putTo(ctx, p, rec)
			if err != nil {
				h.log.Debug("record not taken", "peer", deviceOf(p).Short(), "error", err)
			}
			answers[i] = err == nil
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
	for _, ok := range answers {
		if ok {
			took++
		}
	}
	return took, len(peers), nil
}

// putTo hands one record to one node and waits until it says it has it. The
// DHT's own put does not tell.
func (h *Host) putTo(ctx context.Context, p peer.ID, rec *recpb.Record) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	s, err := h.host.NewStream(ctx, p, kadProtocol)
	if err != nil {
		return fmt.Errorf("opening stream: %w", err)
	}
	defer s.Close()
	question := pb.NewMessage(pb.Message_PUT_VALUE, rec.GetKey(), 0)
	question.Record = rec
	ws := stream{s, deviceOf(p)}
	if err := wire.WriteFrame(ws, question); err != nil {
		_ = s.Reset()
		return err
	}
	var answer pb.Message
	if err := wire.ReadFrame(ws, &answer); err != nil {
		_ = s.Reset()
		return err
	}
	if !slices.Equal(answer.GetRecord().GetValue(), rec.GetValue()) {
		return fmt.Errorf("%w: the node answered with another record", chat.ErrConflict)
	}
	return nil
}

func (h *Host) knows(key string) error {
	name, _, err := kadrecord.SplitKey(key)
	if err != nil || h.validator[name] == nil {
		return fmt.Errorf("%w: no record namespace for key %q", chat.ErrInvalid, key)
	}
	return nil
}

// Closest are the nodes nearest to key that answer, nearest first.
func (h *Host) Closest(ctx context.Context, key []byte) ([]chat.DeviceID, error) {
	ctx, cancel := context.WithTimeout(ctx, chat.LookupTimeout)
	defer cancel()
	peers, err := h.dht.GetClosestPeers(ctx, string(key))
	if err != nil && len(peers) == 0 {
		return nil, fmt.Errorf("finding nearest nodes: %w: %w", chat.ErrUnreachable, err)
	}
	out := make([]chat.DeviceID, len(peers))
	for i, p := range peers {
		out[i] = deviceOf(p)
	}
	return out, nil
}

// Find asks the DHT where a device is, even when we know. It fails with
// chat.ErrNotFound when nobody near its id knows an address.
func (h *Host) Find(ctx context.Context, d chat.DeviceID) (Lookup, error) {
	id, err := peerOf(d)
	if err != nil {
		return Lookup{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, chat.LookupTimeout)
	defer cancel()
	start := time.Now()
	trace := startTrace(ctx, id)
	_, err = h.dht.GetClosestPeers(trace.ctx, string(id))
	path := trace.stop()
	out := Lookup{
		Addrs: addrTexts(h.host.Peerstore().Addrs(id)),
		Hops:  path.hops,
		Asked: path.answered,
		Took:  time.Since(start),
	}
	if len(out.Addrs) == 0 && h.host.Network().Connectedness(id) != network.Connected {
		if err != nil {
			return out, fmt.Errorf("finding device: %w: %w", chat.ErrUnreachable, err)
		}
		return out, fmt.Errorf("finding device: %w: %d nodes do not know it", chat.ErrNotFound, path.answered)
	}
	return out, nil
}
