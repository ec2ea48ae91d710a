package churn

import (
	"math"
	"reflect"
	"testing"
	"time"

	"parley/internal/chat"
)

func small(seed uint64) Setup {
	return Setup{
		Nodes: 80, Boxes: 300, Holders: chat.RegionSize, Life: time.Hour, Drop: 0.3,
		Period: time.Hour, Length: 24 * time.Hour, Seed: seed,
	}
}

func TestRunIsItsSetup(t *testing.T) {
	a, b := small(1), small(2)
	a.AtOnce, b.AtOnce = true, true
	if x, y := Run(a), Run(a); !reflect.DeepEqual(x, y) {
		t.Errorf("one seed, two outcomes: %+v, %+v", x, y)
	}
	if x, y := Run(a), Run(b); reflect.DeepEqual(x, y) {
		t.Errorf("two seeds, one outcome: %+v", x)
	}
}

func TestDeathsComeAtTheMedian(t *testing.T) {
	s := small(3)
	out := Run(s)
	want := float64(s.Nodes) * s.Length.Hours() / s.Life.Hours() * math.Ln2
	if got := float64(out.Deaths); math.Abs(got-want) > 4*math.Sqrt(want) {
		t.Errorf("%g deaths, expected %g", got, want)
	}
}

func TestWithoutRepairMailDies(t *testing.T) {
	s := small(4)
	s.Period = 100 * s.Length
	if out := Run(s); out.Delivered > 0.01 {
		t.Errorf("%g delivered after 24 lives without repair", out.Delivered)
	}
	s.Life = 1e5 * time.Hour
	if out := Run(s); out.Delivered != 1 || out.Early != float64(s.Holders) {
		t.Errorf("nobody dies and %+v", out)
	}
}

func TestStrictMatchesTheFormula(t *testing.T) {
	s := small(0)
	s.Strict, s.Holders, s.Nodes = true, 6, 120
	var sum, squares float64
	const seeds = 40
	for seed := range uint64(seeds) {
		s.Seed = seed
		d := Run(s).Delivered
		sum += d
		squares += d * d
	}
	mean := sum / seeds
	deviation := math.Sqrt((squares/seeds - mean*mean) / (seeds - 1))
	if want := Formula(s); math.Abs(mean-want) > max(0.01, 4*deviation) {
		t.Errorf("delivered %.4f ± %.4f, the formula says %.4f", mean, deviation, want)
	}
}

func TestHalfKilledAtOnce(t *testing.T) {
	s := small(5)
	s.Drop, s.AtOnce, s.Kill, s.Life = 0, true, s.Length-time.Minute, 2*time.Hour
	before := s
	before.Kill = 0
	a, b := Run(before), Run(s)
	if a.Delivered != 1 || b.Delivered != 1 {
		t.Errorf("delivered %g, after the kill %g", a.Delivered, b.Delivered)
	}
	if b.Deaths < a.Deaths+s.Nodes/2 {
		t.Errorf("%d deaths with the kill, %d without", b.Deaths, a.Deaths)
	}
}
