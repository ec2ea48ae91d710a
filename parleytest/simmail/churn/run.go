package churn

import (
	"container/heap"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
)

type kind uint8

const (
	death kind = iota
	repair
	repairAll
	early
	kill
	expiry
	back // of the receiver
)

// event is something that happens to one node or to all.
type event struct {
	at   time.Duration
	kind kind
	node int
	turn uint32 // who lived there, or which repair is meant; another: void
}

// events is a heap, soonest first.
type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}
func (e *events) push(x event) { heap.Push(e, x) }

// Run lets one network live.
func Run(cfg Config) (Result, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return Result{}, err
	}
	w := newWorld(cfg)
	w.live(nil)
	return w.out, nil
}

// live runs until the receiver is back. Tests watch it after each event.
func (w *world) live(watch func()) {
	for b := range w.boxes {
		w.deposit(b)
	}
	if w.Plain {
		w.queue.push(event{at: w.Period, kind: repairAll})
	}
	if w.KillAt > 0 {
		w.queue.push(event{at: w.KillAt, kind: kill})
	}
	w.queue.push(event{at: BytesHorizon, kind: early})
	w.queue.push(event{at: chat.MailLife, kind: expiry})
	// A repair in the moment of the return comes first: the formula ends with
	// a whole period, and its last repair changes nothing.
	w.queue.push(event{at: w.Horizon, kind: back})
	for w.step() {
		if watch != nil {
			watch()
		}
	}
}

// step is one event, and false at the end.
func (w *world) step() bool {
	e := heap.Pop(&w.queue).(event)
	w.now = e.at
	switch e.kind {
	case death:
		if w.nodes[e.node].life == e.turn {
			w.die(e.node)
		}
	case repair:
		if w.nodes[e.node].due == e.turn {
			w.repair(e.node)
		}
	case repairAll:
		w.repairAll()
		w.queue.push(event{at: w.now + w.Period, kind: repairAll})
	case early:
		w.out.Early = w.out.Total
	case kill:
		w.kill()
	case expiry:
		w.expire()
	case back:
		w.collect()
		return false
	}
	return true
}

// kill ends half of all nodes.
func (w *world) kill() {
	had := 0
	for b := range w.boxes {
		n := w.boxes[b].copies.len()
		w.out.Risk += Killed(n, w.Nodes) / float64(w.Boxes)
		if n > 0 {
			had++
		}
	}
	for _, n := range w.rng.Perm(w.Nodes)[:w.Nodes/2] {
		w.die(n)
	}
	for b := range w.boxes {
		if w.boxes[b].copies != (set{}) {
			had--
		}
	}
	w.out.Struck = had
}

// expire ends all mail: it was left at one moment.
func (w *world) expire() {
	for b := range w.boxes {
		w.boxes[b].copies, w.boxes[b].signed = set{}, set{}
	}
	for n := range w.nodes {
		w.nodes[n].held = w.nodes[n].held[:0]
	}
}

// collect is the return of the receivers: each asks its region.
func (w *world) collect() {
	for b := range w.boxes {
		if w.boxes[b].copies.and(w.boxes[b].region) != (set{}) {
			w.out.Delivered++
		}
	}
	if w.out.Repairs > 0 {
		w.out.Period = w.waits / time.Duration(w.out.Repairs)
	}
}

// Runs is the same network under so many seeds, from cfg.Seed on.
func Runs(cfg Config, seeds int) ([]Result, error) {
	out, errs := make([]Result, seeds), make([]error, seeds)
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				own := cfg
				own.Seed += uint64(i)
				out[i], errs[i] = Run(own)
			}
		})
	}
	for i := range seeds {
		next <- i
	}
	close(next)
	wg.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	return out, nil
}

// Mean is the mean of a figure over runs, with its standard error. Runs, not
// boxes, are what is independent: neighbouring boxes share their holders.
func Mean(runs []Result, figure func(Result) float64) (mean, stderr float64) {
	n := float64(len(runs))
	for _, r := range runs {
		mean += figure(r) / n
	}
	if n < 2 {
		return mean, 0
	}
	squares := 0.0
	for _, r := range runs {
		squares += (figure(r) - mean) * (figure(r) - mean)
	}
	return mean, math.Sqrt(squares / (n - 1) / n)
}

// Delivered is the share that was there when the receiver returned.
func Delivered(r Result) float64 { return float64(r.Delivered) / float64(r.Boxes) }
