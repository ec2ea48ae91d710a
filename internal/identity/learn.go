package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	"parley/internal/seal"
	"parley/internal/store"
)

// noBundle is the bundle of a record that outlived it: seal refuses it.
var noBundle seal.Bundle

// Learn verifies and pins a manifest that came in an invite or a message. It
// returns the highest one known, which may be another. It fails with
// chat.ErrInvalid, or an EquivocationError, which is remembered; nothing else
// is changed then.
func (d *Directory) Learn(ctx context.Context, signed []byte) (*Manifest, error) {
	var m *Manifest
	err := d.db.Write(ctx, func(tx *store.Tx) error {
		var err error
		m, err = d.LearnIn(tx, signed, time.Now())
		return err
	})
	if err != nil {
		return nil, d.disputed(ctx, err)
	}
	d.pinned(m.Account, m.Devices)
	return m, nil
}

// LearnIn is Learn inside the caller's transaction.
func (d *Directory) LearnIn(tx *store.Tx, signed []byte, now time.Time) (*Manifest, error) {
	m, err := OpenManifest(signed, now)
	if err != nil {
		return nil, fmt.Errorf("learning device list: %w", err)
	}
	if m, err = d.pin(tx, m, now); err != nil {
		return nil, fmt.Errorf("learning device list: %w", err)
	}
	return m, nil
}

// AccountOf is the account that a device belongs to, as far as we have learned.
func (d *Directory) AccountOf(tx *store.Tx, dev chat.DeviceID) (chat.AccountID, bool) {
	if dev == d.keys.Device() {
		return d.keys.Account(), true
	}
	pin, err := tx.PinByDevice(dev)
	return pin.Account, err == nil
}

// pin keeps the highest manifest of an account and returns it. A lower one is
// passed over; another one with the same number is an EquivocationError. Our
// own account's manifest is only ever replaced by Keys.
func (d *Directory) pin(tx *store.Tx, m *Manifest, now time.Time) (*Manifest, error) {
	if m.Account == d.keys.Account() {
		return d.keys.Manifest(), nil
	}
	old, err := tx.Pin(m.Account)
	switch {
	case errors.Is(err, chat.ErrNotFound):
	case err != nil:
		return nil, err
	case old.Seq > m.Seq:
		higher, err := openManifest(old.Manifest)
		if err != nil {
			return nil, err
		}
		if err := higher.current(now); err != nil {
			return nil, err
		}
		return higher, nil
	case old.Seq == m.Seq && old.Hash != m.Hash:
		return nil, &EquivocationError{Account: m.Account, Seq: m.Seq}
	case old.Seq == m.Seq:
		return m, nil
	}
	p := pinOf(m)
	if p.Devices, err = d.claims(tx, m); err != nil {
		return nil, err
	}
	if err := tx.PutPin(p); err != nil {
		return nil, err
	}
	for _, dev := range p.Devices {
		owner, err := d.recordedOwner(tx, dev)
		if err != nil {
			return nil, err
		}
		if owner != m.Account {
			continue
		}
		if err := tx.ProveDevice(dev, owner); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// claims is the manifest's devices without those that name another account
// themselves: anybody may list anybody's device, and would be blocked, or let
// in, in its place. A device that we have no record of may have several
// claimants; the store then answers with a contact before a stranger.
func (d *Directory) claims(tx *store.Tx, m *Manifest) ([]chat.DeviceID, error) {
	var own []chat.DeviceID
	for _, dev := range m.Devices {
		owner, err := d.recordedOwner(tx, dev)
		if err != nil {
			return nil, err
		}
		if owner == "" || owner == m.Account {
			own = append(own, dev)
		}
	}
	return own, nil
}

// recordedOwner is the account that a device itself names, or "".
func (d *Directory) recordedOwner(tx *store.Tx, dev chat.DeviceID) (chat.AccountID, error) {
	if dev == d.keys.Device() {
		return d.keys.Account(), nil
	}
	row, err := tx.Record(DeviceRecordKey(dev))
	if errors.Is(err, chat.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	r, _, err := openDeviceRecord(row.Value, row.Fetched)
	if err != nil {
		return "", err
	}
	return r.Account, nil
}

// settle gives a device to the account that it names itself, if that account
// lists it.
func settle(tx *store.Tx, dev chat.DeviceID, owner chat.AccountID) error {
	if err := disown(tx, dev, owner); err != nil {
		return err
	}
	pin, err := tx.Pin(owner)
	if errors.Is(err, chat.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := openManifest(pin.Manifest)
	if err != nil {
		return err
	}
	if !m.Lists(dev) {
		return nil
	}
	if !slices.Contains(pin.Devices, dev) {
		pin.Devices = append(pin.Devices, dev)
		if err := tx.PutPin(pin); err != nil {
			return err
		}
	}
	return tx.ProveDevice(dev, owner)
}

// maxClaimants bounds the work of settling one device. More strangers than
// that have to list it in vain; the rest is settled the next time.
const maxClaimants = 64

// disown takes a device from those who list it falsely.
func disown(tx *store.Tx, dev chat.DeviceID, owner chat.AccountID) error {
	for range maxClaimants {
		pin, err := tx.PinByDevice(dev)
		if errors.Is(err, chat.ErrNotFound) || err == nil && pin.Account == owner {
			return nil
		}
		if err != nil {
			return err
		}
		pin.Devices = slices.DeleteFunc(pin.Devices, func(x chat.DeviceID) bool { return x == dev })
		if err := tx.PutPin(pin); err != nil {
			return err
		}
	}
	return nil
}
