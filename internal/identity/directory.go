package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/live"
	"parley/internal/store"
)

// accountFresh is how long a looked-up manifest goes unquestioned: a new
// device of a silent contact is noticed within it. Device records hold until
// they expire, since a failed dial asks for a new one.
const accountFresh = time.Hour

const (
	// confirmWait bounds what a message waits for a list that only confirms
	// the pinned one.
	confirmWait = 5 * time.Second
	// confirmPause spares the next messages that wait after a failure.
	confirmPause = time.Minute
)

// Records is the DHT. Values are verified by the directory again, whatever
// the implementation did.
type Records interface {
	// Get is the best valid value under key. It fails with chat.ErrNotFound
	// when everybody who should have it answered, with chat.ErrUnreachable when
	// nobody could be asked, and when ctx ends.
	Get(ctx context.Context, key string) ([]byte, error)
	// Put stores value under key with enough peers to be found, and fails when
	// too few took it: it is tried again then.
	Put(ctx context.Context, key string, value []byte) error
}

// DirectoryConfig is what a Directory is made of.
type DirectoryConfig struct {
	DB      *store.DB
	Keys    *Keys
	Records Records
	// Sleepers, if set, is asked where the DHT has no record.
	Sleepers Sleepers
	// PeerRecord is our own addresses in libp2p's signed form. While it fails
	// or is empty nothing is published: nobody could call.
	PeerRecord func() ([]byte, error)
	// Pinned, if set, is called after a commit that may have changed to which
	// account these devices belong: to a, or no longer to another one. It must
	// not call the Directory.
	Pinned func(a chat.AccountID, devices []chat.DeviceID)
	Log    *slog.Logger
}

// Directory knows others' manifests and records, and publishes ours.
// It is safe for concurrent use.
type Directory struct {
	// Set by NewDirectory, never changed.
	db         *store.DB
	keys       *Keys
	records    Records
	sleepers   Sleepers
	peerRecord func() ([]byte, error)
	pinned     func(chat.AccountID, []chat.DeviceID)
	log        *slog.Logger

	nudge     chan struct{} // capacity 1
	published live.Value[Publication]

	mu sync.Mutex
	// Guarded by mu.
	flights map[string]*flight           // DHT key -> the look-up under way, which has callers
	missed  map[chat.AccountID]time.Time // account -> last look-up that failed to confirm its pin; emptied at chat.MaxStrangers
	slept   map[string]time.Time         // DHT key -> when its sleepers were last asked for; emptied at chat.MaxStrangers
}

// NewDirectory builds a Directory and starts nothing.
func NewDirectory(cfg DirectoryConfig) *Directory {
	d := &Directory{
		db: cfg.DB, keys: cfg.Keys, records: cfg.Records, sleepers: cfg.Sleepers,
		peerRecord: cfg.PeerRecord, pinned: cfg.Pinned, log: cfg.Log,
		nudge:   make(chan struct{}, 1),
		flights: map[string]*flight{},
		missed:  map[chat.AccountID]time.Time{},
		slept:   map[string]time.Time{},
	}
	if d.peerRecord == nil {
		d.peerRecord = func() ([]byte, error) { return nil, nil }
	}
	if d.pinned == nil {
		d.pinned = func(chat.AccountID, []chat.DeviceID) {}
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// EquivocationError says that an account signed two device lists with one
// number: its key or its owner cannot be trusted until somebody asks. The
// first list stays pinned.
type EquivocationError struct {
	Account chat.AccountID
	Seq     uint64
}

func (e *EquivocationError) Error() string {
	return fmt.Sprintf("account %s has two device lists with number %d", e.Account.Short(), e.Seq)
}

// Account is the device list of an account: a fresh one from the cache, else
// from the DHT, else the one that is pinned. A list below the pinned one is
// passed over. It fails with chat.ErrNotFound and a reason in words, or with
// an EquivocationError.
func (d *Directory) Account(ctx context.Context, a chat.AccountID) (*Manifest, error) {
	return d.account(ctx, a, nil)
}

func (d *Directory) account(ctx context.Context, a chat.AccountID, early func(record []byte)) (*Manifest, error) {
	if a == d.keys.Account() {
		return d.keys.Manifest(), nil
	}
	now := time.Now()
	pinned, fresh, err := d.cachedAccount(ctx, a, now)
	if err != nil {
		return nil, err
	}
	switch {
	case fresh, pinned != nil && d.missedSince(a, now.Add(-confirmPause)):
		return pinned, nil
	case pinned == nil:
		return d.lookUpAccount(ctx, a, early)
	}
	bounded, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	m, err := d.lookUpAccount(bounded, a, early)
	if err == nil {
		return m, nil
	}
	var two *EquivocationError
	if errors.As(err, &two) || ctx.Err() != nil {
		return nil, err
	}
	d.miss(a, now)
	d.log.Debug("using pinned device list", "account", a.Short(), "cause", err)
	return pinned, nil
}

func (d *Directory) missedSince(a chat.AccountID, when time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.missed[a].After(when)
}

func (d *Directory) miss(a chat.AccountID, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.missed) >= chat.MaxStrangers {
		clear(d.missed)
	}
	d.missed[a] = now
}

// cachedAccount is the pinned manifest, if there is one that has not ended,
// and whether it was confirmed of late.
func (d *Directory) cachedAccount(ctx context.Context, a chat.AccountID, now time.Time) (m *Manifest, fresh bool, err error) {
	err = d.db.Read(ctx, func(tx *store.Tx) error {
		pin, err := tx.Pin(a)
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if m, err = openManifest(pin.Manifest); err != nil {
			return err
		}
		if m.current(now) != nil {
			m = nil
			return nil
		}
		r, err := tx.Record(AccountRecordKey(a))
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		age := now.Sub(r.Fetched)
		fresh = err == nil && age >= 0 && age < accountFresh && r.Expires.After(now)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("reading device list of %s: %w", a.Short(), err)
	}
	return m, fresh, nil
}

// lookUpAccount asks the DHT, pins and caches.
func (d *Directory) lookUpAccount(ctx context.Context, a chat.AccountID, early func(record []byte)) (*Manifest, error) {
	value, leave, err := d.lookUp(ctx, AccountRecordKey(a), early)
	defer leave()
	if err != nil {
		if m := d.sleepingAccount(ctx, a, err); m != nil {
			return m, nil
		}
		return nil, fmt.Errorf("looking up account %s: %w", a.Short(), err)
	}
	now := time.Now()
	r, err := OpenAccountRecord(value, now)
	if err != nil {
		return nil, fmt.Errorf("looking up account %s: %w", a.Short(), err)
	}
	if r.Manifest.Account != a {
		return nil, fmt.Errorf("looking up account %s: %w: somebody else's record", a.Short(), chat.ErrInvalid)
	}
	var kept *Manifest
	err = d.db.Write(ctx, func(tx *store.Tx) error {
		if kept, err = d.pin(tx, r.Manifest, now); err != nil {
			return err
		}
		if kept.Seq > r.Manifest.Seq {
			return nil // withheld news: the record is not worth keeping
		}
		return putNewer(tx, store.Record{Key: AccountRecordKey(a), Value: r.Bytes, Seq: r.Seq, Expires: r.Expires, Fetched: now})
	})
	if err != nil {
		return nil, fmt.Errorf("keeping device list of %s: %w", a.Short(), d.disputed(ctx, err))
	}
	if kept.Seq > r.Manifest.Seq {
		d.miss(a, now)
	}
	d.pinned(kept.Account, kept.Devices)
	return kept, nil
}

// Profile is the newest account record that we have seen of an account, which
// may be stale. It fails with chat.ErrNotFound.
func (d *Directory) Profile(ctx context.Context, a chat.AccountID) (*AccountRecord, error) {
	var r *AccountRecord
	err := d.db.Read(ctx, func(tx *store.Tx) error {
		row, err := tx.Record(AccountRecordKey(a))
		if err != nil {
			return err
		}
		r, err = openAccountRecord(row.Value, row.Fetched)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading profile of %s: %w", a.Short(), err)
	}
	return r, nil
}

// Device is the record of a device: a fresh one from the cache, else from the
// DHT, else a stale one of the last 30 days. Of a stale record the addresses
// are last known, and the bundle is missing once its own time is over. It
// fails with chat.ErrNotFound and a reason in words.
func (d *Directory) Device(ctx context.Context, dev chat.DeviceID) (*DeviceRecord, error) {
	cached, err := d.cachedDevice(ctx, dev)
	if err != nil {
		return nil, err
	}
	if cached != nil && !cached.Stale {
		return cached, nil
	}
	return d.lookUpDevice(ctx, dev, cached)
}

// Refresh is Device past a fresh cache: for a dial that failed everywhere.
func (d *Directory) Refresh(ctx context.Context, dev chat.DeviceID) (*DeviceRecord, error) {
	cached, err := d.cachedDevice(ctx, dev)
	if err != nil {
		return nil, err
	}
	return d.lookUpDevice(ctx, dev, cached)
}

// cachedDevice is the cached record, stale or not, or nil.
func (d *Directory) cachedDevice(ctx context.Context, dev chat.DeviceID) (*DeviceRecord, error) {
	var r *DeviceRecord
	now := time.Now()
	err := d.db.Read(ctx, func(tx *store.Tx) error {
		row, err := tx.Record(DeviceRecordKey(dev))
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if now.Sub(row.Fetched) > chat.RecordCache {
			return nil
		}
		r, err = cachedRecord(row, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading record of device %s: %w", dev.Short(), err)
	}
	return r, nil
}

// cachedRecord opens a record as of the day it was fetched, and takes from it
// what time has taken.
func cachedRecord(row store.Record, now time.Time) (*DeviceRecord, error) {
	r, _, err := openDeviceRecord(row.Value, row.Fetched)
	if err != nil {
		return nil, err
	}
	r.Stale = !r.Expires.After(now)
	if !r.BundleUntil.After(now) {
		r.Bundle, r.BundleHash = noBundle, [32]byte{}
	}
	return r, nil
}

// lookUpDevice asks the DHT. What it returns is never older than cached.
func (d *Directory) lookUpDevice(ctx context.Context, dev chat.DeviceID, cached *DeviceRecord) (*DeviceRecord, error) {
	value, leave, err := d.lookUp(ctx, DeviceRecordKey(dev), nil)
	defer leave()
	var r *DeviceRecord
	if err != nil {
		if s := d.sleepingDevice(ctx, dev, cached, err); s != nil {
			return s, nil
		}
	}
	if err == nil {
		if r, err = OpenDeviceRecord(value, time.Now()); err == nil && r.Device != dev {
			err = fmt.Errorf("%w: somebody else's record", chat.ErrInvalid)
		}
	}
	switch {
	case err == nil && (cached == nil || r.Seq > cached.Seq || r.Seq == cached.Seq && cached.Stale):
		if err := d.keep(ctx, r); err != nil {
			return nil, err
		}
		return r, nil
	case cached != nil && ctx.Err() == nil:
		return cached, nil
	case err == nil:
		err = ctx.Err()
	}
	return nil, fmt.Errorf("looking up device %s: %w", dev.Short(), err)
}

// keep caches a verified device record and settles whose device it is.
func (d *Directory) keep(ctx context.Context, r *DeviceRecord) error {
	err := d.db.Write(ctx, func(tx *store.Tx) error { return d.keepIn(tx, r, time.Now()) })
	if err != nil {
		return fmt.Errorf("keeping record of device %s: %w", r.Device.Short(), err)
	}
	d.pinned(r.Account, []chat.DeviceID{r.Device})
	return nil
}

func (d *Directory) keepIn(tx *store.Tx, r *DeviceRecord, now time.Time) error {
	err := putNewer(tx, store.Record{Key: DeviceRecordKey(r.Device), Value: r.Bytes, Seq: r.Seq, Expires: r.Expires, Fetched: now})
	if err != nil {
		return err
	}
	return settle(tx, r.Device, r.Account)
}

// putNewer caches a record unless a newer one is there.
func putNewer(tx *store.Tx, r store.Record) error {
	old, err := tx.Record(r.Key)
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return err
	}
	if err == nil && old.Seq > r.Seq {
		return nil
	}
	return tx.PutRecord(r)
}

// Usable reports whether the account lists the record's device: both have to
// name each other before anything is sealed for it.
func (m *Manifest) Usable(r *DeviceRecord) bool {
	return r.Account == m.Account && slices.Contains(m.Devices, r.Device)
}
