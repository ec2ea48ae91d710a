package p2p

import (
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
)

const (
	// dialTurn gathers the addresses of one device at one IP into one dial:
	// the library asks for all of them at once.
	dialTurn = time.Second
	// dialPorts are the addresses of one dial at one IP. What we want to reach
	// may have as many as a peer can have, what others name fewer: it could be
	// a scan.
	dialPorts       = 8
	dialPortsWanted = chat.PeerAddrs
)

// dialPace bounds how often others can make us knock where nobody answers
// (N7): chat.DialsPerIP a minute for each target, whoever is said to live
// there. What a feature wants to reach has an allowance of its own for each
// device, so that strangers who name a contact's IP cannot use up ours.
type dialPace struct {
	unasked *paces[netip.Addr]
	wanted  *paces[dialTarget]

	mu    sync.Mutex
	asked map[peer.ID]int         // dials of features under way; as many as there are callers
	turns map[dialTarget]dialAddr // at most chat.MaxStrangers
}

type dialTarget struct {
	peer peer.ID
	ip   netip.Addr
}

// dialAddr is how many addresses of a target were let through since when.
type dialAddr struct {
	since time.Time
	n     int
}

func newDialPace() *dialPace {
	const every = time.Minute / chat.DialsPerIP
	return &dialPace{
		unasked: newPaces[netip.Addr](every, chat.DialBurst, chat.MaxStrangers),
		wanted:  newPaces[dialTarget](every, chat.DialBurst, chat.MaxStrangers),
		asked:   make(map[peer.ID]int),
		turns:   make(map[dialTarget]dialAddr),
	}
}

// want marks a device as dialled for a feature until the returned func is
// called.
func (d *dialPace) want(p peer.ID) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[p]++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.asked[p]--; d.asked[p] == 0 {
			delete(d.asked, p)
		}
	}
}

// take reports whether an address may be dialled now. A relayed address is no
// knock of ours; loopback is our own machine.
func (d *dialPace) take(p peer.ID, a ma.Multiaddr, now time.Time) bool {
	ip, ok := dialled(a)
	if !ok {
		return true
	}
	target := dialTarget{p, ip}
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted, ports := d.asked[p] > 0, dialPorts
	if wanted {
		ports = dialPortsWanted
	}
	if t, known := d.turns[target]; known && now.Sub(t.since) < dialTurn {
		t.n++
		d.turns[target] = t
		return t.n <= ports
	}
	if wanted && !d.wanted.take(target, now) || !wanted && !d.unasked.take(ip, now) {
		return false
	}
	if len(d.turns) >= chat.MaxStrangers {
		for old, t := range d.turns {
			if now.Sub(t.since) >= dialTurn {
				delete(d.turns, old)
			}
		}
	}
	if len(d.turns) >= chat.MaxStrangers {
		return false // thousands of targets in one second
	}
	d.turns[target] = dialAddr{now, 1}
	return true
}

// answered gives the allowance back: who answers with the right key wants to
// be dialled.
func (d *dialPace) answered(p peer.ID, a ma.Multiaddr) {
	if ip, ok := dialled(a); ok {
		d.unasked.forget(ip)
		d.wanted.forget(dialTarget{p, ip})
	}
}

func dialled(a ma.Multiaddr) (netip.Addr, bool) {
	if transportOf(a) == "relay" {
		return netip.Addr{}, false
	}
	prefix, ok := netOf(a, 32, 128)
	return prefix.Addr(), ok && !prefix.Addr().IsLoopback()
}
