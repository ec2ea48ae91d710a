package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"testing"

	"parley/internal/chat"
)

// frozenSessions are the stored states of the frozen vectors, the same in every
// process of a fuzzing run: a and b before the first message, then at the end.
func frozenSessions(t testing.TB) (v frozen, s []*Session) {
	t.Helper()
	b, err := os.ReadFile("testdata/parley-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	for _, b := range v.Sessions {
		x, err := UnmarshalSession(b)
		if err != nil {
			t.Fatal(err)
		}
		s = append(s, x)
	}
	return v, s
}

// FuzzOpen feeds bytes to sessions at rest. Only the messages that were sealed
// for them may open.
func FuzzOpen(f *testing.F) {
	v, sessions := frozenSessions(f)
	genuine := map[string]bool{}
	for _, m := range v.Ratchet.Messages {
		f.Add([]byte(m.Message))
		genuine[string(m.Message)] = true
		f.Add([]byte(m.Message[:len(m.Message)-1]))
	}
	f.Add([]byte{})
	f.Add(make([]byte, Overhead))
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, i := range []int{1, 3} { // b at the start, b at the end
			s := sessions[i]
			next, _, err := s.Open(noon, message)
			if err == nil && !genuine[string(message)] {
				t.Fatalf("session %d opens what nobody sealed", i)
			}
			if err != nil && (next != nil || !errors.Is(err, ErrOpen)) {
				t.Fatal(next, err)
			}
			want(t, "state", stateOf(t, s), v.Sessions[i])
		}
	})
}

// FuzzHeader is a malicious contact: it holds the right keys and says what it
// likes in header and KEM part, in the current chain or the next.
func FuzzHeader(f *testing.F) {
	for _, next := range []bool{false, true} {
		f.Add(next, make([]byte, 32), uint32(0), uint32(0), uint16(0), []byte{0x80})
		f.Add(next, bytes.Repeat([]byte{9}, 32), uint32(1), uint32(1000), uint16(1184), []byte("text\x80"))
		f.Add(next, []byte{}, uint32(1<<31), uint32(1<<31), uint16(1088), []byte{})
		f.Add(next, []byte{}, uint32(1), uint32(1<<32-1), uint16(2272), []byte{0})
		f.Add(next, []byte{}, uint32(1), uint32(5), uint16(3), []byte("\x80"))
	}
	_, sessions := frozenSessions(f)
	victim, peer := sessions[3], sessions[2]
	fuzz := func(t *testing.T, next bool, ratchet []byte, pn, n uint32, kem uint16, body []byte) {
		liar := *peer
		if !next {
			// Behind the victim's current chain: its keys, some other number.
			liar.send.header, liar.send.chain = victim.recv.header, victim.recv.chain
			liar.self.public = victim.peer
		}
		if len(ratchet) == 32 {
			liar.self.public = [32]byte(ratchet)
		}
		liar.send.pn, liar.send.n = pn, n
		liar.send.ek, liar.send.ct = nil, nil
		if kem&1 != 0 || kem == 1184 || kem == 2272 {
			liar.send.ek = bytes.Repeat([]byte{byte(kem >> 8)}, 1184)
		}
		if kem&2 != 0 || kem == 1088 || kem == 2272 {
			liar.send.ct = bytes.Repeat([]byte{byte(kem >> 8)}, 1088)
		}
		mk, _ := chainStep(liar.send.chain)
		m := parleySuite{}.seal(&liar, mk, nil, 1)
		m = withBody(&liar, mk, m[:len(m)-partSize-1], body)
		before := stateOf(t, victim)
		after, _, err := victim.Open(noon, m)
		want(t, "state", stateOf(t, victim), before)
		if err != nil {
			return
		}
		if stored(after) > chat.MaxSkipped || len(after.old) > maxOldHeaders {
			t.Fatalf("%d keys, %d header keys", stored(after), len(after.old))
		}
		back, err := UnmarshalSession(stateOf(t, after))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "state read back", stateOf(t, back), stateOf(t, after))
	}
	f.Fuzz(fuzz)
}

func FuzzBoxOpen(f *testing.F) {
	v, _ := frozenSessions(f)
	box := boxSecretOf([boxSeedSize]byte(v.Box.Seed))
	f.Add([]byte(v.Box.Blob))
	f.Add([]byte(v.Box.Blob[:BoxOverhead]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, blob []byte) {
		text, err := box.Open(blob)
		if err == nil && (!bytes.Equal(blob, v.Box.Blob) || string(text) != v.Box.Text) {
			t.Fatal("opened what nobody sealed")
		}
		if err != nil && !errors.Is(err, ErrOpen) {
			t.Fatal(err)
		}
	})
}

// FuzzUnmarshalSession: what decodes encodes to the same bytes, keeps the
// bounds, and can be used without a panic.
func FuzzUnmarshalSession(f *testing.F) {
	v, _ := frozenSessions(f)
	for _, b := range v.Sessions {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := UnmarshalSession(b)
		if err != nil {
			if s != nil || !errors.Is(err, chat.ErrInvalid) {
				t.Fatal(s, err)
			}
			return
		}
		want(t, "state", stateOf(t, s), b)
		if stored(s) > chat.MaxSkipped || len(s.old) > maxOldHeaders {
			t.Fatalf("%d keys, %d header keys", stored(s), len(s.old))
		}
		if next, m, err := s.Seal(noon, []byte("text"), 0); err == nil {
			_, _, _ = next.Open(noon, m)
		}
		for _, m := range v.Ratchet.Messages {
			_, _, _ = s.Open(noon, m.Message)
		}
		s.Expire(noon)
	})
}

// allocated is what one call of f allocates.
func allocated(f func()) uint64 {
	const runs = 20
	var before, after runtime.MemStats
	f()
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// TestAllocationBound: bytes from a stranger make us allocate four times their
// length and 64 KiB at most, whatever they are.
func TestAllocationBound(t *testing.T) {
	v, sessions := frozenSessions(t)
	box := boxSecretOf([boxSeedSize]byte(v.Box.Seed))
	var inputs [][]byte
	for _, size := range []int{0, 1, Overhead, 1 << 10, 4 << 10, 63 << 10} {
		inputs = append(inputs, make([]byte, size))
	}
	for _, m := range v.Ratchet.Messages {
		inputs = append(inputs, m.Message, flip(m.Message, len(m.Message)-1), flip(m.Message, 90), m.Message[:100])
	}
	inputs = append(inputs, v.Box.Blob, flip(v.Box.Blob, 30), flip(v.Box.Blob, len(v.Box.Blob)-1))
	for _, b := range v.Sessions {
		inputs = append(inputs, b, flip(b, len(b)-3), flip(b, len(b)-2))
	}
	var most uint64
	for _, in := range inputs {
		for name, f := range map[string]func(){
			"session":   func() { _, _, _ = sessions[1].Open(noon, in) },
			"old":       func() { _, _, _ = sessions[3].Open(noon, in) },
			"box":       func() { _, _ = box.Open(in) },
			"unmarshal": func() { _, _ = UnmarshalSession(in) },
		} {
			n := allocated(f)
			most = max(most, n)
			if n > uint64(4*len(in)+64<<10) {
				t.Errorf("%s: %d bytes of input allocate %d", name, len(in), n)
			}
		}
	}
	t.Logf("at most %d bytes", most)
}

// TestSkipMemory: a contact that skips as far as it may costs a bounded state
// and bounded garbage.
func TestSkipMemory(t *testing.T) {
	a, b := newPair(t)
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	for range chat.MaxSkip {
		mustSeal(t, &a, "lost")
	}
	mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
	for range chat.MaxSkip {
		mustSeal(t, &a, "lost")
	}
	m := mustSeal(t, &a, "far")
	bad := flip(m, len(m)-1)
	n := allocated(func() { _, _, _ = b.Open(noon, bad) })
	t.Logf("2000 skipped numbers allocate %d bytes", n)
	if n > 4<<20 {
		t.Errorf("2000 skipped numbers allocate %d bytes", n)
	}
	mustOpen(t, &b, m, "far")
	if size := len(stateOf(t, b)); size > 100<<10 {
		t.Errorf("the fullest state has %d bytes", size)
	}
}

// TestHeaderNumbersAreBigEndian pins the byte order that recompute.py reads.
func TestHeaderNumbersAreBigEndian(t *testing.T) {
	a, b := newPair(t)
	a.send.pn, a.send.n = 0x01020304, 5
	mk, _ := chainStep(a.send.chain)
	m := parleySuite{}.seal(a, mk, nil, 1)
	h, err := newAEAD(b.nextRecv).Open(nil, m[:24], m[24:headerPart], associated(b.bind, 0))
	if err != nil {
		t.Fatal(err)
	}
	if binary.BigEndian.Uint32(h[32:]) != 0x01020304 || binary.BigEndian.Uint32(h[36:]) != 5 || h[40] != 0 {
		t.Errorf("header ends in %x", h[32:])
	}
}
