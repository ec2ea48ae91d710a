package seal

import (
	"testing"

	"parley/internal/chat"
)

// sink keeps results alive.
var sink any

var benchText = make([]byte, 200)

func benchSeal(b *testing.B, s *Session) (*Session, []byte) {
	next, m, err := s.Seal(noon, benchText, 0)
	if err != nil {
		b.Fatal(err)
	}
	return next, m
}

func benchOpen(b *testing.B, s *Session, m []byte) *Session {
	next, _, err := s.Open(noon, m)
	if err != nil {
		b.Fatal(err)
	}
	return next
}

// BenchmarkSeal is 200 bytes on one chain.
func BenchmarkSeal(b *testing.B) {
	s, _ := newPair(b)
	for b.Loop() {
		s, _ = benchSeal(b, s)
	}
}

// BenchmarkSealOpenText is a text as it travels: a blob of 1 KiB.
func BenchmarkSealOpenText(b *testing.B) {
	s, r := newPair(b)
	text := make([]byte, 420)
	for b.Loop() {
		next, m, err := s.Seal(noon, text, chat.BlobSizes[0])
		if err != nil {
			b.Fatal(err)
		}
		s, r = next, benchOpen(b, r, m)
	}
}

// BenchmarkSealOpen is 200 bytes there, on one chain.
func BenchmarkSealOpen(b *testing.B) {
	s, r := newPair(b)
	for b.Loop() {
		var m []byte
		s, m = benchSeal(b, s)
		r = benchOpen(b, r, m)
	}
}

// BenchmarkSealOpenAtRest adds what a database does: the state is read and
// written around each.
func BenchmarkSealOpenAtRest(b *testing.B) {
	s, r := newPair(b)
	rest := func(s *Session) *Session {
		back, err := UnmarshalSession(stateOf(b, s))
		if err != nil {
			b.Fatal(err)
		}
		return back
	}
	for b.Loop() {
		var m []byte
		s, m = benchSeal(b, rest(s))
		r = benchOpen(b, rest(r), m)
	}
}

// BenchmarkTurn is one message and a DH step, with KEM steps at some rate.
func BenchmarkTurn(b *testing.B) {
	for name, every := range map[string]int{"never": 0, "every20": 20, "every": 1} {
		b.Run(name, func(b *testing.B) {
			s, r := newPair(b)
			steps := 0
			su := scheduled{every: every, steps: &steps}
			s.suite, r.suite = su, su
			for b.Loop() {
				var m []byte
				s, m = benchSeal(b, s)
				r = benchOpen(b, r, m)
				s, r = r, s
			}
		})
	}
}

// BenchmarkOpenSkipped opens an overtaken message out of 2000 stored keys.
func BenchmarkOpenSkipped(b *testing.B) {
	s, r := newPair(b)
	var late []byte
	for i := range 2 * 999 {
		next, m := benchSeal(b, s)
		if s = next; i == 500 {
			late = m
		}
		if i == 998 {
			r = benchOpen(b, r, m)
		}
	}
	_, m := benchSeal(b, s)
	r = benchOpen(b, r, m)
	for b.Loop() {
		sink = benchOpen(b, r, late)
	}
}

// BenchmarkSkip1000 is the dearest message on one chain.
func BenchmarkSkip1000(b *testing.B) {
	s, r := newPair(b)
	s, m := benchSeal(b, s)
	r = benchOpen(b, r, m)
	for range 1000 {
		s, _ = benchSeal(b, s)
	}
	_, m = benchSeal(b, s)
	for b.Loop() {
		sink = benchOpen(b, r, m)
	}
}

// BenchmarkRefuse is a foreign blob at a session with 20 old header keys.
func BenchmarkRefuse(b *testing.B) {
	s, r := newPair(b)
	for range 21 {
		var m []byte
		s, _ = benchSeal(b, s)
		s, m = benchSeal(b, s)
		r = benchOpen(b, r, m)
		r, m = benchSeal(b, r)
		s = benchOpen(b, s, m)
	}
	m := make([]byte, 1<<10)
	for b.Loop() {
		if _, _, err := r.Open(noon, m); err == nil {
			b.Fatal("opened")
		}
	}
}

func BenchmarkInitiate(b *testing.B) {
	x, y := newSide(b), newSide(b)
	for b.Loop() {
		s, _, err := Initiate(x.Identity, x.dh, y.bundle)
		if err != nil {
			b.Fatal(err)
		}
		sink = s
	}
}

func BenchmarkRespond(b *testing.B) {
	x, y := newSide(b), newSide(b)
	_, setup, err := Initiate(x.Identity, x.dh, y.bundle)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Respond(y.Identity, y.dh, y.prekey, y.bundle.Bytes, x.Identity, setup)
		if err != nil {
			b.Fatal(err)
		}
		sink = s
	}
}

func BenchmarkNewPrekey(b *testing.B) {
	for b.Loop() {
		sink = NewPrekey()
	}
}

func BenchmarkMarshalSession(b *testing.B) {
	s, _ := newPair(b)
	for b.Loop() {
		sink = stateOf(b, s)
	}
}

func BenchmarkSealBox(b *testing.B) {
	public := NewBoxSecret().Public()
	for b.Loop() {
		blob, err := SealBox(public, benchText, 4<<10)
		if err != nil {
			b.Fatal(err)
		}
		sink = blob
	}
}

func BenchmarkOpenBox(b *testing.B) {
	k := NewBoxSecret()
	blob, err := SealBox(k.Public(), benchText, 4<<10)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.Open(blob); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGarbageBox is a flooder's blob.
func BenchmarkGarbageBox(b *testing.B) {
	k, blob := NewBoxSecret(), make([]byte, 4<<10)
	for b.Loop() {
		if _, err := k.Open(blob); err == nil {
			b.Fatal("opened")
		}
	}
}

func BenchmarkSafetyNumber(b *testing.B) {
	x, y := PartyOf(newPublic(b), "a"), PartyOf(newPublic(b), "b")
	for b.Loop() {
		sink = SafetyNumber(x, y)
	}
}

func BenchmarkRow(b *testing.B) {
	k := DeriveRowKey([32]byte{1})
	text := make([]byte, 600)
	for b.Loop() {
		if _, err := k.Open("sessions", "1", k.Seal("sessions", "1", text)); err != nil {
			b.Fatal(err)
		}
	}
}
