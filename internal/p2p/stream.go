package p2p

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multistream"

	"parley/internal/chat"
	"parley/internal/wire"
)

// streamMemory is what one handler may hold: a frame, its decoded form and
// what waits to be written.
const streamMemory = 2*chat.MaxFrame + 64<<10

// freshConn is how long a connection counts as just made: a refusal arrives
// within a round trip of the handshake, however slow.
const freshConn = 5 * time.Second

// stream is a libp2p stream as features see it.
type stream struct {
	network.Stream
	remote chat.DeviceID
}

func (s stream) Remote() chat.DeviceID { return s.remote }

// Handle serves incoming streams of a protocol with fn, until Run ends. A
// peer has at most chat.StreamsPerProtocolPeer of them open; what comes
// beyond, or while Run ends, is reset. A stream may be reset to make room for
// others: see crowd. The handler owns its stream; a panic in it is logged and
// resets the stream.
func (h *Host) Handle(protocolID string, fn wire.Handler) {
	var callers crowds
	service := "parley" + strings.ReplaceAll(strings.TrimPrefix(protocolID, "/parley"), "/", ".")
	h.host.SetStreamHandler(protocol.ID(protocolID), func(s network.Stream) {
		if !h.stillAllowed(s) {
			return
		}
		if !h.pool.enter() {
			_ = s.ResetWithError(network.StreamRateLimited)
			return
		}
		defer h.pool.leave()
		if err := s.Scope().SetService(service); err != nil {
			_ = s.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		leave, err := h.admit(&callers, s, streamMemory)
		if err != nil {
			_ = s.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		defer leave()
		h.serve(stream{s, deviceOf(s.Conn().RemotePeer())}, protocolID, fn)
	})
}

// stillAllowed asks the gate once more: a connection that was being made when
// its device was refused may have missed the Drop.
func (h *Host) stillAllowed(s network.Stream) bool {
	if h.gate.allowed(s.Conn().RemotePeer()) {
		return true
	}
	_ = s.Reset()
	h.Drop(deviceOf(s.Conn().RemotePeer()))
	return false
}

func (h *Host) serve(s stream, protocolID string, fn wire.Handler) {
	defer func() {
		if fault := recover(); fault != nil {
			h.log.Error("stream handler panicked", "protocol", protocolID, "peer", s.remote.Short(),
				"fault", fault, "stack", string(debug.Stack()))
			_ = s.Reset()
		}
	}()
	// A peer that opens a stream and stays silent is cut off even if the
	// handler forgets; wire sets its own deadlines from the first frame on.
	if err := s.SetDeadline(time.Now().Add(chat.FirstByteTimeout)); err != nil {
		_ = s.Reset()
		return
	}
	fn(s)
}

// Open opens a stream on an existing connection or dials the device's known
// addresses. It does not search the DHT: who wants that learns the device's
// record first. It fails with an UnreachableError, which is
// chat.ErrUnreachable, and with chat.ErrInvalid for what is no device id.
func (h *Host) Open(ctx context.Context, d chat.DeviceID, protocolID string) (wire.Stream, error) {
	id, err := peerOf(d)
	if err != nil {
		return nil, err
	}
	fresh, err := h.connect(ctx, id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, chat.HandshakeTimeout)
	defer cancel()
	s, err := h.host.NewStream(network.WithAllowLimitedConn(ctx, protocolID), id, protocol.ID(protocolID))
	if err != nil {
		return nil, h.unreachable(id, err, fresh)
	}
	return stream{s, d}, nil
}

// connect dials a device unless it is connected, and says whether the
// connection is fresh. Who closes right after the handshake has not answered:
// full nodes do it, and so do those that refuse us, which is nobody's business.
func (h *Host) connect(ctx context.Context, id peer.ID) (fresh bool, err error) {
	if h.host.Network().Connectedness(id) == network.Connected {
		old := func(c network.Conn) bool { return time.Since(c.Stat().Opened) > freshConn }
		return !slices.ContainsFunc(h.host.Network().ConnsToPeer(id), old), nil
	}
	ctx, cancel := context.WithTimeout(ctx, chat.DialTimeout)
	defer cancel()
	defer h.dials.want(id)()
	if err := h.host.Connect(network.WithAllowLimitedConn(ctx, "connect"), peer.AddrInfo{ID: id}); err != nil {
		return true, h.unreachable(id, err, true)
	}
	open := func(c network.Conn) bool { return !c.IsClosed() }
	if !slices.ContainsFunc(h.host.Network().ConnsToPeer(id), open) {
		return true, h.unreachable(id, network.ErrReset, true)
	}
	return true, nil
}

// forgetProtocols makes a device that comes back say anew what it speaks. The
// library would otherwise count a stream as open before anything was answered,
// also by a device that is about to close, and a connection of old may still
// be closing.
func (h *Host) forgetProtocols(id peer.ID) {
	if err := h.host.Peerstore().SetProtocols(id); err != nil {
		h.log.Debug("forgetting protocols", "peer", deviceOf(id).Short(), "error", err)
	}
}

// unreachable finds the one reason that helps a person. A fresh
// connection that broke again counts as none.
func (h *Host) unreachable(id peer.ID, err error, fresh bool) error {
	out := &UnreachableError{Device: deviceOf(id), Reason: NoAnswer, Err: err}
	var dial *swarm.DialError
	if errors.As(err, &dial) {
		for _, e := range dial.DialErrors {
			out.Tried = append(out.Tried, e.Address.String())
		}
	}
	var mismatch sec.ErrPeerIDMismatch
	var noProtocol multistream.ErrNotSupported[protocol.ID]
	switch {
	case !h.gate.allowed(id):
		out.Reason = Blocked
	case dial != nil && h.paced(dial):
		out.Reason = NoAnswer // of late, or it would have its allowance back
	case errors.Is(err, swarm.ErrNoAddresses), errors.Is(err, swarm.ErrNoGoodAddresses), errors.Is(err, network.ErrNoRemoteAddrs):
		out.Reason = NoAddress
	case errors.As(err, &noProtocol):
		out.Reason = NoProtocol
	case errors.As(err, &mismatch):
		out.Reason = Refused
	case errors.Is(err, network.ErrResourceLimitExceeded):
		out.Reason = LimitOurs
	case dial != nil && len(dial.DialErrors) > 0:
		out.Reason = NoAnswer
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		out.Reason = TimedOut
	case fresh: // keeps NoAnswer
	case h.host.Network().Connectedness(id) == network.Connected, errors.Is(err, network.ErrReset):
		out.Reason = CutOff
	}
	return out
}

// paced reports whether addresses were left out only because they were dialled
// in vain too often.
func (h *Host) paced(dial *swarm.DialError) bool {
	return errors.Is(dial.Cause, swarm.ErrNoGoodAddresses) && slices.ContainsFunc(dial.DialErrors, func(e swarm.TransportError) bool {
		return errors.Is(e.Cause, swarm.ErrGaterDisallowedConnection) && h.mayDial(dial.Peer, e.Address)
	})
}

// Drop closes every connection to a device, as after a block.
func (h *Host) Drop(d chat.DeviceID) {
	id, err := peerOf(d)
	if err != nil {
		return
	}
	h.host.ConnManager().Unprotect(id, protectTag)
	if err := h.host.Network().ClosePeer(id); err != nil {
		h.log.Debug("closing connections", "peer", d.Short(), "error", err)
	}
}
