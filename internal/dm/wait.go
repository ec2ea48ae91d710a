package dm

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"parley/internal/chat"
)

// Why a QUEUED message waits: closed codes, translated by faces.
const (
	waitNoRecord       = "no_record"
	waitNoAddress      = "no_address"
	waitUnreachable    = "unreachable"
	waitNoReceipt      = "no_receipt"
	waitCooling        = "cooling"
	waitNoBundle       = "no_bundle"
	waitSenderLead     = "sender_lead"
	waitDevicesChanged = "contact_devices_changed"
	waitListsDiffer    = "device_lists_differ"
)

const (
	// firstRetry and lastRetry: a restart is over in seconds, and a device that
	// is away for days is asked six times an hour.
	firstRetry = time.Second
	lastRetry  = 10 * time.Minute
	// nudgeGap keeps connection events from turning into a dial storm.
	nudgeGap = 10 * time.Second
)

// wait says why a device or an account is not tried now.
type wait struct {
	reason   string
	attempts int // without progress
	tried    time.Time
	next     time.Time
}

// failed is the wait after one more attempt that failed. not, if later, is
// when the other side wants the next one.
func (w *wait) failed(reason string, progress bool, now, not time.Time) {
	if progress {
		w.attempts = 0
	}
	w.reason, w.tried = reason, now
	w.next = now.Add(backoff(w.attempts))
	if not.After(w.next) {
		w.next = not
	}
	w.attempts++
}

// backoff doubles from firstRetry to lastRetry, give or take a quarter, so
// that nodes that lost the same peer do not return in step.
func backoff(attempts int) time.Duration {
	d := lastRetry
	if attempts < 10 {
		d = min(d, firstRetry<<attempts)
	}
	return d*3/4 + rand.N(d/2)
}

// dialCodes are the Dialer's reasons that faces have words for.
var dialCodes = []string{waitNoAddress, "no_answer", "refused", "no_protocol", "timed_out", "cut_off", "limit", "blocked"}

// reasonOf is why a dial failed.
func reasonOf(err error) string {
	var coded interface{ Code() string }
	if errors.As(err, &coded) && slices.Contains(dialCodes, coded.Code()) {
		return coded.Code()
	}
	return waitUnreachable
}

// reasonFor is why a new message to these devices will wait, or "".
func (c *Courier) reasonFor(a chat.AccountID, devices []chat.DeviceID) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(devices) == 0 {
		if w := c.unknown[a]; w != nil {
			return w.reason
		}
		return ""
	}
	reason := ""
	for _, d := range devices {
		w := c.waits[d]
		if w == nil {
			return "" // it can go there at once
		}
		reason = w.reason
	}
	return reason
}

// Nudge says that a device is connected now: what waits for it goes at once.
// The empty device stands for "the network is back": whatever was not tried
// for some seconds is tried again. It never blocks.
func (c *Courier) Nudge(d chat.DeviceID) {
	now := time.Now()
	c.mu.Lock()
	for device, w := range c.waits {
		if w.reason != waitCooling && (device == d || d == "" && now.Sub(w.tried) > nudgeGap) {
			w.next = now
		}
	}
	for _, w := range c.unknown {
		if now.Sub(w.tried) > nudgeGap {
			w.next = now
		}
	}
	if d == "" {
		c.mailNowLocked()
	}
	c.mu.Unlock()
	c.lookAgain()
}

// lookAgain makes Run look at the outbox.
func (c *Courier) lookAgain() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// setCooling publishes until when an account makes us wait; the zero time
// ends it.
func (c *Courier) setCooling(a chat.AccountID, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.cooling.Load()
	if at, ok := old[a]; until.IsZero() && !ok || ok && at.Equal(until) {
		return
	}
	next := maps.Clone(old)
	if next == nil {
		next = map[chat.AccountID]time.Time{}
	}
	if until.IsZero() {
		delete(next, a)
	} else {
		next[a] = until
	}
	c.cooling.Set(next)
}
