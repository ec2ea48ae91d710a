package dm

import (
	"context"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/wire"
)

// aheadLife is how long a stream opened ahead is good for: the other side ends
// it chat.FirstByteTimeout after it came.
const aheadLife = chat.FirstByteTimeout / 2

// call is a stream being opened while a first message still needs something
// else. Who holds it waits for it or drops it.
type call struct {
	began  time.Time
	cancel context.CancelFunc
	done   sync.WaitGroup // until stream and err are set
	stream wire.Stream
	err    error
}

// dial begins to open a stream to a device.
func (c *Courier) dial(ctx context.Context, d chat.DeviceID) *call {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	x := &call{began: time.Now(), cancel: cancel}
	// Open ends with ctx, and both wait and drop wait for it.
	x.done.Go(func() { x.stream, x.err = c.dialer.Open(ctx, d, Protocol) })
	return x
}

func (x *call) wait() (wire.Stream, error) {
	x.done.Wait()
	x.cancel()
	return x.stream, x.err
}

func (x *call) drop() {
	x.cancel()
	if s, err := x.wait(); err == nil {
		_ = s.Reset()
	}
}

// open is the stream that the run began to open ahead, or a new one.
func (w *worker) open(ctx context.Context) (wire.Stream, error) {
	x := w.ahead
	w.ahead = nil
	if x != nil && time.Since(x.began) > aheadLife {
		x.drop()
		x = nil
	}
	if x == nil {
		x = w.c.dial(ctx, w.device)
	}
	return x.wait()
}

// openAhead begins to open the stream while a session is being made. After a
// failure it does not: an account that lists somebody else's device would have
// us call there again and again.
func (w *worker) openAhead(ctx context.Context) {
	if w.ahead == nil && !w.c.streaming(w.device) && w.c.attempts(w.device) == 0 {
		w.ahead = w.c.dial(ctx, w.device)
	}
}

// hangUp drops a stream that the run had no use for.
func (w *worker) hangUp() {
	if w.ahead != nil {
		w.ahead.drop()
		w.ahead = nil
	}
}

// foresee calls the devices of a list that may not be the newest, and looks
// their records up, while the look-up of the list goes on. Nothing is sealed
// before that ends. As openAhead it does nothing after a failure.
func (c *Courier) foresee(ctx context.Context, wg *sync.WaitGroup, m *identity.Manifest) map[chat.DeviceID]*call {
	c.mu.Lock()
	free := maxWorkers - len(c.workers) - len(c.called)
	if c.unknown[m.Account] != nil {
		free = 0
	}
	c.mu.Unlock()
	calls := map[chat.DeviceID]*call{}
	for _, d := range m.Devices {
		if len(calls) < free {
			calls[d] = c.dial(ctx, d)
			wg.Go(func() { _, _ = c.directory.Device(ctx, d) }) // the worker waits for the same look-up
		}
	}
	return calls
}

// keepCalls hands calls to the workers of devices that are listed, and drops
// the others.
func (c *Courier) keepCalls(calls map[chat.DeviceID]*call, listed []chat.DeviceID) {
	for d, x := range calls {
		c.mu.Lock()
		keep := slices.Contains(listed, d) && c.called[d] == nil && c.workers[d] == nil
		if keep {
			c.called[d] = x
		}
		c.mu.Unlock()
		if !keep {
			x.drop()
		}
	}
}

// takeCallLocked is the call that a new worker goes on with, or nil.
func (c *Courier) takeCallLocked(d chat.DeviceID) *call {
	x := c.called[d]
	delete(c.called, d)
	return x
}

// dropCallsLocked drops calls that no worker took in time, all with the zero
// time, and returns when the next one is due.
func (c *Courier) dropCallsLocked(wg *sync.WaitGroup, now time.Time) (next time.Time) {
	for d, x := range c.called {
		end := x.began.Add(aheadLife)
		switch {
		case now.IsZero() || !now.Before(end):
			delete(c.called, d)
			wg.Go(x.drop)
		case next.IsZero() || end.Before(next):
			next = end
		}
	}
	return next
}
