package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
)

// Early answers come before the region was heard: somebody may withhold news
// that the next node has. They serve to call a device while the look-up goes
// on, to nothing else. Nothing of them is kept.

// AccountEarly is Account that may call early, once and before it returns, with
// a device list that is valid and not below the pinned one.
func (d *Directory) AccountEarly(ctx context.Context, a chat.AccountID, early func(*Manifest)) (*Manifest, error) {
	return d.account(ctx, a, func(value []byte) {
		r, err := OpenAccountRecord(value, time.Now())
		if err != nil || r.Manifest.Account != a {
			return
		}
		pinned, _, err := d.cachedAccount(ctx, a, time.Now())
		if err == nil && (pinned == nil || pinned.Seq <= r.Manifest.Seq) {
			early(r.Manifest)
		}
	})
}

// Callable is a record of a device to call it by: a fresh one from the cache,
// else the first valid one that a look-up brings. It fails as Device does.
func (d *Directory) Callable(ctx context.Context, dev chat.DeviceID) (*DeviceRecord, error) {
	cached, err := d.cachedDevice(ctx, dev)
	if err != nil || cached != nil && !cached.Stale {
		return cached, err
	}
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	var first *DeviceRecord
	value, leave, err := d.lookUp(bounded, DeviceRecordKey(dev), func(value []byte) {
		if r, err := OpenDeviceRecord(value, time.Now()); err == nil && r.Device == dev {
			first = r
			cancel()
		}
	})
	defer leave()
	switch {
	case first != nil:
		return first, nil
	case err == nil:
		if first, err = OpenDeviceRecord(value, time.Now()); err == nil && first.Device == dev {
			return first, nil
		}
		err = errors.Join(chat.ErrInvalid, err)
	case cached != nil && ctx.Err() == nil:
		return cached, nil
	}
	return nil, fmt.Errorf("looking up device %s: %w", dev.Short(), err)
}
