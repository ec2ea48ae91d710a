package wire

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"parley/internal/chat"
)

// pipeWindow is what one direction of a Pipe holds before a writer waits,
// like the receive window of a real stream.
const pipeWindow = 256 << 10

// errReset is what both ends of a torn Pipe see.
var errReset = errors.New("stream reset")

// Pipe is a stream in memory: the first end belongs to device a and sees b as
// its remote. It starts no goroutine and works in a synctest bubble.
func Pipe(a, b chat.DeviceID) (Stream, Stream) {
	ab, ba := newHalf(), newHalf()
	return &pipeEnd{in: ba, out: ab, remote: b}, &pipeEnd{in: ab, out: ba, remote: a}
}

type pipeEnd struct {
	in, out *half
	remote  chat.DeviceID
}

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }
func (p *pipeEnd) Remote() chat.DeviceID       { return p.remote }
func (p *pipeEnd) CloseWrite() error           { p.out.closeWrite(); return nil }
func (p *pipeEnd) Close() error                { p.out.closeWrite(); p.in.closeRead(); return nil }

func (p *pipeEnd) Reset() error                       { p.out.fail(errReset); p.in.fail(errReset); return nil }
func (p *pipeEnd) SetReadDeadline(t time.Time) error  { p.in.reader.set(p.in, t); return nil }
func (p *pipeEnd) SetWriteDeadline(t time.Time) error { p.out.writer.set(p.out, t); return nil }

func (p *pipeEnd) SetDeadline(t time.Time) error {
	p.in.reader.set(p.in, t)
	p.out.writer.set(p.out, t)
	return nil
}

// half is one direction.
type half struct {
	mu      sync.Mutex
	changed *sync.Cond
	buf     []byte
	eof     bool  // the writer closed
	deaf    bool  // the reader closed: what is written is dropped
	err     error // reset
	reader  deadline
	writer  deadline
}

func newHalf() *half {
	h := &half{}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.err != nil:
			return 0, h.err
		case h.deaf:
			return 0, io.ErrClosedPipe
		case h.reader.passed():
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0 || len(b) == 0:
			n := copy(b, h.buf)
			h.buf = append(h.buf[:0], h.buf[n:]...)
			h.changed.Broadcast()
			return n, nil
		case h.eof:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for {
		switch {
		case h.err != nil:
			return written, h.err
		case h.eof:
			return written, io.ErrClosedPipe
		case h.writer.passed():
			return written, os.ErrDeadlineExceeded
		case h.deaf:
			return len(b), nil
		}
		n := min(len(b)-written, pipeWindow-len(h.buf))
		h.buf = append(h.buf, b[written:written+n]...)
		written += n
		h.changed.Broadcast()
		if written == len(b) {
			return written, nil
		}
		h.changed.Wait()
	}
}

func (h *half) closeWrite() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.eof = true
	h.changed.Broadcast()
}

func (h *half) closeRead() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deaf, h.buf = true, nil
	h.changed.Broadcast()
}

func (h *half) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
	}
	h.changed.Broadcast()
}

// deadline is guarded by its half's mu.
type deadline struct {
	at    time.Time
	timer *time.Timer // wakes waiters at at
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(h *half, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}
