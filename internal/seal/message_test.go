package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"
)

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
	return newAEAD(k).Seal(append(buf, nonce[:]...), nonce[:], plaintext, buf)
}

// TestAppend seals and opens into memory of the caller, around what it holds.
func TestAppend(t *testing.T) {
	a, b := newPair(t)
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	for _, p := range [][2]*Session{{a, b}, {b, a}} { // without KEM fields and with
		for _, room := range []int{0, 3000} {
			head := append(make([]byte, 0, 4+room), "head"...)
			_, m, err := p[0].AppendSeal(head, noon, []byte("text"), 0)
			if err != nil || string(m[:4]) != "head" || len(m) != 4+p[0].MessageSize(4) {
				t.Fatalf("%d bytes, %v", len(m), err)
			}
			before := bytes.Clone(m)
			_, text, err := p[1].AppendOpen(head, noon, bytes.Clone(m[4:]))
			if err != nil || string(text) != "headtext" {
				t.Fatalf("%q, %v", text, err)
			}
			if _, _, err := p[1].AppendOpen(head, noon, flip(before[4:], 100)); !errors.Is(err, ErrOpen) {
				t.Error(err)
			}
		}
	}
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
