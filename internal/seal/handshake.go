package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"

	"parley/internal/chat"
)

// Suite is the one suite, never negotiated: X25519 and ML-KEM-768,
// HKDF-SHA-256, XChaCha20-Poly1305, Ed25519. Another number is refused.
const Suite uint16 = 1

// Identity is the public identity of one side. The caller has verified the
// manifest, that it lists the device, and the certificate of DH.
type Identity struct {
	Account, Device ed25519.PublicKey
	DH              [32]byte
}

// Bundle is a device's published half of the handshake. The caller has parsed
// the fields from Bytes and verified their signature; T covers Bytes as
// received.
type Bundle struct {
	Suite        uint16
	Owner        Identity
	SignedPrekey [32]byte
	KEM          []byte // ML-KEM-768 encapsulation key; without it there is no session
	Bytes        []byte // the exact signed bundle bytes
	OneTime      *OneTimeKey
}

// OneTimeKey is a one-time prekey that the peer handed out live.
type OneTimeKey struct {
	ID  []byte
	Key [32]byte
}

// Setup is what the initiator tells the responder, repeated in the box around
// every message until the first answer.
type Setup struct {
	Ephemeral [32]byte
	KEM       []byte // ML-KEM-768 ciphertext
	OneTimeID []byte // empty without a one-time prekey
	// Bundle is the SHA-256 of the bundle bytes, by which the responder finds
	// its private keys. Respond does not read it: T covers the bytes.
	Bundle [32]byte
}

// maxBound is the longest field that T can bind behind a 2-byte length.
const maxBound = math.MaxUint16

// Initiate makes a session with the owner of a verified bundle. The session
// keeps the Setup until the first answer (see Session.Setup). It refuses
// another suite, a bundle without an ML-KEM key, and degenerate keys.
func Initiate(self Identity, dh *DHSecret, peer Bundle) (*Session, Setup, error) {
	return initiate(parleySuite{}, self, dh, peer)
}

func initiate(su suite, self Identity, dh *DHSecret, peer Bundle) (*Session, Setup, error) {
	fail := func(err error) (*Session, Setup, error) {
		return nil, Setup{}, fmt.Errorf("initiating session: %w", err)
	}
	switch {
	case peer.Suite != Suite:
		return fail(fmt.Errorf("%w: suite %#04x, want %#04x", chat.ErrInvalid, peer.Suite, Suite))
	case len(peer.KEM) != mlkem.EncapsulationKeySize768:
		return fail(fmt.Errorf("%w: bundle without an ML-KEM-768 key", chat.ErrInvalid))
	}
	if err := checkSides(self, dh, peer.Owner, peer.Bytes); err != nil {
		return fail(err)
	}
	ephemeral := su.newRatchetKey()
	dhs, err := agree(
		agreement{dh.key, peer.SignedPrekey},
		agreement{ephemeral, peer.Owner.DH},
		agreement{ephemeral, peer.SignedPrekey})
	if err != nil {
		return fail(err)
	}
	setup := Setup{Ephemeral: ephemeral.public, Bundle: sha256.Sum256(peer.Bytes)}
	var oneTime []byte
	if o := peer.OneTime; o != nil {
		if len(o.ID) == 0 || len(o.ID) > maxOneTimeID {
			return fail(fmt.Errorf("%w: one-time key id of %d bytes", chat.ErrInvalid, len(o.ID)))
		}
		dh4, err := agree(agreement{ephemeral, o.Key})
		if err != nil {
			return fail(err)
		}
		dhs = append(dhs, dh4...)
		setup.OneTimeID = bytes.Clone(o.ID)
		oneTime = append(bytes.Clone(o.ID), o.Key[:]...)
	}
	ss, ct, err := su.encapsulate(peer.KEM)
	if err != nil {
		return fail(err)
	}
	setup.KEM = ct
	bind := transcript(self, peer.Owner, peer.Bytes, setup, oneTime)
	s := newSession(su, bind, setup.Ephemeral)
	hk, nhk := s.start(dhs, ss)
	s.setup = &setup
	s.nextSend, s.nextRecv = hk, nhk
	s.self, s.peer = su.newRatchetKey(), peer.SignedPrekey
	if err := s.stepSend(nil); err != nil {
		return fail(err)
	}
	return s, setup.clone(), nil
}

// Respond makes the responder's session for a Setup sent to the bundle whose
// private halves are pre. Nothing is proven yet: the caller keeps the session
// only if the first message opens with it. Every fault is ErrOpen.
func Respond(self Identity, dh *DHSecret, pre *PrekeySecret, bundleBytes []byte, peer Identity, s Setup) (*Session, error) {
	return respond(parleySuite{}, self, dh, pre, nil, bundleBytes, peer, s)
}

// RespondOneTime is Respond for a Setup that names a one-time prekey, which the
// caller erases in the transaction that stores the first message.
func RespondOneTime(self Identity, dh *DHSecret, pre *PrekeySecret, oneTime *DHSecret, bundleBytes []byte, peer Identity, s Setup) (*Session, error) {
	return respond(parleySuite{}, self, dh, pre, oneTime, bundleBytes, peer, s)
}

func respond(su suite, self Identity, dh *DHSecret, pre *PrekeySecret, oneTime *DHSecret, bundleBytes []byte, peer Identity, setup Setup) (*Session, error) {
	if checkSides(self, dh, peer, bundleBytes) != nil || len(setup.OneTimeID) > maxOneTimeID ||
		(oneTime != nil) != (len(setup.OneTimeID) > 0) || len(setup.KEM) != mlkem.CiphertextSize768 {
		return nil, ErrOpen
	}
	dhs, err := agree(
		agreement{pre.signed, peer.DH},
		agreement{dh.key, setup.Ephemeral},
		agreement{pre.signed, setup.Ephemeral})
	if err != nil {
		return nil, ErrOpen
	}
	var bound []byte
	if oneTime != nil {
		dh4, err := agree(agreement{oneTime.key, setup.Ephemeral})
		if err != nil {
			return nil, ErrOpen
		}
		dhs = append(dhs, dh4...)
		bound = append(bytes.Clone(setup.OneTimeID), oneTime.key.public[:]...)
	}
	ss, err := pre.kem.decapsulate(setup.KEM)
	if err != nil {
		return nil, ErrOpen
	}
	bind := transcript(peer, self, bundleBytes, setup, bound)
	s := newSession(su, bind, setup.Ephemeral)
	hk, nhk := s.start(dhs, ss)
	s.nextRecv, s.nextSend = hk, nhk
	s.self = pre.signed
	return s, nil
}

// maxOneTimeID bounds a peer-chosen id; ours have 4 to 16 bytes.
const maxOneTimeID = 64

func (s Setup) clone() Setup {
	s.KEM, s.OneTimeID = bytes.Clone(s.KEM), bytes.Clone(s.OneTimeID)
	return s
}

func checkSides(self Identity, dh *DHSecret, peer Identity, bundle []byte) error {
	for _, id := range []Identity{self, peer} {
		if len(id.Account) != ed25519.PublicKeySize || len(id.Device) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: identity key of a wrong size", chat.ErrInvalid)
		}
	}
	if self.DH != dh.key.public {
		return fmt.Errorf("%w: DH secret of another identity", chat.ErrInvalid)
	}
	if len(bundle) == 0 || len(bundle) > maxBound {
		return fmt.Errorf("%w: bundle of %d bytes", chat.ErrInvalid, len(bundle))
	}
	return nil
}

type agreement struct {
	ours   dhKey
	theirs [32]byte
}

// agree joins the DH results in order.
func agree(pairs ...agreement) ([]byte, error) {
	var out []byte
	for _, p := range pairs {
		dh, err := p.ours.shared(p.theirs)
		if err != nil {
			return nil, err
		}
		out = append(out, dh...)
	}
	return out, nil
}

// transcript is T: it binds both accounts and devices, the whole bundle with
// its KEM key, and the KEM ciphertext, so there is no unknown key share and no
// re-encapsulation. It is also the session's associated data.
func transcript(a, b Identity, bundle []byte, s Setup, oneTime []byte) (t [32]byte) {
	h := sha256.New()
	h.Write([]byte("parley/pqxdh/v1\x00"))
	h.Write(binary.BigEndian.AppendUint16(nil, Suite))
	for _, field := range [][]byte{
		a.Account, a.Device, a.DH[:], b.Account, b.Device, bundle, s.Ephemeral[:], oneTime, s.KEM,
	} {
		writeField(h, field)
	}
	return [32]byte(h.Sum(nil))
}

func writeField(h hash.Hash, b []byte) {
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(b))))
	h.Write(b)
}
