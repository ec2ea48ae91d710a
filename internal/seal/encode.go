package seal

import (
	"bytes"
	"crypto/mlkem"
	"encoding/binary"
	"fmt"

	"parley/internal/chat"
)

// sessionVersion leads a stored session. Every past version stays readable and
// has a golden file; a newer one is refused before anything else is read.
const sessionVersion = 1

// What optional parts follow in a stored session.
const (
	hasSetup = 1 << iota
	hasSending
	hasReceiving
	hasKEM
	hasCT
	allParts = 1<<iota - 1
)

// MarshalBinary is the versioned private form, for a sealed row. Equal states
// have equal bytes, and a state that was read back writes the same bytes.
func (s *Session) MarshalBinary() ([]byte, error) {
	w := &writer{b: make([]byte, 0, s.roomAtRest())}
	w.u8(sessionVersion)
	w.u16(Suite)
	w.u8(s.parts())
	w.fixed(s.bind[:], s.ephemeral[:], s.root[:], s.self.private[:], s.self.public[:], s.peer[:],
		s.nextSend[:], s.nextRecv[:])
	w.u64(uint64(s.kemAt))
	w.u32(s.kemCount)
	w.u64(s.sent)
	w.u64(s.receipted)
	if s.setup != nil {
		w.fixed(s.setup.KEM, s.setup.Bundle[:])
		w.u8(byte(len(s.setup.OneTimeID)))
		w.fixed(s.setup.OneTimeID)
	}
	if s.send.live {
		w.fixed(s.send.header[:], s.send.chain[:])
		w.u32(s.send.n)
		w.u32(s.send.pn)
	}
	if s.recv.live {
		w.fixed(s.recv.header[:], s.recv.chain[:])
		w.u32(s.recv.n)
	}
	if s.kem != nil {
		w.fixed(s.kem.seed[:], s.kem.public)
	}
	w.fixed(s.send.ct)
	w.generation(s.current)
	w.u8(byte(len(s.old)))
	for _, g := range s.old {
		w.fixed(g.header[:], g.peer[:])
		w.generation(g)
	}
	return w.b, nil
}

// roomAtRest is a little more than MarshalBinary needs.
func (s *Session) roomAtRest() int {
	n := 512 + len(s.send.ct) + 2*len(s.send.ek) + skippedKeySize*len(s.current.keys)
	if s.setup != nil {
		n += len(s.setup.KEM) + 128
	}
	for _, g := range s.old {
		n += 66 + skippedKeySize*len(g.keys)
	}
	return n
}

func (s *Session) parts() (p byte) {
	for _, part := range []struct {
		bit byte
		has bool
	}{
		{hasSetup, s.setup != nil},
		{hasSending, s.send.live},
		{hasReceiving, s.recv.live},
		{hasKEM, s.kem != nil},
		{hasCT, s.send.ct != nil},
	} {
		if part.has {
			p |= part.bit
		}
	}
	return p
}

// UnmarshalSession reads what MarshalBinary wrote. It refuses newer formats,
// other suites, and counts beyond the bounds, before allocating for them.
func UnmarshalSession(b []byte) (*Session, error) {
	if err := checkVersion("session", b, sessionVersion, 0); err != nil {
		return nil, err
	}
	r := &reader{b: b[1:]}
	if suite := r.u16(); suite != Suite {
		return nil, fmt.Errorf("%w: session of suite %#04x", chat.ErrInvalid, suite)
	}
	parts := r.u8()
	s := &Session{suite: parleySuite{}}
	r.fixed(s.bind[:], s.ephemeral[:], s.root[:], s.self.private[:], s.self.public[:], s.peer[:],
		s.nextSend[:], s.nextRecv[:])
	s.kemAt, s.kemCount = int64(r.u64()), r.u32()
	s.sent, s.receipted = r.u64(), r.u64()
	if parts&hasSetup != 0 {
		s.setup = &Setup{Ephemeral: s.ephemeral, KEM: r.bytes(mlkem.CiphertextSize768)}
		r.fixed(s.setup.Bundle[:])
		n := int(r.u8())
		r.check(n <= maxOneTimeID)
		s.setup.OneTimeID = r.bytes(n)
	}
	if parts&hasSending != 0 {
		s.send.live = true
		r.fixed(s.send.header[:], s.send.chain[:])
		s.send.n, s.send.pn = r.u32(), r.u32()
	}
	if parts&hasReceiving != 0 {
		s.recv.live = true
		r.fixed(s.recv.header[:], s.recv.chain[:])
		s.recv.n = r.u32()
	}
	if parts&hasKEM != 0 {
		s.kem = &kemKey{}
		r.fixed(s.kem.seed[:])
		s.kem.public = r.bytes(mlkem.EncapsulationKeySize768)
		s.send.ek = s.kem.public // offered exactly while outstanding
	}
	if parts&hasCT != 0 {
		s.send.ct = r.bytes(mlkem.CiphertextSize768)
	}
	left := chat.MaxSkipped
	s.current = r.generation(s.recv.header, s.peer, &left)
	n := int(r.u8())
	r.check(n <= maxOldHeaders)
	for i := 0; i < n && !r.bad; i++ {
		var header key
		var peer [32]byte
		r.fixed(header[:], peer[:])
		s.old = append(s.old, r.generation(header, peer, &left))
	}
	r.check(parts&^byte(allParts) == 0 && len(r.b) == 0 && s.receipted <= s.sent &&
		(s.send.live || parts&(hasKEM|hasCT) == 0))
	if r.bad {
		return nil, fmt.Errorf("%w: damaged session", chat.ErrInvalid)
	}
	return s, nil
}

type writer struct{ b []byte }

func (w *writer) u8(v byte)    { w.b = append(w.b, v) }
func (w *writer) u16(v uint16) { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

func (w *writer) fixed(fields ...[]byte) {
	for _, f := range fields {
		w.b = append(w.b, f...)
	}
}

func (w *writer) generation(g *generation) {
	w.u16(uint16(len(g.keys)))
	for i := range g.keys {
		w.u32(g.keys[i].n)
		w.u32(g.keys[i].minute)
		w.fixed(g.keys[i].mk[:])
	}
}

// reader reads until its first fault and zeros from then on.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) check(ok bool) { r.bad = r.bad || !ok }

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) fixed(fields ...[]byte) {
	for _, f := range fields {
		copy(f, r.take(len(f)))
	}
}

// bytes is a copy: the caller may reuse what it gave us.
func (r *reader) bytes(n int) []byte { return bytes.Clone(r.take(n)) }

func (r *reader) u8() byte    { var v [1]byte; r.fixed(v[:]); return v[0] }
func (r *reader) u16() uint16 { var v [2]byte; r.fixed(v[:]); return binary.BigEndian.Uint16(v[:]) }
func (r *reader) u32() uint32 { var v [4]byte; r.fixed(v[:]); return binary.BigEndian.Uint32(v[:]) }
func (r *reader) u64() uint64 { var v [8]byte; r.fixed(v[:]); return binary.BigEndian.Uint64(v[:]) }

const skippedKeySize = 4 + 4 + 32

func (r *reader) generation(header key, peer [32]byte, left *int) *generation {
	g := &generation{header: header, peer: peer}
	n := int(r.u16())
	r.check(n <= *left)
	body := r.take(n * skippedKeySize)
	if r.bad {
		return g
	}
	*left -= n
	g.keys = make([]skippedKey, n)
	in := &reader{b: body}
	for i := range g.keys {
		k := &g.keys[i]
		k.n, k.minute = in.u32(), in.u32()
		in.fixed(k.mk[:])
		r.check(i == 0 || g.keys[i-1].n < k.n)
	}
	return g
}
