package p2p

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kadrecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multistream"

	"parley/internal/chat"
	"parley/internal/wire"
)

// searchAsking is how many nodes one path of a search asks at a time: all paths
// together the region twice, so that those whom the first answers name need
// not wait for slow ones, and a search takes as many round trips as it has
// hops. It asks few nodes more for it, only sooner.
const searchAsking = 2 * (chat.RegionSize + paths - 1) / paths

// search is a walk to a key that gathers the values under it. The goroutine
// that walks owns it.
type search struct {
	*walk
	key    string
	found  func(value []byte) // told of each better value; may be nil
	best   []byte
	values map[peer.ID][]byte // who answered with which valid value; nil for none
}

// Get asks every node it can find near key and returns the best valid value.
// It fails with chat.ErrNotFound only when enough nodes answered that they
// have none, and with chat.ErrUnreachable when too few answered to tell.
func (h *Host) Get(ctx context.Context, key string) ([]byte, error) {
	return h.Search(ctx, key, nil)
}

// Search is Get that tells found of each valid value that is better than those
// before it, as soon as it comes and in the caller's goroutine. That a value
// came early says nothing about those that the rest of the region has.
func (h *Host) Search(ctx context.Context, key string, found func(value []byte)) ([]byte, error) {
	if err := h.knows(key); err != nil {
		return nil, err
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, chat.LookupTimeout)
	defer cancel()
	s := &search{walk: newWalk(h, sha256.Sum256([]byte(key))), key: key, found: found, values: map[peer.ID][]byte{}}
	table := h.dht.RoutingTable().Size()
	s.seeds, s.asking, s.question, s.told = chat.RegionSize, searchAsking, pb.Message_GET_VALUE, s.take
	if table < chat.SmallNetwork {
		s.seeds = table // the region is everybody
	}
	if own, err := h.values.Get(ctx, key); err == nil {
		s.consider(own.GetValue())
	}
	err := s.toward(ctx, s.place, []byte(key))
	switch {
	case caller.Err() != nil:
		return nil, fmt.Errorf("looking up record: %w", caller.Err())
	case s.best != nil:
		s.spread()
		return s.best, nil
	case err != nil:
		return nil, fmt.Errorf("looking up record: %w", err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("looking up record: %w: %w", chat.ErrUnreachable, ctx.Err())
	case len(s.values) < max(1, min(chat.DHTMinAsked, table)):
		return nil, fmt.Errorf("looking up record: %w: %d nodes answered", chat.ErrUnreachable, len(s.values))
	}
	return nil, fmt.Errorf("looking up record: %w: %d nodes have none", chat.ErrNotFound, len(s.values))
}

// take reads one answer. Silent nodes are not waited for when a value is known.
func (s *search) take(from peer.ID, answer *pb.Message) bool {
	s.values[from] = nil
	if rec := answer.GetRecord(); rec != nil && string(rec.GetKey()) == s.key && s.consider(rec.GetValue()) {
		s.values[from] = rec.GetValue()
	}
	return s.best != nil
}

// consider judges a value and keeps the best. It says whether it is valid.
func (s *search) consider(value []byte) bool {
	if s.best != nil && bytes.Equal(s.best, value) {
		return true // nearly all answers
	}
	if len(value) == 0 || s.h.validator.Validate(s.key, value) != nil {
		return false
	}
	if s.best != nil {
		if i, err := s.h.validator.Select(s.key, [][]byte{s.best, value}); err != nil || i == 0 {
			return err == nil
		}
	}
	s.best = value
	if s.found != nil {
		s.found(value)
	}
	return true
}

// spread gives the best value to the nodes of the region that answered with
// another one or none, beside what the caller does next.
func (s *search) spread() {
	rec := kadrecord.MakePutRecord(s.key, s.best)
	for _, p := range s.region() {
		if bytes.Equal(s.values[p], s.best) {
			continue
		}
		ran := s.h.pool.run(func() {
			if err := s.h.putTo(context.Background(), p, rec); err != nil {
				s.h.log.Debug("record not repaired", "peer", deviceOf(p).Short(), "error", err)
			}
		})
		if !ran {
			return // busy or closing: the next publication repairs too
		}
	}
}

// region is the nearest nodes that answered.
func (s *search) region() []peer.ID {
	nodes := s.walk.found()
	return nodes[:min(len(nodes), chat.RegionSize)]
}

// ask asks one node about a key. Who follows the look-up is told.
func (h *Host) ask(ctx context.Context, p peer.ID, question pb.Message_MessageType, key []byte) (*pb.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	routing.PublishQueryEvent(ctx, &routing.QueryEvent{Type: routing.SendingQuery, ID: p})
	answer, err := h.exchange(ctx, p, pb.NewMessage(question, key, 0))
	table := h.dht.RoutingTable()
	switch {
	case err == nil:
		table.UpdateLastSuccessfulOutboundQueryAt(p, time.Now())
		table.UpdateLastUsefulAt(p, time.Now())
		routing.PublishQueryEvent(ctx, &routing.QueryEvent{
			Type: routing.PeerResponse, ID: p, Responses: pb.PBPeersToPeerInfos(answer.GetCloserPeers()),
		})
	case !errors.Is(ctx.Err(), context.Canceled): // not we gave up
		table.RemovePeer(p)
	}
	return answer, err
}

// exchange is one question and its answer on a stream of their own.
func (h *Host) exchange(ctx context.Context, p peer.ID, question *pb.Message) (*pb.Message, error) {
	defer h.dials.want(p)()
	s, err := h.eager(ctx, p, kadProtocol)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	ws := stream{s, deviceOf(p)}
	answer := new(pb.Message)
	if err = wire.WriteFrame(ws, question); err == nil {
		err = wire.ReadFrame(ws, answer)
	}
	if err != nil {
		_ = s.Reset()
		return nil, err
	}
	return answer, nil
}

// eager opens a stream whose first bytes travel with the choice of protocol
// and before the other side has introduced itself: one round trip after the
// handshake where the library takes two more. That the peer speaks the
// protocol shows in its first answer.
func (h *Host) eager(ctx context.Context, p peer.ID, id protocol.ID) (network.Stream, error) {
	s, err := h.host.Network().NewStream(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	if err := s.SetProtocol(id); err != nil {
		_ = s.Reset()
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	return &eagerStream{s, multistream.NewMSSelect(s, id)}, nil
}

// eagerStream chooses its protocol with the first bytes that are written.
type eagerStream struct {
	network.Stream
	choice io.ReadWriteCloser
}

func (s *eagerStream) Read(b []byte) (int, error)  { return s.choice.Read(b) }
func (s *eagerStream) Write(b []byte) (int, error) { return s.choice.Write(b) }

// Close waits for the peer's agreement, which the frame before it brought.
func (s *eagerStream) Close() error { return s.choice.Close() }
