package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
)

// WriteFrame writes one frame and bounds the write by chat.FrameTimeout.
// It fails with chat.ErrTooLarge before a byte leaves when m does not fit.
func WriteFrame(s Stream, m proto.Message) error {
	b, err := appendFrame(nil, m, proto.Size(m))
	if err != nil {
		return err
	}
	if err := s.SetWriteDeadline(time.Now().Add(chat.FrameTimeout)); err != nil {
		return fmt.Errorf("setting write deadline: %w", err)
	}
	if _, err := s.Write(b); err != nil {
		return fmt.Errorf("writing frame: %w", err)
	}
	return nil
}

// ReadFrame reads one frame into m and takes no byte beyond it. It fails with
// io.EOF when the peer ended the stream before a frame began, with
// io.ErrUnexpectedEOF inside one, and with chat.ErrTooLarge or chat.ErrInvalid
// for bytes no honest peer sends. Use a Reader for more than one frame.
func ReadFrame(s Stream, m proto.Message) error {
	r := Reader{s: s, exact: true, wait: chat.FirstByteTimeout}
	return r.ReadFrame(m)
}

// Stalled reports whether ReadFrame failed because the peer began a frame, or
// opened the stream, and let its time run out: no honest peer does so often.
// Being idle between two frames is no stall.
func Stalled(err error) bool { return errors.Is(err, errStalled) }

var errStalled = errors.New("frame stalled")

// stalled marks a read that ran into its deadline.
func stalled(err error) error {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	if ok && timeout.Timeout() {
		return fmt.Errorf("%w: %w", errStalled, err)
	}
	return err
}

// appendFrame appends length and bytes of m, whose proto.Size was just taken.
func appendFrame(b []byte, m proto.Message, size int) ([]byte, error) {
	if size > chat.MaxFrame {
		return b, fmt.Errorf("%w: frame of %d bytes", chat.ErrTooLarge, size)
	}
	if b == nil {
		b = make([]byte, 0, size+maxLength)
	}
	b = binary.AppendUvarint(b, uint64(size))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		return b, fmt.Errorf("encoding frame: %w", err)
	}
	return b, nil
}
