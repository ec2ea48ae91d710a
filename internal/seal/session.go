package seal

import (
	"errors"
	"fmt"
	"math"
	"time"

	"parley/internal/chat"
)

// ErrOpen is the one answer to every message, box or row that does not open:
// it does not say which fault it was.
var ErrOpen = errors.New("cannot open")

// ErrNotYet says that a responder's session has opened nothing and so has no
// chain to send on.
var ErrNotYet = errors.New("session has not received its first message")

// Session is one ratchet between two devices. It never changes: Seal and Open
// return the next state, which the caller stores in the transaction of the
// message, before anything leaves or is acknowledged. Nobody may seal twice
// from one state.
type Session struct {
	redacted
	suite suite

	// Set by the handshake, never changed.
	bind      [32]byte // T: associated data, and the session's id
	ephemeral [32]byte // EK

	setup *Setup // initiator only, until the first answer

	root     key
	self     dhKey    // our ratchet key
	peer     [32]byte // the peer's, once known
	send     sending
	recv     receiving
	nextSend key     // header key of our next chain
	nextRecv key     // header key of the peer's next chain
	kem      *kemKey // outstanding: our chain offers its public half

	current *generation   // overtaken messages of recv; never nil
	old     []*generation // and of chains before it, oldest first; at most maxOldHeaders

	kemAt    int64  // Unix time of the last KEM step; 0: none yet
	kemCount uint32 // messages since then, both directions

	sent      uint64 // messages sealed
	receipted uint64 // the highest number known to have arrived
}

// sending is our chain. ek and ct ride in every message of it.
type sending struct {
	live   bool
	header key
	chain  key
	n, pn  uint32
	ek, ct []byte
}

// receiving is the peer's chain.
type receiving struct {
	live   bool
	header key
	chain  key
	n      uint32
}

func newSession(su suite, bind, ephemeral [32]byte) *Session {
	return &Session{suite: su, bind: bind, ephemeral: ephemeral, current: &generation{}}
}

// start sets the root from the handshake secrets, and clears them.
func (s *Session) start(dhs, ss []byte) (hk, nhk key) {
	defer clear(dhs)
	defer clear(ss)
	s.root, hk, nhk = s.suite.handshakeKDF(s, dhs, ss)
	return hk, nhk
}

// ID is the handshake hash T, the same on both sides.
func (s *Session) ID() [32]byte { return s.bind }

// Ephemeral is the initiator's EK, by whose hash a repeated handshake is known.
func (s *Session) Ephemeral() [32]byte { return s.ephemeral }

// Answered reports whether a message of the peer has been opened.
func (s *Session) Answered() bool { return s.recv.live }

// Setup is the handshake to repeat around every message, and false for a
// responder or once the peer has answered.
func (s *Session) Setup() (Setup, bool) {
	if s.setup == nil {
		return Setup{}, false
	}
	return s.setup.clone(), true
}

// Sent is how many messages the session has sealed: the number of the last one,
// counted from 1 over all chains.
func (s *Session) Sent() uint64 { return s.sent }

// Lead is how many numbers the session is past the last receipted one. Stop at
// chat.SenderLead, expired messages included: then no absence, however long,
// passes the peer's skip bound.
func (s *Session) Lead() uint64 { return s.sent - s.receipted }

// Receipted is the session that knows number upTo, as Sent gave it, to have
// arrived. Lower numbers than known and numbers not yet sent change nothing.
func (s *Session) Receipted(upTo uint64) *Session {
	if upTo <= s.receipted || upTo > s.sent {
		return s
	}
	next := *s
	next.receipted = upTo
	return &next
}

// MessageSize is the smallest message for n bytes of plaintext in the present
// state, its KEM fields included. A bucket of this size or more fits.
func (s *Session) MessageSize(n int) int { return n + 1 + s.overhead() }

func (s *Session) overhead() int {
	n := Overhead
	if s.send.ek != nil || s.send.ct != nil {
		n += partSize + len(s.send.ek) + len(s.send.ct)
	}
	return n
}

// Seal pads and seals plaintext to a message of exactly size bytes, or of the
// fewest possible with size 0. It fails with chat.ErrTooLarge if it does not
// fit and with ErrNotYet before a responder has opened its first message.
func (s *Session) Seal(now time.Time, plaintext []byte, size int) (next *Session, message []byte, err error) {
	body, err := paddedSize(len(plaintext), size, s.overhead())
	if err != nil {
		return nil, nil, fmt.Errorf("sealing message: %w", err)
	}
	next, message, err = s.seal(now, plaintext, body)
	if err != nil {
		return nil, nil, fmt.Errorf("sealing message: %w", err)
	}
	return next, message, nil
}

// seal seals plaintext as a body of size bytes.
func (s *Session) seal(now time.Time, plaintext []byte, size int) (*Session, []byte, error) {
	if !s.send.live {
		return nil, nil, ErrNotYet
	}
	if s.send.n == math.MaxUint32 {
		return nil, nil, fmt.Errorf("%w: chain exhausted", chat.ErrTooLarge)
	}
	next := *s
	var mk key
	mk, next.send.chain = chainStep(s.send.chain)
	message := s.suite.seal(s, mk, plaintext, size)
	next.send.n++
	next.sent++
	next.kemCount++
	next.trim(now)
	return &next, message, nil
}

// Open opens a message. It never changes s: every fault is ErrOpen and leaves
// nothing behind. now ages skipped keys and the KEM schedule.
func (s *Session) Open(now time.Time, message []byte) (next *Session, plaintext []byte, err error) {
	next, body, ok := s.open(now, message)
	if !ok {
		return nil, nil, ErrOpen
	}
	if plaintext, ok = unpad(body); !ok {
		return nil, nil, ErrOpen
	}
	return next, plaintext, nil
}

// Expire is the session without the skipped keys, and the header keys that led
// to them, that are older than chat.SkippedKeyLife; without any, s itself. Open
// and Seal do it too; this is for sessions at rest.
func (s *Session) Expire(now time.Time) *Session {
	next := *s
	if !next.trim(now) {
		return s
	}
	return &next
}
