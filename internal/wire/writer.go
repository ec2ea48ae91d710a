package wire

import (
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
)

// coalesce is how much one write carries: measured prototypes gained 15 times
// on TCP and 4 times on QUIC over one write per message, and little beyond. With
// the header of its multiplexer it fits one TLS record: a byte more costs
// another record and another system call.
const coalesce = 16<<10 - 64

// Writer writes frames to a stream from any number of goroutines. A frame
// leaves at once when nothing is being written; frames that arrive meanwhile
// leave together. It holds at most chat.WriteQueueFrames: then callers wait.
// An error sticks: the stream is of no more use.
type Writer struct {
	s Stream

	mu     sync.Mutex
	room   *sync.Cond // signalled when the queue shrinks or err is set
	buf    []byte     // encoded frames, waiting
	spare  []byte     // the buffer of the last write, for reuse
	frames int        // in buf
	busy   bool       // a caller is inside Stream.Write
	err    error
}

// NewWriter writes frames to s.
func NewWriter(s Stream) *Writer {
	w := &Writer{s: s}
	w.room = sync.NewCond(&w.mu)
	return w
}

// WriteFrame queues m and sends what is queued, unless another caller is
// already sending: that one takes m along, and an error shows at the next
// call. A nil error therefore means queued, never received.
func (w *Writer) WriteFrame(m proto.Message) error {
	if err := w.Queue(m); err != nil {
		return err
	}
	return w.Flush()
}

// Queue adds m without sending, until 16 KiB are gathered or Flush is called.
func (w *Writer) Queue(m proto.Message) error {
	size := proto.Size(m)
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && (w.frames >= chat.WriteQueueFrames || w.frames > 0 && !w.busy && len(w.buf)+size+maxLength > coalesce) {
		if !w.busy {
			w.sendLocked()
			continue
		}
		w.room.Wait()
	}
	if w.err != nil {
		return w.err
	}
	b, err := appendFrame(w.buf, m, size)
	if err != nil {
		return err
	}
	w.buf = b
	w.frames++
	return nil
}

// Flush sends what is queued, unless another caller is already sending it.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.busy {
		w.sendLocked()
	}
	return w.err
}

// sendLocked writes until the queue is empty. It lets go of mu during a write.
func (w *Writer) sendLocked() {
	w.busy = true
	for len(w.buf) > 0 && w.err == nil {
		out := w.buf
		w.buf, w.spare, w.frames = w.spare[:0], nil, 0
		w.mu.Unlock()
		err := w.s.SetWriteDeadline(time.Now().Add(chat.FrameTimeout))
		if err == nil {
			_, err = w.s.Write(out)
		}
		w.mu.Lock()
		if cap(out) <= 2*coalesce {
			w.spare = out[:0]
		}
		if err != nil {
			w.err = fmt.Errorf("writing frames: %w", err)
		}
		w.room.Broadcast()
	}
	w.busy = false
	w.room.Broadcast()
}
