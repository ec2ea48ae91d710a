package wire

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
)

const (
	// keepRoom is the buffer of a quiet stream: nearly all frames fit, and
	// thousands of idle streams stay cheap.
	keepRoom = 4 << 10
	// maxLength is how many bytes say a frame's length: three hold chat.MaxFrame.
	maxLength = 3
)

// busyRoom is lent to a stream that brings more than keepRoom at once, until
// all of it is read.
type busyRoom [16 << 10]byte

var busyRooms = sync.Pool{New: func() any { return new(busyRoom) }}

// Reader reads frames from a stream, several from one system read.
type Reader struct {
	s       Stream
	exact   bool // takes no byte beyond its frame
	room    []byte
	at, end int           // room[at:end] is received and not yet read as frames
	quiet   []byte        // keepRoom bytes, once needed
	busy    *busyRoom     // lent, or nil
	more    bool          // the last read filled its room: more waits
	late    bool          // the deadline of the frame that has begun is set
	wait    time.Duration // for the next frame's first byte
	then    time.Duration // for those after it
	read    bool          // at least one frame
}

// NewReader reads frames from s. The first one must begin within
// chat.FirstByteTimeout, each further one within chat.IdleTimeout.
func NewReader(s Stream) *Reader {
	return &Reader{s: s, wait: chat.FirstByteTimeout, then: chat.IdleTimeout}
}

// SetWait changes how long the next frames may take to begin: a side that
// waits for a slow answer sets it after a request.
func (r *Reader) SetWait(d time.Duration) { r.wait, r.then = d, d }

// Buffered is the number of bytes that were received and not yet read as
// frames: while it is not zero, more frames can be grouped.
func (r *Reader) Buffered() int { return r.end - r.at }

// ReadFrame reads the next frame into m. Errors are those of the function
// ReadFrame.
func (r *Reader) ReadFrame(m proto.Message) error {
	if err := r.begin(); err != nil {
		return err
	}
	size, err := r.length()
	if err != nil {
		return err
	}
	if err := r.await(size); err != nil {
		return fmt.Errorf("reading frame: %w", err)
	}
	body := r.room[r.at : r.at+size]
	r.at += size
	r.wait, r.read = r.then, true
	return Unmarshal(body, m)
}

// begin waits for a frame to begin.
func (r *Reader) begin() error {
	r.late = false
	if r.Buffered() > 0 {
		return nil
	}
	if err := r.s.SetReadDeadline(time.Now().Add(r.wait)); err != nil {
		return fmt.Errorf("setting read deadline: %w", err)
	}
	err := r.fill(1)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return io.EOF
	case !r.read:
		err = stalled(err)
	}
	return fmt.Errorf("waiting for a frame: %w", err)
}

func (r *Reader) length() (int, error) {
	size := 0
	for i := range maxLength {
		if err := r.await(i + 1); err != nil {
			return 0, fmt.Errorf("reading frame length: %w", err)
		}
		b := r.room[r.at+i]
		if i > 0 && b == 0 {
			return 0, fmt.Errorf("%w: frame length not in its shortest form", chat.ErrInvalid)
		}
		size |= int(b&0x7f) << (7 * i)
		if b >= 0x80 {
			continue
		}
		if size > chat.MaxFrame {
			return 0, fmt.Errorf("%w: frame of %d bytes", chat.ErrTooLarge, size)
		}
		r.at += i + 1
		return size, nil
	}
	return 0, fmt.Errorf("%w: frame length over three bytes", chat.ErrTooLarge)
}

// await waits for n bytes of a frame that has begun: what is not there yet
// comes before the frame's own deadline.
func (r *Reader) await(n int) error {
	if r.Buffered() >= n {
		return nil
	}
	if !r.late {
		if err := r.s.SetReadDeadline(time.Now().Add(chat.FrameTimeout)); err != nil {
			return fmt.Errorf("setting read deadline: %w", err)
		}
		r.late = true
	}
	err := r.fill(n)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return stalled(err)
}

// fill reads until n bytes are there, and whatever comes with them.
func (r *Reader) fill(n int) error {
	r.resize(n)
	most := len(r.room)
	if r.exact {
		most = n
	}
	got, err := io.ReadAtLeast(r.s, r.room[r.end:most], n-r.end)
	r.end += got
	r.more = r.end == len(r.room)
	return err
}

// resize moves what is received to the front of a room for n bytes. A busy
// stream gets a larger one, and gives it back when all of it is read.
func (r *Reader) resize(n int) {
	left, busy := r.room[r.at:r.end], r.busy
	switch {
	case n > len(busyRoom{}):
		r.room, r.busy = make([]byte, n), nil
	case !r.exact && (n > keepRoom || len(left) > 0 && (r.more || busy != nil)):
		if busy == nil {
			r.busy = busyRooms.Get().(*busyRoom)
		}
		r.room = r.busy[:]
	case n > keepRoom:
		r.room = make([]byte, n)
	default:
		if r.quiet == nil {
			r.quiet = make([]byte, keepRoom)
		}
		r.room, r.busy = r.quiet, nil
	}
	r.at, r.end = 0, copy(r.room, left)
	if busy != nil && r.busy != busy {
		busyRooms.Put(busy)
	}
}
