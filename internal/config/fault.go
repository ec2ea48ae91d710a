package config

import "fmt"

// Fault is one thing wrong with the settings. Load joins all it finds.
type Fault struct {
	Key    string // as it was written
	Origin string // where
	What   string
	Hint   string
}

func (f *Fault) Error() string {
	if f.Key == "" {
		return fmt.Sprintf("%s: %s", f.Origin, f.What)
	}
	return fmt.Sprintf("%s (%s): %s", f.Key, f.Origin, f.What)
}

func unknownKey(written, origin, nearest string) *Fault {
	f := &Fault{Key: written, Origin: origin, What: "unknown setting", Hint: "`parley config list` shows every setting"}
	if nearest != "" {
		f.What = fmt.Sprintf("unknown setting; the nearest is %s", nearest)
	}
	return f
}

// Nearest is the one of names that looks most like word, and empty when none
// comes near: more than a third of its letters would have to change.
func Nearest(word string, names []string) string {
	best, bestCost := "", 1+max(1, len([]rune(word))/3)
	for _, n := range names {
		if c := distance([]rune(word), []rune(n)); c < bestCost {
			best, bestCost = n, c
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
