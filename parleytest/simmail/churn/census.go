package churn

import (
	"time"

	"parley/internal/mailbox"
)

// census is what one holder knows of the others, as mailbox.Host measures it.
type census struct {
	met            [MaxNodes]meeting // place -> who answered there, and when
	lied           [MaxNodes]meeting // place -> who failed an audit, and when
	aged           time.Duration
	seen           time.Duration
	gone           float64
	passed, failed float64
}

// meeting is one with a node; life 0: none.
type meeting struct {
	life uint32
	at   time.Duration
}

// liars are those that failed an audit not long ago.
func (c *census) liars(w *world) (out set) {
	for n := range w.nodes {
		if l := c.lied[n]; l.life == w.nodes[n].life && w.now-l.at < liarRest {
			out.add(n)
		}
	}
	return out
}

// visit notes who answers, and audits a message of each who was not caught: it
// passes if it is honest.
func (c *census) visit(w *world, visited, liars set) {
	for n := range w.nodes {
		m, life := &c.met[n], w.nodes[n].life
		if m.life != 0 && m.life != life {
			c.seen, c.gone = c.seen+w.now-m.at, c.gone+1
			*m = meeting{}
		}
		if !visited.has(n) {
			continue
		}
		if m.life == life {
			c.seen += w.now - m.at
		}
		*m = meeting{life, w.now}
		switch {
		case liars.has(n):
		case w.nodes[n].honest:
			c.passed++
		default:
			c.failed++
			c.lied[n] = meeting{life, w.now}
		}
	}
}

// period is the wait for the next repair.
func (c *census) period(w *world) time.Duration {
	if w.now-c.aged >= censusHalf {
		c.aged = w.now
		c.seen, c.gone, c.passed, c.failed = c.seen/2, c.gone/2, c.passed/2, c.failed/2
	}
	return mailbox.RepairPeriod(mailbox.MedianLife(c.seen, c.gone), mailbox.HonestShare(c.passed, c.failed), w.K)
}
