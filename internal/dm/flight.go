package dm

import (
	"context"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// move wakes the worker. It never blocks.
func (w *worker) move() {
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// stopped reports whether the device said no in a way that ends the stream.
func (w *worker) stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken != nil || w.turned
}

// cooling reports whether the device told us to wait and the time is not over.
func (w *worker) cooling() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.busy)
}

func (w *worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.flying)
}

// wrote is how many blobs went onto the stream, and so how many answers may come.
func (w *worker) wrote() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written
}

// owing is since when the stream owes an answer.
func (w *worker) owing() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owingLocked()
}

func (w *worker) owingLocked() time.Time {
	var oldest time.Time
	for _, f := range w.flying {
		if oldest.IsZero() || f.at.Before(oldest) {
			oldest = f.at
		}
	}
	if w.heard.After(oldest) {
		return w.heard
	}
	return oldest
}

// look is how much flies, when the worker must look again, and whether the
// window is full.
func (w *worker) look(now time.Time) (flying int, wake time.Time, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.flying) > 0 {
		wake = w.owingLocked().Add(ackTimeout)
		if at := w.owingLocked().Add(silentAfter); at.After(now) {
			wake = at
		}
	}
	for _, f := range w.flying {
		if at := f.at.Add(owedAfter); !f.owed && at.Before(wake) {
			wake = at
		}
	}
	if w.busy.After(now) && (wake.IsZero() || w.busy.Before(wake)) {
		wake = w.busy
	}
	return len(w.flying), wake, len(w.flying) >= w.window
}

// markOwed notes of what is under way that only its receipt is waited for.
// That bytes were written proves nothing: the message stays QUEUED.
func (w *worker) markOwed(ctx context.Context) error {
	now := time.Now()
	var ids []chat.MessageID
	w.mu.Lock()
	for _, f := range w.flying {
		if f.owed || now.Sub(f.at) < owedAfter {
			continue
		}
		f.owed = true
		if !f.row.Control {
			ids = append(ids, f.row.Message)
		}
	}
	w.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return w.c.db.Write(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if err := setWait(tx, id, waitNoReceipt); err != nil {
				return err
			}
		}
		return nil
	})
}

// result is how the run ends, given the reason that its loop saw.
func (w *worker) result(reason string) result {
	w.mu.Lock()
	defer w.mu.Unlock()
	res := result{reason: reason, progress: w.progress, broken: w.broken}
	switch now := time.Now(); {
	case w.busy.After(now):
		res.reason, res.until = waitCooling, w.busy
	case w.broken != nil || w.turned:
		res.reason = waitUnreachable
	}
	return res
}

func (w *worker) setStreaming(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.streaming = on
}

func (c *Courier) isCrowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crowded
}

// streaming reports whether a stream to the device is open.
func (c *Courier) streaming(d chat.DeviceID) bool {
	w := c.workerOf(d)
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.streaming
}

func (c *Courier) workerOf(d chat.DeviceID) *worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.workers[d]
}

// offer hands a READ receipt to an open stream; false if there is none. The
// worker takes what is offered before its stream ends, and queues the rest.
func (c *Courier) offer(d chat.DeviceID, signed []byte) bool {
	w := c.workerOf(d)
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.streaming {
		return false
	}
	select {
	case w.reads <- signed:
		return true
	default:
		return false
	}
}

// queueUnread puts READ receipts that no stream took into the outbox.
func (w *worker) queueUnread(ctx context.Context) {
	for {
		select {
		case signed := <-w.reads:
			w.unread = append(w.unread, signed)
			continue
		default:
		}
		break
	}
	if len(w.unread) == 0 {
		return
	}
	err := w.c.db.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		for _, signed := range w.unread {
			if err := w.c.queueReceipt(tx, w.account, w.device, signed, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.c.log.Warn("read receipts not queued", "device", w.device.Short(), "cause", err)
	}
}
