package main

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNeedles holds the search against the standard library's, with needles
// laid over each other and over the ends.
func TestNeedles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		hay := make([]byte, 400)
		for i := range hay {
			hay[i] = "ab"[random.IntN(2)]
		}
		var texts []string
		for range 20 {
			from := random.IntN(len(hay) - 30)
			texts = append(texts, string(hay[from:from+shortest+random.IntN(18)]))
		}
		texts = append(texts, string(hay[:shortest]), string(hay[len(hay)-shortest:]), strings.Repeat("c", shortest), "ab")
		found := map[string]bool{}
		newNeedles(texts...).in(hay, func(needle string) { found[needle] = true })
		for _, text := range texts {
			if want := bytes.Contains(hay, []byte(text)) && len(text) >= shortest; found[text] != want {
				t.Fatalf("%q found: %t, want %t", text, found[text], want)
			}
		}
	}
}

func TestTogether(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	a := &person{stays: []stay{{at(0), at(10)}, {at(30), at(40)}}}
	b := &person{stays: []stay{{at(10), at(20)}, {at(35), at(50)}}}
	if got := together(a, b); got != 5*time.Second {
		t.Errorf("together for %s, want 5s", got)
	}
	if got := together(a, &person{stays: []stay{{at(10), at(30)}}}); got != 0 {
		t.Errorf("together for %s, want nothing", got)
	}
}

// TestLifetime: half of the holders live longer than the plan's median.
func TestLifetime(t *testing.T) {
	w := &world{plan: plan{life: time.Minute}, random: rand.New(rand.NewPCG(3, 4))}
	var lives []time.Duration
	for range 10_001 {
		lives = append(lives, w.lifetime())
	}
	slices.Sort(lives)
	if got := quantile(lives, 0.5); got < 57*time.Second || got > 63*time.Second {
		t.Errorf("median life %s, want a minute", got)
	}
}
