package p2p

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"parley/internal/chat"
	"parley/internal/wire"
)

const (
	// kadRequest holds a record, its key twice, and what the encoding adds.
	kadRequest = 3 * chat.MaxRecord
	// kadMemory is what one stream of requests may hold: a request as bytes,
	// decoded, and its answer.
	kadMemory = 2*kadRequest + chat.MaxFrame
)

// kadHost is the host as kad-dht sees it. The library takes memory for any
// message of up to 4 MiB before we see it, and decodes it before we may judge:
// here its streams get our bounds.
type kadHost struct {
	host.Host
	h        *Host
	entrance *entrance
}

// SetStreamHandler serves requests on bounded streams.
func (k kadHost) SetStreamHandler(id protocol.ID, fn network.StreamHandler) {
	var callers crowds
	k.Host.SetStreamHandler(id, func(s network.Stream) {
		if !k.h.stillAllowed(s) {
			return
		}
		leave, err := k.h.admit(&callers, s, kadMemory)
		if err != nil {
			_ = s.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		defer leave()
		from, addr := s.Conn().RemotePeer(), s.Conn().RemoteMultiaddr()
		fn(&kadStream{Stream: s, limit: kadRequest, admit: func() bool { return k.entrance.admit(from, addr, time.Now()) }})
	})
}

// NewStream reads answers on a bounded stream: 20 nodes with 16 addresses each
// and a record fit one of our frames.
func (k kadHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := k.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &kadStream{Stream: s, limit: chat.MaxFrame}, nil
}

// kadStream hands the library whole messages only, each within limit bytes and
// the bounds of wire. Anything else resets the stream. It has one reader.
type kadStream struct {
	network.Stream
	limit   int
	admit   func() bool // asked for each message, before its body is read; nil for answers
	message []byte      // with its length; what the library has not read yet
}

func (s *kadStream) Read(p []byte) (int, error) {
	if len(s.message) == 0 {
		if err := s.next(); err != nil {
			if err != io.EOF {
				_ = s.ResetWithError(network.StreamProtocolViolation)
			}
			return 0, err
		}
	}
	n := copy(p, s.message)
	s.message = s.message[n:]
	return n, nil
}

// next reads one message. Its error is io.EOF only between two messages.
func (s *kadStream) next() error {
	var head [binary.MaxVarintLen32]byte
	var length uint64
	for n := 1; ; n++ {
		if _, err := io.ReadFull(s.Stream, head[n-1:n]); err == io.EOF && n > 1 {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		var size int
		if length, size = binary.Uvarint(head[:n]); size > 0 {
			break
		} else if n == len(head) {
			return fmt.Errorf("%w: length of a message", chat.ErrInvalid)
		}
	}
	if length > uint64(s.limit) {
		return fmt.Errorf("%w: message of %d bytes", chat.ErrTooLarge, length)
	}
	if s.admit != nil && !s.admit() {
		return fmt.Errorf("%w: requests come too fast", chat.ErrTooLarge)
	}
	message := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen32+int(length)), length)
	body := message[len(message):][:length]
	if _, err := io.ReadFull(s.Stream, body); err != nil {
		return fmt.Errorf("reading message: %w", io.ErrUnexpectedEOF)
	}
	if err := wire.Unmarshal(body, new(pb.Message)); err != nil {
		return err
	}
	s.message = message[:len(message)+len(body)]
	return nil
}
