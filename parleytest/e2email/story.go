package main

import (
	"context"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/parleytest/process"
)

const (
	publishTime = 90 * time.Second // until a fresh device is found by its id
	meetTime    = 3 * time.Minute  // one step of getting to know each other
	heldTime    = 5 * time.Minute  // the main batch, until every message is kept
	confirmTime = 2 * time.Minute  // receipts back at the senders
)

// pair is one sender and one receiver.
type pair struct {
	from, to *person
	stranger bool     // they have never spoken before the main batch
	texts    []string // of the main batch
	ids      []string // of the texts, in order
	sent     []time.Time
	hello    string // ids of the first words, both ways
	answer   string
}

// story is what the people do, and what came of it.
type story struct {
	w                  *world
	senders, receivers []*person
	pairs              []*pair
	words              []string // every text of the run
	confirmed          int      // by receipts that were verified
	twice, wrong       int      // messages as the receivers list them
}

// newStory deals the chat lines out.
func newStory(w *world, chatDir string) (*story, error) {
	s := &story{w: w}
	for i := range w.plan.senders {
		s.senders = append(s.senders, newPerson(w, fmt.Sprintf("sender%d", i)))
	}
	for i := range w.plan.receivers {
		s.receivers = append(s.receivers, newPerson(w, fmt.Sprintf("receiver%d", i)))
	}
	var friends []*pair
	for i, from := range s.senders {
		for j, to := range s.receivers {
			p := &pair{from: from, to: to, stranger: i == j && i < w.plan.strangers}
			s.pairs = append(s.pairs, p)
			if !p.stranger {
				friends = append(friends, p)
			}
		}
	}
	// First words are short, without links, and told apart by who says them.
	first, err := process.Lines(chatDir, strangerLines*w.plan.strangers, fitsRequest)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, text := range first {
		used[text] = true
	}
	rest, err := process.Lines(chatDir, w.plan.messages-len(first), func(text string) bool { return !used[text] })
	if err != nil {
		return nil, err
	}
	for _, p := range s.pairs {
		if p.stranger {
			p.texts, first = first[:strangerLines], first[strangerLines:]
		}
	}
	for i, text := range rest {
		p := friends[i%len(friends)]
		p.texts = append(p.texts, text)
	}
	for _, p := range s.pairs {
		s.words = append(s.words, p.texts...)
		if !p.stranger {
			s.words = append(s.words, p.helloText(), p.answerText())
		}
	}
	return s, nil
}

func fitsRequest(text string) bool {
	return utf8.RuneCountInString(text) <= chat.MaxRequestRunes && !strings.Contains(text, ".") && !strings.Contains(text, "/")
}

func (p *pair) helloText() string {
	return fmt.Sprintf("good evening %s, it is %s who writes", p.to.Name(), p.from.Name())
}

func (p *pair) answerText() string {
	return fmt.Sprintf("good morning %s, %s was asleep", p.from.Name(), p.to.Name())
}

// tell is the whole story, from the first words to the last receipt.
func (s *story) tell(ctx context.Context) error {
	process.Pause(ctx, s.w.plan.warm)
	for _, chapter := range []struct {
		name   string
		people []*person
		fn     func(context.Context) error
	}{
		{"receivers show themselves", s.receivers, s.publish},
		{"senders write first words", s.senders, s.greet},
		{"receivers answer", s.receivers, s.answer},
		{"senders write", s.senders, s.write},
		{fmt.Sprintf("everybody sleeps for %s", s.w.plan.sleep), nil, s.sleep},
		{"receivers return", s.receivers, s.receive},
		{"senders return", s.senders, s.confirm},
	} {
		began := time.Now()
		log.Printf("%s", chapter.name)
		if err := during(ctx, chapter.people, chapter.fn); err != nil {
			return fmt.Errorf("%s: %w", chapter.name, err)
		}
		log.Printf("  done in %s", time.Since(began).Round(100*time.Millisecond))
	}
	return nil
}

// publish waits until the network has taken every receiver's records, and a
// node that never met them finds them by id. An infra node asks: what it
// learns stays off the holders.
func (s *story) publish(ctx context.Context) error {
	for _, r := range s.receivers {
		if !await(ctx, publishTime, func() bool { return r.said("records published") }) {
			return fmt.Errorf("the records of %s were not published", r.Name())
		}
		if !await(ctx, publishTime, func() bool {
			found, err := s.w.infra[0].API.Network.FindPeer(ctx, &apiv1.FindPeerRequest{Who: r.Account})
			return err == nil && slices.ContainsFunc(found.Devices, func(d *apiv1.FoundDevice) bool { return d.Source == "dht" })
		}) {
			return fmt.Errorf("%s is not found by its id", r.Name())
		}
	}
	return nil
}

func (s *story) greet(ctx context.Context) error {
	var err error
	for _, p := range s.pairs {
		if p.stranger {
			continue
		}
		if err = p.from.befriend(ctx, p.to); err != nil {
			return err
		}
		if p.hello, err = p.from.write(ctx, p.to, p.helloText()); err != nil {
			return err
		}
	}
	if !await(ctx, meetTime, func() bool {
		return s.all(func(p *pair) int { return p.from.count([]string{p.hello}, apiv1.Delivery_DELIVERY_HELD) })
	}) {
		return fmt.Errorf("first words are not kept: %s", s.stuck(ctx))
	}
	return nil
}

func (s *story) answer(ctx context.Context) error {
	if !await(ctx, meetTime, func() bool { return s.all(func(p *pair) int { return p.to.seen([]string{p.hello}) }) }) {
		return fmt.Errorf("first words did not arrive")
	}
	var err error
	for _, p := range s.pairs {
		if p.stranger {
			continue
		}
		if err = p.to.befriend(ctx, p.from); err != nil {
			return err
		}
		if p.answer, err = p.to.write(ctx, p.from, p.answerText()); err != nil {
			return err
		}
	}
	if !await(ctx, meetTime, func() bool {
		return s.all(func(p *pair) int { return p.to.count([]string{p.answer}, apiv1.Delivery_DELIVERY_HELD) })
	}) {
		return fmt.Errorf("answers are not kept: %s", s.stuck(ctx))
	}
	return nil
}

// all asks every pair that speaks before the main batch for one message.
func (s *story) all(count func(*pair) int) bool {
	for _, p := range s.pairs {
		if !p.stranger && count(p) == 0 {
			return false
		}
	}
	return true
}

// write sends the main batch, the pairs in turn, and waits until it is kept.
func (s *story) write(ctx context.Context) error {
	if !await(ctx, meetTime, func() bool { return s.all(func(p *pair) int { return p.from.seen([]string{p.answer}) }) }) {
		return fmt.Errorf("answers did not arrive")
	}
	began := time.Now()
	for i, more := 0, true; more; i++ {
		more = false
		for _, p := range s.pairs {
			if i >= len(p.texts) {
				continue
			}
			more = true
			id, err := p.from.write(ctx, p.to, p.texts[i])
			if err != nil {
				return err
			}
			p.ids, p.sent = append(p.ids, id), append(p.sent, time.Now())
		}
	}
	log.Printf("  %d messages handed over in %s", s.sum(func(p *pair) int { return len(p.ids) }), time.Since(began).Round(time.Millisecond))
	held := func() int {
		return s.sum(func(p *pair) int { return p.from.count(p.ids, apiv1.Delivery_DELIVERY_HELD) })
	}
	if !await(ctx, heldTime, func() bool { return held() == s.w.plan.messages }) {
		log.Printf("  only %d of %d messages are kept: %s", held(), s.w.plan.messages, s.stuck(ctx))
	}
	log.Printf("  %d kept %s after the first", held(), time.Since(began).Round(time.Second))
	return ctx.Err()
}

func (s *story) sum(of func(*pair) int) (n int) {
	for _, p := range s.pairs {
		n += of(p)
	}
	return n
}

// stuck says where messages are that got nowhere, for a failure.
func (s *story) stuck(ctx context.Context) string {
	var out []string
	for _, p := range append(append([]*person(nil), s.senders...), s.receivers...) {
		out = append(out, p.stuck(ctx)...)
	}
	return strings.Join(out, "; ")
}

// sleep counts from when the senders went down: the receivers sleep longer.
func (s *story) sleep(ctx context.Context) error {
	process.Pause(ctx, s.w.plan.sleep)
	return ctx.Err()
}

// receive lets the mail come in, and the receipts go out.
func (s *story) receive(ctx context.Context) error {
	here := func() int { return s.sum(func(p *pair) int { return p.to.seen(p.ids) }) }
	began := time.Now()
	await(ctx, returnTime, func() bool { return here() == s.w.plan.messages })
	log.Printf("  %d of %d messages here after %s", here(), s.w.plan.messages, time.Since(began).Round(100*time.Millisecond))
	for _, p := range s.pairs {
		if n := p.to.seen(p.ids); n < len(p.ids) {
			log.Printf("  %s to %s, strangers: %t: %d of %d here", p.from.Name(), p.to.Name(), p.stranger, n, len(p.ids))
		}
	}
	process.Pause(ctx, s.w.plan.settle)
	for _, p := range s.pairs {
		twice, wrong, err := p.shown(ctx)
		if err != nil {
			return err
		}
		s.twice, s.wrong = s.twice+twice, s.wrong+wrong
	}
	return ctx.Err()
}

// confirm waits for the receipts that came by mail, and verifies them.
func (s *story) confirm(ctx context.Context) error {
	delivered := func() int {
		return s.sum(func(p *pair) int { return p.from.count(p.ids, apiv1.Delivery_DELIVERY_DELIVERED) })
	}
	await(ctx, confirmTime, func() bool { return delivered() == s.w.plan.messages })
	for _, p := range s.pairs {
		n, err := p.proven(ctx)
		if err != nil {
			return err
		}
		s.confirmed += n
	}
	log.Printf("  %d of %d messages confirmed", s.confirmed, s.w.plan.messages)
	return ctx.Err()
}
