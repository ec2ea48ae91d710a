package seal

import (
	"crypto/mlkem"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"parley/internal/chat"
)

// suite is the seam between the ratchet's state machine and its cryptography.
// It has two implementations: parleySuite, which is shipped, and in the tests
// the profile that replays a recorded Signal conversation. All methods are
// pure but for randomness and keep no reference to what they are given.
type suite interface {
	// newRatchetKey makes a random X25519 pair.
	newRatchetKey() dhKey
	// encapsulate makes a shared secret for an ML-KEM-768 key.
	encapsulate(public []byte) (ss, ct []byte, err error)
	// kemDue reports whether the chain that s is about to start offers a key.
	kemDue(s *Session, now time.Time) bool
	// handshakeKDF makes the first keys from the DH results and the KEM secret.
	handshakeKDF(s *Session, dhs, ss []byte) (root, header, nextHeader key)
	// rootKDF is one root step with a DH result and, on a KEM step, a secret.
	rootKDF(root key, dh, ss []byte) (newRoot, chain, nextHeader key)
	// seal makes the message for s's sending chain as it stands.
	seal(s *Session, mk key, body []byte) []byte
	// locate reads the header of a message and finds its receiving chain.
	locate(s *Session, message []byte) (place, bool)
	// open opens the body of a located message.
	open(s *Session, mk key, at place, message []byte) ([]byte, bool)
}

// header is the plain form of what a message says about itself.
type header struct {
	ratchet [32]byte
	pn, n   uint32 // length of the sender's previous chain; number in this one
	flags   byte
	ek, ct  []byte // read only where a new chain starts
}

// place is a header and the chain it belongs to.
type place struct {
	header
	chain chainKind
	old   int // index in Session.old
	body  int // where the body part starts
}

type chainKind int

const (
	currentChain chainKind = iota
	nextChain
	oldChain
)

// parleySuite is suite 0x0001 with encrypted headers:
//
//	nonce24 + AEAD(hk, header) + [nonce24 + AEAD(hk, kem fields)] + nonce24 + AEAD(mk, body)
//
// Nothing is clear: lengths follow from the flags inside the header. Nonces are
// random although each message key is used once, because a rolled-back
// database repeats a key, not a nonce.
type parleySuite struct{}

const (
	headerSize = 32 + 4 + 4 + 1
	partSize   = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
	headerPart = partSize + headerSize
	flagEK     = 1 << 0
	flagCT     = 1 << 1
)

// Overhead is what a ratchet message adds to its padded content when it
// carries no KEM fields.
const Overhead = headerPart + partSize

func (parleySuite) newRatchetKey() dhKey { return newDHKey() }

func (parleySuite) encapsulate(public []byte) (ss, ct []byte, err error) {
	ek, err := mlkem.NewEncapsulationKey768(public)
	if err != nil {
		return nil, nil, fmt.Errorf("reading ML-KEM key: %w", err)
	}
	ss, ct = ek.Encapsulate()
	return ss, ct, nil
}

// kemDue: the first reply, then the first step after 50 messages or 24 h.
func (parleySuite) kemDue(s *Session, now time.Time) bool {
	return s.kemAt == 0 || s.kemCount >= chat.KEMStepMessages ||
		now.Unix()-s.kemAt >= int64(chat.KEMStepAge/time.Second)
}

// handshakeKDF is HKDF over 32 bytes of FF, the DH results and the KEM secret,
// with the transcript as salt.
func (parleySuite) handshakeKDF(s *Session, dhs, ss []byte) (root, header, nextHeader key) {
	ikm := make([]byte, 32, 32+len(dhs)+len(ss))
	for i := range ikm {
		ikm[i] = 0xFF
	}
	ikm = append(append(ikm, dhs...), ss...)
	return split(derive(ikm, s.bind[:], fmt.Sprintf("parley/pqxdh/v1/%04x", Suite), 96))
}

func (parleySuite) rootKDF(root key, dh, ss []byte) (newRoot, chain, nextHeader key) {
	ikm := append(append(make([]byte, 0, 64), dh...), ss...)
	return split(derive(ikm, root[:], "parley/dr/root/v1", 96))
}

func split(b []byte) (x, y, z key) {
	defer clear(b)
	return key(b[:32]), key(b[32:64]), key(b[64:96])
}

const messageLabel = "parley/dm/v1\x00"

// associated starts the associated data of every part; all bytes of the
// message before the part follow.
func associated(bind [32]byte, room int) []byte {
	b := append(make([]byte, 0, len(messageLabel)+32+room), messageLabel...)
	return append(b, bind[:]...)
}

func (parleySuite) seal(s *Session, mk key, body []byte) []byte {
	c := &s.send
	var h [headerSize]byte
	copy(h[:], s.self.public[:])
	binary.BigEndian.PutUint32(h[32:], c.pn)
	binary.BigEndian.PutUint32(h[36:], c.n)
	if c.ek != nil {
		h[40] |= flagEK
	}
	if c.ct != nil {
		h[40] |= flagCT
	}
	// One buffer: associated data first, then the parts as they are made.
	buf := associated(s.bind, Overhead+partSize+len(c.ek)+len(c.ct)+len(body))
	start := len(buf)
	buf = appendPart(buf, c.header, h[:])
	if h[40] != 0 {
		buf = appendPart(buf, c.header, append(append([]byte(nil), c.ek...), c.ct...))
	}
	return appendPart(buf, mk, body)[start:]
}

// appendPart appends nonce and ciphertext, authenticating all of buf.
func appendPart(buf []byte, k key, plaintext []byte) []byte {
	ad := buf
	var nonce [chacha20poly1305.NonceSizeX]byte
	_, _ = rand.Read(nonce[:]) // never fails
	buf = append(buf, nonce[:]...)
	return newAEAD(k).Seal(buf, nonce[:], plaintext, ad)
}

// locate tries the current header key, the next, and the old ones.
func (su parleySuite) locate(s *Session, message []byte) (place, bool) {
	if len(message) < Overhead {
		return place{}, false
	}
	ad := associated(s.bind, headerPart)
	if s.recv.live {
		if at, ok := su.header(s.recv.header, ad, message); ok && at.ratchet == s.peer {
			return at, true // currentChain
		}
	}
	if at, ok := su.header(s.nextRecv, ad, message); ok {
		at.chain = nextChain
		return at, su.kemFields(s.nextRecv, &at, ad, message)
	}
	for i, g := range s.old {
		if at, ok := su.header(g.header, ad, message); ok && at.ratchet == g.peer {
			at.chain, at.old = oldChain, i
			return at, true
		}
	}
	return place{}, false
}

// header tries one header key. Unknown flags and a message too short for its
// flags are refused like a wrong key.
func (parleySuite) header(k key, ad, message []byte) (place, bool) {
	const nonce = chacha20poly1305.NonceSizeX
	var buf [headerSize]byte
	h, err := newAEAD(k).Open(buf[:0], message[:nonce], message[nonce:headerPart], ad)
	if err != nil {
		return place{}, false
	}
	at := place{body: headerPart, header: header{
		ratchet: [32]byte(h), pn: binary.BigEndian.Uint32(h[32:]), n: binary.BigEndian.Uint32(h[36:]), flags: h[40],
	}}
	if at.flags != 0 {
		at.body += partSize
	}
	if at.flags&flagEK != 0 {
		at.body += mlkem.EncapsulationKeySize768
	}
	if at.flags&flagCT != 0 {
		at.body += mlkem.CiphertextSize768
	}
	return at, at.flags&^(flagEK|flagCT) == 0 && len(message) >= at.body+partSize
}

// kemFields opens the KEM part of the first message of a chain. In later ones
// it is covered by the body's associated data and not read.
func (parleySuite) kemFields(k key, at *place, ad, message []byte) bool {
	if at.flags == 0 {
		return true
	}
	part := message[headerPart:at.body]
	nonce, box := part[:chacha20poly1305.NonceSizeX], part[chacha20poly1305.NonceSizeX:]
	fields, err := newAEAD(k).Open(nil, nonce, box, append(ad, message[:headerPart]...))
	if err != nil {
		return false
	}
	if at.flags&flagEK != 0 {
		at.ek, fields = fields[:mlkem.EncapsulationKeySize768], fields[mlkem.EncapsulationKeySize768:]
	}
	if at.flags&flagCT != 0 {
		at.ct = fields
	}
	return true
}

func (parleySuite) open(s *Session, mk key, at place, message []byte) ([]byte, bool) {
	ad := append(associated(s.bind, at.body), message[:at.body]...)
	part := message[at.body:]
	nonce, box := part[:chacha20poly1305.NonceSizeX], part[chacha20poly1305.NonceSizeX:]
	body, err := newAEAD(mk).Open(nil, nonce, box, ad)
	return body, err == nil
}
