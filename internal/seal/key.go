package seal

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"

	"parley/internal/chat"
)

// key is one symmetric key.
type key [32]byte

// redacted makes the type that embeds it print as "[secret]" under every verb
// and logger, so forgetting is safe.
type redacted struct{}

const redactedText = "[secret]"

func (redacted) String() string               { return redactedText }
func (redacted) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redactedText) }
func (redacted) LogValue() slog.Value         { return slog.StringValue(redactedText) }
func (redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + redactedText + `"`), nil }

// derive is HKDF-SHA-256. It panics only for a length no caller asks for.
func derive(secret, salt []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, salt, info, n)
	if err != nil {
		panic("seal: deriving " + info + ": " + err.Error())
	}
	return out
}

// AccountSeed derives the seed of the account's Ed25519 key from the 256 bits
// of the recovery phrase.
func AccountSeed(entropy [32]byte) [32]byte {
	return [32]byte(derive(entropy[:], nil, "parley/account/v1", 32))
}

// dhKey is an X25519 pair. parsed is set where the key was made or read for
// repeated use, and never written afterwards.
type dhKey struct {
	private, public [32]byte
	parsed          *ecdh.PrivateKey
}

func newDHKey() dhKey {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return dhKeyOf(b)
}

func dhKeyOf(private [32]byte) dhKey {
	p, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		panic("seal: X25519 takes any 32 bytes: " + err.Error())
	}
	return dhKey{private: private, public: [32]byte(p.PublicKey().Bytes()), parsed: p}
}

// shared is X25519. It refuses a point that gives the all-zero result.
func (k dhKey) shared(peer [32]byte) ([]byte, error) {
	private := k.parsed
	if private == nil {
		private = dhKeyOf(k.private).parsed
	}
	public, err := ecdh.X25519().NewPublicKey(peer[:])
	if err != nil {
		return nil, fmt.Errorf("reading X25519 key: %w", err)
	}
	out, err := private.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("agreeing on X25519 key: %w", err)
	}
	return out, nil
}

// kemKey is an ML-KEM-768 pair, kept as its seed.
type kemKey struct {
	seed   [mlkem.SeedSize]byte
	public []byte
	parsed *mlkem.DecapsulationKey768 // as in dhKey
}

func newKEMKey() *kemKey {
	var seed [mlkem.SeedSize]byte
	_, _ = rand.Read(seed[:]) // never fails
	return kemKeyOf(seed)
}

func kemKeyOf(seed [mlkem.SeedSize]byte) *kemKey {
	p, err := mlkem.NewDecapsulationKey768(seed[:])
	if err != nil {
		panic("seal: ML-KEM takes any seed: " + err.Error())
	}
	return &kemKey{seed: seed, public: p.EncapsulationKey().Bytes(), parsed: p}
}

func (k *kemKey) decapsulate(ct []byte) ([]byte, error) {
	private := k.parsed
	if private == nil {
		private = kemKeyOf(k.seed).parsed
	}
	ss, err := private.Decapsulate(ct)
	if err != nil {
		return nil, fmt.Errorf("decapsulating: %w", err)
	}
	return ss, nil
}

// keyVersion leads every stored secret. A reader refuses a newer one.
const keyVersion = 1

func checkVersion(what string, b []byte, newest byte, size int) error {
	if len(b) == 0 || b[0] == 0 {
		return fmt.Errorf("%w: %s without a version", chat.ErrInvalid, what)
	}
	if b[0] > newest {
		return fmt.Errorf("%w: %s of format %d, newest known is %d", chat.ErrInvalid, what, b[0], newest)
	}
	if size > 0 && len(b) != size {
		return fmt.Errorf("%w: %s of %d bytes, want %d", chat.ErrInvalid, what, len(b), size)
	}
	return nil
}

// DHSecret is an X25519 private key: a device's DH identity, or a one-time
// prekey.
type DHSecret struct {
	redacted
	key dhKey
}

// NewDHSecret makes a random one.
func NewDHSecret() *DHSecret { return &DHSecret{key: newDHKey()} }

// Public is the X25519 public key.
func (d *DHSecret) Public() [32]byte { return d.key.public }

// MarshalBinary is the versioned private form, for a sealed row.
func (d *DHSecret) MarshalBinary() ([]byte, error) {
	return append([]byte{keyVersion}, d.key.private[:]...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote and refuses newer formats.
func (d *DHSecret) UnmarshalBinary(b []byte) error {
	if err := checkVersion("DH secret", b, keyVersion, 33); err != nil {
		return err
	}
	d.key = dhKeyOf([32]byte(b[1:]))
	return nil
}

// PrekeySecret is the private half of a bundle: the X25519 signed prekey and
// the ML-KEM-768 key.
type PrekeySecret struct {
	redacted
	signed dhKey
	kem    *kemKey
}

// NewPrekey makes a random pair.
func NewPrekey() *PrekeySecret {
	return &PrekeySecret{signed: newDHKey(), kem: newKEMKey()}
}

// Public is what the bundle publishes: 32 bytes and 1184 bytes.
func (p *PrekeySecret) Public() (signedPrekey [32]byte, kem []byte) {
	return p.signed.public, append([]byte(nil), p.kem.public...)
}

// MarshalBinary is the versioned private form, for a sealed row.
func (p *PrekeySecret) MarshalBinary() ([]byte, error) {
	b := append([]byte{keyVersion}, p.signed.private[:]...)
	return append(b, p.kem.seed[:]...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote and refuses newer formats.
func (p *PrekeySecret) UnmarshalBinary(b []byte) error {
	if err := checkVersion("prekey secret", b, keyVersion, 1+32+mlkem.SeedSize); err != nil {
		return err
	}
	p.signed = dhKeyOf([32]byte(b[1:33]))
	p.kem = kemKeyOf([mlkem.SeedSize]byte(b[33:]))
	return nil
}
