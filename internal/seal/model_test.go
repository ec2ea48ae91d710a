package seal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"parley/internal/chat"
)

// scheduled is the shipped suite with a KEM schedule of its own: never, or every
// so many steps.
type scheduled struct {
	parleySuite
	every int
	steps *int
}

func (x scheduled) kemDue(*Session, time.Time) bool {
	*x.steps++
	return x.every > 0 && *x.steps%x.every == 0
}

// packet is one message in the model's network.
type packet struct {
	text    string
	bytes   []byte
	damaged bool // its damaged copy has been delivered
	opened  bool // a copy has been delivered
}

// network is two sessions and what is under way to each, against a model that
// knows only the set of sent texts.
type network struct {
	t      *testing.T
	rng    *rand.Rand
	now    time.Time
	sides  [2]*Session
	flight [2][]*packet // to side i
	done   [2][]*packet // delivered there, kept for duplicates
	sent   int
	stats  map[string]int
}

const modelEvents = 20_000

// TestDeliveryModel runs random conversations over a network that reorders,
// loses, repeats and damages: what arrives opens once, to the text that was
// sent, and every refusal leaves the state equal.
func TestDeliveryModel(t *testing.T) {
	for name, every := range map[string]int{"never": 0, "every step": 1, "every third": 3} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, every)
			for range modelEvents {
				n.event()
			}
			n.drain()
			t.Log(n.stats)
			for _, kind := range []string{"opened", "lost", "replayed", "damaged", "overtaken", "restarted"} {
				if n.stats[kind] < modelEvents/100 {
					t.Errorf("only %d %s: the model tests little", n.stats[kind], kind)
				}
			}
			if kem := n.stats["with KEM fields"]; (every > 0) != (kem > n.sent/3) {
				t.Errorf("%d of %d messages with KEM fields", kem, n.sent)
			}
			if n.stats["opened"]+n.stats["lost"] != n.sent {
				t.Errorf("%d sent, %d opened, %d lost", n.sent, n.stats["opened"], n.stats["lost"])
			}
		})
	}
}

func newNetwork(t *testing.T, every int) *network {
	x, y := newSide(t), newSide(t)
	steps := 0
	su := scheduled{every: every, steps: &steps}
	a, setup, err := initiate(su, x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	b, err := respond(su, y.Identity, y.dh, y.prekey, nil, y.bundle.Bytes, x.Identity, setup)
	if err != nil {
		t.Fatal(err)
	}
	return &network{
		t: t, rng: rand.New(rand.NewPCG(1, uint64(every))), now: noon,
		sides: [2]*Session{a, b}, stats: map[string]int{},
	}
}

func (n *network) event() {
	n.now = n.now.Add(time.Duration(n.rng.IntN(20)) * time.Second)
	side := n.rng.IntN(2)
	switch p := n.rng.IntN(100); {
	case p < 45 && len(n.flight[1-side]) < 24 && n.sides[side].send.live:
		n.send(side)
	case p < 90 && len(n.flight[side]) > 0:
		n.deliver(side)
	case p < 95 && len(n.done[side]) > 0:
		n.refuse(side, n.done[side][n.rng.IntN(len(n.done[side]))].bytes)
		n.stats["replayed"]++
	default:
		n.restart(side)
	}
}

func (n *network) send(side int) {
	text := fmt.Sprintf("%d: %x", n.sent, n.rng.Uint64())
	n.sent++
	before := stateOf(n.t, n.sides[side])
	next, m, err := n.sides[side].Seal(n.now, []byte(text), 0)
	if err != nil {
		n.t.Fatal(err)
	}
	if n.sent%16 == 0 && !bytes.Equal(before, stateOf(n.t, n.sides[side])) {
		n.t.Fatal("sealing changed the state it came from")
	}
	n.sides[side] = next
	if next.send.ek != nil || next.send.ct != nil {
		n.stats["with KEM fields"]++
	}
	n.flight[1-side] = append(n.flight[1-side], &packet{text: text, bytes: m})
}

// deliver takes any message under way, the oldest more often.
func (n *network) deliver(side int) {
	queue := n.flight[side]
	i := 0
	if n.rng.IntN(2) == 0 {
		i = n.rng.IntN(len(queue))
	}
	p := queue[i]
	if !p.damaged { // every message is damaged once, before anything else
		p.damaged = true
		bad := bytes.Clone(p.bytes)
		bad[n.rng.IntN(len(bad))] ^= 1 << n.rng.IntN(8)
		n.refuse(side, bad)
		n.stats["damaged"]++
		if n.rng.IntN(3) > 0 {
			return // the genuine copy comes later, behind others
		}
	}
	n.flight[side] = append(append([]*packet(nil), queue[:i]...), queue[i+1:]...)
	if n.rng.IntN(20) == 0 {
		n.stats["lost"]++
		return
	}
	if i > 0 {
		n.stats["overtaken"]++
	}
	n.open(side, p)
}

func (n *network) open(side int, p *packet) {
	next, got, err := n.sides[side].Open(n.now, p.bytes)
	if err != nil {
		n.t.Fatalf("event %d: %q arrived and does not open", n.sent, p.text)
	}
	if string(got) != p.text || p.opened {
		n.t.Fatalf("opened %q, sent was %q, opened before: %v", got, p.text, p.opened)
	}
	p.opened = true
	n.stats["opened"]++
	n.sides[side] = next
	if k := stored(next); k > chat.MaxSkipped || len(next.old) > maxOldHeaders {
		n.t.Fatalf("%d keys and %d header keys stored", k, len(next.old))
	}
	n.done[side] = append(n.done[side], p)
}

func (n *network) refuse(side int, m []byte) {
	before := stateOf(n.t, n.sides[side])
	if _, got, err := n.sides[side].Open(n.now, m); err == nil {
		n.t.Fatalf("opened a message again or damaged: %q", got)
	}
	if !bytes.Equal(before, stateOf(n.t, n.sides[side])) {
		n.t.Fatal("a refused message changed the state")
	}
}

// restart reads the state back from its stored form.
func (n *network) restart(side int) {
	b := stateOf(n.t, n.sides[side])
	s, err := UnmarshalSession(b)
	if err != nil {
		n.t.Fatal(err)
	}
	s.suite = n.sides[side].suite
	if !bytes.Equal(b, stateOf(n.t, s)) {
		n.t.Fatal("a state read back writes other bytes")
	}
	n.sides[side] = s
	n.stats["restarted"]++
}

func (n *network) drain() {
	for side := range n.flight {
		for _, p := range n.flight[side] {
			n.open(side, p)
		}
		for _, p := range n.done[side][max(0, len(n.done[side])-500):] {
			n.refuse(side, p.bytes)
		}
	}
}
