package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
	"parley/internal/wire"
)

const (
	// dhIdentityLife is the longest a handshake key is certified for: it bounds
	// what a stolen one is worth.
	dhIdentityLife = 365 * 24 * time.Hour
	// maxDHIdentity and maxBundle stop a record whose parts do not fit: a key,
	// two times and a signature; 1.2 KB of ML-KEM key, four small ones, two
	// signatures. Both leave room for new fields.
	maxDHIdentity = 256
	maxBundle     = 2 << 10

	dhKeySize = 32
)

// OpenDHIdentity verifies the certificate of a handshake key by its device.
// It fails with chat.ErrInvalid.
func OpenDHIdentity(device ed25519.PublicKey, signed []byte, now time.Time) ([32]byte, error) {
	if len(signed) > maxDHIdentity {
		return [32]byte{}, fmt.Errorf("%w: handshake key certificate of %d bytes, at most %d", chat.ErrTooLarge, len(signed), maxDHIdentity)
	}
	payload, err := OpenSigned(device, seal.PurposeDHIdentity, signed)
	if err != nil {
		return [32]byte{}, fmt.Errorf("opening handshake key: %w", err)
	}
	var p wirev1.DHIdentity
	if err := wire.Unmarshal(payload, &p); err != nil {
		return [32]byte{}, fmt.Errorf("opening handshake key: %w", err)
	}
	if len(p.Key) != dhKeySize {
		return [32]byte{}, fmt.Errorf("%w: handshake key of %d bytes", chat.ErrInvalid, len(p.Key))
	}
	if err := (window{p.From, p.Until}).check("the handshake key", dhIdentityLife, now); err != nil {
		return [32]byte{}, err
	}
	return [32]byte(p.Key), nil
}

func signDHIdentity(device ed25519.PrivateKey, key [32]byte, now time.Time) []byte {
	return SignedBytes(device, seal.PurposeDHIdentity, encode(&wirev1.DHIdentity{
		Key: key[:], From: now.Unix(), Until: now.Add(dhIdentityLife).Unix(),
	}))
}

// openBundle verifies signed bundle bytes for use in a handshake: both
// signatures, suite, the KEM key and the window. It fails with
// chat.ErrInvalid. Whether the account lists the device is the caller's
// question.
func openBundle(signed []byte, now time.Time) (seal.Bundle, time.Time, error) {
	p := new(wirev1.Bundle)
	if _, err := openSelfSigned(signed, seal.PurposeBundle, maxBundle, p, p.GetDeviceKey); err != nil {
		return seal.Bundle{}, time.Time{}, err
	}
	if p.Suite != uint32(seal.Suite) {
		return seal.Bundle{}, time.Time{}, fmt.Errorf("%w: suite %d, known is %d", chat.ErrInvalid, p.Suite, seal.Suite)
	}
	if err := checkSeq("bundle", p.Seq); err != nil {
		return seal.Bundle{}, time.Time{}, err
	}
	if err := checkKey(p.AccountKey); err != nil {
		return seal.Bundle{}, time.Time{}, fmt.Errorf("%w: account of the bundle: %w", chat.ErrInvalid, err)
	}
	if bytes.Equal(p.AccountKey, p.DeviceKey) {
		return seal.Bundle{}, time.Time{}, fmt.Errorf("%w: account and device share a key", chat.ErrInvalid)
	}
	if len(p.SignedPrekey) != dhKeySize {
		return seal.Bundle{}, time.Time{}, fmt.Errorf("%w: signed prekey of %d bytes", chat.ErrInvalid, len(p.SignedPrekey))
	}
	if len(p.KemPrekey) == 0 {
		return seal.Bundle{}, time.Time{}, fmt.Errorf("%w: no ML-KEM key: a session without it is refused", chat.ErrInvalid)
	}
	if _, err := mlkem.NewEncapsulationKey768(p.KemPrekey); err != nil {
		return seal.Bundle{}, time.Time{}, fmt.Errorf("%w: ML-KEM key: %w", chat.ErrInvalid, err)
	}
	if err := (window{p.From, p.Until}).check("the bundle", chat.BundleLife, now); err != nil {
		return seal.Bundle{}, time.Time{}, err
	}
	dh, err := OpenDHIdentity(p.DeviceKey, p.DhIdentity, now)
	if err != nil {
		return seal.Bundle{}, time.Time{}, err
	}
	return seal.Bundle{
		Suite:        seal.Suite,
		Owner:        seal.Identity{Account: p.AccountKey, Device: p.DeviceKey, DH: dh},
		SignedPrekey: [32]byte(p.SignedPrekey),
		KEM:          p.KemPrekey,
		Bytes:        slices.Clone(signed),
	}, time.Unix(p.Until, 0), nil
}

// bundleHash is what a first message names the bundle by.
func bundleHash(signed []byte) [32]byte { return sha256.Sum256(signed) }
