package p2p

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/internal/chat"
	"parley/internal/live"
	"parley/internal/wire"
)

// Region is the nodes that keep what lies at a place of the DHT's key space
// (the SHA-256 of its key): docs/protocols/mailbox.md. It asks the network
// from three disjoint beginnings, never stops at the first answer, and fails
// with chat.ErrUnreachable when nobody answers. It takes at most
// chat.LookupTimeout.
func (h *Host) Region(ctx context.Context, place [32]byte) (chat.Region, error) {
	ctx, cancel := context.WithTimeout(ctx, chat.LookupTimeout)
	defer cancel()
	w := newWalk(h, place)
	if err := w.run(ctx); err != nil {
		return chat.Region{}, fmt.Errorf("finding a region: %w", err)
	}
	found := w.found()
	h.size.learn(place, found)
	// More nodes near the place than the network's size lets expect: somebody
	// crowds it (D2). A node names only those nearest to a point, so the others
	// of the region are asked for at points around it.
	if wide := h.size.radius(); len(found) >= chat.RegionSize && apart(place, found[chat.RegionSize-1]) < wide/crowded {
		for i := range around {
			if err := w.from(ctx, beside(place, wide, i)); err != nil {
				break // what was found stands
			}
		}
		found = w.found()
	}
	return h.pick(place, found, len(w.heard) < chat.SmallNetwork), nil
}

// Near is the region of a place as the routing table has it. It asks nobody,
// and is near the truth for places near our own.
func (h *Host) Near(place [32]byte) chat.Region {
	table := h.dht.RoutingTable()
	return h.pick(place, table.NearestPeers(place[:], 2*chat.RegionMax), table.Size() < chat.SmallNetwork-1)
}

const (
	// crowded: the nearest 20 nodes of an honest network lie within half of the
	// expected radius once in some 10^4 places.
	crowded = 2
	// around is how many points of a crowded region are asked for: the eighths
	// of its width.
	around = 8
)

// pick chooses the region among nodes, nearest first.
func (h *Host) pick(place [32]byte, nodes []peer.ID, small bool) chat.Region {
	r := chat.Region{Small: small, Size: h.size.nodes()}
	serves := slices.Contains(h.host.Mux().Protocols(), kadProtocol)
	if small {
		r.Self = serves
		for _, p := range nodes {
			r.Nodes = append(r.Nodes, deviceOf(p))
		}
		return r
	}
	radius := h.size.radius()
	nets := map[string]int{}
	var spare []peer.ID
	var last float64
	take := func(p peer.ID) {
		r.Nodes = append(r.Nodes, deviceOf(p))
		last = max(last, apart(place, p))
	}
	for _, p := range nodes {
		if len(r.Nodes) == chat.RegionMax || len(r.Nodes) >= chat.RegionSize && apart(place, p) > radius {
			break
		}
		if n := h.netOf(p); n != "" {
			if nets[n]++; nets[n] > chat.RegionPerNet {
				spare = append(spare, p)
				continue
			}
		}
		take(p)
	}
	// The rule orders, it does not exclude: too few are worse than neighbours.
	for _, p := range spare {
		if len(r.Nodes) < chat.RegionSize {
			take(p)
		}
	}
	own := apart(place, h.host.ID())
	r.Self = serves && (own <= radius || own < last || len(r.Nodes) < chat.RegionSize)
	return r
}

// netOf is the public network that a node was met on; "" on private ones.
func (h *Host) netOf(p peer.ID) string {
	for _, c := range h.host.Network().ConnsToPeer(p) {
		if prefix, ok := netOf(c.RemoteMultiaddr(), 24, 48); ok && !local(c.RemoteMultiaddr()) {
			return prefix.String()
		}
	}
	for _, a := range h.host.Peerstore().Addrs(p) {
		if prefix, ok := netOf(a, 24, 48); ok && !local(a) {
			return prefix.String()
		}
	}
	return ""
}

// RemoteNet is the network at the other end of a stream that a Host served or
// opened: the /24 or /48 of a public address, else the address alone. It is
// "" where there is no address.
func (h *Host) RemoteNet(s wire.Stream) string {
	of, ok := s.(interface{ Conn() network.Conn })
	if !ok {
		return ""
	}
	a := of.Conn().RemoteMultiaddr()
	v4, v6 := 24, 48
	if local(a) {
		v4, v6 = 32, 128
	}
	prefix, ok := netOf(a, v4, v6)
	if !ok {
		return ""
	}
	return prefix.String()
}

// spot is a node's place in the key space.
func spot(p peer.ID) [32]byte { return sha256.Sum256([]byte(p)) }

// apart is the XOR distance of a node from a place, as a share of the key
// space.
func apart(place [32]byte, p peer.ID) float64 {
	at := spot(p)
	return float64(distance(place[:], at[:])) / (1 << 64)
}

func sortByDistance(place [32]byte, nodes []peer.ID) []peer.ID {
	type far struct {
		id peer.ID
		at kb.ID
	}
	all := make([]far, len(nodes))
	for i, p := range nodes {
		at := spot(p)
		all[i] = far{p, kb.Xor(at[:], place[:])}
	}
	slices.SortFunc(all, func(a, b far) int { return slices.Compare(a.at, b.at) })
	for i, f := range all {
		nodes[i] = f.id
	}
	return nodes
}

// beside is a point of the i-th eighth of a region's width around a place.
func beside(place [32]byte, width float64, i int) [32]byte {
	bits := prefixOf(width)
	for j := range 3 { // the three bits below those that the region shares
		flip(&place, bits+j, i>>j&1 == 1)
	}
	return place
}

func flip(place *[32]byte, bit int, yes bool) {
	if yes && bit < 256 {
		place[bit/8] ^= 0x80 >> (bit % 8)
	}
}

// prefixOf is how many leading bits points within width of a place share
// with it.
func prefixOf(width float64) int {
	bits := 0
	for ; width < 1 && bits < 64; bits++ {
		width *= 2
	}
	return max(0, bits-1)
}

// KnownFor is how long ago this run first connected to a device; 0 if it never
// did.
func (h *Host) KnownFor(d chat.DeviceID) time.Duration { return h.met.since(d, time.Now()) }

// Departures counts the nodes that left our routing table in this run.
func (h *Host) Departures() *live.Value[int] { return &h.departures }
