package seal

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"

	"parley/internal/chat"
)

// handshakeArgs is everything Respond is given, so that a test can spoil one.
type handshakeArgs struct {
	self    Identity
	dh      *DHSecret
	pre     *PrekeySecret
	oneTime *DHSecret
	bundle  []byte
	peer    Identity
	setup   Setup
}

func (h handshakeArgs) opens(message []byte) bool {
	s, err := RespondOneTime(h.self, h.dh, h.pre, h.oneTime, h.bundle, h.peer, h.setup)
	if err != nil {
		return false
	}
	_, _, err = s.Open(noon, message)
	return err == nil
}

// TestTranscriptBindsEveryField spoils one thing at a time at the responder:
// no session may come of it.
func TestTranscriptBindsEveryField(t *testing.T) {
	x, y, z := newSide(t), newSide(t), newSide(t)
	oneTime := NewDHSecret()
	y.bundle.OneTime = &OneTimeKey{ID: []byte("id-7"), Key: oneTime.Public()}
	a, setup, err := Initiate(x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	message := mustSeal(t, &a, "hello")
	good := handshakeArgs{y.Identity, y.dh, y.prekey, oneTime, y.bundle.Bytes, x.Identity, setup}
	if !good.opens(message) {
		t.Fatal("the honest handshake does not open")
	}
	mixed := func(signed, kem *PrekeySecret) *PrekeySecret {
		return &PrekeySecret{signed: signed.signed, kem: kem.kem}
	}
	for name, spoil := range map[string]func(*handshakeArgs){
		"account of a":  func(h *handshakeArgs) { h.peer.Account = z.Account },
		"device of a":   func(h *handshakeArgs) { h.peer.Device = z.Device },
		"IK of a":       func(h *handshakeArgs) { h.peer.DH = z.DH },
		"account of b":  func(h *handshakeArgs) { h.self.Account = z.Account },
		"device of b":   func(h *handshakeArgs) { h.self.Device = z.Device },
		"IK of b":       func(h *handshakeArgs) { h.self.DH, h.dh = z.DH, z.dh },
		"bundle":        func(h *handshakeArgs) { h.bundle = flip(h.bundle, len(h.bundle)-1) },
		"longer bundle": func(h *handshakeArgs) { h.bundle = append(bytes.Clone(h.bundle), 0) },
		"EK":            func(h *handshakeArgs) { h.setup.Ephemeral = z.DH },
		"ct":            func(h *handshakeArgs) { h.setup.KEM = flip(h.setup.KEM, 0) },
		"opk id":        func(h *handshakeArgs) { h.setup.OneTimeID = []byte("id-8") },
		"OPK":           func(h *handshakeArgs) { h.oneTime = z.dh },
		"no OPK":        func(h *handshakeArgs) { h.oneTime, h.setup.OneTimeID = nil, nil },
		"SPK":           func(h *handshakeArgs) { h.pre = mixed(z.prekey, y.prekey) },
		"PQ":            func(h *handshakeArgs) { h.pre = mixed(y.prekey, z.prekey) },
	} {
		h := good
		spoil(&h)
		if h.opens(message) {
			t.Errorf("%s changed, and the session opens", name)
		}
	}
}

// TestTranscriptFraming changes T's input without changing what keys come out
// of the agreement, where lengths must keep neighbours apart.
func TestTranscriptFraming(t *testing.T) {
	x, y := newSide(t), newSide(t)
	setup := Setup{KEM: []byte("ciphertext")}
	base := transcript(x.Identity, y.Identity, []byte("bundle"), setup, []byte("opk"))
	seen := map[[32]byte]string{base: "base"}
	swapped := x.Identity
	swapped.Account, swapped.Device = x.Device, x.Account
	other := setup
	other.KEM = []byte("iphertext")
	ek := setup
	ek.Ephemeral[31] = 1
	for name, got := range map[string][32]byte{
		"sides swapped":             transcript(y.Identity, x.Identity, []byte("bundle"), setup, []byte("opk")),
		"account and device swap":   transcript(swapped, y.Identity, []byte("bundle"), setup, []byte("opk")),
		"byte moved from ct to opk": transcript(x.Identity, y.Identity, []byte("bundle"), other, []byte("opkc")),
		"opk in the bundle":         transcript(x.Identity, y.Identity, []byte("bundleopk"), setup, nil),
		"EK":                        transcript(x.Identity, y.Identity, []byte("bundle"), ek, []byte("opk")),
		"no opk":                    transcript(x.Identity, y.Identity, []byte("bundle"), setup, nil),
	} {
		if was, ok := seen[got]; ok {
			t.Errorf("%s has the same transcript as %s", name, was)
		}
		seen[got] = name
	}
}

func TestInitiateRefuses(t *testing.T) {
	x, y := newSide(t), newSide(t)
	for name, spoil := range map[string]func(*Bundle){
		"no PQ key":       func(b *Bundle) { b.KEM = nil },
		"short PQ key":    func(b *Bundle) { b.KEM = b.KEM[:1183] },
		"malformed PQ":    func(b *Bundle) { b.KEM = bytes.Repeat([]byte{0xff}, 1184) },
		"lower suite":     func(b *Bundle) { b.Suite = 0 },
		"unknown suite":   func(b *Bundle) { b.Suite = 2 },
		"zero SPK":        func(b *Bundle) { b.SignedPrekey = [32]byte{} },
		"low order SPK":   func(b *Bundle) { b.SignedPrekey = [32]byte{1} },
		"zero IK":         func(b *Bundle) { b.Owner.DH = [32]byte{} },
		"no account":      func(b *Bundle) { b.Owner.Account = nil },
		"short device":    func(b *Bundle) { b.Owner.Device = ed25519.PublicKey{1} },
		"no bundle bytes": func(b *Bundle) { b.Bytes = nil },
		"huge bundle":     func(b *Bundle) { b.Bytes = make([]byte, 1<<16) },
		"zero OPK":        func(b *Bundle) { b.OneTime = &OneTimeKey{ID: []byte("x")} },
		"OPK without id":  func(b *Bundle) { b.OneTime = &OneTimeKey{Key: x.DH} },
		"OPK of long id":  func(b *Bundle) { b.OneTime = &OneTimeKey{ID: make([]byte, 65), Key: x.DH} },
	} {
		b := y.bundle
		spoil(&b)
		if s, _, err := Initiate(x.Identity, x.dh, b); err == nil || s != nil {
			t.Errorf("%s: got a session", name)
		}
	}
	if _, _, err := Initiate(x.Identity, y.dh, y.bundle); !errors.Is(err, chat.ErrInvalid) {
		t.Errorf("DH secret of another identity: %v", err)
	}
}

func TestRespondRefuses(t *testing.T) {
	x, y := newSide(t), newSide(t)
	_, setup, err := Initiate(x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*handshakeArgs){
		"no ct":         func(h *handshakeArgs) { h.setup.KEM = nil },
		"long ct":       func(h *handshakeArgs) { h.setup.KEM = append(bytes.Clone(h.setup.KEM), 0) },
		"zero EK":       func(h *handshakeArgs) { h.setup.Ephemeral = [32]byte{} },
		"low order IK":  func(h *handshakeArgs) { h.peer.DH = [32]byte{1} },
		"no account":    func(h *handshakeArgs) { h.peer.Account = nil },
		"empty bundle":  func(h *handshakeArgs) { h.bundle = nil },
		"opk id no key": func(h *handshakeArgs) { h.setup.OneTimeID = []byte("x") },
		"key no opk id": func(h *handshakeArgs) { h.oneTime = x.dh },
		"long opk id":   func(h *handshakeArgs) { h.setup.OneTimeID, h.oneTime = make([]byte, 65), x.dh },
	} {
		h := handshakeArgs{y.Identity, y.dh, y.prekey, nil, y.bundle.Bytes, x.Identity, setup}
		spoil(&h)
		s, err := RespondOneTime(h.self, h.dh, h.pre, h.oneTime, h.bundle, h.peer, h.setup)
		if err != ErrOpen || s != nil { //nolint:errorlint // exactly this value
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKEMSecretMatters gives an attacker every DH result: without the KEM
// secret no key is right, neither at the handshake nor at a KEM step.
func TestKEMSecretMatters(t *testing.T) {
	dhs, ss := bytes.Repeat([]byte{7}, 96), bytes.Repeat([]byte{8}, 32)
	s := newSession(parleySuite{}, [32]byte{1}, [32]byte{})
	keys := func(ss []byte) []key {
		root, hk, nhk := s.suite.handshakeKDF(s, dhs, ss)
		r, c, n := s.suite.rootKDF(root, dhs[:32], ss)
		r2, c2, n2 := s.suite.rootKDF(key{1}, dhs[:32], ss)
		return []key{root, hk, nhk, r, c, n, r2, c2, n2}
	}
	with := keys(ss)
	for name, other := range map[string][]byte{"no secret": nil, "a zero secret": make([]byte, 32), "one bit": flip(ss, 31)} {
		for i, k := range keys(other) {
			if slices.Contains(with, k) {
				t.Errorf("%s gives key %d", name, i)
			}
		}
	}

	x, y := newSide(t), newSide(t)
	a, setup, err := Initiate(x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	message := mustSeal(t, &a, "hello")
	noKEM := &PrekeySecret{signed: y.prekey.signed, kem: newKEMKey()}
	b, err := Respond(y.Identity, y.dh, noKEM, y.bundle.Bytes, x.Identity, setup)
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, b, message)
}

func TestSetupRidesUntilAnswered(t *testing.T) {
	x, y := newSide(t), newSide(t)
	a, setup, err := Initiate(x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Respond(y.Identity, y.dh, y.prekey, y.bundle.Bytes, x.Identity, setup)
	if err != nil {
		t.Fatal(err)
	}
	if a.ID() != b.ID() || a.Ephemeral() != b.Ephemeral() || a.Answered() || b.Answered() {
		t.Fatal("the sides disagree about the session")
	}
	first := mustSeal(t, &a, "one")
	a, err = UnmarshalSession(stateOf(t, a)) // a restart keeps the set-up
	if err != nil {
		t.Fatal(err)
	}
	again, ok := a.Setup()
	if !ok || again.Ephemeral != setup.Ephemeral || !bytes.Equal(again.KEM, setup.KEM) || again.Bundle != setup.Bundle {
		t.Fatal("the set-up is not repeated")
	}
	again.KEM[0] ^= 1 // the caller's copy, not the session's
	if twice, _ := a.Setup(); !bytes.Equal(twice.KEM, setup.KEM) {
		t.Fatal("a caller changed the session's set-up")
	}
	mustOpen(t, &b, first, "one")
	mustOpen(t, &a, mustSeal(t, &b, "two"), "two")
	if _, ok := a.Setup(); ok || !a.Answered() || !b.Answered() {
		t.Fatal("the set-up goes on after the answer")
	}
}

func TestSecretsMarshal(t *testing.T) {
	x, y := newSide(t), newSide(t)
	a, setup, err := Initiate(x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	var dh DHSecret
	var pre PrekeySecret
	for _, pair := range []struct {
		from interface{ MarshalBinary() ([]byte, error) }
		to   interface{ UnmarshalBinary([]byte) error }
	}{{y.dh, &dh}, {y.prekey, &pre}, {NewBoxSecret(), new(BoxSecret)}} {
		b, err := pair.from.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string][]byte{
			"empty": nil, "newer": append([]byte{b[0] + 1}, b[1:]...), "version 0": append([]byte{0}, b[1:]...),
			"short": b[:len(b)-1], "long": append(bytes.Clone(b), 0),
		} {
			if err := pair.to.UnmarshalBinary(bad); !errors.Is(err, chat.ErrInvalid) {
				t.Errorf("%T, %s: %v", pair.to, name, err)
			}
		}
		if err := pair.to.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
	}
	b, err := Respond(y.Identity, &dh, &pre, y.bundle.Bytes, x.Identity, setup)
	if err != nil {
		t.Fatal(err)
	}
	mustOpen(t, &b, mustSeal(t, &a, "hello"), "hello")
}

// flip is b with the lowest bit of byte i turned.
func flip(b []byte, i int) []byte {
	out := bytes.Clone(b)
	out[i] ^= 1
	return out
}
