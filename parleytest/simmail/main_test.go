package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestQuick plays the whole grid in little and reads what it prints.
func TestQuick(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, true); err != nil {
		t.Fatal(err)
	}
	seen := map[string]line{}
	for d := json.NewDecoder(&out); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if _, twice := seen[l.Metric]; twice || l.Unit == "" || l.N == 0 {
			t.Errorf("line %+v", l)
		}
		if l.Unit == "share" && (l.Value < 0 || l.Value > 1+1e-9) {
			t.Errorf("%s is %g, no share", l.Metric, l.Value)
		}
		if strings.Contains(l.Metric, "/drop=") && l.Unit == "share" && !strings.HasPrefix(l.Metric, "mail.risk") && l.Baseline == nil {
			t.Errorf("%s without what the formula says", l.Metric)
		}
		seen[l.Metric] = l
	}
	if l := seen["mail.delivered"]; l.Value < mostDelivered {
		t.Errorf("%g delivered after a day", l.Value)
	}
	if l := seen["mail.bytes"]; l.Ratio == nil || *l.Ratio < 0.9 || *l.Ratio > 2 {
		t.Errorf("copies moved: %+v", l)
	}
	for _, name := range []string{"life=1h/drop=0", "life=24h/drop=30", "formula/life=2h/k=8/drop=30/repair=1h", "half-killed/drop=30"} {
		if _, ok := seen["mail.delivered/"+name]; !ok {
			t.Errorf("no line for %s", name)
		}
	}
}

func TestJudges(t *testing.T) {
	for name, tt := range map[string]struct {
		judge func(summary) error
		got   summary
		fine  bool
	}{
		"enough":             {atLeast(0.999), summary{mean: 0.9995}, true},
		"too few":            {atLeast(0.999), summary{mean: 0.9985}, false},
		"formula met":        {asFormula, summary{mean: 0.9996, formula: 1}, true},
		"formula missed":     {asFormula, summary{mean: 0.9990, formula: 1}, false},
		"missed by chance":   {asFormula, summary{mean: 0.9990, formula: 1, deviation: 0.0005}, true},
		"kill survived":      {survives(1), summary{mean: 1, risk: 5e-5}, true},
		"kill not survived":  {survives(1), summary{mean: 0.9999}, false},
		"survived with luck": {survives(1), summary{mean: 1, risk: 2e-4}, false},
	} {
		if err := tt.judge(tt.got); (err == nil) != tt.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
