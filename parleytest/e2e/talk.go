package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"time"

	"connectrpc.com/connect"

	apiv1 "parley/gen/parley/api/v1"
	"parley/gen/parley/api/v1/apiv1connect"
	"parley/internal/identity"
	"parley/parleytest/process"
)

const (
	// settleTime is how long a receipt may take after the last kill: two
	// retries at their longest wait.
	settleTime = 3 * time.Minute
	retryEvery = 50 * time.Millisecond // of a call to a node that is down
)

// talk is one direction of the conversation.
type talk struct {
	name     string
	from, to *process.Process
	texts    []string
	drive    func(*process.Process) apiv1connect.MessageServiceClient
	ids      []string // of the texts, in order, once acknowledged

	// Owned by watch.
	seen  map[string]int // message id -> times announced at the receiver
	order []string       // ids as announced
}

// send writes every text once: a call that failed is repeated with the same
// request id, as an honest program would.
func (t *talk) send(ctx context.Context) error {
	for i, text := range t.texts {
		req := &apiv1.SendMessageRequest{Conversation: "people/" + t.to.Account, Text: text, RequestId: requestID(t.name, i)}
		for {
			call, cancel := context.WithTimeout(ctx, callTimeout)
			res, err := t.drive(t.from).SendMessage(call, req)
			cancel()
			if err == nil {
				t.ids = append(t.ids, res.Message.Id)
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if code := connect.CodeOf(err); code == connect.CodeInvalidArgument || code == connect.CodeUnauthenticated || code == connect.CodePermissionDenied || code == connect.CodeAlreadyExists {
				return fmt.Errorf("%s: line %d %q: %w", t.name, i, text, err)
			}
			process.Pause(ctx, retryEvery)
		}
	}
	log.Printf("%s: %d lines handed over", t.name, len(t.texts))
	return nil
}

func requestID(name string, i int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, i))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80 // a version 4 UUID by form
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// watch follows the receiver's events with a cursor through all its deaths
// until every text was announced.
func (t *talk) watch(ctx context.Context, sent <-chan struct{}) error {
	start, err := t.to.API.Events.ReadState(ctx, &apiv1.ReadStateRequest{})
	if err != nil {
		return fmt.Errorf("%s: reading the receiver's state: %w", t.name, err)
	}
	cursor := start.Cursor
	var settle <-chan time.Time
	for len(t.seen) < len(t.texts) {
		select {
		case <-sent:
			if settle == nil {
				settle = time.After(settleTime)
			}
			sent = nil
		case <-settle:
			return fmt.Errorf("%s: %d of %d lines announced %s after the last was sent", t.name, len(t.seen), len(t.texts), settleTime)
		default:
		}
		call, cancel := context.WithTimeout(ctx, 20*time.Second)
		stream, err := t.to.API.Events.Watch(call, &apiv1.WatchRequest{Cursor: cursor})
		if err == nil {
			for len(t.seen) < len(t.texts) && stream.Receive() {
				for _, e := range stream.Msg().Events {
					t.note(e)
					cursor = e.Cursor
				}
				if c := stream.Msg().Cursor; c != "" {
					cursor = c
				}
			}
			err = stream.Err()
			_ = stream.Close() // the next Watch goes on from the cursor
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if connect.CodeOf(err) == connect.CodeOutOfRange {
			return fmt.Errorf("%s: the cursor was lost: %w", t.name, err)
		}
		process.Pause(ctx, retryEvery)
	}
	return nil
}

func (t *talk) note(e *apiv1.Event) {
	m := e.GetMessageAdded()
	if m == nil || m.Own || m.Author != t.from.Account {
		return
	}
	t.seen[m.Id]++
	t.order = append(t.order, m.Id)
}

// check compares what the receiver shows with what was acknowledged to the
// sender, and verifies the receipt behind every state.
func (t *talk) check(ctx context.Context) error {
	if len(t.ids) != len(t.texts) {
		return fmt.Errorf("%d of %d lines acknowledged", len(t.ids), len(t.texts))
	}
	position := map[string]int{}
	for i, id := range t.ids {
		if _, twice := position[id]; twice {
			return fmt.Errorf("message %s stands for two lines", id)
		}
		position[id] = i
	}
	for id, n := range t.seen {
		if _, ok := position[id]; !ok {
			return fmt.Errorf("the receiver announced %s, which was never sent", id)
		}
		if n != 1 {
			return fmt.Errorf("message %s was announced %d times", id, n)
		}
	}
	last := -1
	for _, id := range t.order {
		if position[id] < last {
			return fmt.Errorf("line %d was announced after line %d", position[id], last)
		}
		last = position[id]
	}
	shown, err := t.to.Messages(ctx, t.from.Account)
	if err != nil {
		return err
	}
	var theirs []*apiv1.Message
	for _, m := range shown {
		if !m.Own {
			theirs = append(theirs, m)
		}
	}
	if len(theirs) != len(t.ids) {
		return fmt.Errorf("the receiver shows %d messages of %d", len(theirs), len(t.ids))
	}
	for i, m := range theirs {
		if m.Id != t.ids[i] || m.Text != t.texts[i] {
			return fmt.Errorf("place %d shows %s %q, sent was %s %q", i, m.Id, m.Text, t.ids[i], t.texts[i])
		}
	}
	return t.checkProofs(ctx)
}

// checkProofs waits for the last receipts, then verifies each signature.
func (t *talk) checkProofs(ctx context.Context) error {
	_, key, err := identity.ParseDeviceID(t.to.Device)
	if err != nil {
		return err
	}
	until := time.Now().Add(settleTime)
	for _, id := range t.ids {
		for {
			why, err := t.from.API.Messages.ExplainMessage(ctx, &apiv1.ExplainMessageRequest{Id: id})
			if err != nil {
				return err
			}
			if why.Message.Delivery == apiv1.Delivery_DELIVERY_DELIVERED {
				if err := process.Proven(why, id, key); err != nil {
					return fmt.Errorf("message %s is shown as delivered: %w", id, err)
				}
				break
			}
			if time.Now().After(until) {
				return fmt.Errorf("message %s is still %v (%s)", id, why.Message.Delivery, why.Summary)
			}
			process.Pause(ctx, retryEvery)
		}
	}
	return nil
}
