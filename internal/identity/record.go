package identity

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
	"parley/internal/wire"
)

// The DHT namespaces of this package.
const (
	DeviceNamespace  = "parley-device"
	AccountNamespace = "parley-account"
)

const (
	sealingKeySize = 1216 // X-Wing
	mailboxIDSize  = 32
	// maxMailboxes is the current id and the announced next three, with as
	// many on their way out.
	maxMailboxes = 8
	// maxPeerRecord is the addresses and their envelope: key, type, signature.
	maxPeerRecord = chat.MaxDeviceAddrBytes
)

// DeviceRecordKey is the DHT key of a device's record.
func DeviceRecordKey(d chat.DeviceID) string { return "/" + DeviceNamespace + "/" + string(d) }

// AccountRecordKey is the DHT key of an account's record.
func AccountRecordKey(a chat.AccountID) string { return "/" + AccountNamespace + "/" + string(a) }

// DeviceRecord is a device's verified record. Whether the account lists the
// device is the account's word: ask its Manifest. PeerRecord is verified by
// p2p when it is used.
type DeviceRecord struct {
	Device          chat.DeviceID
	Account         chat.AccountID
	Seq             uint64
	Issued, Expires time.Time
	PeerRecord      []byte // libp2p envelope
	Bundle          seal.Bundle
	BundleHash      [32]byte
	BundleUntil     time.Time
	SealingKey      []byte
	Mailboxes       []MailboxEntry // of now and the weeks ahead
	Bytes           []byte         // signed bytes, as received
	// Stale is set by the Directory on a record that expired: its addresses
	// are last known, and Bundle is zero once BundleUntil is over.
	Stale bool
}

// AccountRecord is an account's verified record.
type AccountRecord struct {
	Manifest        *Manifest
	Device          chat.DeviceID // the listed device that signed
	Seq             uint64
	Issued, Expires time.Time
	DisplayName     string // clean; empty if there is none fit to show
	Bytes           []byte // signed bytes, as received
}

// OpenDeviceRecord verifies a device record: size, both signatures, keys,
// suite and windows. It fails with chat.ErrInvalid or chat.ErrTooLarge.
func OpenDeviceRecord(signed []byte, now time.Time) (*DeviceRecord, error) {
	r, w, err := openDeviceRecord(signed, now)
	if err != nil {
		return nil, fmt.Errorf("opening device record: %w", err)
	}
	if err := w.check("the device record", chat.RecordLife, now); err != nil {
		return nil, fmt.Errorf("opening device record: %w", err)
	}
	return r, nil
}

// openDeviceRecord leaves the record's own window to the caller: a stale
// record still serves while its bundle lives.
func openDeviceRecord(signed []byte, now time.Time) (*DeviceRecord, window, error) {
	p := new(wirev1.DeviceRecord)
	if _, err := openSelfSigned(signed, seal.PurposeDeviceRecord, chat.MaxRecord, p, p.GetDeviceKey); err != nil {
		return nil, window{}, err
	}
	if err := checkSeq("device record", p.Seq); err != nil {
		return nil, window{}, err
	}
	if n := len(p.SignedPeerRecord); n > maxPeerRecord {
		return nil, window{}, fmt.Errorf("%w: peer record of %d bytes, at most %d", chat.ErrTooLarge, n, maxPeerRecord)
	}
	if n := len(p.SealingKey); n != sealingKeySize {
		return nil, window{}, fmt.Errorf("%w: sealing key of %d bytes, want %d", chat.ErrInvalid, n, sealingKeySize)
	}
	if n := len(p.Mailboxes); n > maxMailboxes {
		return nil, window{}, fmt.Errorf("%w: %d mailboxes, at most %d", chat.ErrInvalid, n, maxMailboxes)
	}
	for _, m := range p.Mailboxes {
		if len(m.GetId()) != mailboxIDSize || m.GetUntil() <= m.GetFrom() {
			return nil, window{}, fmt.Errorf("%w: malformed mailbox entry", chat.ErrInvalid)
		}
	}
	bundle, until, err := openBundle(p.Bundle, now)
	if err != nil {
		return nil, window{}, fmt.Errorf("its bundle: %w", err)
	}
	if !bytes.Equal(bundle.Owner.Device, p.DeviceKey) || !bytes.Equal(bundle.Owner.Account, p.AccountKey) {
		return nil, window{}, fmt.Errorf("%w: the bundle is of another device or account", chat.ErrInvalid)
	}
	return &DeviceRecord{
		Device:      DeviceIDOf(p.DeviceKey),
		Account:     AccountIDOf(p.AccountKey),
		Seq:         p.Seq,
		Issued:      time.Unix(p.Issued, 0),
		Expires:     time.Unix(p.Expires, 0),
		PeerRecord:  p.SignedPeerRecord,
		Bundle:      bundle,
		BundleHash:  bundleHash(p.Bundle),
		BundleUntil: until,
		SealingKey:  p.SealingKey,
		Mailboxes:   entriesOf(p),
		Bytes:       slices.Clone(signed),
	}, window{p.Issued, p.Expires}, nil
}

// OpenAccountRecord verifies an account record: size, both signatures, the
// signer's place in the manifest, and windows. It fails with chat.ErrInvalid
// or chat.ErrTooLarge.
func OpenAccountRecord(signed []byte, now time.Time) (*AccountRecord, error) {
	r, err := openAccountRecord(signed, now)
	if err != nil {
		return nil, fmt.Errorf("opening account record: %w", err)
	}
	return r, nil
}

func openAccountRecord(signed []byte, now time.Time) (*AccountRecord, error) {
	p := new(wirev1.AccountRecord)
	if _, err := openSelfSigned(signed, seal.PurposeAccountRecord, chat.MaxRecord, p, p.GetDeviceKey); err != nil {
		return nil, err
	}
	if err := checkSeq("account record", p.Seq); err != nil {
		return nil, err
	}
	if n := len(p.DisplayName); n > chat.MaxDisplayName {
		return nil, fmt.Errorf("%w: display name of %d bytes, at most %d", chat.ErrTooLarge, n, chat.MaxDisplayName)
	}
	if err := (window{p.Issued, p.Expires}).check("the account record", chat.RecordLife, now); err != nil {
		return nil, err
	}
	m, err := OpenManifest(p.Manifest, now)
	if err != nil {
		return nil, err
	}
	device := DeviceIDOf(p.DeviceKey)
	if !m.Lists(device) {
		return nil, fmt.Errorf("%w: signed by a device that the account does not list", chat.ErrInvalid)
	}
	name, err := CleanName(p.DisplayName)
	if err != nil {
		name = "" // shown by id; a bad name does not make the keys bad
	}
	return &AccountRecord{
		Manifest:    m,
		Device:      device,
		Seq:         p.Seq,
		Issued:      time.Unix(p.Issued, 0),
		Expires:     time.Unix(p.Expires, 0),
		DisplayName: name,
		Bytes:       slices.Clone(signed),
	}, nil
}

// ValidateDeviceRecord says whether value may be stored under key. It depends
// on the bytes and the clock only.
func ValidateDeviceRecord(key string, value []byte, now time.Time) error {
	r, err := OpenDeviceRecord(value, now)
	if err != nil {
		return err
	}
	if key != DeviceRecordKey(r.Device) {
		return fmt.Errorf("%w: device record under a foreign key", chat.ErrInvalid)
	}
	return nil
}

// ValidateAccountRecord says whether value may be stored under key. It depends
// on the bytes and the clock only.
func ValidateAccountRecord(key string, value []byte, now time.Time) error {
	r, err := OpenAccountRecord(value, now)
	if err != nil {
		return err
	}
	if key != AccountRecordKey(r.Manifest.Account) {
		return fmt.Errorf("%w: account record under a foreign key", chat.ErrInvalid)
	}
	return nil
}

// rank orders records: more is newer, and among equals the smaller hash wins,
// so that every node chooses alike in whatever order records come.
type rank struct {
	first, second uint64
	hash          [32]byte
}

func (r rank) above(o rank) bool {
	if r.first != o.first {
		return r.first > o.first
	}
	if r.second != o.second {
		return r.second > o.second
	}
	return bytes.Compare(r.hash[:], o.hash[:]) < 0
}

// SelectDeviceRecord is the index of the record to keep: highest seq, then
// smallest hash. The values have been validated; undecodable ones are passed
// over, and only if none is left it fails with chat.ErrInvalid.
func SelectDeviceRecord(_ string, values [][]byte) (int, error) {
	return choose(values, func(payload []byte) (rank, bool) {
		var p wirev1.DeviceRecord
		if wire.Unmarshal(payload, &p) != nil {
			return rank{}, false
		}
		return rank{first: p.Seq}, true
	})
}

// SelectAccountRecord is the index of the record to keep: highest manifest
// seq, then highest record seq, then smallest hash. It treats its values as
// SelectDeviceRecord does.
func SelectAccountRecord(_ string, values [][]byte) (int, error) {
	return choose(values, func(payload []byte) (rank, bool) {
		var p wirev1.AccountRecord
		if wire.Unmarshal(payload, &p) != nil {
			return rank{}, false
		}
		inner, _, err := unwrap(p.Manifest)
		if err != nil {
			return rank{}, false
		}
		var m wirev1.Manifest
		if wire.Unmarshal(inner, &m) != nil {
			return rank{}, false
		}
		return rank{first: m.Seq, second: p.Seq}, true
	})
}

func choose(values [][]byte, rankOf func(payload []byte) (rank, bool)) (int, error) {
	best, found := -1, rank{}
	for i, v := range values {
		payload, _, err := unwrap(v)
		if err != nil {
			continue
		}
		r, ok := rankOf(payload)
		if !ok {
			continue
		}
		r.hash = sha256.Sum256(v)
		if best < 0 || r.above(found) {
			best, found = i, r
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("%w: no readable record among %d", chat.ErrInvalid, len(values))
	}
	return best, nil
}
