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
	// seal makes the message for s's sending chain as it stands, its plaintext
	// padded to a body of size bytes.
	seal(s *Session, mk key, plaintext []byte, size int) []byte
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
	old   int    // index in Session.old
	body  int    // where the body part starts
	ad    []byte // what the suite authenticates before the message's own bytes
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
	nonceSize  = chacha20poly1305.NonceSizeX
	headerSize = 32 + 4 + 4 + 1
	partSize   = nonceSize + chacha20poly1305.Overhead
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

func (parleySuite) seal(s *Session, mk key, plaintext []byte, size int) []byte {
	c := &s.send
	var flags byte
	kem := 0
	if c.ek != nil {
		flags |= flagEK
		kem += len(c.ek)
	}
	if c.ct != nil {
		flags |= flagCT
		kem += len(c.ct)
	}
	if flags != 0 {
		kem += partSize
	}
	// One buffer: associated data first, then the parts, each encrypted where
	// it stands.
	buf := associated(s.bind, Overhead+kem+size)
	start := len(buf)
	var random [3 * nonceSize]byte
	nonces := random[:2*nonceSize]
	if flags != 0 {
		nonces = random[:]
	}
	_, _ = rand.Read(nonces) // never fails; one call costs half of two

	buf = append(buf, nonces[:nonceSize]...)
	part := len(buf)
	buf = append(buf, s.self.public[:]...)
	buf = binary.BigEndian.AppendUint32(buf, c.pn)
	buf = binary.BigEndian.AppendUint32(buf, c.n)
	buf = append(buf, flags)
	buf = sealPart(buf, part, c.header)
	if flags != 0 {
		buf = append(buf, nonces[nonceSize:2*nonceSize]...)
		part = len(buf)
		buf = append(append(buf, c.ek...), c.ct...)
		buf = sealPart(buf, part, c.header)
	}
	buf = append(buf, nonces[len(nonces)-nonceSize:]...)
	part = len(buf)
	buf = appendPadded(buf, plaintext, size)
	return sealPart(buf, part, mk)[start:]
}

// sealPart encrypts what follows buf[:part], which ends in the nonce, and
// authenticates all before the nonce. buf has room for the tag.
func sealPart(buf []byte, part int, k key) []byte {
	nonce := buf[part-nonceSize : part]
	return newAEAD(k).Seal(buf[:part], nonce, buf[part:], buf[:part-nonceSize])
}

// locate tries the current header key, the next, and the old ones.
func (su parleySuite) locate(s *Session, message []byte) (place, bool) {
	if len(message) < Overhead {
		return place{}, false
	}
	ad := associated(s.bind, headerPart) // room for the body's, which goes on from it
	plain := make([]byte, 0, headerSize)
	if s.recv.live {
		if at, ok := su.header(s.recv.header, plain, ad, message); ok && at.ratchet == s.peer {
			return at, true // currentChain
		}
	}
	if at, ok := su.header(s.nextRecv, plain, ad, message); ok {
		at.chain = nextChain
		return at, su.kemFields(s.nextRecv, &at, message)
	}
	for i, g := range s.old {
		if at, ok := su.header(g.header, plain, ad, message); ok && at.ratchet == g.peer {
			at.chain, at.old = oldChain, i
			return at, true
		}
	}
	return place{}, false
}

// header tries one header key. Unknown flags and a message too short for its
// flags are refused like a wrong key.
func (parleySuite) header(k key, plain, ad, message []byte) (place, bool) {
	h, err := newAEAD(k).Open(plain, message[:nonceSize], message[nonceSize:headerPart], ad)
	if err != nil {
		return place{}, false
	}
	at := place{ad: ad, body: headerPart, header: header{
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
func (parleySuite) kemFields(k key, at *place, message []byte) bool {
	if at.flags == 0 {
		return true
	}
	fields, ok := openPart(k, message[headerPart:at.body], append(at.ad, message[:headerPart]...))
	if !ok {
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

func (parleySuite) open(_ *Session, mk key, at place, message []byte) ([]byte, bool) {
	return openPart(mk, message[at.body:], append(at.ad, message[:at.body]...))
}

// openPart opens nonce and ciphertext into fresh memory.
func openPart(k key, part, ad []byte) ([]byte, bool) {
	plain, err := newAEAD(k).Open(nil, part[:nonceSize], part[nonceSize:], ad)
	return plain, err == nil
}
