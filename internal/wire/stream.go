package wire

import (
	"io"
	"time"

	"parley/internal/chat"
)

// Stream is one ordered, authenticated byte stream between two devices.
// It has two implementations: libp2p in package p2p, and Pipe.
type Stream interface {
	io.Reader
	io.Writer
	// CloseWrite ends our side: the peer reads io.EOF after what was written.
	CloseWrite() error
	// Close ends both sides in order.
	Close() error
	// Reset tears the stream down; the peer sees an error, not io.EOF.
	Reset() error
	// SetDeadline bounds reads and writes; the zero time means none.
	SetDeadline(time.Time) error
	// SetReadDeadline and SetWriteDeadline bound one direction, so that a
	// peer that talks but does not listen still runs into our write deadline.
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// Remote is the device at the other end, proven by the transport.
	Remote() chat.DeviceID
}

// Handler serves one incoming stream. It owns the stream and closes it.
type Handler func(Stream)
