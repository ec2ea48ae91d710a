package p2p

import (
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p-kbucket/peerdiversity"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
)

// diversity keeps one /24 (or IPv6 /48) from owning the routing table (D1).
// The library groups IPv4 by /16 and IPv6 by operator and refuses what it
// cannot group, loopback included; so it is shown one address for everybody
// and the groups are ours, by the peer's connections.
type diversity struct {
	host host.Host
	pace tablePace

	mu      sync.Mutex
	nets    map[peer.ID]netip.Prefix // peer in the table -> its network; as large as the table
	table   map[netip.Prefix]int
	buckets map[bucketNet]int
}

type bucketNet struct {
	bucket int
	net    netip.Prefix
}

func newDiversity(h host.Host) *diversity {
	return &diversity{
		host:    h,
		nets:    make(map[peer.ID]netip.Prefix),
		table:   make(map[netip.Prefix]int),
		buckets: make(map[bucketNet]int),
	}
}

var anyAddr = ma.StringCast("/ip4/192.0.2.1")

// PeerAddresses makes the library ask Allow exactly once for each peer.
func (d *diversity) PeerAddresses(peer.ID) []ma.Multiaddr { return []ma.Multiaddr{anyAddr} }

// Allow reports whether a peer's network has room in table and bucket, and the
// bucket has not taken too many of late.
func (d *diversity) Allow(g peerdiversity.PeerGroupInfo) bool {
	prefix, ok := d.netOf(g.Id)
	if !ok {
		return true
	}
	if !d.pace.allows(g.Cpl, time.Now()) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.roomLocked(g.Cpl, prefix)
}

func (d *diversity) roomLocked(bucket int, prefix netip.Prefix) bool {
	return d.table[prefix] < chat.TablePerNet && d.buckets[bucketNet{bucket, prefix}] < chat.BucketPerNet
}

// Increment counts a peer that entered the table.
func (d *diversity) Increment(g peerdiversity.PeerGroupInfo) {
	prefix, ok := d.netOf(g.Id)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.countLocked(g, prefix)
}

func (d *diversity) countLocked(g peerdiversity.PeerGroupInfo, prefix netip.Prefix) {
	d.nets[g.Id] = prefix
	d.table[prefix]++
	d.buckets[bucketNet{g.Cpl, prefix}]++
}

// Decrement forgets a peer that left the table.
func (d *diversity) Decrement(g peerdiversity.PeerGroupInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	prefix, ok := d.nets[g.Id]
	if !ok {
		return
	}
	delete(d.nets, g.Id)
	if d.table[prefix]--; d.table[prefix] <= 0 {
		delete(d.table, prefix)
	}
	key := bucketNet{g.Cpl, prefix}
	if d.buckets[key]--; d.buckets[key] <= 0 {
		delete(d.buckets, key)
	}
}

// netOf is false for peers on local networks, where diversity is off.
func (d *diversity) netOf(p peer.ID) (netip.Prefix, bool) {
	for _, c := range d.host.Network().ConnsToPeer(p) {
		if a := c.RemoteMultiaddr(); !local(a) {
			return netOf(a, 24, 48)
		}
	}
	return netip.Prefix{}, false
}
