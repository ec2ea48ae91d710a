package p2p

import "sync"

// pool counts running handlers, and what they leave to be done beside them.
type pool struct {
	slots  chan struct{}  // one for each running handler
	beside sync.WaitGroup // of run; each has a slot too

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

// run runs fn beside the caller, and fails as enter does.
func (p *pool) run(fn func()) bool {
	if !p.enter() {
		return false
	}
	p.beside.Go(func() {
		defer p.leave()
		fn()
	})
	return true
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
