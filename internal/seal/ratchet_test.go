package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"parley/internal/chat"
)

// TestCorruptLoseReplay is the order of events that found the shared-map bug in
// a prototype: a damaged message stages skipped keys, is lost, and a key it
// left behind opens an earlier message again.
func TestCorruptLoseReplay(t *testing.T) {
	run := func(t *testing.T, from, to *Session) {
		var m [6][]byte
		for i := range m {
			m[i] = mustSeal(t, &from, fmt.Sprint(i))
		}
		mustOpen(t, &to, m[0], "0")
		mustRefuse(t, to, flip(m[5], len(m[5])-1))
		mustOpen(t, &to, m[3], "3")
		mustRefuse(t, to, m[3])
		mustRefuse(t, to, flip(m[5], len(m[5])-1))
		mustRefuse(t, to, m[3])
		mustOpen(t, &to, m[1], "1")
		mustRefuse(t, to, m[1])
		mustRefuse(t, to, m[0])
		mustOpen(t, &to, m[5], "5")
		mustOpen(t, &to, m[4], "4")
		mustOpen(t, &to, m[2], "2")
		for i := range m {
			mustRefuse(t, to, m[i])
		}
	}
	t.Run("at the responder", func(t *testing.T) {
		a, b := newPair(t)
		run(t, a, b)
	})
	t.Run("at the initiator", func(t *testing.T) {
		a, b := newPair(t)
		mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
		run(t, b, a)
	})
	t.Run("across a DH step", func(t *testing.T) {
		a, b := newPair(t)
		old := [][]byte{mustSeal(t, &a, "old 0"), mustSeal(t, &a, "old 1"), mustSeal(t, &a, "old 2")}
		mustOpen(t, &b, old[0], "old 0")
		mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
		fresh := [][]byte{mustSeal(t, &a, "new 0"), mustSeal(t, &a, "new 1"), mustSeal(t, &a, "new 2")}
		mustRefuse(t, b, flip(fresh[2], len(fresh[2])-1)) // would step and stage on both chains
		mustOpen(t, &b, old[1], "old 1")
		mustRefuse(t, b, old[1])
		mustOpen(t, &b, fresh[1], "new 1")
		mustRefuse(t, b, old[1])
		mustRefuse(t, b, flip(fresh[2], len(fresh[2])-1))
		mustRefuse(t, b, fresh[1])
		mustOpen(t, &b, old[2], "old 2")
		mustOpen(t, &b, fresh[0], "new 0")
		mustOpen(t, &b, fresh[2], "new 2")
		for _, m := range append(old, fresh...) {
			mustRefuse(t, b, m)
		}
	})
}

// TestStatesAreIndependent opens different messages from one state: no branch
// may see what another did.
func TestStatesAreIndependent(t *testing.T) {
	a, b := newPair(t)
	var m [8][]byte
	for i := range m {
		m[i] = mustSeal(t, &a, fmt.Sprint(i))
	}
	mustOpen(t, &b, m[4], "4") // 0-3 stored
	before := stateOf(t, b)
	for i := range m {
		if i == 4 {
			continue
		}
		branch := b
		mustOpen(t, &branch, m[i], fmt.Sprint(i))
		for j := range m {
			if j != 4 && j != i {
				mustOpen(t, &branch, m[j], fmt.Sprint(j))
			}
		}
		if !bytes.Equal(before, stateOf(t, b)) {
			t.Fatalf("opening %d on a branch changed the state it came from", i)
		}
	}
	branch := b
	mustSeal(t, &branch, "reply")
	if !bytes.Equal(before, stateOf(t, b)) {
		t.Fatal("sealing changed the state it came from")
	}
}

func TestEveryBitCounts(t *testing.T) {
	a, b := newPair(t)
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	for _, m := range [][]byte{mustSeal(t, &a, "plain"), mustSeal(t, &b, "with a KEM key")} {
		to := b
		if len(m) > 1000 {
			to = a
		}
		for i := range m {
			for bit := range 8 {
				bad := bytes.Clone(m)
				bad[i] ^= 1 << bit
				if len(m) > 1000 && (i > 200 && i < len(m)-60) && bit > 0 {
					continue // the middle of the KEM part once per byte
				}
				if _, _, err := to.Open(noon, bad); err == nil {
					t.Fatalf("bit %d of byte %d does not count", bit, i)
				}
			}
		}
		for _, n := range []int{0, 1, Overhead - 1, Overhead, len(m) - 1} {
			mustRefuse(t, to, m[:n])
		}
		mustRefuse(t, to, append(bytes.Clone(m), 0))
	}
}

// counting counts root steps.
type counting struct {
	parleySuite
	roots *int
}

func (x counting) rootKDF(root key, dh, ss []byte) (newRoot, chain, nextHeader key) {
	*x.roots++
	return x.parleySuite.rootKDF(root, dh, ss)
}

// TestSkipBound forges, with the right keys, a message 2^31 ahead: it is
// refused at once and leaves nothing.
func TestSkipBound(t *testing.T) {
	a, b := newPair(t)
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
	jump := func(s Session, n, pn uint32) []byte {
		s.send.n, s.send.pn = n, pn
		x := &s
		return mustSeal(t, &x, "far")
	}
	for name, m := range map[string][]byte{
		"number 2^31 in the next chain":  jump(*a, 1<<31, 1),
		"number 1001 in the next chain":  jump(*a, 1001, 1),
		"2^31 left in the chain before":  jump(*a, 0, 1<<31),
		"1002 left in the chain before":  jump(*a, 0, 1002),
		"fewer sent than already opened": jump(*a, 0, 0),
		"the last number":                jump(*a, 1<<32-2, 1),
	} {
		steps := 0
		watched := *b
		watched.suite = counting{roots: &steps}
		mustRefuse(t, &watched, m)
		if steps > 0 {
			t.Errorf("%s: keys were derived before the bound was checked", name)
		}
		best := time.Hour
		for range 20 {
			start := time.Now()
			_, _, _ = b.Open(noon, m)
			best = min(best, time.Since(start))
		}
		if best > time.Millisecond {
			t.Errorf("%s: refused in %v, want under 1 ms", name, best)
		}
	}
	mustOpen(t, &b, mustSeal(t, &a, "current"), "current")
	for name, n := range map[string]uint32{"2^31": 1 << 31, "1001 ahead": 1 + 1001, "the last": 1<<32 - 2} {
		t.Run(name, func(t *testing.T) { mustRefuse(t, b, jump(*a, n, 1)) })
	}

	// Exactly 1000 is allowed, in both chains at once.
	x, y := newPair(t)
	mustOpen(t, &y, mustSeal(t, &x, "hi"), "hi")
	for range chat.MaxSkip {
		mustSeal(t, &x, "lost")
	}
	mustOpen(t, &x, mustSeal(t, &y, "turn"), "turn")
	for range chat.MaxSkip {
		mustSeal(t, &x, "lost")
	}
	mustOpen(t, &y, mustSeal(t, &x, "found"), "found")
	if n := stored(y); n != chat.MaxSkipped {
		t.Errorf("%d keys stored, want %d", n, chat.MaxSkipped)
	}
}

func stored(s *Session) int {
	n := len(s.current.keys)
	for _, g := range s.old {
		n += len(g.keys)
	}
	return n
}

// TestStoredKeysAreBounded loses the first message of chain after chain: the
// oldest header keys and the oldest message keys go.
func TestStoredKeysAreBounded(t *testing.T) {
	a, b := newPair(t)
	var lost [][]byte
	for i := range 30 {
		for range 100 {
			lost = append(lost, mustSeal(t, &a, "late"))
		}
		mustOpen(t, &b, mustSeal(t, &a, "seen"), "seen")
		mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
		if n := stored(b); n != min(100*(i+1), chat.MaxSkipped) || len(b.old) > maxOldHeaders {
			t.Fatalf("chain %d: %d keys, %d old header keys", i, n, len(b.old))
		}
	}
	mustRefuse(t, b, lost[0])
	mustRefuse(t, b, lost[999])
	mustOpen(t, &b, lost[1000], "late")
	mustOpen(t, &b, lost[2999], "late")

	// One key per chain: 20 old chains, and the current one.
	a, b = newPair(t)
	lost = nil
	for range 30 {
		lost = append(lost, mustSeal(t, &a, "late"))
		mustOpen(t, &b, mustSeal(t, &a, "seen"), "seen")
		mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
	}
	if len(b.old) != maxOldHeaders {
		t.Fatalf("%d old header keys, want %d", len(b.old), maxOldHeaders)
	}
	mustRefuse(t, b, lost[8])
	for _, m := range lost[9:] {
		mustOpen(t, &b, m, "late")
	}
	mustOpen(t, &b, mustSeal(t, &a, "on"), "on")
	if len(b.old) != 0 {
		t.Errorf("%d empty generations kept", len(b.old))
	}
}

func TestSkippedKeysExpire(t *testing.T) {
	a, b := newPair(t)
	old := mustSeal(t, &a, "old chain")
	mustOpen(t, &b, mustSeal(t, &a, "1"), "1")
	mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
	current := mustSeal(t, &a, "this chain")
	mustOpen(t, &b, mustSeal(t, &a, "2"), "2")

	just := noon.Add(chat.SkippedKeyLife)
	for _, m := range [][]byte{old, current} {
		if _, _, err := b.Open(just, m); err != nil {
			t.Errorf("refused on its last day: %v", err)
		}
		if _, _, err := b.Open(just.Add(time.Minute), m); !errors.Is(err, ErrOpen) {
			t.Errorf("opened after its life: %v", err)
		}
	}
	if n := stored(b.Expire(just)); n != 2 {
		t.Errorf("%d keys left on the last day, want 2", n)
	}
	gone := b.Expire(just.Add(time.Minute))
	if stored(gone) != 0 || len(gone.old) != 0 {
		t.Errorf("%d keys and %d header keys outlive their time", stored(gone), len(gone.old))
	}
	if stored(b) != 2 {
		t.Error("Expire changed its session")
	}
	mustOpen(t, &gone, mustSeal(t, &a, "on"), "on")
}

// TestChainStep holds the step that is spelled out against the library's.
func TestChainStep(t *testing.T) {
	var chain key
	for i := range chain {
		chain[i] = byte(7 * i)
	}
	for range 1000 {
		mac := func(label byte) []byte {
			h := hmac.New(sha256.New, chain[:])
			h.Write([]byte{label})
			return h.Sum(nil)
		}
		mk, next := chainStep(chain)
		if !bytes.Equal(mk[:], mac(1)) || !bytes.Equal(next[:], mac(2)) {
			t.Fatalf("step of %x", chain)
		}
		chain = next
	}
}

// withBody ends a message with any body, properly padded or not.
func withBody(s *Session, mk key, start, body []byte) []byte {
	return appendPart(append(associated(s.bind, 0), start...), mk, body)[len(messageLabel)+32:]
}

func appendPart(buf []byte, k key, plaintext []byte) []byte {
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:])
	buf = append(buf, nonce[:]...)
	return sealPart(append(buf, plaintext...), len(buf), k)
}

// TestMalformedHeaders are sealed with the right keys and refused.
func TestMalformedHeaders(t *testing.T) {
	a, b := newPair(t)
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	forge := func(ratchet [32]byte, n uint32, flags byte, kem ...[]byte) []byte {
		h := append(append([]byte(nil), ratchet[:]...), 0, 0, 0, 0, 0, 0, 0, byte(n), flags)
		mk, _ := chainStep(a.send.chain)
		buf := appendPart(associated(a.bind, 0), a.send.header, h)
		for _, part := range kem {
			buf = appendPart(buf, a.send.header, part)
		}
		return withBody(a, mk, buf[len(messageLabel)+32:], []byte("text\x80"))
	}
	own := a.self.public
	if _, _, err := b.Open(noon, forge(own, 1, 0)); err != nil {
		t.Fatal("the honest header is refused")
	}
	mustRefuse(t, b, forge(own, 1, 4))               // unknown flag
	mustRefuse(t, b, forge(own, 1, 0x80, []byte{}))  // unknown flag, and a part for it
	mustRefuse(t, b, forge(own, 1, 1))               // says KEM part, has none
	mustRefuse(t, b, forge(own, 1, 0, []byte{}))     // has one, does not say so
	mustRefuse(t, b, forge(own, 1, 1, []byte{1, 2})) // too short a part
	other := NewDHSecret().Public()
	mustRefuse(t, b, forge(other, 1, 0)) // the chain's header key, another chain's ratchet key
	mustOpen(t, &b, mustSeal(t, &a, "1"), "1")
	mustSeal(t, &a, "2, late")
	mustOpen(t, &b, mustSeal(t, &a, "3"), "3")
}

// TestBranchesRetireApart steps into the next chain from one state twice, with
// other keys left in the chain before.
func TestBranchesRetireApart(t *testing.T) {
	a, b := newPair(t)
	for range 3 {
		mustSeal(t, &a, "lost")
		mustOpen(t, &b, mustSeal(t, &a, "x"), "x")
		mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
	}
	for range 3 { // whatever spare room the slice of generations has
		first, second := mustSeal(t, &a, "first"), mustSeal(t, &a, "second")
		mustOpen(t, &b, mustSeal(t, &a, "third"), "third")
		mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
		next := mustSeal(t, &a, "next chain")
		one, two := b, b
		mustOpen(t, &one, next, "next chain")
		mustOpen(t, &two, first, "first")
		mustOpen(t, &two, next, "next chain")
		mustOpen(t, &one, first, "first")
		mustOpen(t, &one, second, "second")
		mustRefuse(t, two, first)
		mustOpen(t, &two, second, "second")
		b = two
		mustOpen(t, &a, mustSeal(t, &b, "turn"), "turn")
	}
}

func TestLead(t *testing.T) {
	a, b := newPair(t)
	for range 5 {
		mustOpen(t, &b, mustSeal(t, &a, "x"), "x")
	}
	if a.Sent() != 5 || a.Lead() != 5 || b.Sent() != 0 {
		t.Fatalf("sent %d, lead %d", a.Sent(), a.Lead())
	}
	r := a.Receipted(3)
	if r.Lead() != 2 || a.Lead() != 5 {
		t.Errorf("lead %d after a receipt for 3 of 5", r.Lead())
	}
	if r.Receipted(2).Lead() != 2 || r.Receipted(6).Lead() != 2 {
		t.Error("an old receipt or one from the future moved the lead")
	}
	back, err := UnmarshalSession(stateOf(t, r))
	if err != nil || back.Lead() != 2 || back.Sent() != 5 {
		t.Errorf("lead lost at rest: %v", err)
	}
}

func TestMessageSizes(t *testing.T) {
	a, b := newPair(t)
	for range 3 {
		for _, n := range []int{0, 1, 100, 900} {
			text := bytes.Repeat([]byte{0x80}, n) // padding bytes as content
			small := a.MessageSize(n)
			for _, size := range []int{0, small, 4 << 10, 63 << 10} {
				next, m, err := a.Seal(noon, text, size)
				if err != nil {
					t.Fatal(err)
				}
				if wanted := max(size, small); len(m) != wanted {
					t.Fatalf("message of %d bytes, want %d", len(m), wanted)
				}
				a = next
				mustOpen(t, &b, m, string(text))
			}
			if _, _, err := a.Seal(noon, text, small-1); !errors.Is(err, chat.ErrTooLarge) {
				t.Errorf("%d bytes in %d: %v", n, small-1, err)
			}
		}
		a, b = b, a // with KEM fields next
	}
}
