// Package live holds values that can be watched: the latest wins.
//
// Callers: any package with a present state that is not worth a log row, such
// as the pulse line or who is typing; package api watches.
// Invariant: a watcher sees the newest value, and may miss older ones.
// Goroutines: none.
package live

import "sync"

// Value is a watchable T. The zero Value holds the zero T. It is safe for
// concurrent use.
type Value[T any] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{} // closed and replaced at each Set; nil until watched
}

// Set stores v and wakes every watcher.
func (l *Value[T]) Set(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value = v
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Load is the newest value.
func (l *Value[T]) Load() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}

// Watch is the newest value and a channel that is closed at the next Set.
func (l *Value[T]) Watch() (T, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.value, l.changed
}
