package seal

import (
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"slices"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"parley/internal/chat"
)

// chainStep derives a message key and the next chain key: HMAC-SHA-256 of one
// byte each. It is spelled out because every message takes two steps, and
// crypto/hmac takes memory for a key that is used once.
func chainStep(chain key) (mk, next key) {
	var inner [sha256.BlockSize + 1]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		inner[i], outer[i] = 0x36, 0x5c
	}
	subtle.XORBytes(inner[:], inner[:], chain[:])
	subtle.XORBytes(outer[:], outer[:], chain[:])
	mac := func(label byte) key {
		inner[sha256.BlockSize] = label
		sum := sha256.Sum256(inner[:])
		copy(outer[sha256.BlockSize:], sum[:])
		return sha256.Sum256(outer[:])
	}
	return mac(1), mac(2)
}

func newAEAD(k key) cipher.AEAD {
	a, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic("seal: fixed size: " + err.Error())
	}
	return a
}

// open is the receiving half of the machine. All work happens on a copy of s,
// and nothing the two share is written to: generations are replaced, never
// edited. The copy is returned only if the body authenticates.
func (s *Session) open(now time.Time, message []byte) (*Session, []byte, bool) {
	next := *s
	next.trim(now)
	at, ok := next.suite.locate(&next, message)
	if !ok {
		return nil, nil, false
	}
	mk, ok := next.messageKey(now, at)
	if !ok {
		return nil, nil, false
	}
	body, ok := next.suite.open(&next, mk, at, message)
	if !ok {
		return nil, nil, false
	}
	next.setup = nil
	next.kemCount++
	if at.chain == nextChain && !next.turn(now, at.header) {
		return nil, nil, false
	}
	next.trim(now)
	return &next, body, true
}

// messageKey finds or derives the key of a located message, entering its chain
// and staging what it skips.
func (s *Session) messageKey(now time.Time, at place) (mk key, ok bool) {
	switch {
	case at.chain == oldChain:
		g, mk, ok := s.old[at.old].take(at.n)
		if !ok {
			return key{}, false
		}
		s.old = slices.Clone(s.old)
		s.old[at.old] = g
		return mk, true
	case at.chain == currentChain && at.n < s.recv.n:
		g, mk, ok := s.current.take(at.n)
		if !ok {
			return key{}, false
		}
		s.current = g
		return mk, true
	case at.chain == nextChain:
		if !s.enter(now, at.header) {
			return key{}, false
		}
	}
	if !s.skip(now, at.n) {
		return key{}, false
	}
	mk, s.recv.chain = chainStep(s.recv.chain)
	s.recv.n++
	return mk, true
}

// skip moves the receiving chain on to number until and stores the keys
// between, after checking the bound.
func (s *Session) skip(now time.Time, until uint32) bool {
	if !s.mayskip(until) {
		return false
	}
	if until == s.recv.n {
		return true
	}
	keys := make([]skippedKey, 0, until-s.recv.n)
	for minute := minuteOf(now); s.recv.n < until; s.recv.n++ {
		k := skippedKey{n: s.recv.n, minute: minute}
		k.mk, s.recv.chain = chainStep(s.recv.chain)
		keys = append(keys, k)
	}
	s.current = s.current.with(keys)
	return true
}

func (s *Session) mayskip(until uint32) bool {
	return until >= s.recv.n && until-s.recv.n <= chat.MaxSkip && until < math.MaxUint32
}

// enter starts the peer's next chain: the receiving root step. The keys left
// in its chain before become an old generation. Bounds come first.
func (s *Session) enter(now time.Time, h header) bool {
	if h.n > chat.MaxSkip || s.recv.live && !s.mayskip(h.pn) {
		return false
	}
	if (s.kem != nil) != (h.ct != nil) {
		return false // owes a ciphertext, or answers what was not asked
	}
	dh, err := s.self.shared(h.ratchet)
	if err != nil {
		return false
	}
	var ss []byte
	if h.ct != nil {
		if ss, err = s.kem.decapsulate(h.ct); err != nil {
			return false
		}
		s.kem = nil
		s.kemStep(now)
	}
	if s.recv.live {
		s.skip(now, h.pn)
		s.old = append(slices.Clip(s.old), s.current)
	}
	s.recv = receiving{live: true, header: s.nextRecv}
	s.root, s.recv.chain, s.nextRecv = s.suite.rootKDF(s.root, dh, ss)
	s.peer = h.ratchet
	s.current = &generation{header: s.recv.header, peer: h.ratchet}
	clear(dh)
	clear(ss)
	return true
}

// turn starts our next chain in answer to the peer's: a fresh ratchet key, the
// ciphertext we owe, and a fresh ML-KEM key where the schedule says so.
func (s *Session) turn(now time.Time, h header) bool {
	s.self = s.suite.newRatchetKey()
	s.send = sending{pn: s.send.n}
	var ss []byte
	if h.ek != nil {
		var err error
		if ss, s.send.ct, err = s.suite.encapsulate(h.ek); err != nil {
			return false
		}
		s.kemStep(now)
	}
	if s.suite.kemDue(s, now) {
		s.kem = newKEMKey()
		s.send.ek = s.kem.public
		s.kemStep(now)
	}
	return s.stepSend(ss) == nil
}

func (s *Session) kemStep(now time.Time) { s.kemAt, s.kemCount = now.Unix(), 0 }

// stepSend is the sending root step.
func (s *Session) stepSend(ss []byte) error {
	dh, err := s.self.shared(s.peer)
	if err != nil {
		return err
	}
	s.send.live, s.send.header = true, s.nextSend
	s.root, s.send.chain, s.nextSend = s.suite.rootKDF(s.root, dh, ss)
	clear(dh)
	clear(ss)
	return nil
}
