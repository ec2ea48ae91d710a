package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	apiv1 "parley/gen/parley/api/v1"
	"parley/parleytest/process"
)

const (
	pollEvery   = 200 * time.Millisecond
	callTimeout = 20 * time.Second // one API call of a node on a busy box
)

// person is a sender or a receiver: up now and then, never with the other side.
type person struct {
	*process.Process
	stays  []stay // owned by the story
	cursor string // of the events seen so far; owned by the one that follows

	mu sync.Mutex
	// Guarded by mu.
	added map[string][]time.Time    // message id -> when it was announced, own ones left out
	state map[string]apiv1.Delivery // own message -> the best state announced
	held  map[string]time.Time      // own message -> when it became HELD
}

// stay is one time of being up.
type stay struct{ from, to time.Time }

func newPerson(w *world, name string) *person {
	return &person{
		Process: w.person(name),
		added:   map[string][]time.Time{}, state: map[string]apiv1.Delivery{}, held: map[string]time.Time{},
	}
}

// during brings people up, runs fn and ends them in order. What they are told
// meanwhile is noted.
func during(ctx context.Context, people []*person, fn func(context.Context) error) error {
	up, live := errgroup.WithContext(ctx)
	for _, p := range people {
		up.Go(func() error { return p.up(live) })
	}
	err := up.Wait()
	if err == nil {
		following, follow := errgroup.WithContext(ctx)
		follow, stop := context.WithCancel(follow)
		for _, p := range people {
			following.Go(func() error { return p.follow(follow) })
		}
		following.Go(func() error {
			defer stop()
			return fn(follow)
		})
		err = following.Wait()
		stop()
	}
	var down sync.WaitGroup
	for _, p := range people {
		down.Go(func() {
			p.Stop()
			if n := len(p.stays); n > 0 && p.stays[n-1].to.IsZero() {
				p.stays[n-1].to = time.Now()
			}
		})
	}
	down.Wait()
	return err
}

func (p *person) up(ctx context.Context) error {
	p.stays = append(p.stays, stay{from: time.Now()})
	for try := 1; ; try++ {
		err := p.Start(ctx)
		if err == nil {
			break
		}
		if p.Kill(); try == startTries || ctx.Err() != nil {
			return err
		}
	}
	if p.Account == "" {
		if err := p.Identify(ctx); err != nil {
			return err
		}
	}
	if p.cursor != "" {
		return nil
	}
	now, err := p.API.Events.ReadState(ctx, &apiv1.ReadStateRequest{})
	if err != nil {
		return fmt.Errorf("reading the state of %s: %w", p.Name(), err)
	}
	p.cursor = now.Cursor
	return nil
}

// together says for how long two people were up at once.
func together(a, b *person) (shared time.Duration) {
	for _, x := range a.stays {
		for _, y := range b.stays {
			from, to := x.from, x.to
			if y.from.After(from) {
				from = y.from
			}
			if y.to.Before(to) {
				to = y.to
			}
			shared += max(0, to.Sub(from))
		}
	}
	return shared
}

// follow notes what the node announces until the context ends.
func (p *person) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		stream, err := p.API.Events.Watch(ctx, &apiv1.WatchRequest{Cursor: p.cursor})
		if err == nil {
			for stream.Receive() {
				for _, e := range stream.Msg().Events {
					p.note(e)
					p.cursor = e.Cursor
				}
				if c := stream.Msg().Cursor; c != "" {
					p.cursor = c
				}
			}
			err = stream.Err()
			_ = stream.Close() // the next one goes on from the cursor
		}
		if ctx.Err() == nil && !process.Pause(ctx, pollEvery) {
			log.Printf("%s: following again after %v", p.Name(), err)
		}
	}
	return nil
}

func (p *person) note(e *apiv1.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if m := e.GetMessageAdded(); m != nil && !m.Own {
		p.added[m.Id] = append(p.added[m.Id], now)
	}
	m := e.GetMessageChanged()
	if m == nil {
		m = e.GetMessageAdded()
	}
	if m == nil || !m.Own {
		return
	}
	if m.Delivery > p.state[m.Id] {
		p.state[m.Id] = m.Delivery
	}
	if _, known := p.held[m.Id]; !known && m.Delivery == apiv1.Delivery_DELIVERY_HELD {
		p.held[m.Id] = now
	}
}

// count is how many of the messages a state was announced for, or better.
func (p *person) count(ids []string, state apiv1.Delivery) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if s := p.state[id]; s >= state && s <= apiv1.Delivery_DELIVERY_READ {
			n++
		}
	}
	return n
}

// seen is how many of the messages were announced here.
func (p *person) seen(ids []string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if len(p.added[id]) > 0 {
			n++
		}
	}
	return n
}

// write hands one text to the node and returns the message's id.
func (p *person) write(ctx context.Context, to *person, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := p.API.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: "people/" + to.Account, Text: text})
	if err != nil {
		return "", fmt.Errorf("%s to %s, %q: %w", p.Name(), to.Name(), text, err)
	}
	return res.Message.Id, nil
}

// befriend adds a contact, or accepts a request.
func (p *person) befriend(ctx context.Context, other *person) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := p.API.People.AddContact(ctx, &apiv1.AddContactRequest{Who: other.Account, Petname: other.Name(), Trusted: true})
	if err != nil {
		return fmt.Errorf("%s adds %s: %w", p.Name(), other.Name(), err)
	}
	return nil
}

// await polls until done, and says whether that came in time.
func await(ctx context.Context, limit time.Duration, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !done() {
		if !process.Pause(ctx, pollEvery) {
			return done()
		}
	}
	return true
}

// stuck says why messages of ours are not with anybody.
func (p *person) stuck(ctx context.Context) (out []string) {
	if !p.Running() {
		return nil
	}
	p.mu.Lock()
	var ids []string
	for id, state := range p.state {
		if state < apiv1.Delivery_DELIVERY_HELD {
			ids = append(ids, id)
		}
	}
	p.mu.Unlock()
	for _, id := range ids[:min(len(ids), 3)] {
		why, err := p.API.Messages.ExplainMessage(ctx, &apiv1.ExplainMessageRequest{Id: id})
		if err != nil {
			return append(out, err.Error())
		}
		text := fmt.Sprintf("%s of %s: %s", id[:8], p.Name(), why.Summary)
		for _, d := range why.Devices {
			text += fmt.Sprintf(" [%s %s %s, %d tries]", d.Device, d.Delivery, d.Reason, d.Attempts)
		}
		out = append(out, text)
	}
	return append(out, fmt.Sprintf("%d of %s in all", len(ids), p.Name()))
}

// said reports whether the node's log has a line with some words.
func (p *person) said(words string) bool {
	log, err := os.ReadFile(filepath.Join(p.Dir, "out.log"))
	return err == nil && bytes.Contains(log, []byte(words))
}
