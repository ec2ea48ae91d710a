package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"
)

// noon is the time of tests that do not care.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// side is one device with everything a handshake needs.
type side struct {
	Identity
	dh     *DHSecret
	prekey *PrekeySecret
	bundle Bundle
}

func newSide(t testing.TB) *side {
	t.Helper()
	dh, pre := NewDHSecret(), NewPrekey()
	x := &side{dh: dh, prekey: pre, Identity: Identity{Account: newPublic(t), Device: newPublic(t), DH: dh.Public()}}
	spk, kem := pre.Public()
	x.bundle = Bundle{
		Suite: Suite, Owner: x.Identity, SignedPrekey: spk, KEM: kem,
		Bytes: append(append([]byte("bundle"), spk[:]...), kem...),
	}
	return x
}

func newPublic(t testing.TB) ed25519.PublicKey {
	t.Helper()
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
}

// newPair is a fresh initiator and responder.
func newPair(t testing.TB) (a, b *Session) {
	t.Helper()
	x, y := newSide(t), newSide(t)
	a, setup, err := Initiate(x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	b, err = Respond(y.Identity, y.dh, y.prekey, y.bundle.Bytes, x.Identity, setup)
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func mustSeal(t testing.TB, s **Session, text string) []byte {
	t.Helper()
	next, m, err := (*s).Seal(noon, []byte(text), 0)
	if err != nil {
		t.Fatalf("sealing %q: %v", text, err)
	}
	*s = next
	return m
}

func mustOpen(t testing.TB, s **Session, message []byte, want string) {
	t.Helper()
	next, got, err := (*s).Open(noon, message)
	if err != nil {
		t.Fatalf("opening %q: %v", want, err)
	}
	if string(got) != want {
		t.Fatalf("opened %q, want %q", got, want)
	}
	*s = next
}

// mustRefuse checks that s answers ErrOpen and stays as it was.
func mustRefuse(t testing.TB, s *Session, message []byte) {
	t.Helper()
	before := stateOf(t, s)
	next, got, err := s.Open(noon, message)
	if err != ErrOpen || next != nil || got != nil { //nolint:errorlint // exactly this value
		t.Fatalf("refusal gave %v, %q, %v", next, got, err)
	}
	if !bytes.Equal(before, stateOf(t, s)) {
		t.Fatal("a refused message changed the state")
	}
}

func stateOf(t testing.TB, s *Session) []byte {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConversation(t *testing.T) {
	a, b := newPair(t)
	if _, _, err := b.Seal(noon, []byte("too early"), 0); err == nil {
		t.Fatal("responder sealed before it opened anything")
	}
	for range 3 {
		mustOpen(t, &b, mustSeal(t, &a, "hello"), "hello")
		mustOpen(t, &a, mustSeal(t, &b, "and hello to you"), "and hello to you")
		mustOpen(t, &a, mustSeal(t, &b, ""), "")
	}
}
