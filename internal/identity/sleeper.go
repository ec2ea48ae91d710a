package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
	"parley/internal/wire"
)

// Sleepers is the nodes that keep the last records of devices and accounts
// that no longer publish.
type Sleepers interface {
	// Stale is the copies that they have under a record's key, in any order and
	// not verified; none when nobody has one. It fails when nobody could be
	// asked, and when ctx ends.
	Stale(ctx context.Context, key string) ([][]byte, error)
}

// sleeperPause bounds what messages to somebody asleep make us ask for.
const sleeperPause = 10 * time.Minute

// Last is a verified record that may be stale, as those keep it who hold the
// last word of a sleeper.
type Last struct {
	Issued time.Time
	Seq    uint64
	Device chat.DeviceID // whose it is, or whose signature an account's has
}

// OpenLast verifies a record as of the day of its issue, which lies at most
// chat.SleeperLife back. It fails with chat.ErrInvalid, also for a key of
// another namespace or another owner.
func OpenLast(key string, signed []byte, now time.Time) (Last, error) {
	issued, err := issuedAt(signed)
	if err == nil {
		err = lastWindow(issued, now)
	}
	if err != nil {
		return Last{}, err
	}
	if r, derr := OpenDeviceRecord(signed, issued); derr == nil && key == DeviceRecordKey(r.Device) {
		return Last{Issued: issued, Seq: r.Seq, Device: r.Device}, nil
	}
	if r, aerr := OpenAccountRecord(signed, issued); aerr == nil && key == AccountRecordKey(r.Manifest.Account) {
		return Last{Issued: issued, Seq: r.Seq, Device: r.Device}, nil
	}
	return Last{}, fmt.Errorf("%w: not a record under its own key", chat.ErrInvalid)
}

// SelectLast is the index of the newest among verified records under one key.
func SelectLast(key string, values [][]byte) (int, error) {
	if len(key) > len(AccountNamespace) && key[1:1+len(AccountNamespace)] == AccountNamespace {
		return SelectAccountRecord(key, values)
	}
	return SelectDeviceRecord(key, values)
}

// issuedAt reads when a record says that it was issued, before anything of it
// is verified. In both kinds it is the field of one number and kind.
func issuedAt(signed []byte) (time.Time, error) {
	if len(signed) > chat.MaxRecord {
		return time.Time{}, fmt.Errorf("%w: record of %d bytes", chat.ErrTooLarge, len(signed))
	}
	payload, _, err := unwrap(signed)
	if err != nil {
		return time.Time{}, err
	}
	var p wirev1.DeviceRecord
	if wire.Unmarshal(payload, &p) == nil && p.Issued > 0 && len(p.Bundle) > 0 {
		return time.Unix(p.Issued, 0), nil
	}
	var a wirev1.AccountRecord
	if wire.Unmarshal(payload, &a) == nil && a.Issued > 0 {
		return time.Unix(a.Issued, 0), nil
	}
	return time.Time{}, fmt.Errorf("%w: record without a time", chat.ErrInvalid)
}

func lastWindow(issued, now time.Time) error {
	switch age := now.Sub(issued); {
	case age < -chat.ClockSlack:
		return fmt.Errorf("%w: record from the future", chat.ErrInvalid)
	case age > chat.SleeperLife+chat.ClockSlack:
		return fmt.Errorf("%w: the last record was issued on %s", chat.ErrInvalid, day(issued))
	}
	return nil
}

// stale asks those who keep a sleeper's last word for the newest valid copy.
func (d *Directory) stale(ctx context.Context, key string, cause error) (value []byte, issued time.Time, ok bool) {
	if d.sleepers == nil || ctx.Err() != nil || errors.Is(cause, chat.ErrUnreachable) || !d.mayAsk(key, time.Now()) {
		return nil, time.Time{}, false
	}
	bounded, cancel := context.WithTimeout(ctx, chat.LookupTimeout)
	defer cancel()
	copies, err := d.sleepers.Stale(bounded, key)
	if err != nil {
		d.log.Debug("nobody asked for a last record", "cause", err)
		return nil, time.Time{}, false
	}
	now := time.Now()
	var valid [][]byte
	var times []time.Time
	for _, c := range copies {
		if last, err := OpenLast(key, c, now); err == nil {
			valid, times = append(valid, c), append(times, last.Issued)
		}
	}
	i, err := SelectLast(key, valid)
	if err != nil {
		return nil, time.Time{}, false
	}
	return valid[i], times[i], true
}

// mayAsk reports whether a sleeper may be asked for again, and notes it.
func (d *Directory) mayAsk(key string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if age := now.Sub(d.slept[key]); age >= 0 && age < sleeperPause {
		return false
	}
	if len(d.slept) >= chat.MaxStrangers {
		clear(d.slept)
	}
	d.slept[key] = now
	return true
}

// sleepingDevice is the last record of a device that the DHT has none of, if
// its region keeps one above cached. Its keys and mailboxes serve, its
// addresses are last known.
func (d *Directory) sleepingDevice(ctx context.Context, dev chat.DeviceID, cached *DeviceRecord, cause error) *DeviceRecord {
	value, issued, ok := d.stale(ctx, DeviceRecordKey(dev), cause)
	if !ok {
		return nil
	}
	// Kept as of its issue: every later reading takes off what time has taken.
	row := store.Record{Key: DeviceRecordKey(dev), Value: value, Fetched: issued}
	r, err := cachedRecord(row, time.Now())
	if err != nil || r.Device != dev || cached != nil && cached.Seq >= r.Seq {
		return nil
	}
	err = d.db.Write(ctx, func(tx *store.Tx) error { return d.keepIn(tx, r, issued) })
	if err != nil {
		d.log.Warn("last record not kept", "device", dev.Short(), "cause", err)
		return nil
	}
	d.pinned(r.Account, []chat.DeviceID{dev})
	return r
}

// sleepingAccount is the device list of an account that the DHT has no record
// of, from the last one that its region keeps.
func (d *Directory) sleepingAccount(ctx context.Context, a chat.AccountID, cause error) *Manifest {
	value, issued, ok := d.stale(ctx, AccountRecordKey(a), cause)
	if !ok {
		return nil
	}
	r, err := OpenAccountRecord(value, issued)
	if err != nil || r.Manifest.Account != a || r.Manifest.current(time.Now()) != nil {
		return nil
	}
	var kept *Manifest
	err = d.db.Write(ctx, func(tx *store.Tx) error {
		if kept, err = d.pin(tx, r.Manifest, time.Now()); err != nil || kept.Seq > r.Manifest.Seq {
			return err
		}
		return putNewer(tx, store.Record{Key: AccountRecordKey(a), Value: r.Bytes, Seq: r.Seq, Expires: r.Expires, Fetched: issued})
	})
	if err != nil {
		d.log.Debug("last device list not kept", "account", a.Short(), "cause", d.disputed(ctx, err))
		return nil
	}
	d.pinned(kept.Account, kept.Devices)
	return kept
}

// mailFresh is how long a looked-up record says where mail goes: a mailbox that
// a block voided is left alone after it.
const mailFresh = time.Hour

// Mail is the record of a device as one reads it before mail goes: not older
// than mailFresh if the network can help it. It fails as Device does.
func (d *Directory) Mail(ctx context.Context, dev chat.DeviceID) (*DeviceRecord, error) {
	fresh := false
	err := d.db.Read(ctx, func(tx *store.Tx) error {
		row, err := tx.Record(DeviceRecordKey(dev))
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		age := time.Since(row.Fetched)
		fresh = err == nil && age >= 0 && age < mailFresh
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading record of device %s: %w", dev.Short(), err)
	}
	if fresh {
		return d.Device(ctx, dev)
	}
	return d.Refresh(ctx, dev)
}

// Known is the newest record that we have of a device, stale or not, without
// asking anybody. It fails with chat.ErrNotFound.
func (d *Directory) Known(ctx context.Context, dev chat.DeviceID) (*DeviceRecord, error) {
	r, err := d.cachedDevice(ctx, dev)
	if err == nil && r == nil {
		err = fmt.Errorf("reading record of device %s: %w", dev.Short(), chat.ErrNotFound)
	}
	return r, err
}
