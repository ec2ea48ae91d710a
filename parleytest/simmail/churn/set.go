package churn

import (
	"iter"
	"math/bits"
)

// MaxNodes is how many nodes fit a set.
const MaxNodes = 256

// set is a set of nodes.
type set [MaxNodes / 64]uint64

func (s *set) add(n int)      { s[n>>6] |= 1 << (n & 63) }
func (s *set) drop(n int)     { s[n>>6] &^= 1 << (n & 63) }
func (s *set) has(n int) bool { return s[n>>6]&(1<<(n&63)) != 0 }

func (s set) len() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s set) or(t set) set {
	for i := range s {
		s[i] |= t[i]
	}
	return s
}

func (s set) and(t set) set {
	for i := range s {
		s[i] &= t[i]
	}
	return s
}

func (s set) without(t set) set {
	for i := range s {
		s[i] &^= t[i]
	}
	return s
}

// all yields the members, lowest first.
func (s set) all() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s {
			for ; w != 0; w &= w - 1 {
				if !yield(i<<6 | bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}
