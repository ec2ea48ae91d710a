package churn

import (
	"math"
	"math/rand/v2"
	"time"

	"parley/internal/chat"
	"parley/internal/mailbox"
)

// world is one run. One goroutine owns it.
type world struct {
	Config
	rng   *rand.Rand
	now   time.Duration
	nodes []node
	boxes []box
	queue events
	out   Result
	waits time.Duration // between repairs, summed
}

// node is one place in the network: who dies there is replaced by a fresh one.
type node struct {
	id     uint64
	life   uint32 // counts who was here
	honest bool
	born   time.Duration
	held   []int32 // boxes it has a copy of; none of a dropper's

	last  time.Duration // repair
	due   uint32        // the repair that is planned; others are void
	left  int           // departures since the last repair
	count census
}

// box is one mailbox with its message.
type box struct {
	id     uint64
	region set
	far    uint64 // distance of the furthest of the region
	copies set    // honest nodes that have it
	signed set    // nodes that have it or say so
}

func newWorld(cfg Config) *world {
	w := &world{
		Config: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x5eed)),
		nodes: make([]node, cfg.Nodes), boxes: make([]box, cfg.Boxes), out: Result{Boxes: cfg.Boxes},
	}
	for n := range w.nodes {
		w.settle(n, w.rng.Uint64())
		// The network is old: ages are spread as lives are, and so are the
		// phases of repair.
		w.nodes[n].born = -w.lifetime()
		w.plan(n, time.Duration(w.rng.Float64()*float64(w.Period)))
	}
	for b := range w.boxes {
		w.boxes[b].id = w.rng.Uint64()
		for range w.K {
			w.widen(&w.boxes[b])
		}
	}
	return w
}

// lifetime is how long a node lives, or has lived.
func (w *world) lifetime() time.Duration {
	return time.Duration(w.rng.ExpFloat64() / math.Ln2 * float64(w.Life))
}

// settle puts a fresh node in a place.
func (w *world) settle(n int, id uint64) {
	at := &w.nodes[n]
	*at = node{
		id: id, life: at.life + 1, due: at.due, honest: w.rng.Float64() >= w.Droppers,
		born: w.now, last: w.now, held: at.held[:0],
	}
	w.queue.push(event{at: w.now + w.lifetime(), kind: death, node: n, turn: at.life})
}

// deposit leaves a message with the region of a box.
func (w *world) deposit(b int) {
	x := &w.boxes[b]
	receipts, eligible := 0, 0
	for n := range x.region.all() {
		w.give(b, n)
		receipts++
		if w.now-w.nodes[n].born >= chat.HolderAge {
			eligible++
		}
	}
	if receipts >= mailbox.ReceiptsNeeded(eligible) {
		w.out.Held++
	}
}

// give copies a message to a node, which signs for it.
func (w *world) give(b, n int) {
	x := &w.boxes[b]
	w.out.Total.Copies++
	x.signed.add(n)
	if w.nodes[n].honest {
		x.copies.add(n)
		w.nodes[n].held = append(w.nodes[n].held, int32(b))
	}
}

// die ends a node. A fresh one comes up: elsewhere, in the formula's world at
// the same place.
func (w *world) die(n int) {
	w.out.Deaths++
	at := &w.nodes[n]
	for _, b := range at.held {
		w.boxes[b].copies.drop(n)
	}
	for b := range w.boxes {
		w.boxes[b].signed.drop(n)
	}
	if w.Plain {
		w.settle(n, at.id)
		return
	}
	if w.AtOnce {
		w.missed(n)
	}
	w.settle(n, w.rng.Uint64())
	for b := range w.boxes {
		x := &w.boxes[b]
		switch {
		case x.region.has(n):
			x.region.drop(n)
			w.widen(x)
		case x.id^at.id < x.far:
			x.region.drop(w.furthest(x))
			x.region.add(n)
		default:
			continue
		}
		x.far = w.nodes[w.furthest(x)].id ^ x.id
	}
	w.plan(n, w.now+mailbox.Jittered(firstRepair, chat.RepairJitter, w.rng.Float64()))
}

// widen takes the nearest node outside into the region of a box.
func (w *world) widen(x *box) {
	best, at := uint64(math.MaxUint64), -1
	for n := range w.nodes {
		if d := w.nodes[n].id ^ x.id; d < best && !x.region.has(n) {
			best, at = d, n
		}
	}
	x.region.add(at)
	x.far = max(x.far, best)
}

func (w *world) furthest(x *box) (at int) {
	worst := uint64(0)
	for n := range x.region.all() {
		if d := w.nodes[n].id ^ x.id; d >= worst {
			worst, at = d, n
		}
	}
	return at
}
