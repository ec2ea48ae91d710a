package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Line is one figure, printed as one JSON object on a line.
type Line struct {
	Metric   string   `json:"metric"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit"`
	Baseline *float64 `json:"baseline"` // null where there is none
	Ratio    *float64 `json:"ratio"`    // median of the rounds' ratios
	N        int      `json:"n"`        // rounds or seeds
}

// Figure is what is compared with bars and committed figures: the ratio, or
// the value where there is no baseline.
func (l Line) Figure() float64 {
	if l.Ratio != nil {
		return *l.Ratio
	}
	return l.Value
}

// Printer writes lines, one at a time, and keeps them.
type Printer struct {
	mu    sync.Mutex
	out   io.Writer
	lines []Line
}

// NewPrinter prints to out.
func NewPrinter(out io.Writer) *Printer { return &Printer{out: out} }

// Print writes one line.
func (p *Printer) Print(l Line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("printing %s: %w", l.Metric, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, l)
	_, err = p.out.Write(append(b, '\n'))
	return err
}

// Lines are all that were printed.
func (p *Printer) Lines() []Line {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// Compare runs ours and base in alternation (AB, BA, …) for an odd or even
// number of rounds, and returns the medians with the median of the ratios.
// The first round of each is a warm-up and does not count.
func Compare(metric, unit string, rounds int, ours, base func() (float64, error)) (Line, error) {
	var a, b, ratios []float64
	for i := range rounds + 1 {
		first, second := ours, base
		if i%2 == 1 {
			first, second = base, ours
		}
		x, err := first()
		if err != nil {
			return Line{}, fmt.Errorf("measuring %s: %w", metric, err)
		}
		y, err := second()
		if err != nil {
			return Line{}, fmt.Errorf("measuring %s: %w", metric, err)
		}
		if i%2 == 1 {
			x, y = y, x
		}
		if i == 0 {
			continue
		}
		a, b, ratios = append(a, x), append(b, y), append(ratios, x/y)
	}
	value, baseline, ratio := Median(a), Median(b), Median(ratios)
	return Line{Metric: metric, Value: value, Unit: unit, Baseline: &baseline, Ratio: &ratio, N: rounds}, nil
}

// Absolute is a figure without a baseline: the median of the rounds.
func Absolute(metric, unit string, rounds int, measure func() (float64, error)) (Line, error) {
	var values []float64
	for range rounds {
		v, err := measure()
		if err != nil {
			return Line{}, fmt.Errorf("measuring %s: %w", metric, err)
		}
		values = append(values, v)
	}
	return Line{Metric: metric, Value: Median(values), Unit: unit, N: rounds}, nil
}

// Median of at least one value.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// CPU is the user and system time this process has used.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("bench: getrusage cannot fail for the own process: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// CPUOf is the CPU time of the whole process while fn ran.
func CPUOf(fn func() error) (time.Duration, error) {
	before := CPU()
	err := fn()
	return CPU() - before, err
}

// Paired is the line of runs that were measured elsewhere, ours and the
// baseline's under the same seeds.
func Paired(metric, unit string, ours, base []float64) (Line, error) {
	if len(ours) == 0 || len(ours) != len(base) {
		return Line{}, fmt.Errorf("measuring %s: %d runs against %d", metric, len(ours), len(base))
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / base[i]
	}
	baseline, ratio := Median(base), Median(ratios)
	return Line{Metric: metric, Value: Median(ours), Unit: unit, Baseline: &baseline, Ratio: &ratio, N: len(ours)}, nil
}
