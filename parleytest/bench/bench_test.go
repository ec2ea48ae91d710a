package bench

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// full is the published measurement: more rounds, the sizes of
// docs, and first bars. Without it the same code runs short and holds its
// figures against the committed ones.
var full = flag.Bool("full", false, "measure at full size and against first bars")

const gateFile = "gates.json"

// TestBench is `make bench`: TestBench/<area>/<metric>.
func TestBench(t *testing.T) {
	gates, err := ReadGates(gateFile)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{gates: gates, out: NewPrinter(os.Stdout)}
	for _, area := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"store", benchStore}, {"api", benchAPI}, {"dht", benchDHT}, {"dm", benchDM}, {"node", benchNode}, {"mail", benchMail},
	} {
		t.Run(area.name, func(t *testing.T) { area.run(t, s) })
	}
	if os.Getenv("PARLEY_REWRITE") == "1" {
		if err := s.gates.write(gateFile, s.out.Lines(), *full); err != nil {
			t.Error(err)
		}
	}
}

// suite is one run of the benchmarks.
type suite struct {
	gates Gates
	out   *Printer

	ours, bare []simulation // by seed, once measured
}

// sized is short or full, whichever runs.
func sized[T any](short, long T) T {
	if *full {
		return long
	}
	return short
}

// measure runs one measurement, prints its line and judges it. A figure that
// is gated and worse than it may be is measured again with three times the
// rounds: what counts is that one. A quiet box is not asked for in `make check`.
func (s *suite) measure(t *testing.T, metric string, rounds int, fn func(rounds int) (Line, error)) {
	_, name, _ := strings.Cut(metric, ".")
	t.Run(name, func(t *testing.T) {
		t.Helper()
		line, err := fn(rounds)
		again := tolerance[s.gates[metric].Class] >= 0 && os.Getenv("PARLEY_REWRITE") == ""
		if err == nil && again && s.gates.Check(line, *full) != nil {
			t.Logf("%s: %.4g at first, measuring longer", metric, line.Figure())
			line, err = fn(3 * rounds)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.print(t, line)
	})
}

// print prints a line that was measured and judges it.
func (s *suite) print(t *testing.T, line Line) {
	t.Helper()
	if err := s.out.Print(line); err != nil {
		t.Fatal(err)
	}
	if err := s.gates.Check(line, *full); err != nil && os.Getenv("PARLEY_REWRITE") == "" {
		t.Error(err)
	}
}

// must ends a benchmark that could not be set up.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// undelivered voids a line: no cost is quoted for what did not arrive.
func undelivered(got, want int) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("void: %d of %d arrived", got, want)
}
