// Command simmail asks whether mail outlives its holders: it plays days of
// churn in virtual time (parleytest/churn) over a grid of lives and droppers,
// prints one JSON line for each point with the formula's prediction beside it,
// and fails when the product's promises or the formula do not hold.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/parleytest/churn"
)

// The promises: "Durability" in docs/protocols/mailbox.md.
const (
	mostDelivered = 0.999  // after a week, 2 h median life, 30 % droppers
	mostLost      = 1e-4   // of half of all holders killed at once, 30 % droppers
	formulaPoints = 0.0005 // how far the formula may be off, or three standard errors
)

type line struct {
	Metric   string   `json:"metric"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit"`
	Baseline *float64 `json:"baseline"`
	Ratio    *float64 `json:"ratio"`
	N        int      `json:"n"`
}

func main() {
	quick := flag.Bool("quick", false, "few boxes, seeds and hours: a look, no proof")
	flag.Parse()
	if err := run(os.Stdout, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "simmail:", err)
		os.Exit(1)
	}
}

// point is one place of the grid, played with several seeds.
type point struct {
	name  string
	setup churn.Setup
	seeds int
	judge func(got summary) error

	outcomes []churn.Outcome
}

// summary is what the seeds of a point say together.
type summary struct {
	mean, deviation, worst float64 // of delivery; deviation of the mean
	early, risk            float64
	formula                float64
}

func run(to io.Writer, quick bool) error {
	many := 1 // seeds times
	base := churn.Setup{
		Nodes: 200, Boxes: 10_000, Holders: chat.RegionSize, Life: 2 * time.Hour,
		Period: chat.RepairEvery, Length: chat.RepairHorizon,
	}
	if quick {
		base.Boxes, base.Length = 500, 24*time.Hour
	} else {
		many = 10
	}
	points := plan(base, many)
	play(points)
	var failed []error
	out := json.NewEncoder(to)
	for _, p := range points {
		s := p.sum()
		ratio := s.mean / s.formula
		err := out.Encode(line{"mail.delivered/" + p.name, s.mean, "share", &s.formula, &ratio, p.seeds})
		if err != nil {
			return err
		}
		if p.setup.Kill > 0 {
			if err := out.Encode(line{"mail.risk/" + p.name, s.risk, "share", nil, nil, p.seeds}); err != nil {
				return err
			}
		}
		if err := p.judge(s); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.name, err))
		}
		if p.name == "life=2h/drop=30" {
			need := churn.Copies(p.setup)
			ratio := s.early / need
			if err := out.Encode(line{"mail.delivered", s.mean, "share", nil, nil, p.seeds}); err != nil {
				return err
			}
			if err := out.Encode(line{"mail.bytes", s.early, "copies/msg", &need, &ratio, p.seeds}); err != nil {
				return err
			}
		}
	}
	if quick {
		return nil // too few boxes and days to judge
	}
	return errors.Join(failed...)
}

// plan is the grid: the product's own rules at every point, the formula's
// assumptions at eight, and half of all holders killed at once.
//
// Losses are rare and come in clusters, of boxes that share their holders: the
// formula takes many seeds until the deviation says something.
func plan(base churn.Setup, many int) []*point {
	var points []*point
	add := func(name string, s churn.Setup, seeds int, judge func(summary) error) {
		points = append(points, &point{name: name, setup: s, seeds: seeds, judge: judge, outcomes: make([]churn.Outcome, seeds)})
	}
	nothing := func(summary) error { return nil }
	for _, hours := range []int{1, 2, 4, 8, 24} {
		for _, drop := range []int{0, 30} {
			s := base
			s.Life, s.Drop, s.AtOnce, s.Adapt = time.Duration(hours)*time.Hour, float64(drop)/100, true, true
			judge := nothing
			if hours >= 2 {
				judge = atLeast(mostDelivered)
			}
			add(fmt.Sprintf("life=%dh/drop=%d", hours, drop), s, 5, judge)
		}
	}
	for _, p := range []struct{ k, hours, drop, period int }{
		{8, 2, 0, 1}, {8, 2, 30, 1}, {12, 2, 30, 1}, {16, 2, 30, 1}, {20, 2, 30, 1}, {20, 2, 30, 2}, {20, 1, 0, 1}, {20, 1, 30, 1},
	} {
		s := base
		s.Strict, s.Holders = true, p.k
		s.Life, s.Drop, s.Period = time.Duration(p.hours)*time.Hour, float64(p.drop)/100, time.Duration(p.period)*time.Hour
		add(fmt.Sprintf("formula/life=%dh/k=%d/drop=%d/repair=%dh", p.hours, p.k, p.drop, p.period), s, 6*many, asFormula)
	}
	for _, drop := range []int{0, 30} {
		s := base
		s.Drop, s.AtOnce, s.Adapt, s.Kill = float64(drop)/100, true, true, 24*time.Hour
		s.Length = s.Kill + time.Hour
		least := 1 - mostLost
		if drop == 0 {
			least = 1
		}
		add(fmt.Sprintf("half-killed/drop=%d", drop), s, 2*many, survives(least))
	}
	// Right after the deposit nobody but the region has copies. It is printed,
	// not judged: the promise does not hold that early.
	s := base
	s.Drop, s.AtOnce, s.Adapt, s.Kill, s.Length = 0.3, true, true, time.Second, time.Hour
	add("half-killed-fresh/drop=30", s, 2*many, nothing)
	return points
}

// survives judges a kill by what it took and by what it could have taken.
func survives(least float64) func(summary) error {
	return func(s summary) error {
		if s.risk > mostLost {
			return fmt.Errorf("at a risk of %.2g, at most %.2g", s.risk, mostLost)
		}
		return atLeast(least)(s)
	}
}

func atLeast(share float64) func(summary) error {
	return func(s summary) error {
		if s.mean < share {
			return fmt.Errorf("%.6f delivered, want %.6f", s.mean, share)
		}
		return nil
	}
}

func asFormula(s summary) error {
	if off := math.Abs(s.mean - s.formula); off > max(formulaPoints, 3*s.deviation) {
		return fmt.Errorf("%.5f delivered, the formula says %.5f; three standard errors are %.5f", s.mean, s.formula, 3*s.deviation)
	}
	return nil
}

// play runs all seeds of all points, as many at a time as there are cores.
func play(points []*point) {
	var wg sync.WaitGroup
	cores := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, p := range points {
		for seed := range p.seeds {
			cores <- struct{}{}
			wg.Go(func() {
				defer func() { <-cores }()
				s := p.setup
				s.Seed = uint64(seed + 1)
				p.outcomes[seed] = churn.Run(s)
			})
		}
	}
	wg.Wait()
}

func (p *point) sum() summary {
	s := summary{worst: 1, formula: churn.Formula(p.setup)}
	n := float64(p.seeds)
	var squares float64
	for _, o := range p.outcomes {
		s.mean += o.Delivered / n
		squares += o.Delivered * o.Delivered / n
		s.worst = min(s.worst, o.Delivered)
		s.early += o.Early / n
		s.risk += o.Risk / n
	}
	s.deviation = math.Sqrt(max(0, squares-s.mean*s.mean) / max(n-1, 1))
	return s
}
