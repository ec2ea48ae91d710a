package p2p

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/internal/chat"
)

// site is where a peer calls from, for counting: an IPv4 address or an IPv6
// /56. Keys are free to be made, addresses are not. On loopback, where all
// nodes share the address, each peer is a site of its own; so is one without
// an address.
type site struct {
	net  netip.Prefix
	peer peer.ID // empty but on loopback
}

func siteOf(p peer.ID, a ma.Multiaddr) site {
	if at, ok := netOf(a, 32, 56); ok && !manet.IsIPLoopback(a) {
		return site{net: at}
	}
	return site{peer: p}
}

// crowds share the incoming streams of one protocol out, so that half-open
// ones keep nobody waiting: a part is for strangers, the rest for those we
// know. The zero crowds are empty.
type crowds struct{ strangers, known crowd }

// crowd is those who share one part. Where it is full, or where a site has
// chat.StreamsPerAddress of it, the newcomer enters, and the oldest stream of
// the peer that holds most of the site that holds most is ended: who takes
// much pays, and one who took little is left alone.
type crowd struct {
	mu    sync.Mutex
	seats []*seat // oldest first, as many as enter allows
}

// seat is one open stream.
type seat struct {
	at   site
	peer peer.ID
	end  func() // ends the stream, any time and from any goroutine
}

// enter seats s among at most limit streams, and ends another to make room.
// The caller calls leave when the stream is served.
func (c *crowd) enter(s *seat, limit int) {
	if loser := c.place(s, limit); loser != nil {
		loser.end()
	}
}

// place seats s and takes the seat of the returned one, if not nil.
func (c *crowd) place(s *seat, limit int) (loser *seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := 0
	for _, o := range c.seats {
		if o.at == s.at {
			of++
		}
	}
	switch {
	case of >= chat.StreamsPerAddress: // its own site makes room
		loser = c.worstLocked(func(o *seat) bool { return o.at == s.at })
	case len(c.seats) >= limit:
		loser = c.worstLocked(func(*seat) bool { return true })
	}
	if loser != nil {
		c.removeLocked(loser)
	}
	c.seats = append(c.seats, s)
	return loser
}

// worstLocked is the oldest stream of the peer that holds most of the site
// that holds most, among those that count.
func (c *crowd) worstLocked(counts func(*seat) bool) *seat {
	type holder struct {
		at   site
		peer peer.ID
	}
	sites, peers := map[site]int{}, map[holder]int{}
	for _, o := range c.seats {
		sites[o.at]++
		peers[holder{o.at, o.peer}]++
	}
	var worst *seat
	var most [2]int
	for _, o := range c.seats {
		held := [2]int{sites[o.at], peers[holder{o.at, o.peer}]}
		if counts(o) && slices.Compare(held[:], most[:]) > 0 {
			worst, most = o, held
		}
	}
	return worst
}

func (c *crowd) leave(s *seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(s)
}

// removeLocked forgets a seat that may be gone already.
func (c *crowd) removeLocked(s *seat) {
	if i := slices.Index(c.seats, s); i >= 0 {
		c.seats = slices.Delete(c.seats, i, i+1)
	}
}

// familiar reports whether a device is one of those whose streams strangers
// must not crowd out.
func (h *Host) familiar(p peer.ID) bool { return h.cfg.Known != nil && h.cfg.Known(deviceOf(p)) }

// admit gives an incoming stream its place; leave gives it back. It fails when
// our memory for streams is used up, of which those we know may use the last.
func (h *Host) admit(c *crowds, s network.Stream, memory int) (leave func(), err error) {
	p := s.Conn().RemotePeer()
	own := &seat{at: siteOf(p, s.Conn().RemoteMultiaddr()), peer: p, end: func() {
		_ = s.ResetWithError(network.StreamRateLimited)
	}}
	among, limit, priority := &c.strangers, chat.StreamsStrangers, network.ReservationPriorityMedium
	if h.familiar(p) {
		among, limit, priority = &c.known, chat.StreamsPerProtocol-chat.StreamsStrangers, network.ReservationPriorityAlways
		own.at = site{peer: p} // a household of contacts is no crowd
	}
	among.enter(own, limit)
	if err := s.Scope().ReserveMemory(memory, priority); err != nil {
		among.leave(own)
		return nil, err
	}
	return func() {
		s.Scope().ReleaseMemory(memory)
		among.leave(own)
	}, nil
}
