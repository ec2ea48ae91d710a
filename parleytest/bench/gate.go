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
}

// Gate is the committed expectation of one metric.
type Gate struct {
	Class  Class    `json:"class"`
	More   bool     `json:"more,omitempty"` // higher is better
	Bar    float64  `json:"bar"`            // first bar, met exactly
	Figure *float64 `json:"figure"`         // committed by the last measurement
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

// Check says what is worse than committed. With bars, the first bar counts
// too, also for figures that are judged by wall time.
func (g Gates) Check(l Line, bars bool) error {
	gate, ok := g[l.Metric]
	if !ok {
		return fmt.Errorf("%s has no gate", l.Metric)
	}
	worse := func(than float64) bool {
		if gate.More {
			return l.Figure() < than
		}
		return l.Figure() > than
	}
	var errs []error
	if slack := tolerance[gate.Class]; slack >= 0 && gate.Figure != nil {
		limit := *gate.Figure * (1 + slack)
		if gate.More {
			limit = *gate.Figure * (1 - slack)
		}
		if worse(limit) {
			errs = append(errs, fmt.Errorf("%s is %.4g, committed %.4g, at worst %.4g", l.Metric, l.Figure(), *gate.Figure, limit))
		}
	}
	if bars && worse(gate.Bar) {
		errs = append(errs, fmt.Errorf("%s is %.4g, the first bar is %.4g", l.Metric, l.Figure(), gate.Bar))
	}
	return errors.Join(errs...)
}
