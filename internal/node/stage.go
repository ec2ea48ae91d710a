package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// stage is one package at work.
type stage struct {
	name string
	run  func(context.Context) error
}

// runStages starts the stages in order and stops them in reverse: a stage's
// context ends only when all later ones have returned. The first stage that
// ends with an error, or ends at all before ctx does, stops the rest.
func runStages(ctx context.Context, stages []stage) error {
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
		ended = make(chan struct{}) // closed when any stage ended by itself
	)
	stop := make([]context.CancelFunc, len(stages))
	done := make([]chan struct{}, len(stages))
	for i, s := range stages {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		stop[i], done[i] = cancel, make(chan struct{})
		wg.Go(func() {
			defer close(done[i])
			err := s.run(own)
			if own.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
				return // asked to stop
			}
			if err == nil {
				err = errors.New("ended by itself")
			}
			once.Do(func() {
				first = fmt.Errorf("running %s: %w", s.name, err)
				close(ended)
			})
		})
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	for i := len(stages) - 1; i >= 0; i-- {
		stop[i]()
		<-done[i]
	}
	wg.Wait()
	return first
}
