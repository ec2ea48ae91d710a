package dm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

const (
	// maxWorkers bounds streams and memory: a worker holds a window of blobs.
	maxWorkers = 64
	// maxResolves bounds look-ups of accounts under way.
	maxResolves = 16
	// scheduleGap lets commits that follow each other closely share one look at
	// the outbox; a running worker does not wait for it.
	scheduleGap = 20 * time.Millisecond
	// expireEvery is how late EXPIRED may be shown.
	expireEvery = time.Minute
	// faultWait is how long Run rests when the store cannot be read.
	faultWait = 5 * time.Second
	// maxWaitMarks bounds the messages whose cause of waiting is written for
	// one failed attempt; later ones get it when they are sent.
	maxWaitMarks = 256
)

// Run delivers what waits until ctx ends, and returns when its workers have.
func (c *Courier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dropCallsLocked(&wg, time.Time{})
	}()
	if c.depositor != nil {
		wg.Go(func() { c.runMail(ctx) })
	}
	var expire time.Time
	var resting rest
	for ctx.Err() == nil {
		bell := c.db.Bell()
		if now := time.Now(); !now.Before(expire) {
			expire = now.Add(expireEvery)
			if err := c.expire(ctx, now); err != nil && ctx.Err() == nil {
				c.log.Warn("expired messages not marked", "cause", err)
			}
			if err := c.trimSessions(ctx, &resting, now); err != nil && ctx.Err() == nil {
				c.log.Warn("old keys not erased", "cause", err)
			}
		}
		next, err := c.schedule(ctx, &wg)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			c.log.Error("outbox not read", "cause", err)
			next, bell = time.Now().Add(faultWait), nil
		}
		if !sleep(ctx, scheduleGap) {
			break
		}
		if next.IsZero() || next.After(expire) {
			next = expire
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-bell:
		case <-c.again:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// schedule starts what is due and returns when it wants to be called again;
// the zero time means at the next bell.
func (c *Courier) schedule(ctx context.Context, wg *sync.WaitGroup) (next time.Time, err error) {
	var accounts []chat.AccountID
	var devices []store.OutboxDevice
	err = c.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		if accounts, err = tx.OutboxAccounts(); err != nil {
			return err
		}
		devices, err = tx.OutboxTargets()
		return err
	})
	if err != nil {
		return next, err
	}
	now := time.Now()
	soonest := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked(accounts, devices)
	for _, a := range accounts {
		if c.resolves[a] || len(c.resolves) >= maxResolves {
			continue
		}
		if w := c.unknown[a]; w != nil && w.next.After(now) {
			soonest(w.next)
			continue
		}
		c.resolves[a] = true
		wg.Go(func() { c.resolve(ctx, wg, a) })
	}
	c.confirmLocked(ctx, wg)
	if at := c.dropCallsLocked(wg, now); !at.IsZero() {
		soonest(at)
	}
	c.crowded = false
	for _, d := range devices {
		if c.workers[d.Device] != nil {
			continue
		}
		if w := c.waits[d.Device]; w != nil && w.next.After(now) {
			soonest(w.next)
			continue
		}
		if len(c.workers) >= maxWorkers {
			c.crowdLocked()
			break
		}
		w := newWorker(c, d.Account, d.Device)
		w.ahead = c.takeCallLocked(d.Device)
		c.workers[d.Device] = w
		wg.Go(func() { c.work(ctx, w) })
	}
	return next, nil
}

// crowdLocked makes idle workers end at once: others wait for their place.
func (c *Courier) crowdLocked() {
	c.crowded = true
	for _, w := range c.workers {
		w.move()
	}
}

// forgetLocked drops waits of whom nothing waits for any more, which bounds
// both maps by the outbox.
func (c *Courier) forgetLocked(accounts []chat.AccountID, devices []store.OutboxDevice) {
	for a := range c.unknown {
		if !slices.Contains(accounts, a) {
			delete(c.unknown, a)
		}
	}
	for d := range c.waits {
		if !slices.ContainsFunc(devices, func(o store.OutboxDevice) bool { return o.Device == d }) {
			delete(c.waits, d)
		}
	}
}

// resolve finds an account's devices and gives each its row.
func (c *Courier) resolve(ctx context.Context, wg *sync.WaitGroup, a chat.AccountID) {
	reason := c.split(ctx, wg, a)
	c.mu.Lock()
	delete(c.resolves, a)
	if reason == "" || ctx.Err() != nil {
		delete(c.unknown, a)
	} else {
		if c.unknown[a] == nil {
			c.unknown[a] = &wait{}
		}
		c.unknown[a].failed(reason, false, time.Now(), time.Time{})
	}
	c.mu.Unlock()
	if reason != "" && ctx.Err() == nil {
		c.markWaits(ctx, "", a, reason)
	}
	c.lookAgain()
}

// split is resolve's work; it returns why it could not be done. Devices are
// called while their list is still being confirmed.
func (c *Courier) split(ctx context.Context, wg *sync.WaitGroup, a chat.AccountID) string {
	var calls map[chat.DeviceID]*call
	m, err := c.directory.AccountEarly(ctx, a, func(m *identity.Manifest) { calls = c.foresee(ctx, wg, m) })
	if err != nil {
		c.keepCalls(calls, nil)
		c.log.Debug("devices not found", "account", a.Short(), "cause", err)
		return lookUpReason(err)
	}
	c.keepCalls(calls, m.Devices) // before the bell starts their workers
	if len(m.Devices) == 0 {
		return waitNoRecord
	}
	if err := c.db.Write(ctx, func(tx *store.Tx) error { return tx.OutboxSplit(a, m.Devices) }); err != nil {
		c.log.Warn("outbox not split", "cause", err)
		return waitNoRecord // calls that no worker takes end by themselves
	}
	return ""
}

func lookUpReason(err error) string {
	var two *identity.EquivocationError
	if errors.As(err, &two) {
		return waitListsDiffer
	}
	return waitNoRecord
}

// work runs one worker and notes what came of it.
func (c *Courier) work(ctx context.Context, w *worker) {
	res := w.run(ctx)
	w.queueUnread(ctx)
	c.absence(w, res)
	if ctx.Err() == nil && (res.broken != nil || res.silent && c.attempts(w.device) >= silentAttempts) {
		res = c.repair(ctx, w, res)
	}
	now := time.Now()
	c.mu.Lock()
	delete(c.workers, w.device)
	if res.reason == "" {
		delete(c.waits, w.device)
	} else {
		if c.waits[w.device] == nil {
			c.waits[w.device] = &wait{}
		}
		c.waits[w.device].failed(res.reason, res.progress, now, res.until)
	}
	c.mu.Unlock()
	if res.reason != waitCooling {
		c.setCooling(w.account, time.Time{})
	}
	if res.reason != "" && ctx.Err() == nil {
		c.markWaits(ctx, w.device, w.account, res.reason)
	}
	c.lookAgain()
}

func (c *Courier) attempts(d chat.DeviceID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waits[d]; w != nil {
		return w.attempts
	}
	return 0
}

// markWaits writes why the messages for a device, or for an account without
// known devices, wait, and counts the attempt.
func (c *Courier) markWaits(ctx context.Context, d chat.DeviceID, a chat.AccountID, reason string) {
	var next time.Time
	c.mu.Lock()
	if w := c.waits[d]; d != "" && w != nil {
		next = w.next
	} else if w := c.unknown[a]; d == "" && w != nil {
		next = w.next
	}
	c.mu.Unlock()
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		rows, err := tx.Outbox(d, maxWaitMarks)
		if err != nil {
			return err
		}
		first := true
		for _, row := range rows {
			if row.Account != a {
				continue
			}
			if first {
				first = false
				if err := tx.OutboxRetry(row.ID, next); err != nil {
					return err
				}
			}
			if !row.Control {
				if err := setWait(tx, row.Message, reason); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		c.log.Warn("cause of waiting not noted", "cause", err)
	}
}

// setWait notes why a message that is still QUEUED waits.
func setWait(tx *store.Tx, id chat.MessageID, reason string) error {
	m, err := tx.Message(id)
	if err != nil || m.Delivery != chat.Queued || m.Reason == reason {
		return notFoundIsNil(err)
	}
	return tx.SetWait(id, reason)
}

// expire ends what waited for its whole life.
func (c *Courier) expire(ctx context.Context, now time.Time) error {
	for {
		n := 0
		err := c.db.Write(ctx, func(tx *store.Tx) error {
			rows, err := tx.OutboxExpired(now, groupSize)
			if err != nil {
				return err
			}
			n = len(rows)
			for _, row := range rows {
				if err := expireRow(tx, row, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("ending expired messages: %w", err)
		}
		if n < groupSize {
			return nil
		}
	}
}

func expireRow(tx *store.Tx, row store.OutboxRow, now time.Time) error {
	if !row.Control {
		_, err := tx.SetDelivery(row.Message, store.DeviceDelivery{Device: row.Device, State: chat.Expired, At: now})
		if err := notFoundIsNil(err); err != nil {
			return err
		}
	}
	return tx.OutboxDone(row.ID)
}
