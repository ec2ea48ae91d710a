package bench

import "testing"

func TestGate(t *testing.T) {
	committed := 2.0
	g := Gates{
		"less":   {Class: "cpu", Bar: 3, Figure: &committed},
		"more":   {Class: "count", More: true, Bar: 1, Figure: &committed},
		"judged": {Class: "judged", Bar: 3, Figure: &committed},
	}
	for _, c := range []struct {
		metric string
		figure float64
		bars   bool
		fails  bool
	}{
		{"less", 2.4, true, false}, {"less", 2.6, false, true}, {"less", 1, true, false}, {"less", 3.1, true, true},
		{"more", 1.95, true, false}, {"more", 1.8, false, true}, {"more", 5, true, false}, {"more", 0.9, true, true},
		{"judged", 2.9, true, false}, {"judged", 9, false, false}, {"judged", 3.5, true, true},
		{"unknown", 1, false, true},
	} {
		if err := g.Check(Line{Metric: c.metric, Value: c.figure}, c.bars); (err != nil) != c.fails {
			t.Errorf("%s %.2f bars %v: got %v", c.metric, c.figure, c.bars, err)
		}
	}
}

func TestCompareAlternatesAndTakesMedians(t *testing.T) {
	var order string
	n := 0.0
	l, err := Compare("m", "u", 3,
		func() (float64, error) { order += "A"; n++; return 2 * n, nil },
		func() (float64, error) { order += "B"; return 2, nil })
	if err != nil {
		t.Fatal(err)
	}
	if order != "ABBAABBA" {
		t.Errorf("order %s", order)
	}
	// Rounds 2 to 4 count: 4, 6 and 8 against 2.
	if l.Value != 6 || *l.Baseline != 2 || *l.Ratio != 3 || l.N != 3 {
		t.Errorf("got %+v", l)
	}
}
