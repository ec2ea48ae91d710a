package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"connectrpc.com/connect"

	apiv1 "parley/gen/parley/api/v1"
)

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
	// silence is how long a stream may say nothing: the node speaks at least
	// every 15 seconds.
	silence = 40 * time.Second
)

// Follow calls fn for every event after cursor, in order and each once, until
// ctx ends, fn fails or the node refuses. It reconnects by itself. An empty
// cursor begins now. Store the Cursor of an event when fn has dealt with it,
// and begin there after a restart. When too much has changed since, Follow
// fails with a fault of reason CURSOR_EXPIRED: read the state and start from
// its cursor.
func (c *Client) Follow(ctx context.Context, cursor string, fn func(*apiv1.Event) error) error {
	f := follower{c: c, cursor: cursor, fn: fn}
	for tries := 0; ; tries++ {
		before := f.spoke
		err := f.once(ctx)
		if stop := new(stopError); errors.As(err, &stop) {
			return stop.err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !passing(err) {
			return err
		}
		if f.spoke > before {
			tries = 0
		}
		if err := pause(ctx, backoff(tries)); err != nil {
			return err
		}
	}
}

type follower struct {
	c      *Client
	cursor string // behind the last event fn has dealt with
	spoke  int    // messages received
	fn     func(*apiv1.Event) error
}

// stopError is the word of fn, which ends everything.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

// once follows one stream to its end.
func (f *follower) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	stream, err := f.c.Events.Watch(ctx, &apiv1.WatchRequest{Cursor: f.cursor})
	if err != nil {
		return fmt.Errorf("following: %w", err)
	}
	defer stream.Close() // the stream is over or given up
	for stream.Receive() {
		quiet.Stop() // fn may take its time
		f.spoke++
		for _, e := range stream.Msg().Events {
			if err := f.fn(e); err != nil {
				return &stopError{err}
			}
			f.cursor = e.Cursor
		}
		f.cursor = stream.Msg().Cursor
		quiet.Reset(silence)
	}
	if err := stream.Err(); err != nil {
		return fmt.Errorf("following: %w", err)
	}
	return nil
}

// passing says whether the same call may succeed later.
func passing(err error) bool {
	if err == nil {
		return true // the node ended the stream
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeCanceled, connect.CodeDeadlineExceeded,
		connect.CodeResourceExhausted, connect.CodeAborted, connect.CodeInternal, connect.CodeUnknown:
		return true
	default:
		return false
	}
}

// Retry calls fn until it succeeds or fails for good, and waits as long as the
// node says whenever it was called too often.
func Retry(ctx context.Context, fn func(ctx context.Context) error) error {
	for {
		err := fn(ctx)
		fault, ok := FaultOf(err)
		if !ok || fault.RetryAfter <= 0 {
			return err
		}
		if pauseErr := pause(ctx, fault.RetryAfter); pauseErr != nil {
			return errors.Join(err, pauseErr)
		}
	}
}

// backoff doubles, with a jitter that keeps many clients apart.
func backoff(tries int) time.Duration {
	d := min(firstPause<<min(tries, 10), lastPause)
	return d/2 + rand.N(d/2+1)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RequestID is a request id made of its parts: the same parts give the same
// id, so that a program that tries again after a restart acts once.
func RequestID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	b := h.Sum(nil)
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // a UUID of version 8: made by its own rules
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
