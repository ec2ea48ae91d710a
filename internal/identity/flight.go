package identity

import (
	"context"
	"sync"

	"parley/internal/chat"
)

// Searcher is Records that tell of a value before the look-up is over.
type Searcher interface {
	// Search is Get that calls found with each valid value that is better than
	// those before it, one call at a time, until it returns.
	Search(ctx context.Context, key string, found func(value []byte)) ([]byte, error)
}

// flight is one look-up that several callers wait for. It has a goroutine of
// its own, which the last caller to leave ends and waits for.
type flight struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	heard  chan struct{} // closed after first is set
	first  []byte        // the first value that came, not yet the best
	done   chan struct{} // closed after value and err are set
	value  []byte
	err    error

	callers int // guarded by Directory.mu
}

// lookUp asks the DHT once for all who ask at the same time. early, if set, is
// called with the first value as soon as there is one. Until leave is called
// whoever asks shares the answer: call it when what came is kept, or somebody
// who finds neither the look-up nor its result would ask again.
func (d *Directory) lookUp(ctx context.Context, key string, early func(value []byte)) (value []byte, leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, func() {}, err
	}
	f := d.board(ctx, key)
	leave = func() { d.leave(key, f) }
	heard := f.heard
	if early == nil {
		heard = nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil, leave, ctx.Err()
		case <-heard:
			heard = nil
			early(f.first)
		case <-f.done:
			return f.value, leave, f.err
		}
	}
}

// board joins the look-up under way, or begins one.
func (d *Directory) board(ctx context.Context, key string) *flight {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flights[key]
	if f == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), chat.LookupTimeout)
		f = &flight{cancel: cancel, heard: make(chan struct{}), done: make(chan struct{})}
		d.flights[key] = f
		f.work.Go(func() { d.fly(ctx, key, f) })
	}
	f.callers++
	return f
}

func (d *Directory) leave(key string, f *flight) {
	d.mu.Lock()
	f.callers--
	last := f.callers == 0
	if last && d.flights[key] == f {
		delete(d.flights, key)
	}
	d.mu.Unlock()
	if last {
		f.cancel()
		f.work.Wait()
	}
}

func (d *Directory) fly(ctx context.Context, key string, f *flight) {
	defer close(f.done)
	s, ok := d.records.(Searcher)
	if !ok {
		f.value, f.err = d.records.Get(ctx, key)
	} else {
		f.value, f.err = s.Search(ctx, key, func(value []byte) {
			if f.first == nil {
				f.first = value
				close(f.heard)
			}
		})
	}
}
