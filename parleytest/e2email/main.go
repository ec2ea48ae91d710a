// Command e2email runs some forty real Parley processes on loopback and checks
// the promise of mail: senders and receivers are never up at the same time, the
// nodes that keep the mail are killed and replaced all the while, three in ten
// of them sign and drop, and still the messages arrive, once, unread.
//
// The mailbox's own times run faster (mail.speed), the killing with them: at 60
// times, a median life of two hours is two minutes and twelve hours of sleep
// are twelve minutes. What is not the mailbox's own, such as dialling, the DHT
// and the 60 seconds that a receiver may take, stays as it is.
//
// Infra nodes only lead to others and keep no mail: they live through the whole
// run, and what they kept would prove nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/parleytest/process"
)

// plan is one size of the run.
type plan struct {
	infra, holders     int
	senders, receivers int
	messages           int           // of the main batch
	strangers          int           // pairs that never spoke before it; each leaves strangerLines
	dropPercent        int           // of holders
	speed              int           // of the mailbox
	life               time.Duration // median of a holder, as the clock on the wall has it
	sleep              time.Duration // of receivers, likewise
	warm               time.Duration // before anybody writes: holders get known
	settle             time.Duration // of returned receivers: their receipts go out by mail
	deadline           time.Duration
	level              string // of the people's logs
}

var (
	// 2 h median life and 12 h of sleep, 60 times faster.
	full = plan{
		infra: 2, holders: 30, senders: 4, receivers: 4, messages: 1000, strangers: 4, dropPercent: 30,
		speed: 60, life: 2 * time.Minute, sleep: 12 * time.Minute, warm: 75 * time.Second, settle: 40 * time.Second, deadline: 40 * time.Minute,
	}
	// The same laws in little: 2 h median life and 40 min of sleep.
	short = plan{
		infra: 1, holders: 14, senders: 2, receivers: 2, messages: 60, strangers: 1, dropPercent: 30,
		speed: 120, life: time.Minute, sleep: 20 * time.Second, warm: 5 * time.Second, settle: 8 * time.Second, deadline: 5 * time.Minute,
	}
)

const (
	// strangerLines is what one stranger may leave before an answer.
	strangerLines = 5
	// returnTime is how long mail may take once its receiver is back.
	returnTime = 60 * time.Second
	// enough is the least share that must arrive in it, and be confirmed.
	enough = 0.999
)

func main() {
	log.SetFlags(log.Ltime)
	var (
		little  = flag.Bool("short", false, "the short form, for every day")
		bin     = flag.String("bin", "", "parley binary; empty: build it")
		lines   = flag.String("chat", "internal/cli/demochat", "folder with chat lines")
		keep    = flag.Bool("keep", false, "keep the data folders")
		seed    = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the killing")
		holders = flag.Int("holders", 0, "holders, instead of the plan's")
		level   = flag.String("level", "info", "log level of the people's nodes: info or debug")
		asleep  = flag.Duration("sleep", 0, "of receivers, instead of the plan's")
	)
	flag.Parse()
	p := full
	if *little {
		p = short
	}
	if *holders > 0 {
		p.holders = *holders
	}
	if *asleep > 0 {
		p.sleep = *asleep
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.deadline)
	defer cancel()
	log.Printf("seed %d", *seed)
	p.level = *level
	if err := run(ctx, p, *bin, *lines, *keep, *seed); err != nil {
		stop()
		log.Fatalf("e2e-mail: FAIL: %v", err)
	}
}

func run(ctx context.Context, p plan, bin, chatDir string, keep bool, seed uint64) error {
	root, err := os.MkdirTemp("", "parley-mail-")
	if err != nil {
		return err
	}
	if keep {
		log.Printf("data in %s", root)
	} else {
		defer os.RemoveAll(root)
	}
	if bin == "" {
		bin = filepath.Join(root, "parley")
		if err := process.Build(ctx, bin); err != nil {
			return err
		}
	}
	w := &world{plan: p, bin: bin, root: root, random: rand.New(rand.NewPCG(seed, 0))}
	defer w.killAll()
	if err := w.found(ctx); err != nil {
		return fmt.Errorf("starting the network: %w", err)
	}
	s, err := newStory(w, chatDir)
	if err != nil {
		return err
	}
	if err := w.withChurn(ctx, s.tell); err != nil {
		w.tails()
		return err
	}
	w.killAll()
	found, err := s.search(ctx)
	if err != nil {
		return fmt.Errorf("searching the holders: %w", err)
	}
	return s.verdict(found)
}

// withChurn kills and replaces holders while fn runs.
func (w *world) withChurn(ctx context.Context, fn func(context.Context) error) error {
	g, live := errgroup.WithContext(ctx)
	churn, enough := context.WithCancel(live)
	g.Go(func() error {
		defer enough()
		return fn(live)
	})
	w.churn(churn, g)
	g.Go(func() error { w.report(churn); return nil })
	return g.Wait()
}

// metric prints one JSON line.
func metric(name string, value float64, unit string, n int) {
	fmt.Printf("{\"metric\":%q,\"value\":%.6g,\"unit\":%q,\"baseline\":null,\"ratio\":null,\"n\":%d}\n", name, value, unit, n)
}
