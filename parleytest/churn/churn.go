package churn

import (
	"cmp"
	"container/heap"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"parley/internal/chat"
	"parley/internal/mailbox"
)

// Setup is one network and what happens in it.
type Setup struct {
	Nodes   int           // always up: who dies is replaced at once by a new one
	Boxes   int           // one envelope each, deposited at the beginning
	Holders int           // k, nodes nearest to a box
	Life    time.Duration // median; lives are exponential, as the formula has them
	Drop    float64       // share of silent droppers among the nodes
	Period  time.Duration // of repair
	Length  time.Duration
	Seed    uint64

	// Strict is the world of the formula: all repair at the same moment, who
	// dies is replaced at the same place, and who drops is drawn anew in each
	// period. A network is none of these.
	Strict bool
	// AtOnce repairs after chat.RepairDepartures too, Adapt chooses the period
	// from the measured life; the product does both. Neither goes with Strict.
	AtOnce, Adapt bool
	// Kill is when half of all nodes die at once; 0: never.
	Kill time.Duration
}

// Outcome is what became of the envelopes.
type Outcome struct {
	Delivered float64 // share of envelopes that an honest node of the region holds at the end
	Early     float64 // copies sent per envelope in the first 8 hours, deposit included
	Copies    float64 // honest copies per delivered envelope at the end, outside the region too
	// Risk is the mean chance at Setup.Kill that half of all nodes take a
	// message with them, exact for the copies there were. Boxes with the same
	// holders go together, so what one kill does take is mostly nothing.
	Risk   float64
	Deaths int
}

// Formula is the delivery that docs/protocols/mailbox.md predicts.
func Formula(s Setup) float64 {
	return 1 - mailbox.PredictedLoss(s.Period, s.Life, s.Length, 1-s.Drop, s.Holders)
}

// Copies is how many copies the formula's repair moves for one envelope in the
// time of Outcome.Early: the deposit, and each period the holders that died.
func Copies(s Setup) float64 {
	gone := 1 - math.Exp2(-s.Period.Hours()/s.Life.Hours())
	return float64(s.Holders) * (1 + gone*early.Hours()/s.Period.Hours())
}

// early is the time over which Outcome.Early counts.
const early = 8 * time.Hour

// spare is how many nodes more than its holders a box keeps in order of
// distance, so that most deaths need no new search.
const spare = 20

type node struct {
	id       uint64
	honest   bool
	claims   []uint64 // one bit a box: it was given the envelope
	departed int      // nodes that left since its last repair
	life     int      // number of lives in this place, to tell old events
	born     time.Duration
}

func (n *node) has(box int) bool { return n.claims[box/64]>>(box%64)&1 == 1 }

type box struct {
	place  uint64
	near   []int  // nearest nodes in order; all up to edge
	edge   uint64 // distance
	copies int    // on honest nodes
}

type world struct {
	Setup
	rng    *rand.Rand
	nodes  []node
	boxes  []box
	full   []uint64 // one bit a box: all its holders claim it
	events events
	now    time.Duration
	sent   int
	sentBy int // sent when early was over
	deaths int
	risk   float64
	lived  time.Duration // of those that died
}

// Run plays a Setup to its end.
func Run(s Setup) Outcome {
	w := newWorld(s)
	for w.step() {
	}
	return w.outcome()
}

// newWorld is a network in which everything was just deposited.
func newWorld(s Setup) *world {
	w := &world{Setup: s, rng: rand.New(rand.NewPCG(s.Seed, 1)), nodes: make([]node, s.Nodes), boxes: make([]box, s.Boxes), full: make([]uint64, s.Boxes/64+1)}
	for i := range w.nodes {
		w.bear(i)
	}
	for b := range w.boxes {
		w.boxes[b].place = w.rng.Uint64()
		w.search(b)
		w.deposit(b)
	}
	if s.Strict {
		w.at(s.Period, event{repairAll, 0, 0})
	} else {
		for i := range w.nodes {
			w.planRepair(i, w.rng.Float64())
		}
	}
	if s.Kill > 0 {
		w.at(s.Kill, event{killHalf, 0, 0})
	}
	return w
}

// step lets the next event happen, and is false when the time is over.
func (w *world) step() bool {
	more := len(w.events) > 0 && w.events[0].time <= w.Length
	if w.now <= early && (!more || w.events[0].time > early) {
		w.sentBy = w.sent
	}
	if more {
		e := heap.Pop(&w.events).(timed)
		w.now = e.time
		w.happen(e.event)
	}
	return more
}

func (w *world) outcome() Outcome {
	out := Outcome{Deaths: w.deaths, Risk: w.risk, Early: float64(w.sentBy) / float64(w.Boxes)}
	for b, x := range w.boxes {
		// The receiver asks the region, nobody else.
		if !slices.ContainsFunc(x.near[:w.Holders], func(i int) bool { return w.nodes[i].honest && w.nodes[i].has(b) }) {
			continue
		}
		out.Delivered++
		out.Copies += float64(x.copies)
	}
	out.Copies /= max(out.Delivered, 1)
	out.Delivered /= float64(w.Boxes)
	return out
}

type kind uint8

const (
	death kind = iota
	repair
	repairAll
	killHalf
)

type event struct {
	kind kind
	node int
	life int
}

func (w *world) happen(e event) {
	if (e.kind == death || e.kind == repair) && w.nodes[e.node].life != e.life {
		return // of one that is gone
	}
	switch e.kind {
	case death:
		w.die(e.node)
	case repair:
		w.mend(e.node)
		w.planRepair(e.node, 1)
	case repairAll:
		w.mendAll()
		w.at(w.Period, e)
	case killHalf:
		w.risk = w.killRisk()
		for _, i := range w.rng.Perm(w.Nodes)[:w.Nodes/2] {
			w.lose(i)
		}
		for i := range w.nodes { // only then do others come and are repairs made
			if w.nodes[i].claims == nil {
				w.replace(i)
			}
		}
	}
}

// killRisk is the mean chance that no copy is outside a random half.
func (w *world) killRisk() (mean float64) {
	for _, x := range w.boxes {
		all := 1.0
		for i := range x.copies {
			all *= max(0, float64(w.Nodes/2-i)) / float64(w.Nodes-i)
		}
		mean += all / float64(w.Boxes)
	}
	return mean
}

// bear puts a new node at i.
func (w *world) bear(i int) {
	n := &w.nodes[i]
	id := w.rng.Uint64()
	if w.Strict && n.life > 0 {
		id = n.id
	}
	*n = node{
		id: id, honest: w.rng.Float64() >= w.Drop, claims: make([]uint64, w.Boxes/64+1),
		life: n.life + 1, born: w.now,
	}
	mean := float64(w.Life) / math.Ln2
	w.at(time.Duration(w.rng.ExpFloat64()*mean), event{death, i, n.life})
}

func (w *world) die(i int) {
	w.lose(i)
	w.replace(i)
	if !w.AtOnce {
		return
	}
	for j := range w.nodes {
		if w.nodes[j].departed++; mailbox.RepairNow(w.nodes[j].departed) {
			w.mend(j)
		}
	}
}

// lose takes node i away with all it held.
func (w *world) lose(i int) {
	n := &w.nodes[i]
	w.deaths++
	w.lived += w.now - n.born
	for at, claims := range n.claims {
		w.full[at] &^= claims
		for left := claims; n.honest && left != 0; left &= left - 1 {
			w.boxes[at*64+bits.TrailingZeros64(left)].copies--
		}
	}
	n.claims = nil
	if w.Strict {
		return // another takes the place
	}
	for b := range w.boxes {
		x := &w.boxes[b]
		if w.far(b, i) > x.edge {
			continue
		}
		if at := slices.Index(x.near, i); at >= 0 {
			x.near = slices.Delete(x.near, at, at+1)
		}
	}
}

// replace puts a new node where one was lost.
func (w *world) replace(i int) {
	w.bear(i)
	if w.Strict {
		return
	}
	w.planRepair(i, w.rng.Float64())
	for b := range w.boxes {
		x := &w.boxes[b]
		if len(x.near) < w.Holders {
			w.search(b)
			continue
		}
		if w.far(b, i) > x.edge {
			continue // others that we do not list may be nearer
		}
		at, _ := slices.BinarySearchFunc(x.near, w.far(b, i), func(j int, far uint64) int { return cmp.Compare(w.far(b, j), far) })
		x.near = slices.Insert(x.near, at, i)
		w.trim(b)
		if at < w.Holders {
			w.setFull(b, false)
		}
	}
}

func (w *world) far(b, i int) uint64 { return w.boxes[b].place ^ w.nodes[i].id }

// search finds the nodes near a box anew.
func (w *world) search(b int) {
	x := &w.boxes[b]
	x.near = x.near[:0]
	for i := range w.nodes {
		if w.nodes[i].claims != nil {
			x.near = append(x.near, i)
		}
	}
	slices.SortFunc(x.near, func(i, j int) int { return cmp.Compare(w.far(b, i), w.far(b, j)) })
	x.edge = math.MaxUint64
	w.trim(b)
	w.setFull(b, false)
}

// trim bounds the list of nodes near a box.
func (w *world) trim(b int) {
	if x := &w.boxes[b]; len(x.near) > w.Holders+spare {
		x.near = x.near[:w.Holders+spare]
		x.edge = w.far(b, x.near[len(x.near)-1])
	}
}

func (w *world) setFull(b int, full bool) {
	w.full[b/64] &^= 1 << (b % 64)
	if full {
		w.full[b/64] |= 1 << (b % 64)
	}
}

// deposit gives box b's envelope to every holder that lacks it.
func (w *world) deposit(b int) {
	x := &w.boxes[b]
	for _, i := range x.near[:min(len(x.near), w.Holders)] {
		n := &w.nodes[i]
		if n.has(b) {
			continue
		}
		n.claims[b/64] |= 1 << (b % 64)
		w.sent++
		if n.honest {
			x.copies++
		}
	}
	w.setFull(b, true)
}

// mend is node i's repair of all that it holds.
func (w *world) mend(i int) {
	n := &w.nodes[i]
	n.departed = 0
	if !n.honest {
		return
	}
	for at, claims := range n.claims {
		for left := claims &^ w.full[at]; left != 0; left &= left - 1 {
			w.deposit(at*64 + bits.TrailingZeros64(left))
		}
	}
}

// mendAll is the formula's repair: whatever one honest holder still has, all
// get again.
func (w *world) mendAll() {
	clear(w.full)
	for i := range w.nodes {
		clear(w.nodes[i].claims)
		w.nodes[i].honest = w.rng.Float64() >= w.Drop
	}
	for b := range w.boxes {
		x := &w.boxes[b]
		alive := x.copies > 0
		x.copies = 0
		if alive {
			w.deposit(b)
		}
	}
}

// planRepair sets node i's next repair after a share of a jittered period.
func (w *world) planRepair(i int, share float64) {
	period := w.Period
	if w.Adapt {
		lived := w.lived
		for j := range w.nodes {
			lived += w.now - w.nodes[j].born
		}
		period = mailbox.RepairPeriod(mailbox.MedianLife(lived, float64(w.deaths)), 1-w.Drop, w.Holders)
	}
	wait := mailbox.Jittered(period, chat.RepairJitter, w.rng.Float64())
	w.at(time.Duration(share*float64(wait)), event{repair, i, w.nodes[i].life})
}

type timed struct {
	time time.Duration
	n    int // order of planning among equals
	event
}

type events []timed

func (w *world) at(after time.Duration, e event) {
	heap.Push(&w.events, timed{w.now + after, w.deaths<<20 + len(w.events), e})
}

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].time < e[j].time || e[i].time == e[j].time && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(timed)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
