package dm

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
	"parley/internal/wire"
)

// frail is a stream that breaks after some bytes of ours: whatever follows the
// commit before that write is lost.
type frail struct {
	wire.Stream
	left int
}

func (f *frail) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		n, _ := f.Stream.Write(b[:max(0, len(b)+f.left)])
		_ = f.Stream.Reset()
		return n, fmt.Errorf("the line broke")
	}
	return f.Stream.Write(b)
}

// crashSeeds: 48 are half a minute; more find rarer orders.
var crashSeeds = flag.Uint64("dm.seeds", 48, "how many random crash stories are told")

// TestCrashesLoseAndDoubleNothing breaks lines at random bytes and kills
// either side at random moments, store and all, while both talk.
func TestCrashesLoseAndDoubleNothing(t *testing.T) {
	seeds := *crashSeeds
	if testing.Short() {
		seeds = min(seeds, 10)
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { crashes(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func crashes(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	defer w.end()
	ana, bo := w.join("ana"), w.join("bo")
	ana.knows(bo)
	bo.knows(ana)
	w.mu.Lock()
	w.breaks = func() int { return rnd.IntN(40 << 10) }
	w.mu.Unlock()
	const each = 12
	sent := map[*party][]string{}
	ids := map[*party][]chat.MessageID{}
	for i := range each {
		for _, p := range []*party{ana, bo} {
			to := map[*party]*party{ana: bo, bo: ana}[p]
			text := fmt.Sprintf("%s%02d", p.name, i)
			sent[p] = append(sent[p], text)
			ids[p] = append(ids[p], p.say(to, text).ID)
		}
		w.mu.Lock()
		act, pause := rnd.IntN(6), time.Duration(rnd.IntN(3000))*time.Millisecond
		w.mu.Unlock()
		time.Sleep(pause)
		switch act {
		case 0:
			ana.kill()
			ana.start()
		case 1:
			bo.kill()
			bo.start()
		case 2:
			w.cut()
		}
	}
	w.mu.Lock()
	w.breaks = nil
	w.mu.Unlock()
	for _, p := range []*party{ana, bo} {
		for _, id := range ids[p] {
			p.await(id, chat.Delivered)
		}
	}
	for _, p := range []*party{ana, bo} {
		to := map[*party]*party{ana: bo, bo: ana}[p]
		for _, reader := range []*party{p, to} {
			with := map[*party]*party{ana: bo, bo: ana}[reader]
			if got := prefixed(reader.texts(with), p.name); !slices.Equal(got, sent[p]) {
				t.Errorf("%s reads of %s: %q", reader.name, p.name, got)
			}
		}
	}
}
