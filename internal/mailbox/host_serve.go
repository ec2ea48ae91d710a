package mailbox

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/wire"
)

const (
	// groupCalls and groupBytes bound what one stream may have waiting for a
	// commit: a caller that sends faster is held up by its own stream.
	groupCalls = chat.GroupCommitSize
	groupBytes = 256 << 10
)

// Handle serves one incoming stream: a wire.Handler. Calls are answered in
// their order; what arrives during one commit shares the next.
func (h *Host) Handle(s wire.Stream) {
	var wg sync.WaitGroup
	defer wg.Wait()
	in := newQueue()
	wg.Go(func() { in.close(h.read(s, in)) })
	err := h.serve(s, in)
	in.close(err) // the reader must not wait for room
	if err != nil && !errors.Is(err, io.EOF) {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// read moves calls into the queue until the stream ends.
func (h *Host) read(s wire.Stream, in *queue) error {
	r := wire.NewReader(s)
	for {
		f := new(wirev1.MailRequest)
		if err := r.ReadFrame(f); err != nil {
			if errors.Is(err, chat.ErrInvalid) || errors.Is(err, chat.ErrTooLarge) || wire.Stalled(err) {
				h.misbehaved(s.Remote(), "damaged or stalled frame on "+Protocol)
			}
			return err
		}
		if !in.put(f) {
			return io.EOF
		}
	}
}

// serve answers groups until the caller is done. io.EOF is the orderly end.
func (h *Host) serve(s wire.Stream, in *queue) error {
	w := wire.NewWriter(s)
	net := h.net(s)
	for {
		calls, err := in.take()
		if err != nil {
			return err
		}
		answers, fine := h.answer(s.Remote(), net, calls, time.Now())
		for _, a := range answers {
			if err := w.Queue(a); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if !fine {
			h.misbehaved(s.Remote(), "call that no honest node makes on "+Protocol)
			return io.EOF // in order, so that the answer arrives
		}
	}
}

// answer answers a group of calls, those that store mail in one commit. It
// ends with the first invalid one, and is false then.
func (h *Host) answer(from chat.DeviceID, net string, calls []*wirev1.MailRequest, now time.Time) (answers []*wirev1.MailAnswer, fine bool) {
	var letters []*letter
	flush := func() {
		if len(letters) > 0 {
			h.keep(context.Background(), letters, now)
		}
		for _, l := range letters {
			answers = append(answers, l.answer)
		}
		letters = nil
	}
	for _, call := range calls {
		if wait, admitted := h.admit(from, weight(call), now); !admitted {
			flush()
			answers = append(answers, busy(wait))
			continue
		}
		var envelope []byte
		receipt := false
		switch body := call.Body.(type) {
		case *wirev1.MailRequest_Deposit:
			envelope, receipt = body.Deposit, true
		case *wirev1.MailRequest_Put:
			envelope = body.Put
		default:
			flush()
			answers = append(answers, h.other(from, net, call, now))
			if last(answers).Status == wirev1.Status_STATUS_INVALID {
				return answers, false
			}
			continue
		}
		m, a := h.openEnvelope(envelope, now)
		switch a.Status {
		case wirev1.Status_STATUS_OK:
			letters = append(letters, &letter{GuestMail: m, net: net, receipt: receipt})
		case wirev1.Status_STATUS_INVALID:
			flush()
			return append(answers, a), false
		default:
			flush()
			answers = append(answers, a)
		}
	}
	flush()
	return answers, true
}

func last(answers []*wirev1.MailAnswer) *wirev1.MailAnswer { return answers[len(answers)-1] }

// other answers a call that stores no envelope.
func (h *Host) other(from chat.DeviceID, net string, call *wirev1.MailRequest, now time.Time) *wirev1.MailAnswer {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	var a *wirev1.MailAnswer
	var err error
	switch body := call.Body.(type) {
	case *wirev1.MailRequest_Nonce:
		a = ok()
		a.Nonce = h.nonces.make(from, now)
	case *wirev1.MailRequest_Collect:
		a, err = h.giveOut(ctx, from, body.Collect, now)
	case *wirev1.MailRequest_Delete:
		a, err = h.remove(ctx, net, body.Delete, now)
	case *wirev1.MailRequest_Repair:
		a, err = h.compare(ctx, body.Repair, now)
	case *wirev1.MailRequest_Sleeper:
		a, err = h.sleeper(ctx, net, body.Sleeper, now)
	case *wirev1.MailRequest_Audit:
		a, err = h.prove(ctx, body.Audit, now)
	default:
		return status(wirev1.Status_STATUS_NOT_ACCEPTING) // a call of a version to come
	}
	if err != nil {
		h.fault("call not answered", err)
		return busy(faultWait)
	}
	return a
}

// queue holds calls between the reader and the commit before theirs.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	calls   []*wirev1.MailRequest // at most groupCalls
	bytes   int                   // of them; at most groupBytes and one frame
	err     error                 // nothing more comes
}

func newQueue() *queue {
	q := &queue{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// put waits for room. False: nobody takes calls any more.
func (q *queue) put(f *wirev1.MailRequest) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.err == nil && (len(q.calls) >= groupCalls || q.bytes >= groupBytes) {
		q.changed.Wait()
	}
	if q.err != nil {
		return false
	}
	q.calls = append(q.calls, f)
	q.bytes += proto.Size(f)
	q.changed.Broadcast()
	return true
}

// take waits for calls and returns all of them; the error comes after the last.
func (q *queue) take() ([]*wirev1.MailRequest, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.calls) == 0 {
		if q.err != nil {
			return nil, q.err
		}
		q.changed.Wait()
	}
	calls := q.calls
	q.calls, q.bytes = nil, 0
	q.changed.Broadcast()
	return calls, nil
}

// close ends the queue; the first reason stays.
func (q *queue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		if err == nil {
			err = io.EOF
		}
		q.err = err
	}
	q.changed.Broadcast()
}
