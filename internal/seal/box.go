package seal

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"

	"parley/internal/chat"
)

// Sizes of the first-contact box: nonce24 + masked enc + ciphertext.
const (
	// BoxPublicSize is an X-Wing public key: ML-KEM-768, then X25519.
	BoxPublicSize = 1184 + 32
	boxEncSize    = 1088 + 32
	boxNonceSize  = 24
	boxSeedSize   = 32
	// BoxOverhead is what a box adds to its payload, the one byte of padding
	// that is always there not counted.
	BoxOverhead = boxNonceSize + boxEncSize + chacha20poly1305.Overhead
)

// BoxSecret is the private half of a device's sealing key: X-Wing, published in
// its record, renewed weekly.
type BoxSecret struct {
	redacted
	seed    [boxSeedSize]byte
	private hpke.PrivateKey
	public  []byte
}

// NewBoxSecret makes a random one.
func NewBoxSecret() *BoxSecret {
	var seed [boxSeedSize]byte
	_, _ = rand.Read(seed[:]) // never fails
	return boxSecretOf(seed)
}

func boxSecretOf(seed [boxSeedSize]byte) *BoxSecret {
	k, err := hpke.MLKEM768X25519().NewPrivateKey(seed[:])
	if err != nil {
		panic("seal: X-Wing takes any seed: " + err.Error())
	}
	return &BoxSecret{seed: seed, private: k, public: k.PublicKey().Bytes()}
}

// Public is the sealing key that the device record publishes.
func (b *BoxSecret) Public() []byte { return append([]byte(nil), b.public...) }

// MarshalBinary is the versioned private form, for a sealed row.
func (b *BoxSecret) MarshalBinary() ([]byte, error) {
	return append([]byte{keyVersion}, b.seed[:]...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote and refuses newer formats.
func (b *BoxSecret) UnmarshalBinary(in []byte) error {
	if err := checkVersion("box secret", in, keyVersion, 1+boxSeedSize); err != nil {
		return err
	}
	*b = *boxSecretOf([boxSeedSize]byte(in[1:]))
	return nil
}

// SealBox seals payload to a sealing key: HPKE base mode, X-Wing, HKDF-SHA-256,
// ChaCha20-Poly1305. The blob has exactly size bytes, or the fewest possible
// with size 0; it fails with ErrTooLarge if payload does not fit.
//
// An X-Wing encapsulation is recognisable among random bytes, so it travels
// masked by a keystream that only holders of the public key can make.
func SealBox(public, payload []byte, size int) ([]byte, error) {
	body, err := paddedSize(len(payload), size, BoxOverhead)
	if err != nil {
		return nil, fmt.Errorf("sealing box: %w", err)
	}
	to, err := hpke.MLKEM768X25519().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("sealing box: %w: bad sealing key", chat.ErrInvalid)
	}
	enc, sender, err := hpke.NewSender(to, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), boxInfo(public))
	if err != nil {
		return nil, fmt.Errorf("sealing box: %w: bad sealing key", chat.ErrInvalid)
	}
	ct, err := sender.Seal(nil, pad(payload, body))
	if err != nil {
		return nil, fmt.Errorf("sealing box: %w", err)
	}
	blob := make([]byte, boxNonceSize+boxEncSize, boxNonceSize+boxEncSize+len(ct))
	nonce := blob[:boxNonceSize]
	_, _ = rand.Read(nonce) // never fails
	maskEnc(blob[boxNonceSize:], enc, public, nonce)
	return append(blob, ct...), nil
}

// Open opens a blob that SealBox made for this key. Every fault is ErrOpen.
func (b *BoxSecret) Open(blob []byte) ([]byte, error) {
	if len(blob) < BoxOverhead+1 {
		return nil, ErrOpen
	}
	var enc [boxEncSize]byte
	maskEnc(enc[:], blob[boxNonceSize:boxNonceSize+boxEncSize], b.public, blob[:boxNonceSize])
	r, err := hpke.NewRecipient(enc[:], b.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), boxInfo(b.public))
	if err != nil {
		return nil, ErrOpen
	}
	padded, err := r.Open(nil, blob[boxNonceSize+boxEncSize:])
	if err != nil {
		return nil, ErrOpen
	}
	payload, ok := unpad(padded)
	if !ok {
		return nil, ErrOpen
	}
	return payload, nil
}

func boxInfo(public []byte) []byte {
	h := sha256.Sum256(public)
	return append([]byte("parley/first-contact/v1\x00"), h[:]...)
}

// maskEnc is its own inverse.
func maskEnc(dst, enc, public, nonce []byte) {
	mask := make([]byte, boxEncSize)
	k := derive(public, nonce, "parley/box-mask/v1", chacha20.KeySize)
	c, err := chacha20.NewUnauthenticatedCipher(k, make([]byte, chacha20.NonceSize))
	if err != nil {
		panic("seal: fixed sizes: " + err.Error())
	}
	c.XORKeyStream(mask, mask)
	subtle.XORBytes(dst, enc, mask)
}
