package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
)

// keepBody is the largest frame buffer a quiet stream holds on to: nearly all
// frames fit, and thousands of idle streams stay cheap.
const keepBody = 4 << 10

// WriteFrame writes one frame and bounds the write by chat.FrameTimeout.
// It fails with chat.ErrTooLarge before a byte leaves when m does not fit.
func WriteFrame(s Stream, m proto.Message) error {
	b, err := appendFrame(nil, m)
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
	r := Reader{s: s, src: oneByte{s}, wait: chat.FirstByteTimeout}
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

// Reader reads frames from a stream, several from one system read.
type Reader struct {
	s    Stream
	src  source
	body []byte        // reused between frames, at most keepBody
	wait time.Duration // for the next frame's first byte
	then time.Duration // for those after it
	read bool          // at least one frame
}

type source interface {
	io.Reader
	io.ByteReader
	Buffered() int
}

// NewReader reads frames from s. The first one must begin within
// chat.FirstByteTimeout, each further one within chat.IdleTimeout.
func NewReader(s Stream) *Reader {
	return &Reader{s: s, src: bufio.NewReaderSize(s, keepBody), wait: chat.FirstByteTimeout, then: chat.IdleTimeout}
}

// SetWait changes how long the next frames may take to begin: a side that
// waits for a slow answer sets it after a request.
func (r *Reader) SetWait(d time.Duration) { r.wait, r.then = d, d }

// Buffered is the number of bytes that were received and not yet read as
// frames: while it is not zero, more frames can be grouped.
func (r *Reader) Buffered() int { return r.src.Buffered() }

// ReadFrame reads the next frame into m. Errors are those of the function
// ReadFrame.
func (r *Reader) ReadFrame(m proto.Message) error {
	size, err := r.readSize()
	if err != nil {
		return err
	}
	body := r.buffer(size)
	if _, err := io.ReadFull(r.src, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("reading frame: %w", stalled(err))
	}
	r.wait, r.read = r.then, true
	return Unmarshal(body, m)
}

// readSize waits for a frame to begin, then starts the frame's own deadline.
func (r *Reader) readSize() (int, error) {
	if r.src.Buffered() == 0 {
		if err := r.s.SetReadDeadline(time.Now().Add(r.wait)); err != nil {
			return 0, fmt.Errorf("setting read deadline: %w", err)
		}
	}
	first, err := r.src.ReadByte()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if !r.read {
			err = stalled(err)
		}
		return 0, fmt.Errorf("waiting for a frame: %w", err)
	}
	if err := r.s.SetReadDeadline(time.Now().Add(chat.FrameTimeout)); err != nil {
		return 0, fmt.Errorf("setting read deadline: %w", err)
	}
	size := uint64(first & 0x7f)
	for shift := 7; first >= 0x80; shift += 7 {
		if first, err = r.src.ReadByte(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("reading frame length: %w", stalled(err))
		}
		if shift > 14 { // three bytes hold MaxFrame
			return 0, fmt.Errorf("%w: frame length over three bytes", chat.ErrTooLarge)
		}
		if first == 0 {
			return 0, fmt.Errorf("%w: frame length not in its shortest form", chat.ErrInvalid)
		}
		size |= uint64(first&0x7f) << shift
	}
	if size > chat.MaxFrame {
		return 0, fmt.Errorf("%w: frame of %d bytes", chat.ErrTooLarge, size)
	}
	return int(size), nil
}

func (r *Reader) buffer(size int) []byte {
	if size > keepBody {
		return make([]byte, size)
	}
	if r.body == nil {
		r.body = make([]byte, keepBody)
	}
	return r.body[:size]
}

// oneByte reads the length byte by byte, so that nothing beyond the frame is
// taken from the stream.
type oneByte struct{ Stream }

func (o oneByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(o.Stream, b[:])
	return b[0], err
}

func (o oneByte) Buffered() int { return 0 }

// appendFrame appends length and bytes of m to b.
func appendFrame(b []byte, m proto.Message) ([]byte, error) {
	size := proto.Size(m)
	if size > chat.MaxFrame {
		return b, fmt.Errorf("%w: frame of %d bytes", chat.ErrTooLarge, size)
	}
	if b == nil {
		b = make([]byte, 0, size+3)
	}
	b = binary.AppendUvarint(b, uint64(size))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		return b, fmt.Errorf("encoding frame: %w", err)
	}
	return b, nil
}
