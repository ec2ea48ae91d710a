package mailbox

import (
	"time"

	"parley/internal/chat"
)

const (
	// censusHalf is when what was measured weighs half: a network changes with
	// the hour of the day.
	censusHalf = 24 * time.Hour
	// liarFails audits in a row make a liar, who gets no copies for liarRest:
	// it would drop them again. One may cross a delete on its way.
	liarFails = 2
	liarRest  = 12 * time.Hour
)

type liar struct {
	fails int // in a row
	last  time.Time
}

// census measures the holders around us, for the period of repair. One
// goroutine uses it. It stays empty on a node that keeps nothing.
type census struct {
	pace  pace
	alive map[chat.DeviceID]time.Time // answered last time -> when; at most chat.MaxStrangers
	liars map[chat.DeviceID]liar      // failed an audit; at most chat.MaxStrangers
	aged  time.Time

	seen           time.Duration // holder-time in all
	departures     float64
	passed, failed float64 // audits
}

func newCensus(p pace) census {
	return census{pace: p, alive: map[chat.DeviceID]time.Time{}, liars: map[chat.DeviceID]liar{}}
}

// met notes whether a holder answered.
func (c *census) met(d chat.DeviceID, answered bool, now time.Time) {
	before, known := c.alive[d]
	if known {
		c.seen += max(now.Sub(before), 0)
	}
	switch {
	case answered && (known || len(c.alive) < chat.MaxStrangers):
		c.alive[d] = now
	case !answered && known:
		c.departures++
		delete(c.alive, d)
	}
}

// audited notes how an audit ended.
func (c *census) audited(d chat.DeviceID, passed bool, now time.Time) {
	if passed {
		c.passed++
		delete(c.liars, d)
		return
	}
	c.failed++
	if len(c.liars) >= chat.MaxStrangers {
		clear(c.liars)
	}
	c.liars[d] = liar{fails: c.liars[d].fails + 1, last: now}
}

// lies reports whether a holder drops what it is given, as far as we know.
func (c *census) lies(d chat.DeviceID, now time.Time) bool {
	l := c.liars[d]
	if l.fails > 0 && now.Sub(l.last) >= c.pace.of(liarRest) {
		delete(c.liars, d)
		return false
	}
	return l.fails >= liarFails
}

// period is how long to wait for the next repair. The lives that were measured
// are those of the clock; the rule knows a network at pace 1.
func (c *census) period(now time.Time) time.Duration {
	if age := now.Sub(c.aged); age >= c.pace.of(censusHalf) {
		if !c.aged.IsZero() {
			c.seen, c.departures, c.passed, c.failed = c.seen/2, c.departures/2, c.passed/2, c.failed/2
		}
		c.aged = now
	}
	speed := max(float64(c.pace), 0)
	if speed == 0 {
		speed = 1
	}
	life := MedianLife(time.Duration(float64(c.seen)*speed), c.departures)
	return c.pace.of(RepairPeriod(life, HonestShare(c.passed, c.failed), chat.RegionSize))
}
