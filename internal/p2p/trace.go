package p2p

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// trace follows one lookup: who answered, and over how many referrals the
// first answer that named the target was reached.
type trace struct {
	ctx    context.Context // carries the trace into the lookup
	cancel context.CancelFunc
	target peer.ID
	reader sync.WaitGroup // follow
	path   tracePath      // after reader is done
}

type tracePath struct{ answered, hops int }

func startTrace(parent context.Context, target peer.ID) *trace {
	ctx, cancel := context.WithCancel(parent)
	ctx, queries := routing.RegisterForQueryEvents(ctx)
	t := &trace{ctx: ctx, cancel: cancel, target: target}
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

// stop ends the trace after its lookup returned.
func (t *trace) stop() tracePath {
	t.cancel()
	t.reader.Wait()
	return t.path
}
