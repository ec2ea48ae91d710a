package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/chat"
	"parley/internal/seal"
	"parley/internal/store"
)

// Kinds of sealed rows.
const (
	kindAccount = "account" // "entropy": the 24 words
	kindDevice  = "device"  // "key": seed of the host key
	kindDH      = "dh"      // "current": handshake key and certificate
	kindPrekey  = "prekey"  // bundle hash in hex -> private halves
	kindBox     = "box"     // serial number -> sealing key
)

const (
	rowEntropy = "entropy"
	rowSeed    = "key"
	rowCurrent = "current"
)

// Keys is this node's account and device. It is safe for concurrent use.
type Keys struct {
	// Set by Load, never changed.
	entropy   [entropyBytes]byte
	account   ed25519.PrivateKey
	accountID chat.AccountID
	device    ed25519.PrivateKey
	deviceID  chat.DeviceID

	turns atomic.Uint64 // transactions that changed mailboxes, in their order

	mu sync.Mutex
	// Guarded by mu; replaced whole, after the commit that stored them.
	manifest *Manifest
	current  rotating
	boxes    map[uint64]*seal.BoxSecret // serial -> expanded key; as many as are stored
	taken    uint64                     // the turn that current.mail is of
	loaded   time.Time                  // the start
	collects bool                       // mail is still to be collected in this run
	news     bool                       // what we publish changed outside Rotate
	erase    time.Time                  // when to erase old private halves; zero: nothing is due
}

// Load reads the keys of a store and makes what is missing: on the first run
// all of them, later the daily and weekly ones that came due. Loading again
// gives the same account and device. On a full disk what came due waits, and
// the keys of before serve on.
func Load(ctx context.Context, db *store.DB, now time.Time) (*Keys, error) {
	k := new(Keys)
	err := db.Read(ctx, k.read)
	whole := err == nil
	if errors.Is(err, chat.ErrNotFound) || whole && k.due(now) {
		made := new(Keys)
		err = db.Write(ctx, func(tx *store.Tx) error { return made.load(tx, now) })
		switch {
		case err == nil:
			k = made
		case whole && errors.Is(err, chat.ErrStorageFull):
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("loading identity: %w", err)
	}
	k.loaded, k.erase = now, now.Add(collectTime)
	return k, nil
}

// read is load without a change: it fails with chat.ErrNotFound when anything
// has to be made.
func (k *Keys) read(tx *store.Tx) error {
	entropy, err := secret(tx, kindAccount, rowEntropy)
	if err != nil {
		return err
	}
	seed, err := secret(tx, kindDevice, rowSeed)
	if err != nil {
		return err
	}
	k.take(entropy, seed)
	pin, err := tx.Pin(k.accountID)
	if err != nil {
		return fmt.Errorf("reading our manifest: %w", err)
	}
	if k.manifest, err = openManifest(pin.Manifest); err != nil {
		return fmt.Errorf("reading our manifest: %w", err)
	}
	if k.current, err = readRotating(tx); err != nil {
		return err
	}
	if k.current.dh.secret == nil || k.current.bundle.bytes == nil || k.current.box.secret == nil {
		return fmt.Errorf("%w: no handshake key, bundle or sealing key", chat.ErrNotFound)
	}
	return nil
}

// due reports whether load would make anything that read found.
func (k *Keys) due(now time.Time) bool {
	return k.current.due(now) || k.unlisted(k.manifest) || k.manifest.NotAfter.Before(now.Add(renewManifest))
}

func (k *Keys) load(tx *store.Tx, now time.Time) error {
	entropy, err := secretOrNew(tx, kindAccount, rowEntropy)
	if err != nil {
		return err
	}
	seed, err := secretOrNew(tx, kindDevice, rowSeed)
	if err != nil {
		return err
	}
	k.take(entropy, seed)
	if k.manifest, err = k.loadManifest(tx, now); err != nil {
		return err
	}
	stored, err := readRotating(tx)
	if err != nil {
		return err
	}
	k.current, err = k.rotate(tx, stored, now)
	return err
}

// take derives what never changes.
func (k *Keys) take(entropy [entropyBytes]byte, seed [32]byte) {
	k.entropy = entropy
	accountSeed := seal.AccountSeed(entropy)
	k.account = ed25519.NewKeyFromSeed(accountSeed[:])
	k.accountID = AccountIDOf(k.AccountKey())
	k.device = ed25519.NewKeyFromSeed(seed[:])
	k.deviceID = DeviceIDOf(k.devicePublic())
}

// secretOrNew is a stored secret, made at random if there is none.
func secretOrNew(tx *store.Tx, kind, row string) ([32]byte, error) {
	b, err := secret(tx, kind, row)
	if !errors.Is(err, chat.ErrNotFound) {
		return b, err
	}
	_, _ = rand.Read(b[:]) // never fails
	return b, tx.PutSecret(kind, row, b[:], time.Time{})
}

// secret is a stored secret of 32 bytes.
func secret(tx *store.Tx, kind, row string) ([32]byte, error) {
	b, err := tx.Secret(kind, row)
	switch {
	case err != nil:
		return [32]byte{}, fmt.Errorf("reading the %s key: %w", kind, err)
	case len(b) != 32:
		return [32]byte{}, fmt.Errorf("reading the %s key: %w: %d bytes", kind, chat.ErrInvalid, len(b))
	}
	return [32]byte(b), nil
}

// Restore puts the account of a phrase into a store that has none yet; Load
// then makes a new device for it. It fails with chat.ErrInvalid and the exact
// cause for a wrong phrase, and with chat.ErrConflict when the store already
// has an account: nothing is changed then.
func Restore(ctx context.Context, db *store.DB, phrase string) error {
	entropy, err := ParsePhrase(phrase)
	if err != nil {
		return err
	}
	err = db.Write(ctx, func(tx *store.Tx) error {
		switch _, err := tx.Secret(kindAccount, rowEntropy); {
		case err == nil:
			return fmt.Errorf("%w: this data folder already holds an account", chat.ErrConflict)
		case !errors.Is(err, chat.ErrNotFound):
			return err
		}
		return tx.PutSecret(kindAccount, rowEntropy, entropy[:], time.Time{})
	})
	if err != nil {
		return fmt.Errorf("restoring account: %w", err)
	}
	return nil
}

// Account is the id of the person.
func (k *Keys) Account() chat.AccountID { return k.accountID }

// AccountKey is the public account key.
func (k *Keys) AccountKey() ed25519.PublicKey { return k.account.Public().(ed25519.PublicKey) }

// Device is the id of this node.
func (k *Keys) Device() chat.DeviceID { return k.deviceID }

// DeviceKey is the host key: it runs the libp2p host and signs records,
// receipts and certificates.
func (k *Keys) DeviceKey() ed25519.PrivateKey { return k.device }

func (k *Keys) devicePublic() ed25519.PublicKey { return k.device.Public().(ed25519.PublicKey) }

// Phrase is the 24 words that restore the account. It is for its owner's eyes.
func (k *Keys) Phrase() string { return phraseOf(&k.entropy) }

// Manifest is our account's current device list.
func (k *Keys) Manifest() *Manifest {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.manifest
}

// ManifestBytes is Manifest as signed.
func (k *Keys) ManifestBytes() []byte { return slices.Clone(k.Manifest().Bytes) }

// Self is our side of a new handshake. A handshake that answers a bundle uses
// the handshake key of that bundle: see PrekeyByBundle.
func (k *Keys) Self() seal.Identity {
	return seal.Identity{Account: k.AccountKey(), Device: k.devicePublic(), DH: k.DH().Public()}
}

// DH is the current handshake key.
func (k *Keys) DH() *seal.DHSecret { return k.snapshot().dh.secret }

// DHCertificate is the device's certificate of DH, as signed.
func (k *Keys) DHCertificate() []byte { return slices.Clone(k.snapshot().dh.certificate) }

func (k *Keys) snapshot() rotating {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// String hides the keys.
func (k *Keys) String() string { return "[keys of " + k.deviceID.Short() + "]" }

// GoString hides the keys from %#v too.
func (k *Keys) GoString() string { return k.String() }

// renewManifest is when a manifest is signed anew: halfway, so that a year
// offline does not end it.
const renewManifest = chat.ManifestLife / 2

// loadManifest is our pinned manifest, signed anew when it does not list this
// device or nears its end.
func (k *Keys) loadManifest(tx *store.Tx, now time.Time) (*Manifest, error) {
	pin, err := tx.Pin(k.accountID)
	if errors.Is(err, chat.ErrNotFound) {
		return k.writeManifest(tx, nil, 0, now)
	}
	if err != nil {
		return nil, fmt.Errorf("reading our manifest: %w", err)
	}
	m, err := openManifest(pin.Manifest)
	if err != nil {
		return nil, fmt.Errorf("reading our manifest: %w", err)
	}
	if k.unlisted(m) || m.NotAfter.Before(now.Add(renewManifest)) {
		return k.writeManifest(tx, m, 0, now)
	}
	return m, nil
}

// unlisted reports whether a manifest knows nothing of this device yet.
func (k *Keys) unlisted(m *Manifest) bool {
	return !m.Lists(k.deviceID) && !slices.Contains(m.Revoked, k.deviceID)
}

// writeManifest signs the manifest after previous, numbered above seen too,
// and pins it.
func (k *Keys) writeManifest(tx *store.Tx, previous *Manifest, seen uint64, now time.Time) (*Manifest, error) {
	m, err := OpenManifest(signManifest(k.account, k.devicePublic(), previous, seen, now), now)
	if err != nil {
		return nil, fmt.Errorf("signing our manifest: %w", err)
	}
	if err := tx.PutPin(pinOf(m)); err != nil {
		return nil, fmt.Errorf("signing our manifest: %w", err)
	}
	return m, nil
}

func pinOf(m *Manifest) store.Pin {
	return store.Pin{Account: m.Account, Seq: m.Seq, Hash: m.Hash, Manifest: m.Bytes, Devices: m.Devices}
}
