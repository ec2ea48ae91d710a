package seal

import (
	"bytes"
	"testing"
	"time"

	"parley/internal/chat"
)

func TestKEMSchedule(t *testing.T) {
	a, b := newPair(t)
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	offers := func(s *Session) bool { return s.send.ek != nil }
	if !offers(b) || b.kem == nil || offers(a) {
		t.Fatal("the first reply, and only it, offers a key")
	}
	for range 3 { // every message of the chain repeats it; one is enough
		mustSeal(t, &b, "lost")
	}
	mustOpen(t, &a, mustSeal(t, &b, "reply"), "reply")
	if a.send.ct == nil || offers(a) {
		t.Fatal("the next chain answers with a ciphertext")
	}
	if n := a.MessageSize(0); n != Overhead+1+partSize+1088 {
		t.Errorf("size with a ciphertext %d", n)
	}
	mustSeal(t, &a, "lost")
	mustOpen(t, &b, mustSeal(t, &a, "answer"), "answer")
	if b.kem != nil || offers(b) || b.send.ct != nil {
		t.Fatal("the exchange is over after the answer")
	}
	// No key until 50 messages have passed.
	for range 24 {
		mustOpen(t, &a, mustSeal(t, &b, "x"), "x")
		if offers(a) {
			t.Fatal("offered too early")
		}
		mustOpen(t, &b, mustSeal(t, &a, "y"), "y")
		if offers(b) {
			t.Fatal("offered too early")
		}
	}
	mustOpen(t, &a, mustSeal(t, &b, "x"), "x")
	if !offers(a) {
		t.Errorf("no key offered after %d messages", chat.KEMStepMessages)
	}
	mustOpen(t, &b, mustSeal(t, &a, "y"), "y")
	if offers(b) || b.send.ct == nil {
		t.Error("the peer answers and does not offer as well")
	}
	// Or until a day has passed.
	mustOpen(t, &a, mustSeal(t, &b, "x"), "x")
	day := noon.Add(chat.KEMStepAge)
	m := mustSeal(t, &a, "y")
	early, _, err := b.Open(day.Add(-time.Second), m)
	if err != nil || offers(early) {
		t.Errorf("offered before a day is over (%v)", err)
	}
	late, _, err := b.Open(day, m)
	if err != nil || !offers(late) {
		t.Errorf("no key offered after a day (%v)", err)
	}
}

// TestArrivedEndsRepetition: after proof that one message of a chain has been
// opened, later ones go without KEM fields, and nothing else changes.
func TestArrivedEndsRepetition(t *testing.T) {
	a, b := newPair(t)
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	b.mustRepeat(t, true)
	early := [][]byte{mustSeal(t, &b, "0"), mustSeal(t, &b, "1"), mustSeal(t, &b, "2")}
	mustOpen(t, &a, early[1], "1")
	b = b.Arrived(2)
	b.mustRepeat(t, false)
	if b.Lead() != 1 || b.kem == nil {
		t.Fatalf("lead %d, outstanding key %v", b.Lead(), b.kem != nil)
	}
	late := [][]byte{mustSeal(t, &b, "3"), mustSeal(t, &b, "4"), mustSeal(t, &b, "5")}
	if len(late[0]) != Overhead+2 {
		t.Errorf("message of %d bytes", len(late[0]))
	}
	// With and without fields, in any order, and again in the chain after.
	mustOpen(t, &a, late[1], "4")
	mustOpen(t, &a, early[2], "2")
	a.mustRepeat(t, true)
	answers := [][]byte{mustSeal(t, &a, "answer 0"), mustSeal(t, &a, "answer 1")}
	mustOpen(t, &b, answers[1], "answer 1")
	a = a.Arrived(a.Sent())
	a.mustRepeat(t, false)
	mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
	mustOpen(t, &a, late[0], "3")
	mustOpen(t, &a, early[0], "0")
	mustOpen(t, &a, late[2], "5")
	mustOpen(t, &b, answers[0], "answer 0")
	for _, m := range append(early, late...) {
		mustRefuse(t, a, m)
	}
	for range 60 { // both ends made the same root steps
		mustOpen(t, &b, mustSeal(t, &a, "x"), "x")
		mustOpen(t, &a, mustSeal(t, &b, "y"), "y")
	}
}

func (s *Session) mustRepeat(t *testing.T, want bool) {
	t.Helper()
	if s.Repeats() != want || (s.MessageSize(0) == Overhead+1) == want {
		t.Fatalf("repeats is %v, smallest message %d", s.Repeats(), s.MessageSize(0))
	}
}

// TestArrivedIsOfThisChain: a message of another chain, or one that was never
// sealed, proves nothing about this one.
func TestArrivedIsOfThisChain(t *testing.T) {
	a, b := newPair(t)
	mustSeal(t, &a, "1")
	mustOpen(t, &b, mustSeal(t, &a, "2"), "2")
	mustOpen(t, &a, mustSeal(t, &b, "offer"), "offer")
	for _, number := range []uint64{0, 1, 2, 3, 1 << 63} {
		a.Arrived(number).mustRepeat(t, true) // nothing sealed in this chain yet
	}
	mustSeal(t, &a, "3")
	for _, number := range []uint64{0, 1, 2, 4, 1 << 63} {
		a.Arrived(number).mustRepeat(t, true)
	}
	a.Receipted(3).mustRepeat(t, true) // a receipt alone does not say which copy came
	before := stateOf(t, a)
	a.Arrived(3).mustRepeat(t, false)
	a.Receipted(3).Arrived(3).mustRepeat(t, false)
	if !bytes.Equal(before, stateOf(t, a)) {
		t.Error("Arrived changed the session it came from")
	}
	// Told wrongly, the chain cannot be entered: refused, never misread.
	wrong := a.Arrived(3)
	mustRefuse(t, b, mustSeal(t, &wrong, "without"))
	mustOpen(t, &b, mustSeal(t, &a, "with"), "with")
}

// TestUnansweredKEMKeyIsRefused is a downgrade inside the session: a chain that
// owes a ciphertext has none, or answers what nobody asked.
func TestUnansweredKEMKeyIsRefused(t *testing.T) {
	a, b := newPair(t)
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	mustOpen(t, &a, mustSeal(t, &b, "offer"), "offer")
	mute := *a
	mute.send.ct = nil
	x := &mute
	mustRefuse(t, b, mustSeal(t, &x, "no answer"))

	mustOpen(t, &b, mustSeal(t, &a, "answer"), "answer")
	mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
	loud := *a
	loud.send.ct = make([]byte, 1088)
	x = &loud
	mustRefuse(t, b, mustSeal(t, &x, "not asked"))
	odd := *a
	odd.send.ek = bytes.Repeat([]byte{0xff}, 1184)
	x = &odd
	mustRefuse(t, b, mustSeal(t, &x, "malformed key"))
	mustOpen(t, &b, mustSeal(t, &a, "honest"), "honest")
}

// deaf is a peer that ignores offered KEM keys and goes on consistently, without
// mixing in a secret.
type deaf struct{ parleySuite }

func (x deaf) locate(s *Session, message []byte) (place, bool) {
	at, ok := x.parleySuite.locate(s, message)
	at.ek = nil
	return at, ok
}

func (deaf) kemDue(*Session, time.Time) bool { return false }

func TestPeerThatIgnoresTheKEMKeyIsRefused(t *testing.T) {
	a, b := newPair(t)
	a.suite = deaf{}
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	mustOpen(t, &a, mustSeal(t, &b, "offer"), "offer")
	mustRefuse(t, b, mustSeal(t, &a, "X25519 only"))
}
