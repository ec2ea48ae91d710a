package seal

import (
	"slices"
	"time"

	"parley/internal/chat"
)

// generation is one receiving chain's stored message keys, found by its header
// key. It is never changed once a Session holds it: every method that would
// returns another, so staged keys vanish with the copy they were staged on.
type generation struct {
	header key
	peer   [32]byte // the chain's ratchet key
	keys   []skippedKey
}

// skippedKey opens one message that was overtaken. Numbers ascend within a
// generation, and so do times unless the clock was turned back.
type skippedKey struct {
	n      uint32
	minute uint32 // of the Unix clock, when it was skipped
	mk     key
}

func minuteOf(t time.Time) uint32 { return uint32(max(t.Unix()/60, 0)) }

// find is the index of number n.
func (g *generation) find(n uint32) (int, bool) {
	return slices.BinarySearchFunc(g.keys, n, func(k skippedKey, n uint32) int {
		switch {
		case k.n < n:
			return -1
		case k.n > n:
			return 1
		}
		return 0
	})
}

// without is g less the keys from index i to j.
func (g *generation) without(i, j int) *generation {
	keys := make([]skippedKey, 0, len(g.keys)-(j-i))
	keys = append(append(keys, g.keys[:i]...), g.keys[j:]...)
	return &generation{header: g.header, peer: g.peer, keys: keys}
}

// with is g and the keys that follow.
func (g *generation) with(keys []skippedKey) *generation {
	all := make([]skippedKey, 0, len(g.keys)+len(keys))
	return &generation{header: g.header, peer: g.peer, keys: append(append(all, g.keys...), keys...)}
}

// take removes the key of number n.
func (g *generation) take(n uint32) (*generation, key, bool) {
	i, ok := g.find(n)
	if !ok {
		return nil, key{}, false
	}
	return g.without(i, i+1), g.keys[i].mk, true
}

// trim enforces the bounds on stored keys: empty old generations go, and so
// does what is older than SkippedKeyLife, the oldest generations beyond
// maxOldHeaders and the oldest keys beyond MaxSkipped. s is a copy that nobody
// else holds yet; its slices are not written to. It reports whether s changed.
func (s *Session) trim(now time.Time) bool {
	oldest := int64(minuteOf(now)) - int64(chat.SkippedKeyLife/time.Minute)
	total := len(s.current.keys)
	for _, g := range s.old {
		total += len(g.keys)
	}
	stale := func(g *generation) int { // how many to drop from its front
		i := 0
		for i < len(g.keys) && (int64(g.keys[i].minute) < oldest || total > chat.MaxSkipped) {
			i++
			total--
		}
		return i
	}
	if !s.trimNeeded(oldest, total) {
		return false
	}
	kept := make([]*generation, 0, len(s.old))
	for _, g := range s.old {
		if i := stale(g); i > 0 {
			g = g.without(0, i)
		}
		if len(g.keys) > 0 {
			kept = append(kept, g)
		}
	}
	s.old = kept[max(0, len(kept)-maxOldHeaders):]
	if i := stale(s.current); i > 0 {
		s.current = s.current.without(0, i)
	}
	return true
}

func (s *Session) trimNeeded(oldest int64, total int) bool {
	if total > chat.MaxSkipped || len(s.old) > maxOldHeaders {
		return true
	}
	for _, g := range s.old {
		if len(g.keys) == 0 || int64(g.keys[0].minute) < oldest {
			return true
		}
	}
	return len(s.current.keys) > 0 && int64(s.current.keys[0].minute) < oldest
}

// maxOldHeaders bounds the trial of header keys: 20 cost about 10 µs.
const maxOldHeaders = 20
