package mailbox

import (
	"context"
	"sync"
	"time"
)

const (
	// lineIdle is how long an unused line is kept: the next message to the same
	// mailbox finds its holders on the phone.
	lineIdle = time.Minute
	// lineLife ends a throw-away key: what holders see of one mailbox within it
	// could be tied together anyway.
	lineLife = time.Hour
	// maxLines bounds memory, some 100 kB for each connection of each line.
	// Above it lines that nobody uses are closed at once.
	maxLines = 16
)

// lines is the open lines, one for each mailbox or place that is asked.
type lines struct {
	// Set at the start, never changed.
	make func() (Line, error)

	mu sync.Mutex
	// Guarded by mu.
	open   map[[32]byte]*line // key of the mailbox or place -> its line
	closed bool
}

// line is one throw-away caller.
type line struct {
	Line
	key  [32]byte
	made time.Time
	used time.Time // when the last user gave it back
	uses int       // users now
}

// take is the line of a key; give it back after use.
func (l *lines) take(key [32]byte) (*line, error) {
	l.mu.Lock()
	if n := l.open[key]; n != nil {
		n.uses++
		l.mu.Unlock()
		return n, nil
	}
	l.mu.Unlock()
	made, err := l.make()
	if err != nil {
		return nil, err
	}
	n := &line{Line: made, key: key, made: time.Now(), uses: 1}
	l.mu.Lock()
	if l.open[key] == nil && !l.closed {
		l.open[key] = n
	}
	l.mu.Unlock()
	return n, nil
}

// give ends a use. A line that is in nobody's place is closed by its last user.
func (l *lines) give(n *line) {
	l.mu.Lock()
	n.uses--
	n.used = time.Now()
	spare := n.uses == 0 && (l.open[n.key] != n || len(l.open) > maxLines)
	if spare && l.open[n.key] == n {
		delete(l.open, n.key)
	}
	l.mu.Unlock()
	if spare {
		_ = n.Close()
	}
}

// sweep closes lines that are idle or old until ctx ends.
func (l *lines) sweep(ctx context.Context) {
	tick := time.NewTicker(lineIdle / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.end(func(n *line) bool {
				return now.Sub(n.made) >= lineLife || n.uses == 0 && now.Sub(n.used) >= lineIdle
			})
		}
	}
}

// end takes lines out; those in use now are closed by their last user.
func (l *lines) end(which func(*line) bool) {
	var idle []*line
	l.mu.Lock()
	for key, n := range l.open {
		if !which(n) {
			continue
		}
		delete(l.open, key)
		if n.uses == 0 {
			idle = append(idle, n)
		}
	}
	l.mu.Unlock()
	for _, n := range idle {
		_ = n.Close()
	}
}

func (l *lines) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end(func(*line) bool { return true })
}
