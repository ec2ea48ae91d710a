package guard

import (
	"container/list"
	"time"

	"parley/internal/chat"
)

const (
	// faultLimit faults empty a device's credit: one bad frame may be a bug or
	// a version of ours, a row of them is an attack on the CPU.
	faultLimit = 20
	// faultForgiven brings one fault's credit back, so that a flaw that shows
	// once a day never adds up.
	faultForgiven = time.Minute
	// banLife is long enough to make garbage unprofitable and short enough
	// that a repaired peer comes back by itself.
	banLife = 10 * time.Minute
	// maxFaulty bounds what is remembered of faulty devices, about 1 MB.
	maxFaulty = chat.MaxStrangers
	// faultLines and faultLineEvery bound the log: strangers cannot fill a disk.
	faultLines     = 20
	faultLineEvery = 3 * time.Second
)

// faulty is what one device did wrong of late.
type faulty struct {
	device chat.DeviceID
	count  float64 // faults not forgiven at last
	last   time.Time
	until  time.Time // banned until then
}

type faults struct {
	byDevice map[chat.DeviceID]*list.Element // -> *faulty in order
	order    *list.List                      // least recently faulty first

	lines    float64 // log lines left
	lineTime time.Time
	unlogged int // faults since the last line
}

func newFaults() faults {
	return faults{byDevice: map[chat.DeviceID]*list.Element{}, order: list.New(), lines: faultLines}
}

// Misbehaved notes that a device sent what every honest node refuses. Why is
// one of our own short texts, never the peer's. After repeated faults the
// device is banned for a while and loses its connections; the caller has reset
// the stream.
func (g *Guard) Misbehaved(d chat.DeviceID, why string) {
	now := time.Now()
	g.mu.Lock()
	before := g.faults.banned(d, now)
	banned := g.faults.note(d, now)
	log, skipped := g.faults.mayLog(now)
	g.mu.Unlock()
	if log {
		g.log.Warn("peer misbehaved", "device", d.Short(), "why", why, "banned", banned, "skippedLines", skipped)
	}
	if banned && !before {
		g.banned(d)
	}
}

// note counts a fault and reports whether the device is banned.
func (f *faults) note(d chat.DeviceID, now time.Time) bool {
	e := f.byDevice[d]
	if e == nil {
		if f.order.Len() >= maxFaulty {
			oldest := f.order.Front()
			delete(f.byDevice, oldest.Value.(*faulty).device)
			f.order.Remove(oldest)
		}
		e = f.order.PushBack(&faulty{device: d, last: now})
		f.byDevice[d] = e
	}
	f.order.MoveToBack(e)
	x := e.Value.(*faulty)
	if past := now.Sub(x.last); past > 0 {
		x.count = max(0, x.count-float64(past)/float64(faultForgiven))
	}
	x.last = now
	x.count++
	if x.until.After(now) {
		return true
	}
	if x.count < faultLimit {
		return false
	}
	x.count = 0
	x.until = now.Add(banLife)
	return true
}

// banned reports whether d sits out. A ban longer than banLife means that our
// clock was set back: it is over.
func (f *faults) banned(d chat.DeviceID, now time.Time) bool {
	e := f.byDevice[d]
	if e == nil {
		return false
	}
	left := e.Value.(*faulty).until.Sub(now)
	return left > 0 && left <= banLife
}

// mayLog takes one line from the budget, and says how many faults went
// without one before.
func (f *faults) mayLog(now time.Time) (ok bool, skipped int) {
	if past := now.Sub(f.lineTime); past > 0 {
		f.lines = min(faultLines, f.lines+float64(past)/float64(faultLineEvery))
	}
	f.lineTime = now
	if f.lines < 1 {
		f.unlogged++
		return false, f.unlogged
	}
	f.lines--
	skipped, f.unlogged = f.unlogged, 0
	return true, skipped
}
