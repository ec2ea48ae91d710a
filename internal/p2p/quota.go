package p2p

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	dsq "github.com/ipfs/go-datastore/query"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kb "github.com/libp2p/go-libp2p-kbucket"
	kadrecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/internal/chat"
)

// recordStore keeps the DHT records of others in memory, within
// chat.DHTRecords and chat.DHTBytes. Full, it refuses new keys and lets known
// ones be renewed: an attacker cannot push honest records out (D4).
type recordStore struct {
	mu    sync.RWMutex
	data  map[ds.Key][]byte
	bytes int
}

func newRecordStore() *recordStore { return &recordStore{data: make(map[ds.Key][]byte)} }

func (s *recordStore) size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.data)
}

// Put fails with chat.ErrStorageFull.
func (s *recordStore) Put(_ context.Context, key ds.Key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.data[key]
	grown := s.bytes + len(value) - len(old)
	if !known {
		grown += len(key.String())
	}
	if grown > chat.DHTBytes || (!known && len(s.data) >= chat.DHTRecords) {
		return fmt.Errorf("keeping record: %w", chat.ErrStorageFull)
	}
	s.data[key], s.bytes = value, grown
	return nil
}

func (s *recordStore) Get(_ context.Context, key ds.Key) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	value, ok := s.data[key]
	if !ok {
		return nil, ds.ErrNotFound
	}
	return value, nil
}

func (s *recordStore) Has(_ context.Context, key ds.Key) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.data[key]
	return ok, nil
}

func (s *recordStore) GetSize(_ context.Context, key ds.Key) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	value, ok := s.data[key]
	if !ok {
		return -1, ds.ErrNotFound
	}
	return len(value), nil
}

func (s *recordStore) Delete(_ context.Context, key ds.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.data[key]; ok {
		s.bytes -= len(old) + len(key.String())
		delete(s.data, key)
	}
	return nil
}

// Query serves the sweep of old records.
func (s *recordStore) Query(_ context.Context, q dsq.Query) (dsq.Results, error) {
	s.mu.RLock()
	var entries []dsq.Entry
	for key, value := range s.data {
		entries = append(entries, dsq.Entry{Key: key.String(), Size: len(value), Value: value})
	}
	s.mu.RUnlock()
	return dsq.NaiveQueryApply(q, dsq.ResultsWithEntries(q, entries)), nil
}

func (s *recordStore) Batch(context.Context) (ds.Batch, error) { return ds.NewBasicBatch(s), nil }
func (s *recordStore) Sync(context.Context, ds.Key) error      { return nil }
func (s *recordStore) Close() error                            { return nil }

// storeKey is where kad-dht files a record in its datastore.
func storeKey(key string) ds.Key {
	name, _, err := kadrecord.SplitKey(key)
	if err != nil {
		return ds.NewKey("/")
	}
	return ds.NewKey("/" + name + "/" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(key)))
}

// entrance judges every DHT request before kad-dht handles it: admit before
// it is read, check when it is decoded. It sees the peer and its address; what
// it cannot see is whether a put is valid, so invalid ones use up their
// network's quota too. Peers are free to be made, addresses are not: both have
// their paces, except on this machine, where all nodes share the address.
type entrance struct {
	host  host.Host
	store *recordStore
	table *kb.RoutingTable // set once, before the host listens

	requests *paces[peer.ID]      // N8
	askedBy  *paces[netip.Prefix] // N8, for each IPv4 address or /56
	newKeys  *paces[netip.Prefix] // D4, for each /24 or /48
	newLocal *paces[peer.ID]      // D4, on private networks and in small ones
	newFrom  *paces[netip.Prefix] // D4, there too, for each IPv4 address or /56
}

func newEntrance(h *Host) *entrance {
	every := time.Hour / chat.DHTNewKeys
	return &entrance{
		host:     h.host,
		store:    h.store,
		requests: newPaces[peer.ID](time.Second/chat.DHTRequests, chat.DHTRequestBurst, chat.MaxStrangers),
		askedBy:  newPaces[netip.Prefix](time.Second/(chat.DHTRequests*chat.DHTPeersPerIP), chat.DHTRequestBurst*chat.DHTPeersPerIP, chat.MaxStrangers),
		newKeys:  newPaces[netip.Prefix](every, chat.DHTNewBurst, chat.MaxStrangers),
		newLocal: newPaces[peer.ID](every, chat.DHTNewBurst, chat.MaxStrangers),
		newFrom:  newPaces[netip.Prefix](every/chat.DHTPeersPerIP, chat.DHTNewBurst*chat.DHTPeersPerIP, chat.MaxStrangers),
	}
}

// refused is a message type that no handler knows: kad-dht resets the stream.
const refused = pb.Message_MessageType(-1)

func (e *entrance) check(_ context.Context, s network.Stream, m *pb.Message) {
	if !e.allowed(s, m) {
		m.Type = refused
	}
}

func (e *entrance) allowed(s network.Stream, m *pb.Message) bool {
	if m.GetType() != pb.Message_PUT_VALUE {
		return true
	}
	key := string(m.GetKey())
	if len(m.GetRecord().GetValue()) > chat.MaxRecord || len(key) > chat.MaxRecord {
		return false
	}
	if ok, err := e.store.Has(context.Background(), storeKey(key)); err != nil || ok {
		return err == nil // a renewal is free
	}
	small := e.table.Size() < chat.SmallNetwork
	if !small && !e.near(key) {
		return false
	}
	return e.mayAdd(s.Conn().RemotePeer(), s.Conn().RemoteMultiaddr(), small, time.Now())
}

// admit takes one request of a connection into account.
func (e *entrance) admit(from peer.ID, addr ma.Multiaddr, now time.Time) bool {
	if manet.IsIPLoopback(addr) {
		return true
	}
	at, ok := netOf(addr, 32, 56)
	return e.requests.take(from, now) && (!ok || e.askedBy.take(at, now))
}

// mayAdd takes one new key into account.
func (e *entrance) mayAdd(from peer.ID, addr ma.Multiaddr, small bool, now time.Time) bool {
	if prefix, ok := netOf(addr, 24, 48); ok && !small && !local(addr) {
		return e.newKeys.take(prefix, now)
	}
	at, ok := netOf(addr, 32, 56)
	return e.newLocal.take(from, now) && (!ok || manet.IsIPLoopback(addr) || e.newFrom.take(at, now))
}

// near reports whether this node is one that should keep the key: within
// chat.DHTRegionFactor times the radius that holds its own region.
func (e *entrance) near(key string) bool {
	self := kb.ConvertPeerID(e.host.ID())
	region := e.table.NearestPeers(self, chat.RegionSize)
	if len(region) < chat.RegionSize {
		return true
	}
	radius := distance(self, kb.ConvertPeerID(region[chat.RegionSize-1]))
	return distance(self, kb.ConvertKey(key))/chat.DHTRegionFactor <= radius
}

// distance is the leading 64 bits of the XOR distance.
func distance(a, b kb.ID) uint64 {
	return binary.BigEndian.Uint64(a) ^ binary.BigEndian.Uint64(b)
}
