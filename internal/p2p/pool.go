package p2p

import "sync"

// pool counts running handlers.
type pool struct {
	slots chan struct{} // one for each running handler

	mu     sync.Mutex
	closed chan struct{} // closed when no handler runs after close; nil while open
	active int
}

// enter takes a slot, and fails when none is free or the pool closes.
func (p *pool) enter() bool {
	select {
	case p.slots <- struct{}{}:
	default:
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		<-p.slots
		return false
	}
	p.active++
	return true
}

func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	<-p.slots
	p.active--
	if p.closed != nil && p.active == 0 {
		close(p.closed)
	}
}

// close lets nobody in any more; the channel is closed when all have left.
func (p *pool) close() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed == nil {
		p.closed = make(chan struct{})
		if p.active == 0 {
			close(p.closed)
		}
	}
	return p.closed
}
