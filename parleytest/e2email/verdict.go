package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/identity"
	"parley/parleytest/process"
)

// proven counts the messages that the sender shows as delivered, and verifies
// the receiver's signature behind each of them.
func (p *pair) proven(ctx context.Context) (n int, err error) {
	_, key, err := identity.ParseDeviceID(p.to.Device)
	if err != nil {
		return 0, err
	}
	for _, id := range p.ids {
		why, err := p.from.API.Messages.ExplainMessage(ctx, &apiv1.ExplainMessageRequest{Id: id})
		if err != nil {
			return 0, err
		}
		if why.Message.Delivery != apiv1.Delivery_DELIVERY_DELIVERED {
			continue
		}
		if err := process.Proven(why, id, key); err != nil {
			return 0, fmt.Errorf("message %s is shown as delivered: %w", id, err)
		}
		n++
	}
	return n, nil
}

// shown compares what the receiver lists with what was sent.
func (p *pair) shown(ctx context.Context) (twice, wrong int, err error) {
	list, err := p.to.Messages(ctx, p.from.Account)
	if err != nil {
		return 0, 0, fmt.Errorf("listing what %s has from %s: %w", p.to.Name(), p.from.Name(), err)
	}
	sent, times := map[string]string{p.hello: p.helloText()}, map[string]int{}
	for i, id := range p.ids {
		sent[id] = p.texts[i]
	}
	for _, m := range list {
		if m.Own {
			continue
		}
		if times[m.Id]++; times[m.Id] == 2 {
			twice++
		}
		if text, known := sent[m.Id]; !known || text != m.Text {
			wrong++
		}
	}
	return twice, wrong, nil
}

// arrivals is when each message of the pair was announced, since its receiver
// was started again.
func (p *pair) arrivals() (after []time.Duration, twice int) {
	p.to.mu.Lock()
	defer p.to.mu.Unlock()
	returned := p.to.stays[len(p.to.stays)-1].from
	for _, id := range p.ids {
		times := p.to.added[id]
		if len(times) > 1 {
			twice++
		}
		if len(times) > 0 {
			after = append(after, times[0].Sub(returned))
		}
	}
	return after, twice
}

// keeping is how long each message took to be kept.
func (p *pair) keeping() (took []time.Duration) {
	p.from.mu.Lock()
	defer p.from.mu.Unlock()
	for i, id := range p.ids {
		if at, ok := p.from.held[id]; ok {
			took = append(took, max(0, at.Sub(p.sent[i])))
		}
	}
	return took
}

// verdict prints the figures and fails when a promise was not kept.
func (s *story) verdict(found *findings) error {
	total := s.w.plan.messages
	var arrived, kept []time.Duration
	inTime, twice := 0, s.twice
	var shared time.Duration
	for _, p := range s.pairs {
		after, doubled := p.arrivals()
		arrived, twice = append(arrived, after...), twice+doubled
		kept = append(kept, p.keeping()...)
		shared += together(p.from, p.to)
	}
	for _, a := range arrived {
		if a <= returnTime {
			inTime++
		}
	}
	slices.Sort(arrived)
	slices.Sort(kept)
	share, confirmed := float64(inTime)/float64(total), float64(s.confirmed)/float64(total)
	metric("mail.delivered", share, "share", total)
	metric("mail.twice", float64(twice), "messages", total)
	metric("mail.confirmed", confirmed, "share", total)
	metric("mail.held", float64(len(kept))/float64(total), "share", total)
	metric("mail.held_p50", quantile(kept, 0.5).Seconds(), "s", len(kept))
	metric("mail.held_p99", quantile(kept, 0.99).Seconds(), "s", len(kept))
	metric("mail.return_p50", quantile(arrived, 0.5).Seconds(), "s", len(arrived))
	metric("mail.return_p99", quantile(arrived, 0.99).Seconds(), "s", len(arrived))
	metric("mail.holders_replaced", float64(s.w.kills), "nodes", s.w.plan.holders)
	metric("mail.plaintext", float64(found.plain), "hits", found.folders)

	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(share < enough, "%d of %d messages arrived within %s of the return, %d in all", inTime, total, returnTime, len(arrived))
	fault(twice > 0, "%d messages were announced or listed twice", twice)
	fault(s.wrong > 0, "%d listed messages were never sent, or with another text", s.wrong)
	fault(confirmed < enough, "%d of %d messages are confirmed by a receipt that came by mail", s.confirmed, total)
	fault(shared > 0, "senders and receivers were up together for %s", shared)
	faults = append(faults, found.faults...)
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	log.Printf("e2e-mail: PASS: %d messages, receivers never up with their senders, asleep for %s at %d times the pace; %.2f %% within %s, 0 twice, %.2f %% confirmed; "+
		"%d holders of a median life of %s, %d of them droppers, replaced %d times; 0 of %d words, keys and ids in the mail of %d holders",
		total, s.w.plan.sleep, s.w.plan.speed, 100*share, returnTime, 100*confirmed,
		s.w.plan.holders, s.w.plan.life, s.w.droppers(), s.w.kills, found.needles, found.folders)
	return nil
}

// quantile of sorted durations; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
