package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
	"parley/internal/wire"
)

// maxManifest fits eight devices, eight revoked ones and the signature with
// room for new fields, and leaves half of a record to the rest.
const maxManifest = chat.MaxRecord / 2

// Manifest is an account's verified device list.
type Manifest struct {
	Account    chat.AccountID
	AccountKey ed25519.PublicKey
	Seq        uint64
	Hash       [32]byte // SHA-256 of the signed payload: what DMs name
	Devices    []chat.DeviceID
	Revoked    []chat.DeviceID
	NotAfter   time.Time
	Bytes      []byte // signed bytes, as received

	message *wirev1.Manifest
}

// Lists reports whether d may act for the account: listed and not revoked.
func (m *Manifest) Lists(d chat.DeviceID) bool { return slices.Contains(m.Devices, d) }

// OpenManifest verifies signed manifest bytes. It fails with chat.ErrInvalid,
// also when the manifest has ended.
func OpenManifest(signed []byte, now time.Time) (*Manifest, error) {
	m, err := openManifest(signed)
	if err != nil {
		return nil, fmt.Errorf("opening manifest: %w", err)
	}
	if err := m.current(now); err != nil {
		return nil, fmt.Errorf("opening manifest: %w", err)
	}
	return m, nil
}

// Ended reports whether the time of a pinned manifest is over. It was verified
// when it was pinned, so no signature is checked again.
func Ended(pinned []byte, now time.Time) bool {
	payload, _, err := unwrap(pinned)
	p := new(wirev1.Manifest)
	if err != nil || wire.Unmarshal(payload, p) != nil {
		return true
	}
	return (&Manifest{NotAfter: time.Unix(p.NotAfter, 0)}).current(now) != nil
}

// current holds the manifest against the clock. A manifest has no beginning:
// its end is bounded instead.
func (m *Manifest) current(now time.Time) error {
	switch {
	case m.NotAfter.Before(now.Add(-chat.ClockSlack)):
		return fmt.Errorf("%w: the device list ended on %s", chat.ErrInvalid, day(m.NotAfter))
	case m.NotAfter.After(now.Add(chat.ManifestLife + chat.ClockSlack)):
		return fmt.Errorf("%w: the device list ends more than %d days ahead", chat.ErrInvalid, chat.ManifestLife/(24*time.Hour))
	}
	return nil
}

// openManifest checks all but the clock, so that an old pin can be read.
func openManifest(signed []byte) (*Manifest, error) {
	p := new(wirev1.Manifest)
	payload, err := openSelfSigned(signed, seal.PurposeManifest, maxManifest, p, p.GetAccountKey)
	if err != nil {
		return nil, err
	}
	if err := checkSeq("manifest", p.Seq); err != nil {
		return nil, err
	}
	if n := len(p.Devices); n == 0 || n > chat.MaxDevices {
		return nil, fmt.Errorf("%w: manifest with %d devices, 1 to %d are allowed", chat.ErrInvalid, n, chat.MaxDevices)
	}
	if n := len(p.Revoked); n > chat.MaxRevoked {
		return nil, fmt.Errorf("%w: manifest with %d revoked devices, at most %d", chat.ErrInvalid, n, chat.MaxRevoked)
	}
	if n := len(p.PrevHash); n != 0 && n != sha256.Size {
		return nil, fmt.Errorf("%w: manifest with a previous hash of %d bytes", chat.ErrInvalid, n)
	}
	m := &Manifest{
		Account:    AccountIDOf(p.AccountKey),
		AccountKey: p.AccountKey,
		Seq:        p.Seq,
		Hash:       sha256.Sum256(payload),
		NotAfter:   time.Unix(p.NotAfter, 0),
		Bytes:      slices.Clone(signed),
		message:    p,
	}
	for _, key := range p.Revoked {
		if err := m.add(&m.Revoked, key); err != nil {
			return nil, err
		}
	}
	var listed []chat.DeviceID
	for _, d := range p.Devices {
		if err := m.add(&listed, d.GetDeviceKey()); err != nil {
			return nil, err
		}
	}
	for _, d := range listed {
		if !slices.Contains(m.Revoked, d) {
			m.Devices = append(m.Devices, d)
		}
	}
	return m, nil
}

func (m *Manifest) add(list *[]chat.DeviceID, key []byte) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("%w: device in manifest: %w", chat.ErrInvalid, err)
	}
	if m.AccountKey.Equal(ed25519.PublicKey(key)) {
		return fmt.Errorf("%w: manifest lists the account key as a device", chat.ErrInvalid)
	}
	id := DeviceIDOf(key)
	if slices.Contains(*list, id) {
		return fmt.Errorf("%w: manifest names a device twice", chat.ErrInvalid)
	}
	*list = append(*list, id)
	return nil
}

// signManifest makes the manifest that follows previous (nil for the first):
// it lists device besides the others, the oldest leaving when there are too
// many, and is numbered above seen.
func signManifest(account ed25519.PrivateKey, device ed25519.PublicKey, previous *Manifest, seen uint64, now time.Time) []byte {
	own := &wirev1.ManifestDevice{DeviceKey: device, Added: now.Unix()}
	p := &wirev1.Manifest{
		Version:    recordVersion,
		AccountKey: account.Public().(ed25519.PublicKey),
		Seq:        nextSeq(seen, now),
		NotAfter:   now.Add(chat.ManifestLife).Unix(),
		Algorithms: []uint32{uint32(seal.Suite)},
	}
	if previous != nil {
		p.Seq = nextSeq(max(seen, previous.Seq), now)
		p.PrevHash = previous.Hash[:]
		p.Revoked = previous.message.Revoked
		p.VaultGeneration = previous.message.VaultGeneration
		for _, d := range previous.message.Devices {
			if device.Equal(ed25519.PublicKey(d.DeviceKey)) {
				own = d
			} else if previous.Lists(DeviceIDOf(d.DeviceKey)) {
				p.Devices = append(p.Devices, d)
			}
		}
	}
	slices.SortStableFunc(p.Devices, func(a, b *wirev1.ManifestDevice) int { return int(a.Added - b.Added) })
	if spare := len(p.Devices) - (chat.MaxDevices - 1); spare > 0 {
		p.Devices = p.Devices[spare:]
	}
	p.Devices = append(p.Devices, own)
	return SignedBytes(account, seal.PurposeManifest, encode(p))
}
