package churn

import (
	"math/bits"
	"time"

	"parley/internal/chat"
	"parley/internal/mailbox"
)

const (
	// firstRepair, repairRest and liarRest are those of mailbox.Host.
	firstRepair = 2 * time.Minute
	repairRest  = time.Minute
	liarRest    = 12 * time.Hour
	censusHalf  = 24 * time.Hour
	// bucket is how many peers of one distance a routing table keeps.
	bucket = 20
)

// plan sets the next repair of a node, in place of the one before.
func (w *world) plan(n int, at time.Duration) {
	w.nodes[n].due++
	if !w.Plain {
		w.queue.push(event{at: at, kind: repair, node: n, turn: w.nodes[n].due})
	}
}

// missed is every node that had a leaver in its routing table: it counts, and
// repairs at once when they are enough. The nearest are all in the table, of
// those further off a bucketful.
func (w *world) missed(gone int) {
	for n := range w.nodes {
		x := &w.nodes[n]
		if n == gone {
			continue
		}
		there := float64(w.Nodes) / float64(uint64(2)<<min(bits.LeadingZeros64(x.id^w.nodes[gone].id), 32))
		if there > bucket && w.rng.Float64() >= bucket/there {
			continue
		}
		if x.left++; x.left == chat.RepairDepartures && mailbox.RepairNow(x.left) {
			w.plan(n, max(w.now, x.last+repairRest))
		}
	}
}

// repairAll is the repair of the formula: everybody's at one moment.
func (w *world) repairAll() {
	for b := range w.boxes {
		x := &w.boxes[b]
		if x.copies == (set{}) {
			continue
		}
		for n := range x.region.without(x.signed).all() {
			w.give(b, n)
		}
	}
	w.out.Repairs++
}

// repair is one holder's: it compares what it has with the region of each, and
// gives what is missing there.
func (w *world) repair(n int) {
	x := &w.nodes[n]
	w.out.Repairs++
	w.waits += w.now - x.last
	liars := x.count.liars(w)
	var visited set
	for _, b := range x.held {
		to := w.boxes[b].region.without(liars)
		to.drop(n)
		visited = visited.or(w.boxes[b].region)
		w.out.Total.Digests += to.len()
		for m := range to.without(w.boxes[b].signed).all() {
			w.give(int(b), m)
		}
	}
	visited.drop(n)
	x.count.visit(w, visited, liars)
	x.last, x.left = w.now, 0
	wait := w.Period
	if w.Adapt {
		wait = x.count.period(w)
	}
	w.plan(n, w.now+mailbox.Jittered(wait, chat.RepairJitter, w.rng.Float64()))
}
