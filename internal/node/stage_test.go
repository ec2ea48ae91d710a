package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func TestStagesStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		waits := func(name string) stage {
			return stage{name, func(ctx context.Context) error {
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return nil
			}}
		}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() { result <- runStages(ctx, []stage{waits("store"), waits("p2p"), waits("api")}) }()
		synctest.Wait()
		cancel()
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		if want := []string{"api", "p2p", "store"}; !slices.Equal(order, want) {
			t.Fatalf("stopped in order %v, want %v", order, want)
		}
	})
}

func TestStageThatFailsStopsTheRest(t *testing.T) {
	fault := errors.New("no more disk")
	stopped := false
	err := runStages(t.Context(), []stage{
		{"store", func(ctx context.Context) error { <-ctx.Done(); stopped = true; return nil }},
		{"dm", func(context.Context) error { return fault }},
	})
	if !errors.Is(err, fault) || !strings.Contains(err.Error(), "running dm") {
		t.Fatalf("got %v", err)
	}
	if !stopped {
		t.Fatal("the stage below was not stopped")
	}
}

func TestStageThatEndsEarlyIsAFault(t *testing.T) {
	err := runStages(t.Context(), []stage{{"dm", func(context.Context) error { return nil }}})
	if err == nil || !strings.Contains(err.Error(), "dm") {
		t.Fatalf("got %v, want an error that names the stage", err)
	}
}
