package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Class says what may be asked of a figure.
type Class string

// How much worse than the committed figure a class may be: the noise that was
// seen between runs of the same code.
var tolerance = map[Class]float64{
	"cpu":     0.25,
	"virtual": 0.10,
	"count":   0.05,
	"judged":  -1, // wall time of sockets and disks: judged on a quiet box only
	"printed": -1, // no bar at all
}

// Gate is the committed expectation of one metric. Short and full runs differ
// in size, so each has a figure of its own.
type Gate struct {
	Class  Class    `json:"class"`
	More   bool     `json:"more,omitempty"` // higher is better
	Bar    *float64 `json:"bar"`            // first bar, met exactly; null for what is only printed
	Figure *float64 `json:"figure"`         // of the short run, in make check
	Full   *float64 `json:"full"`           // of make bench
}

// Gates by metric.
type Gates map[string]Gate

// ReadGates reads the committed file.
func ReadGates(path string) (Gates, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g Gates
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return g, nil
}

// Check says what is worse than committed. A full run is held against the
// first bars too, also in figures that are judged by wall time.
func (g Gates) Check(l Line, full bool) error {
	gate, ok := g[l.Metric]
	if !ok {
		return fmt.Errorf("%s has no gate", l.Metric)
	}
	var errs []error
	if slack, committed := tolerance[gate.Class], gate.committed(full); slack >= 0 && committed != nil {
		limit := *committed * (1 + slack)
		if gate.More {
			limit = *committed * (1 - slack)
		}
		if gate.worse(l.Figure(), limit) {
			errs = append(errs, fmt.Errorf("%s is %.4g, committed %.4g, at worst %.4g", l.Metric, l.Figure(), *committed, limit))
		}
	}
	if full && gate.Bar != nil && gate.worse(l.Figure(), *gate.Bar) {
		errs = append(errs, fmt.Errorf("%s is %.4g, the first bar is %.4g", l.Metric, l.Figure(), *gate.Bar))
	}
	return errors.Join(errs...)
}

func (g Gate) committed(full bool) *float64 {
	if full {
		return g.Full
	}
	return g.Figure
}

func (g Gate) worse(figure, than float64) bool {
	if g.More {
		return figure < than
	}
	return figure > than
}

// Learn takes the first figures, and those that are better than the committed
// ones by more than noise: a ratchet.
func (g Gates) Learn(lines []Line, full bool) {
	for _, l := range lines {
		gate, ok := g[l.Metric]
		if !ok {
			continue
		}
		figure := l.Figure()
		if old := gate.committed(full); old != nil && !gate.worse(*old, figure*gate.margin()) {
			continue
		}
		if full {
			gate.Full = &figure
		} else {
			gate.Figure = &figure
		}
		g[l.Metric] = gate
	}
}

// margin is what a better figure is multiplied with before it is believed.
func (g Gate) margin() float64 {
	slack := max(0, tolerance[g.Class])
	if g.More {
		return 1 - slack
	}
	return 1 + slack
}

// write learns and commits to a file.
func (g Gates) write(path string, lines []Line, full bool) error {
	g.Learn(lines, full)
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
