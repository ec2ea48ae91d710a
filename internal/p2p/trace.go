package p2p

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"parley/internal/chat"
)

// trace follows one lookup: who answered, and over how many referrals the
// first answer that named the target was reached.
type trace struct {
	ctx    context.Context // carries the trace into the lookup
	cancel context.CancelFunc
	target peer.ID
	answer chan int       // capacity 1: the newest number of answers
	reader sync.WaitGroup // follow
	path   tracePath      // after reader is done
}

type tracePath struct{ answered, hops int }

func startTrace(parent context.Context, target peer.ID) *trace {
	ctx, cancel := context.WithCancel(parent)
	ctx, queries := routing.RegisterForQueryEvents(ctx)
	t := &trace{ctx: ctx, cancel: cancel, target: target, answer: make(chan int, 1)}
	t.reader.Go(func() { t.path = t.follow(parent, queries) })
	return t
}

// follow reads events until the lookup's context ends and closes the channel.
// A caller that follows the lookup too is told everything.
func (t *trace) follow(parent context.Context, queries <-chan *routing.QueryEvent) tracePath {
	var path tracePath
	depth := make(map[peer.ID]int) // node -> referrals that led to it; 0 is our own table
	for e := range queries {
		routing.PublishQueryEvent(parent, e)
		if e.Type != routing.PeerResponse {
			continue
		}
		path.answered++
		t.tell(path.answered)
		if _, known := depth[e.ID]; !known {
			depth[e.ID] = 0 // from our own table
		}
		for _, next := range e.Responses {
			if next == nil {
				continue
			}
			if _, known := depth[next.ID]; !known {
				depth[next.ID] = depth[e.ID] + 1
			}
			if next.ID == t.target && path.hops == 0 {
				path.hops = depth[e.ID] + 1
			}
		}
	}
	return path
}

// tell replaces what best has not read yet.
func (t *trace) tell(answered int) {
	select {
	case <-t.answer:
	default:
	}
	t.answer <- answered // only follow writes
}

// best is the last of the improving values. When one is known, enough nodes
// answered, and the others have been silent for chat.LookupQuiet, it does not
// wait for their dials to time out.
func (t *trace) best(values <-chan []byte, enough int) []byte {
	var best []byte
	answered := 0
	quiet := time.NewTicker(chat.LookupQuiet)
	defer quiet.Stop()
	for {
		select {
		case v, ok := <-values:
			if !ok {
				return best
			}
			best = v
		case answered = <-t.answer:
			quiet.Reset(chat.LookupQuiet)
		case <-quiet.C:
			if best != nil && answered >= enough {
				t.cancel()
				for range values { // until the lookup has ended
				}
				return best
			}
		}
	}
}

// stop ends the trace after its lookup returned.
func (t *trace) stop() tracePath {
	t.cancel()
	t.reader.Wait()
	return t.path
}
