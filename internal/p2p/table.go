package p2p

import (
	"sync"
	"time"

	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/internal/chat"
)

// watchTable counts who enters the routing table, for its pace, and who is
// gone from it: not who only made room for another, for that one is still
// connected. It runs before the host listens or dials, so nobody else looks at
// the table yet; the table calls with its lock held.
func (h *Host) watchTable(pace *tablePace) {
	table, self := h.dht.RoutingTable(), kb.ConvertPeerID(h.host.ID())
	added, removed := table.PeerAdded, table.PeerRemoved
	table.PeerAdded = func(p peer.ID) {
		added(p)
		pace.entered(kb.CommonPrefixLen(self, kb.ConvertPeerID(p)), time.Now())
	}
	table.PeerRemoved = func(p peer.ID) {
		removed(p)
		if h.host.Network().Connectedness(p) != network.Connected {
			h.departures.Set(int(h.left.Add(1)))
		}
	}
}

// tablePace slows a flood of new nodes (D6): after as many as a bucket holds,
// chat.TableInserts a minute may enter each. That every one is asked a question
// first, and that none pushes out a node that answers, is the library's doing.
type tablePace struct {
	mu   sync.Mutex
	full map[int]time.Time // bucket -> when it has its whole allowance again; at most 256
}

const insertEvery = time.Minute / chat.TableInserts

// allows reports whether one more node may enter a bucket now.
func (t *tablePace) allows(bucket int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.full[bucket].Sub(now) <= (chat.RegionSize-1)*insertEvery
}

// entered takes one node into account.
func (t *tablePace) entered(bucket int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full == nil {
		t.full = make(map[int]time.Time)
	}
	at := t.full[bucket]
	if at.Before(now) {
		at = now
	}
	t.full[bucket] = at.Add(insertEvery)
}
