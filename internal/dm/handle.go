package dm

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
	"parley/internal/wire"
)

const (
	// inboxBytes bounds what one stream may have waiting for a commit; a peer
	// that sends faster is held up by its own stream.
	inboxBytes = 256 << 10
	// fullWait is when a sender tries again while our disk is full.
	fullWait = time.Minute
)

// Handle serves one incoming stream: a wire.Handler. Whatever arrives during
// one commit shares the next one and its receipt.
func (c *Courier) Handle(s wire.Stream) {
	var wg sync.WaitGroup
	defer wg.Wait()
	in := newInbox()
	wg.Go(func() { in.close(c.read(s, in)) })
	err := c.serve(s, in)
	in.close(err) // the reader must not wait for room
	if err != nil && !errors.Is(err, io.EOF) {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// read moves frames into the inbox until the stream ends.
func (c *Courier) read(s wire.Stream, in *inbox) error {
	r := wire.NewReader(s)
	for {
		f := new(wirev1.DMFrame)
		if err := r.ReadFrame(f); err != nil {
			if errors.Is(err, chat.ErrInvalid) || errors.Is(err, chat.ErrTooLarge) || wire.Stalled(err) {
				c.guard.Misbehaved(s.Remote(), "damaged or stalled frame on "+Protocol)
			}
			return err
		}
		if !in.put(f) {
			return io.EOF
		}
	}
}

// serve answers groups until the peer is done. io.EOF is the orderly end.
func (c *Courier) serve(s wire.Stream, in *inbox) error {
	w := wire.NewWriter(s)
	for {
		frames, err := in.take()
		if err != nil {
			return err
		}
		if c.guard.BlockedDevice(s.Remote()) {
			continue // taken, unread
		}
		got, err := c.sort(s.Remote(), frames, time.Now())
		if err != nil {
			return err
		}
		if err := c.takeReads(s.Remote(), got.receipts); err != nil {
			return err
		}
		if len(got.blobs)+len(got.late) == 0 {
			continue
		}
		if done, err := c.answer(s.Remote(), w, got); err != nil || done {
			return err
		}
	}
}

// sorted is a group of frames by what they are. What is over the pace of its
// device has cost nothing yet, and is not opened.
type sorted struct {
	blobs    []chat.Sealed
	late     []Outcome // of blobs over the pace
	receipts [][]byte  // of READ; over the pace they are lost: no more than a courtesy
}

func (c *Courier) sort(from chat.DeviceID, frames []*wirev1.DMFrame, now time.Time) (in sorted, err error) {
	for _, f := range frames {
		wait, ok := c.guard.AdmitFrame(from, now)
		switch body := f.Body.(type) {
		case *wirev1.DMFrame_Envelope:
			blob := body.Envelope.GetBlob()
			if ok {
				in.blobs = append(in.blobs, blob)
			} else {
				in.late = append(in.late, Outcome{Blob: hashOf(blob), Answer: Busy, RetryAfter: wait})
			}
		case *wirev1.DMFrame_Receipt:
			if ok {
				in.receipts = append(in.receipts, body.Receipt)
			}
		default:
			c.guard.Misbehaved(from, "unknown frame on "+Protocol)
			return sorted{}, chat.ErrInvalid
		}
	}
	return in, nil
}

// answer receives a group and writes what its sender may learn. done says
// that the stream ends in order: something did not open.
func (c *Courier) answer(from chat.DeviceID, w *wire.Writer, in sorted) (done bool, err error) {
	var outcomes []Outcome
	if len(in.blobs) > 0 {
		outcomes, err = c.Receive(context.Background(), from, in.blobs)
		if errors.Is(err, chat.ErrStorageFull) {
			outcomes, err = fullOutcomes(in.blobs), nil
		}
		if err != nil {
			c.log.Warn("messages not received", "device", from.Short(), "cause", err)
			return false, err
		}
	}
	outcomes = append(outcomes, in.late...)
	invalid := false
	for _, o := range outcomes {
		if o.Answer == Invalid {
			invalid = true
		}
	}
	for _, a := range c.answers(from, outcomes, time.Now()) {
		if err := w.Queue(a); err != nil {
			return false, err
		}
	}
	if err := w.Flush(); err != nil {
		return false, err
	}
	if invalid {
		// Once a stream: a broken session is no attack, garbage repeats itself.
		c.guard.Misbehaved(from, "message that does not open")
	}
	return invalid, nil
}

func fullOutcomes(blobs []chat.Sealed) []Outcome {
	outcomes := make([]Outcome, len(blobs))
	for i, blob := range blobs {
		outcomes[i] = Outcome{Blob: hashOf(blob), Answer: Busy, RetryAfter: fullWait}
	}
	return outcomes
}

// answers groups outcomes: one receipt for all that were stored, one for each
// reason of refusal, one status for each blob besides.
func (c *Courier) answers(from chat.DeviceID, outcomes []Outcome, now time.Time) []*wirev1.DMAnswer {
	stored, refused := []chat.MessageID(nil), map[string][]chat.MessageID{}
	var out []*wirev1.DMAnswer
	status := func(o Outcome, s wirev1.Status) {
		out = append(out, &wirev1.DMAnswer{Body: &wirev1.DMAnswer_Status{Status: &wirev1.DMStatus{
			Status: s, BlobHash: o.Blob[:], RetryAfterMs: uint32(min(o.RetryAfter.Milliseconds(), 1<<31)),
		}}})
	}
	for _, o := range outcomes {
		switch o.Answer {
		case Silence:
		case Received:
			stored = append(stored, o.Message)
		case Refused:
			refused[o.Reason] = append(refused[o.Reason], o.Message)
		case Busy:
			status(o, wirev1.Status_STATUS_BUSY)
		case Invalid:
			status(o, wirev1.Status_STATUS_INVALID)
		}
	}
	receipt := func(b []byte) {
		out = append(out, &wirev1.DMAnswer{Body: &wirev1.DMAnswer_Receipt{Receipt: b}})
	}
	if len(stored) > 0 {
		receipt(c.signReceipt(stored, from, wirev1.Receipt_OUTCOME_DELIVERED, 0, now))
	}
	for reason, ids := range refused {
		receipt(c.signReceipt(ids, from, wirev1.Receipt_OUTCOME_REFUSED, refusalOf(reason), now))
	}
	return out
}

// takeReads takes READ receipts off the stream, all in one transaction, if
// there is anything that they could tell. Others are not for here.
func (c *Courier) takeReads(from chat.DeviceID, list [][]byte) error {
	if len(list) == 0 {
		return nil
	}
	if told, err := c.isTold(from); err != nil || !told {
		return err
	}
	receipts := make([]*receipt, len(list))
	for i, signed := range list {
		r, err := c.openReceipt(signed, from, time.Now())
		if err != nil || r.state != chat.Read {
			c.guard.Misbehaved(from, "receipt that does not verify")
			return chat.ErrInvalid
		}
		receipts[i] = r
	}
	return c.db.Write(context.Background(), func(tx *store.Tx) error {
		for _, r := range receipts {
			if err := c.apply(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// isTold reports whether a READ receipt of a device can mean anything: we have
// them switched on, and it belongs to a contact.
func (c *Courier) isTold(from chat.DeviceID) (told bool, err error) {
	err = c.db.Read(context.Background(), func(tx *store.Tx) error {
		on, err := readReceipts(tx)
		if err != nil || !on {
			return err
		}
		account, known := c.directory.AccountOf(tx, from)
		if !known {
			return nil
		}
		contact, err := tx.Contact(account)
		told = err == nil && contact.State == store.ContactAdded
		return notFoundIsNil(err)
	})
	return told, err
}

// inbox holds frames between the reader and the commit before theirs.
type inbox struct {
	mu      sync.Mutex
	changed *sync.Cond
	frames  []*wirev1.DMFrame // at most groupSize
	bytes   int               // of them; at most inboxBytes and one frame
	err     error             // nothing more comes
}

func newInbox() *inbox {
	in := &inbox{}
	in.changed = sync.NewCond(&in.mu)
	return in
}

// put waits for room. False: nobody takes frames any more.
func (in *inbox) put(f *wirev1.DMFrame) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.err == nil && (len(in.frames) >= groupSize || in.bytes >= inboxBytes) {
		in.changed.Wait()
	}
	if in.err != nil {
		return false
	}
	in.frames = append(in.frames, f)
	in.bytes += len(f.GetEnvelope().GetBlob()) + len(f.GetReceipt())
	in.changed.Broadcast()
	return true
}

// take waits for frames and returns all of them; the error comes after the
// last frame.
func (in *inbox) take() ([]*wirev1.DMFrame, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.frames) == 0 {
		if in.err != nil {
			return nil, in.err
		}
		in.changed.Wait()
	}
	frames := in.frames
	in.frames, in.bytes = nil, 0
	in.changed.Broadcast()
	return frames, nil
}

// close ends the inbox; the first reason stays.
func (in *inbox) close(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		if err == nil {
			err = io.EOF
		}
		in.err = err
	}
	in.changed.Broadcast()
}
