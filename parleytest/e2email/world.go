package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/parleytest/process"
)

const (
	// startsAtOnce is how many nodes come up side by side: two processors.
	startsAtOnce = 2
	// startTries: between the choice of a free port and its use another node
	// may take it.
	startTries  = 3
	reportEvery = 30 * time.Second
)

// world is the network around the people: infra nodes and holders.
type world struct {
	// Set before the first goroutine, never changed.
	plan      plan
	bin, root string
	bootstrap string
	starts    chan struct{} // a place for each node that comes up now

	mu sync.Mutex
	// Guarded by mu.
	random  *rand.Rand
	infra   []*process.Process
	holders []*process.Process // alive, one a slot
	folders []string           // of every holder that ever was
	people  []*process.Process // never killed by the churn
	kills   int
}

// found starts the infra nodes, then the holders.
func (w *world) found(ctx context.Context) error {
	w.starts = make(chan struct{}, startsAtOnce)
	began := time.Now()
	var addresses []string
	for i := range w.plan.infra {
		p := process.NewQuiet(w.bin, filepath.Join(w.root, fmt.Sprintf("infra%d", i)), "up", "--infra", "--no-open")
		w.infra = append(w.infra, p)
		p.Env = append(p.Env, "PARLEY_MAIL_HOST=off", "PARLEY_NET_BOOTSTRAP="+strings.Join(addresses, ","))
		p.Env = append(p.Env, frugal...)
		if err := p.Start(ctx); err != nil {
			return err
		}
		address, err := p.TCPAddress(ctx)
		if err != nil {
			return err
		}
		addresses = append(addresses, address)
	}
	w.bootstrap = strings.Join(addresses, ",")
	w.holders = make([]*process.Process, w.plan.holders)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(startsAtOnce)
	for slot := range w.holders {
		g.Go(func() error { return w.replace(ctx, slot) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	log.Printf("%d infra nodes and %d holders, %d of them droppers, up in %s", w.plan.infra, w.plan.holders, w.droppers(), time.Since(began).Round(time.Second))
	return nil
}

func (w *world) droppers() int { return w.plan.holders * w.plan.dropPercent / 100 }

// node is a process with what every node of this run has set.
func (w *world) node(name string) *process.Process {
	p := process.NewQuiet(w.bin, filepath.Join(w.root, name), "up", "--no-open")
	p.Env = append(p.Env, "PARLEY_NET_BOOTSTRAP="+w.bootstrap, fmt.Sprintf("PARLEY_MAIL_SPEED=%d", w.plan.speed))
	p.Env = append(p.Env, frugal...)
	return p
}

// frugal lets forty nodes, whose mailboxes do an hour's work in a minute, share
// two processors: memory for time, and no transports that only browsers need.
var frugal = []string{
	"GOGC=400", "GOMAXPROCS=1", "PARLEY_NET_TRANSPORTS_WEBRTC=off", "PARLEY_NET_TRANSPORTS_WEBTRANSPORT=off",
}

// person is a node that writes and reads.
func (w *world) person(name string) *process.Process {
	p := w.node(name)
	p.Env = append(p.Env, "PARLEY_LOG_LEVEL="+w.plan.level)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.people = append(w.people, p)
	return p
}

// start brings a node up when there is a place for it.
func (w *world) start(ctx context.Context, p *process.Process) error {
	select {
	case w.starts <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.starts }()
	return p.Start(ctx)
}

// replace puts a fresh node, with keys of its own, into a slot. Dropping is
// the slot's, so that the share of droppers stays.
func (w *world) replace(ctx context.Context, slot int) (err error) {
	for range startTries {
		if err = w.fresh(ctx, slot); err == nil || ctx.Err() != nil {
			break
		}
		log.Printf("  trying another node: %v", err)
	}
	return err
}

func (w *world) fresh(ctx context.Context, slot int) error {
	w.mu.Lock()
	p := w.node(fmt.Sprintf("holder%d", len(w.folders)))
	if slot < w.droppers() {
		p.Env = append(p.Env, "PARLEY_MAIL_DROP=on")
	}
	w.folders = append(w.folders, p.Dir)
	w.holders[slot] = p
	w.mu.Unlock()
	err := w.start(ctx, p)
	if err != nil {
		p.Kill()
	}
	return err
}

// churn ends each holder after its life, as radioactive atoms do, and replaces
// it at once.
func (w *world) churn(ctx context.Context, g *errgroup.Group) {
	for slot := range w.holders {
		g.Go(func() error {
			for process.Pause(ctx, w.lifetime()) {
				w.mu.Lock()
				p := w.holders[slot]
				w.kills++
				w.mu.Unlock()
				p.Kill()
				if err := w.replace(ctx, slot); err != nil && ctx.Err() == nil {
					return fmt.Errorf("replacing a holder: %w", err)
				}
			}
			return nil
		})
	}
}

func (w *world) lifetime() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.random.ExpFloat64() / math.Ln2 * float64(w.plan.life))
}

// killAll ends every process of the run.
func (w *world) killAll() {
	w.mu.Lock()
	all := append(append(append([]*process.Process(nil), w.infra...), w.holders...), w.people...)
	w.mu.Unlock()
	var g errgroup.Group
	for _, p := range all {
		if p != nil {
			g.Go(func() error { p.Kill(); return nil })
		}
	}
	_ = g.Wait() // Kill does not fail
}

// report says now and then how the box fares.
func (w *world) report(ctx context.Context) {
	for process.Pause(ctx, reportEvery) {
		w.mu.Lock()
		kills := w.kills
		up := len(w.infra) + len(w.holders)
		for _, p := range w.people {
			if p.Running() {
				up++
			}
		}
		w.mu.Unlock()
		load, _ := os.ReadFile("/proc/loadavg") // where there is one
		first, _, _ := bytes.Cut(load, []byte(" "))
		log.Printf("  %d nodes up, %d holders replaced, load %s", up, kills, first)
	}
}

// tails shows the last words of nodes that live, after a failure.
func (w *world) tails() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.people {
		if said, err := os.ReadFile(filepath.Join(p.Dir, "out.log")); err == nil && len(said) > 0 {
			log.Printf("%s said:\n%s", p.Name(), said[max(0, len(said)-1500):])
		}
	}
}
