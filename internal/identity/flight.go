package identity

import (
	"context"
	"errors"

	"parley/internal/chat"
)

// flight is one look-up that several callers wait for.
type flight struct {
	done  chan struct{} // closed after value and err are set
	value []byte
	err   error
}

// lookUp asks the DHT once for all who ask at the same time. The first caller
// does the work in its own goroutine and within its own ctx; when it gives up,
// the next one goes on.
func (d *Directory) lookUp(ctx context.Context, key string) ([]byte, error) {
	for {
		d.mu.Lock()
		f := d.flights[key]
		first := f == nil
		if first {
			f = &flight{done: make(chan struct{})}
			d.flights[key] = f
		}
		d.mu.Unlock()
		if first {
			d.fly(ctx, key, f)
			return f.value, f.err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.done:
		}
		if !errors.Is(f.err, errGaveUp) {
			return f.value, f.err
		}
	}
}

// errGaveUp marks a look-up that its own caller ended.
var errGaveUp = errors.New("look-up given up")

func (d *Directory) fly(ctx context.Context, key string, f *flight) {
	f.err = errGaveUp // also what followers see if Get panics
	defer func() {
		d.mu.Lock()
		delete(d.flights, key)
		d.mu.Unlock()
		close(f.done)
	}()
	bounded, cancel := context.WithTimeout(ctx, chat.LookupTimeout)
	defer cancel()
	f.value, f.err = d.records.Get(bounded, key)
	if f.err != nil && ctx.Err() != nil {
		f.err = errors.Join(errGaveUp, ctx.Err())
	}
}
