package churn

import (
	"testing"
	"time"

	"parley/internal/chat"
)

// TestEveryMoment looks at the whole network after each event.
func TestEveryMoment(t *testing.T) {
	for name, set := range map[string]func(*Setup){
		"product": func(s *Setup) { s.AtOnce, s.Adapt, s.Kill = true, true, 4*time.Hour },
		"strict":  func(s *Setup) { s.Strict, s.Holders = true, 6 },
	} {
		t.Run(name, func(t *testing.T) {
			s := small(6)
			s.Boxes, s.Length = 100, 8*time.Hour
			set(&s)
			w := newWorld(s)
			lost := map[int]bool{} // boxes without a copy: nothing brings one back
			for events := 0; w.step(); events++ {
				for b := range w.boxes {
					if n := check(t, w, b); n > 0 && lost[b] {
						t.Fatalf("event %d: box %d came back from nowhere", events, b)
					} else if n == 0 {
						lost[b] = true
					}
				}
			}
			if w.deaths == 0 || w.now > s.Length || s.Length > chat.MailLife {
				t.Errorf("%d deaths in %v", w.deaths, w.now)
			}
		})
	}
}

// check holds one box against the nodes as they are, and returns its copies.
func check(t *testing.T, w *world, b int) (copies int) {
	t.Helper()
	x := w.boxes[b]
	for i := range w.nodes {
		if w.nodes[i].honest && w.nodes[i].has(b) {
			copies++
		}
	}
	if copies != x.copies {
		t.Fatalf("box %d counts %d copies, honest nodes have %d", b, x.copies, copies)
	}
	within := map[int]bool{}
	for at, i := range x.near[:w.Holders] {
		within[i] = true
		if at > 0 && w.far(b, x.near[at-1]) > w.far(b, i) {
			t.Fatalf("box %d: its holders are out of order", b)
		}
		if w.full[b/64]>>(b%64)&1 == 1 && !w.nodes[i].has(b) {
			t.Fatalf("box %d says that all holders have it", b)
		}
	}
	last := w.far(b, x.near[w.Holders-1])
	for i := range w.nodes {
		if !within[i] && w.far(b, i) < last {
			t.Fatalf("box %d: a node nearer than its last holder is none", b)
		}
	}
	return copies
}
