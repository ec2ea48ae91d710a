package seal

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"parley/internal/chat"
)

// sessionsOfEveryKind are states with each optional part.
func sessionsOfEveryKind(t testing.TB) map[string]*Session {
	t.Helper()
	out := map[string]*Session{}
	x, y := newSide(t), newSide(t)
	oneTime := NewDHSecret()
	y.bundle.OneTime = &OneTimeKey{ID: []byte("12345678"), Key: oneTime.Public()}
	a, setup, err := Initiate(x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	b, err := RespondOneTime(y.Identity, y.dh, y.prekey, oneTime, y.bundle.Bytes, x.Identity, setup)
	if err != nil {
		t.Fatal(err)
	}
	out["initiated"], out["responding"] = a, b
	mustSeal(t, &a, "lost")
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	out["offering a KEM key"] = b
	mustOpen(t, &a, mustSeal(t, &b, "reply"), "reply")
	out["answering with a ciphertext"] = a
	mustSeal(t, &a, "lost")
	mustOpen(t, &b, mustSeal(t, &a, "answer"), "answer")
	out["old keys"] = b.Receipted(1)
	return out
}

func TestSessionAtRest(t *testing.T) {
	for name, s := range sessionsOfEveryKind(t) {
		b := stateOf(t, s)
		back, err := UnmarshalSession(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(stateOf(t, back), b) {
			t.Errorf("%s: a state read back writes other bytes", name)
		}
		clear(b) // the session keeps none of the caller's bytes
		if !bytes.Equal(stateOf(t, back), stateOf(t, s)) {
			t.Errorf("%s: the session shares memory with what it was read from", name)
		}
	}
}

func TestUnmarshalSessionRefuses(t *testing.T) {
	for name, s := range sessionsOfEveryKind(t) {
		b := stateOf(t, s)
		for n := range b {
			if _, err := UnmarshalSession(b[:n]); !errors.Is(err, chat.ErrInvalid) {
				t.Fatalf("%s, cut at %d: %v", name, n, err)
			}
		}
		for what, bad := range map[string][]byte{
			"longer":       append(bytes.Clone(b), 0),
			"newer":        append([]byte{sessionVersion + 1}, b[1:]...),
			"version 0":    append([]byte{0}, b[1:]...),
			"other suite":  append([]byte{sessionVersion, 0, 2}, b[3:]...),
			"unknown part": append([]byte{sessionVersion, 0, 1, 0x80 | b[3]}, b[4:]...),
		} {
			if got, err := UnmarshalSession(bad); !errors.Is(err, chat.ErrInvalid) || got != nil {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

// TestUnmarshalSessionCounts claims more keys than the bounds or the bytes
// allow: refused before allocating for them.
func TestUnmarshalSessionCounts(t *testing.T) {
	a, _ := newPair(t)
	b := stateOf(t, a)
	claim := append(bytes.Clone(b[:len(b)-3]), 0xff, 0xff, 0) // 65535 skipped keys
	if _, err := UnmarshalSession(append(claim, make([]byte, 65535*skippedKeySize)...)); err == nil {
		t.Error("65535 skipped keys accepted")
	}
	unsorted := *a
	unsorted.current = &generation{keys: []skippedKey{{n: 2}, {n: 1}}}
	if _, err := UnmarshalSession(stateOf(t, &unsorted)); err == nil {
		t.Error("unsorted skipped keys accepted")
	}
	many := *a
	for range maxOldHeaders + 1 {
		many.old = append(many.old, &generation{keys: []skippedKey{{n: 2}}})
	}
	if _, err := UnmarshalSession(stateOf(t, &many)); err == nil {
		t.Error("21 old header keys accepted")
	}
	over := *a
	over.old = []*generation{{keys: make([]skippedKey, 1500)}, {keys: make([]skippedKey, 501)}}
	for _, g := range over.old {
		for i := range g.keys {
			g.keys[i].n = uint32(i)
		}
	}
	if _, err := UnmarshalSession(stateOf(t, &over)); err == nil {
		t.Error("2001 skipped keys accepted")
	}
	per := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			_, _ = UnmarshalSession(claim)
		}
	})
	if n := per.AllocedBytesPerOp(); n > int64(4*len(claim)+64<<10) {
		t.Errorf("a false count allocates %d bytes", n)
	}
}

func TestSessionGoesOnAfterRest(t *testing.T) {
	a, b := newPair(t)
	rest := func(s **Session) {
		back, err := UnmarshalSession(stateOf(t, *s))
		if err != nil {
			t.Fatal(err)
		}
		*s = back
	}
	now := noon
	for range 6 {
		now = now.Add(13 * time.Hour) // KEM steps now and then
		rest(&a)
		next, m, err := a.Seal(now, []byte("to b"), 0)
		if err != nil {
			t.Fatal(err)
		}
		a = next
		rest(&b)
		if b, _, err = b.Open(now, m); err != nil {
			t.Fatal(err)
		}
		rest(&b)
		if b, m, err = b.Seal(now, []byte("to a"), 0); err != nil {
			t.Fatal(err)
		}
		rest(&a)
		if a, _, err = a.Open(now, m); err != nil {
			t.Fatal(err)
		}
	}
}
