package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/parleytest/process"
)

const (
	callTimeout = 10 * time.Second // one API call of a live node
	findTimeout = 30 * time.Second // one look-up by id, from a fresh start
	lifeMin     = 200 * time.Millisecond
	lifeMax     = 3 * time.Second // between two kills of one process
)

// killLoop ends the process n times at random moments and starts it again.
func killLoop(ctx context.Context, p *process.Process, n int) error {
	for i := range n {
		life := lifeMin + rand.N(lifeMax-lifeMin)
		if !process.Pause(ctx, life) {
			return ctx.Err()
		}
		p.Kill()
		if err := p.Start(ctx); err != nil {
			return fmt.Errorf("after kill %d: %w", i+1, err)
		}
	}
	return nil
}

// findThroughDHT waits until the device record was found by bare id.
func findThroughDHT(ctx context.Context, p, other *process.Process) (*apiv1.FoundDevice, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	var last error
	for process.Pause(ctx, 100*time.Millisecond) {
		found, err := p.API.Network.FindPeer(ctx, &apiv1.FindPeerRequest{Who: other.Account})
		if err != nil {
			last = err
			continue
		}
		for _, d := range found.Devices {
			if d.Device == other.Device && d.Connected && d.Source == "dht" {
				return d, nil
			}
		}
		last = errors.New(found.Text + ": " + fmt.Sprint(found.Devices))
	}
	return nil, fmt.Errorf("looking %s up by id: %w", other.Name(), last)
}
