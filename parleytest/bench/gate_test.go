package bench

import "testing"

func TestGate(t *testing.T) {
	committed, bar := 2.0, 3.0
	g := Gates{
		"less":    {Class: "cpu", Bar: &bar, Figure: &committed},
		"more":    {Class: "count", More: true, Bar: new(float64), Figure: &committed, Full: &committed},
		"judged":  {Class: "judged", Bar: &bar, Figure: &committed},
		"printed": {Class: "printed"},
	}
	for _, c := range []struct {
		metric string
		figure float64
		full   bool
		fails  bool
	}{
		{"less", 2.4, false, false},
		{"less", 2.6, false, true},
		{"less", 2.9, true, false},
		{"less", 3.1, true, true},
		{"more", 1.95, true, false},
		{"more", 1.8, false, true},
		{"more", 5, true, false},
		{"more", 1.8, true, true},
		{"judged", 2.9, true, false},
		{"judged", 9, false, false},
		{"judged", 3.5, true, true},
		{"printed", 99, true, false},
		{"unknown", 1, false, true},
	} {
		if err := g.Check(Line{Metric: c.metric, Value: c.figure}, c.full); (err != nil) != c.fails {
			t.Errorf("%s %.2f full %v: got %v", c.metric, c.figure, c.full, err)
		}
	}
}

func TestGatesLearnOnlyWhatIsBetter(t *testing.T) {
	was := 2.0
	g := Gates{"less": {Class: "cpu", Figure: &was}, "more": {Class: "cpu", More: true, Figure: &was}, "new": {Class: "cpu"}}
	g.Learn([]Line{{Metric: "less", Value: 1}, {Metric: "more", Value: 1}, {Metric: "new", Value: 7}, {Metric: "unknown", Value: 1}}, false)
	g.Learn([]Line{{Metric: "less", Value: 9}}, false)
	if less, more, fresh := *g["less"].Figure, *g["more"].Figure, *g["new"].Figure; less != 1 || more != 2 || fresh != 7 {
		t.Errorf("learned %g, %g, %g; want 1, 2, 7", less, more, fresh)
	}
	if len(g) != 3 || g["new"].Full != nil {
		t.Errorf("learned too much: %+v", g)
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
