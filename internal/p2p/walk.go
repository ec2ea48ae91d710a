package p2p

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
)

const (
	// paths do not share a node before they meet at the place, so that a liar
	// at the beginning of one cannot keep the others away (S/Kademlia, Baumgart
	// and Mies 2007, section 4.4).
	paths = 3
	// asking is how many nodes one path asks at a time.
	asking = 4
	// answerTimeout is one node's time to answer, dial included.
	answerTimeout = chat.HandshakeTimeout
	// answerPerNet drops what a node names beyond so many of one public
	// network (D3).
	answerPerNet = 3
	// maxHeard bounds what a walk keeps of what it is told: 20 nodes name 20.
	maxHeard = 1024
	// preimageBits is how near to a place a question can aim: the DHT takes a
	// key, not a place, and each bit doubles the search for one (2^16 hashes
	// take some 5 ms).
	preimageBits = 16
)

type walkState uint8

const (
	heardOf walkState = iota
	asked
	answered
	failed
)

// walk finds the nodes around a place by asking nearer and nearer ones. One
// goroutine drives it.
type walk struct {
	h     *Host
	place [32]byte
	heard map[peer.ID]walkState

	seeds  int // nodes of our own table to begin at
	asking int // how many nodes one path asks at a time
	// question is what each node is asked beside its neighbours.
	question pb.Message_MessageType
	// told takes an answer. Where it returns false the walk waits for silent
	// nodes until they fail.
	told func(from peer.ID, answer *pb.Message) (enough bool)
}

func newWalk(h *Host, place [32]byte) *walk {
	return &walk{
		h: h, place: place, heard: map[peer.ID]walkState{},
		seeds: paths * chat.RegionSize, asking: asking, question: pb.Message_FIND_NODE,
		told: func(peer.ID, *pb.Message) bool { return true },
	}
}

// found are the nodes that answered, nearest first.
func (w *walk) found() []peer.ID {
	var out []peer.ID
	for p, s := range w.heard {
		if s == answered {
			out = append(out, p)
		}
	}
	return sortByDistance(w.place, out)
}

// run walks to the place itself.
func (w *walk) run(ctx context.Context) error { return w.from(ctx, w.place) }

type walkAnswer struct {
	path   int
	from   peer.ID
	answer *pb.Message
	err    error
}

// from walks to a point.
func (w *walk) from(ctx context.Context, point [32]byte) error {
	return w.toward(ctx, point, preimage(point))
}

// toward walks to a point with questions about key, which lies there. It ends
// when the chat.RegionSize nearest nodes that each path heard of were asked, in
// a small network all of them, or when the silent ones alone remain.
func (w *walk) toward(ctx context.Context, point [32]byte, key []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // before the wait
	var known [paths][]peer.ID
	for i, p := range w.h.dht.RoutingTable().NearestPeers(point[:], w.seeds) {
		known[i%paths] = append(known[i%paths], p)
	}
	answers := make(chan walkAnswer)
	flying, good, enough := 0, 0, false
	ask := func(path int, p peer.ID) {
		w.heard[p] = asked
		flying++
		wg.Go(func() {
			answer, err := w.h.ask(ctx, p, w.question, key)
			select {
			case answers <- walkAnswer{path, p, answer, err}:
			case <-ctx.Done():
			}
		})
	}
	var busy [paths]int
	quiet := time.NewTimer(chat.LookupQuiet)
	defer quiet.Stop()
	for {
		for path := range known {
			for busy[path] < w.asking {
				p, ok := w.next(point, known[path])
				if !ok {
					break
				}
				busy[path]++
				ask(path, p)
			}
		}
		if flying == 0 {
			break
		}
		var a walkAnswer
		select {
		case a = <-answers:
			quiet.Reset(chat.LookupQuiet)
		case <-quiet.C:
			if enough && good >= min(chat.DHTMinAsked, len(w.heard)-flying) {
				return nil // who is silent so long is dialled in vain
			}
			quiet.Reset(chat.LookupQuiet)
			continue
		case <-ctx.Done():
			if good > 0 {
				return nil
			}
			return fmt.Errorf("%w: %w", chat.ErrUnreachable, ctx.Err())
		}
		flying--
		busy[a.path]--
		if a.err != nil {
			w.heard[a.from] = failed
			continue
		}
		w.heard[a.from] = answered
		good++
		enough = w.told(a.from, a.answer)
		known[a.path] = append(known[a.path], w.learn(pb.PBPeersToPeerInfos(a.answer.GetCloserPeers()))...)
	}
	if good == 0 && len(w.found()) == 0 {
		return fmt.Errorf("%w: no node answers", chat.ErrUnreachable)
	}
	return nil
}

// next is the nearest node of a path that nobody asked yet, if it is among
// the chat.RegionSize nearest that may still answer.
func (w *walk) next(point [32]byte, known []peer.ID) (peer.ID, bool) {
	alive := known[:0:0]
	for _, p := range known {
		if w.heard[p] != failed {
			alive = append(alive, p)
		}
	}
	limit := chat.RegionSize
	if len(w.heard) < chat.SmallNetwork {
		limit = len(alive)
	}
	alive = sortByDistance(point, alive)
	for _, p := range alive[:min(limit, len(alive))] {
		if w.heard[p] == heardOf {
			return p, true
		}
	}
	return "", false
}

// learn takes what a node named: dialable nodes, not too many of one network.
func (w *walk) learn(near []*peer.AddrInfo) []peer.ID {
	nets := map[string]int{}
	var out []peer.ID
	for _, n := range near[:min(len(near), 2*chat.RegionSize)] {
		if n == nil || n.ID == w.h.host.ID() || !isEd25519(n.ID) || !w.h.gate.allowed(n.ID) {
			continue
		}
		addrs := w.h.worthDialing(n.ID, n.Addrs)
		if len(addrs) == 0 && len(w.h.host.Network().ConnsToPeer(n.ID)) == 0 {
			continue
		}
		if net := publicNet(addrs); net != "" {
			if nets[net]++; nets[net] > answerPerNet {
				continue
			}
		}
		if _, ok := w.heard[n.ID]; !ok {
			if len(w.heard) >= maxHeard {
				continue
			}
			w.heard[n.ID] = heardOf
		}
		w.h.learn(n.ID, addrs, chat.UnconnectedLife)
		out = append(out, n.ID)
	}
	return out
}

func publicNet(addrs []ma.Multiaddr) string {
	for _, a := range addrs {
		if prefix, ok := netOf(a, 24, 48); ok && !local(a) {
			return prefix.String()
		}
	}
	return ""
}

// preimage is a key that the DHT places so near to a point that the nodes
// around both are the same in any network of up to some 10^6 nodes.
func preimage(point [32]byte) []byte {
	key := make([]byte, 8+len(point))
	copy(key[8:], point[:])
	for n := uint64(0); ; n++ {
		binary.BigEndian.PutUint64(key, n)
		at := sha256.Sum256(key)
		if kb.CommonPrefixLen(at[:], point[:]) >= preimageBits {
			return key
		}
	}
}
