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
