package dm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
	"parley/internal/wire"
)

// longWait is the reader's deadline: the worker's own timers end a stream.
const longWait = 24 * time.Hour

// converse writes rows and reads answers until nothing waits any more or the
// stream ends. Answers are read and committed beside the writing.
func (w *worker) converse(ctx context.Context, s wire.Stream, rows []store.OutboxRow) result {
	var wg sync.WaitGroup
	defer wg.Wait()
	ended := make(chan error, 1)
	wg.Go(func() { ended <- w.listen(ctx, s) })
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() }) // also out of a write
	defer stop()
	w.setStreaming(true)
	defer w.setStreaming(false)
	out := wire.NewWriter(s)
	quiet := time.Now() // since when nothing waits
	reason := ""
	for {
		if len(rows) > 0 {
			quiet = time.Time{}
			if err := w.write(out, rows); err != nil {
				_ = s.Reset()
				return w.result(waitUnreachable)
			}
		}
		bell := w.c.db.Bell()
		var err error
		if w.stopped() {
			rows = nil
		} else if rows, reason, err = w.next(ctx); err != nil {
			_ = s.Reset()
			return w.result(waitUnreachable)
		}
		if len(rows) > 0 {
			continue
		}
		if err := w.markOwed(ctx); err != nil {
			w.c.log.Debug("cause of waiting not noted", "cause", err)
		}
		if w.stopped() {
			_ = s.Close()
			_ = s.Reset()
			return w.result(waitUnreachable)
		}
		now := time.Now()
		if w.silent(now) {
			w.c.isAway(w.account, w.device)
		}
		flying, wake, full := w.look(now)
		switch {
		case flying > 0:
			quiet = time.Time{}
		case reason != "": // sealing needs what the stream does not bring
			_ = s.Close()
			_ = s.Reset()
			return w.result(reason)
		case w.c.isCrowded():
			_ = s.Close()
			_ = s.Reset()
			return w.result("")
		case quiet.IsZero():
			quiet = now
		}
		if flying == 0 && wake.IsZero() {
			wake = quiet.Add(keepOpen)
		}
		if full {
			bell = nil
		}
		timer := time.NewTimer(time.Until(wake))
		select {
		case <-bell:
		case <-w.moved:
		case signed := <-w.reads:
			if err := out.WriteFrame(&wirev1.DMFrame{Body: &wirev1.DMFrame_Receipt{Receipt: signed}}); err != nil {
				timer.Stop()
				_ = s.Reset()
				w.unread = append(w.unread, signed)
				return w.result(waitUnreachable)
			}
		case <-ended:
			timer.Stop()
			_ = s.Reset()
			if w.count() == 0 && reason == "" {
				return w.result("")
			}
			return w.result(waitUnreachable)
		case <-ctx.Done():
			timer.Stop()
			_ = s.Reset()
			return w.result("")
		case <-timer.C:
			if res, over := w.over(quiet); over {
				_ = s.Close()
				_ = s.Reset()
				return res
			}
		}
		timer.Stop()
	}
}

// over decides whether the stream has stood long enough: idle, or owing an
// answer.
func (w *worker) over(quiet time.Time) (result, bool) {
	now := time.Now()
	if w.count() == 0 {
		if !quiet.IsZero() && now.Sub(quiet) >= keepOpen {
			return w.result(""), true
		}
		return result{}, false
	}
	if now.Sub(w.owing()) < ackTimeout {
		return result{}, false
	}
	res := w.result(waitUnreachable)
	res.silent = !res.progress
	return res, true
}

// write puts rows on the stream. They fly before the first byte leaves, so
// that no answer comes to a row that is not known.
func (w *worker) write(out *wire.Writer, rows []store.OutboxRow) error {
	blobs := make([][]byte, len(rows))
	now := time.Now()
	w.mu.Lock()
	for i, row := range rows {
		number, blob, err := splitNumber(row.Blob)
		if err != nil {
			w.mu.Unlock()
			return err
		}
		blobs[i] = blob
		row.Content, row.Blob = nil, nil
		w.after = max(w.after, row.ID) // rows are written in their order
		w.written++
		w.flying[row.ID] = &flight{row: row, number: number, hash: hashOf(blob), at: now}
	}
	w.mu.Unlock()
	for _, blob := range blobs {
		err := out.Queue(&wirev1.DMFrame{Body: &wirev1.DMFrame_Envelope{Envelope: &wirev1.OuterEnvelope{Version: 1, Blob: blob}}})
		if err != nil {
			return err
		}
	}
	return out.Flush()
}

// listen reads answers until the stream ends, at most one for each blob that was
// written: an honest device has no more to say, and each costs a signature.
func (w *worker) listen(ctx context.Context, s wire.Stream) error {
	r := wire.NewReader(s)
	r.SetWait(longWait)
	for answers := 0; ; {
		var group []*wirev1.DMAnswer
		for len(group) == 0 || r.Buffered() > 0 && len(group) < groupSize {
			a := new(wirev1.DMAnswer)
			if err := r.ReadFrame(a); err != nil {
				if errors.Is(err, chat.ErrInvalid) || errors.Is(err, chat.ErrTooLarge) {
					w.c.guard.Misbehaved(w.device, "damaged answer on "+Protocol)
				}
				if len(group) > 0 {
					_ = w.settle(ctx, group)
				}
				return err
			}
			if answers++; answers > w.wrote() {
				w.c.guard.Misbehaved(w.device, "answer to nothing")
				_ = s.Reset()
				return chat.ErrInvalid
			}
			group = append(group, a)
		}
		if err := w.settle(ctx, group); err != nil {
			if !errors.Is(err, io.EOF) {
				_ = s.Reset()
			}
			return err
		}
	}
}

// errRemoved ends a stream to a device that its account removed meanwhile: its
// receipts prove nothing any more, and the rows go back to the account.
var errRemoved = errors.New("the device is no longer listed")

// settle commits what answers prove, then lets their rows go.
func (w *worker) settle(ctx context.Context, group []*wirev1.DMAnswer) error {
	now := time.Now()
	var receipts []*receipt
	var busy []chat.MessageID
	for _, a := range group {
		switch body := a.Body.(type) {
		case *wirev1.DMAnswer_Receipt:
			r, err := w.c.openReceipt(body.Receipt, w.device, now)
			if err != nil || r.state == chat.Read {
				w.c.guard.Misbehaved(w.device, "receipt that does not verify")
				return chat.ErrInvalid
			}
			receipts = append(receipts, r)
		case *wirev1.DMAnswer_Status:
			busy = append(busy, w.status(body.Status, now)...)
		}
	}
	if covered, reached := w.covered(receipts); len(covered)+len(busy) > 0 {
		err := w.c.db.Write(ctx, func(tx *store.Tx) error {
			if listed, err := w.c.listed(tx, w.account, w.device); err != nil || !listed {
				return cmp.Or(err, errRemoved)
			}
			if err := land(tx, covered); err != nil {
				return err
			}
			for _, id := range busy {
				if err := setWait(tx, id, waitCooling); err != nil {
					return err
				}
			}
			return reach(tx, reached)
		})
		if err != nil {
			return err
		}
		w.landed(covered, reached)
	}
	if !w.cooling() {
		w.c.setCooling(w.account, time.Time{})
	}
	w.move()
	return nil
}

// reachStep is how far a session's row may lag behind the receipts: it costs a
// write each time, and chat.SenderLead has room for it.
const reachStep = 128

// landing is a flight and the receipt that speaks of it.
type landing struct {
	*flight
	receipt *receipt
}

// covered is the flights that receipts speak of, in their order, and how far
// these take the sessions whose rows should learn of it. What else a receipt
// names was not asked on this stream.
func (w *worker) covered(receipts []*receipt) ([]landing, map[string]uint64) {
	byID := map[chat.MessageID]*receipt{}
	for _, r := range receipts {
		for _, id := range r.ids {
			byID[id] = r
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var covered []landing
	due := map[string]uint64{}
	for _, f := range w.flying {
		r := byID[f.row.Message]
		if r == nil {
			continue
		}
		covered = append(covered, landing{f, r})
		id := string(f.row.Session)
		w.reached[id] = max(w.reached[id], f.number)
		if w.reached[id] >= w.stored[id]+reachStep {
			due[id] = w.reached[id]
		}
	}
	slices.SortFunc(covered, func(a, b landing) int { return cmp.Compare(a.row.ID, b.row.ID) })
	return covered, due
}

// land writes what the receipts of the rows' device prove.
func land(tx *store.Tx, covered []landing) error {
	ids := make([]int64, len(covered))
	for i, l := range covered {
		ids[i] = l.row.ID
	}
	if err := tx.OutboxLanded(ids); err != nil {
		return err
	}
	for _, l := range covered {
		if l.row.Control {
			continue
		}
		if _, err := tx.SetDelivery(l.row.Message, l.receipt.delivery()); notFoundIsNil(err) != nil {
			return err
		}
	}
	return nil
}

// landed lets go of what receipts covered, after their commit.
func (w *worker) landed(covered []landing, stored map[string]uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range covered {
		delete(w.flying, l.row.ID)
	}
	for id, n := range stored {
		w.stored[id] = n
	}
	if len(covered) > 0 {
		w.progress, w.heard = true, time.Now()
	}
	if w.window < chat.OutboxWindow && len(w.flying) == 0 && !time.Now().Before(w.busy) {
		w.window = min(2*w.window, chat.OutboxWindow)
	}
}

// status takes an answer other than a receipt. It returns the message that
// must wait for its turn.
func (w *worker) status(s *wirev1.DMStatus, now time.Time) []chat.MessageID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var f *flight
	for _, x := range w.flying {
		if string(x.hash[:]) == string(s.GetBlobHash()) {
			f = x
		}
	}
	if f == nil {
		return nil
	}
	w.heard = now
	delete(w.flying, f.row.ID)
	w.after = 0 // it comes again
	switch s.GetStatus() {
	case wirev1.Status_STATUS_BUSY:
		wait := min(max(time.Duration(s.GetRetryAfterMs())*time.Millisecond, busyLeast), lastRetry)
		if until := now.Add(wait); until.After(w.busy) {
			w.busy = until
		}
		w.window = busyWindow
		w.c.setCooling(w.account, w.busy)
		if !f.row.Control {
			return []chat.MessageID{f.row.Message}
		}
	case wirev1.Status_STATUS_INVALID:
		w.broken = f.row.Session
	default:
		w.turned = true
	}
	return nil
}
