package identity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/live"
	"parley/internal/seal"
	"parley/internal/store"
)

const (
	// publishCalm gathers the address changes of one moment: interfaces come
	// up one after another.
	publishCalm = 500 * time.Millisecond
	// publishGap bounds what a flapping address costs the network.
	publishGap = 5 * time.Second
	// publishRetryMin and publishRetryMax are the waits between tries; every
	// new peer ends a wait early.
	publishRetryMin = time.Second
	publishRetryMax = 5 * time.Minute
	// publishTimeout ends a put whose peers do not answer.
	publishTimeout = 2 * chat.LookupTimeout
	// dueEvery is how often the clock on the wall is looked at: timers stand
	// still while a laptop sleeps.
	dueEvery = time.Minute
)

// Publication is how our own records stand in the DHT.
type Publication struct {
	At    time.Time // last success; zero: not yet
	Cause string    // why the last try failed; empty after a success
}

// Published is the present Publication, for status lines.
func (d *Directory) Published() *live.Value[Publication] { return &d.published }

// Nudge says that our addresses or profile changed, or that a peer came while
// we were alone: our records go out soon. It never blocks.
func (d *Directory) Nudge() {
	select {
	case d.nudge <- struct{}{}:
	default: // one is pending, and will see the change
	}
}

// publisher is the state of one Run, owned by its loop.
type publisher struct {
	*Directory
	next    time.Time // when to publish at the latest
	last    time.Time // last try
	retry   time.Duration
	nudged  bool          // somebody asked to publish since the last try
	told    [32]byte      // fingerprint of what was published last
	quiet   time.Duration // wait before publishing the same again
	checked bool          // the DHT was asked for our own account record
}

// Run rotates our keys and publishes our records: at once, after a Nudge,
// every chat.PublishEvery, and until it works. It returns when ctx ends.
func (d *Directory) Run(ctx context.Context) error {
	p := &publisher{Directory: d, retry: publishRetryMin, quiet: publishGap}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-d.nudge:
			p.nudged = true
		}
		wait, err := p.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		timer.Reset(wait)
	}
}

// step does what is due and says when to look again. A publication that fails
// is weather and comes again; keys that cannot be stored end the node, unless
// the disk is full.
func (p *publisher) step(ctx context.Context) (time.Duration, error) {
	now := wallClock()
	changed, err := p.keys.Rotate(ctx, p.db, now)
	if errors.Is(err, chat.ErrStorageFull) {
		p.log.Warn("keys cannot rotate while the disk is full")
	} else if err != nil {
		return 0, err
	}
	if changed || p.next.Sub(now) > chat.PublishEvery { // or the clock was set back
		p.next = now
	}
	if p.nudged {
		if err := p.hasten(ctx, now); err != nil {
			return 0, err
		}
	}
	if p.next.After(now) {
		return min(p.next.Sub(now), dueEvery), nil
	}
	p.last, p.nudged = now, false
	if err := p.publish(ctx); err != nil {
		p.log.Debug("records not published", "cause", err)
		p.published.Set(Publication{At: p.published.Load().At, Cause: err.Error()})
		p.next = wallClock().Add(p.retry/2 + rand.N(p.retry))
		p.retry = min(2*p.retry, publishRetryMax)
	} else {
		p.published.Set(Publication{At: now})
		p.next = wallClock().Add(chat.PublishEvery - rand.N(chat.PublishEvery/12))
		p.retry = publishRetryMin
	}
	return min(max(0, p.next.Sub(wallClock())), dueEvery), nil
}

// hasten brings the next publication forward after a nudge: soon, if there is
// news or the last try failed. The same records again are worth telling to new
// peers while we know few of them, so the wait for that doubles each time.
func (p *publisher) hasten(ctx context.Context, now time.Time) error {
	wait := publishGap
	switch {
	case p.published.Load().Cause != "":
		wait = publishRetryMin
	default:
		addrs, name, err := p.profile(ctx)
		if err != nil {
			return err
		}
		if fingerprint(addrs, name) == p.told {
			wait = p.quiet
		}
	}
	soon := now.Add(publishCalm)
	if earliest := p.last.Add(wait); earliest.After(soon) {
		soon = earliest
	}
	if soon.Before(p.next) {
		p.next = soon
	}
	return nil
}

// wallClock reads the time without Go's monotonic part, which stands still
// while a machine sleeps.
func wallClock() time.Time { return time.Now().Round(0) }

// publish puts both records, side by side.
func (p *publisher) publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	addrs, name, err := p.profile(ctx)
	if err != nil {
		return err
	}
	if len(addrs) == 0 {
		return fmt.Errorf("publishing: %w: we have no address yet", chat.ErrUnreachable)
	}
	if !p.checked {
		p.checked = p.adopt(ctx)
	}
	device, account, err := p.ownRecords(ctx, addrs, name)
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	var group errgroup.Group // one may work without the other
	group.Go(func() error {
		return p.records.Put(ctx, DeviceRecordKey(p.keys.Device()), device.Bytes)
	})
	group.Go(func() error {
		return p.records.Put(ctx, AccountRecordKey(p.keys.Account()), account.Bytes)
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	if news := fingerprint(addrs, name); news != p.told {
		p.told, p.quiet = news, publishGap
		p.log.Info("records published", "device", p.keys.Device().Short(), "bytes", len(device.Bytes))
	} else {
		p.quiet = min(2*p.quiet, chat.PublishEvery)
	}
	return nil
}

// ownRecords signs both records anew and keeps them in the cache, which also
// remembers their numbers.
func (p *publisher) ownRecords(ctx context.Context, addrs []byte, name string) (device *DeviceRecord, account *AccountRecord, err error) {
	err = p.db.Write(ctx, func(tx *store.Tx) error {
		now := time.Now()
		seen := func(key string) uint64 {
			r, err := tx.Record(key)
			if err != nil {
				return 0
			}
			return r.Seq
		}
		deviceKey, accountKey := DeviceRecordKey(p.keys.Device()), AccountRecordKey(p.keys.Account())
		if device, err = p.keys.deviceRecord(addrs, seen(deviceKey), now); err != nil {
			return err
		}
		if account, err = p.keys.accountRecord(name, seen(accountKey), now); err != nil {
			return err
		}
		if err := tx.PutRecord(store.Record{Key: deviceKey, Value: device.Bytes, Seq: device.Seq, Expires: device.Expires, Fetched: now}); err != nil {
			return err
		}
		return tx.PutRecord(store.Record{Key: accountKey, Value: account.Bytes, Seq: account.Seq, Expires: account.Expires, Fetched: now})
	})
	return device, account, err
}

// deviceRecord signs this device's record, numbered above seen. Our own check
// is the validator's, so that a fault shows here and not as silence.
func (k *Keys) deviceRecord(addrs []byte, seen uint64, now time.Time) (*DeviceRecord, error) {
	keys := k.snapshot()
	return OpenDeviceRecord(SignedBytes(k.device, seal.PurposeDeviceRecord, encode(&wirev1.DeviceRecord{
		Version:          recordVersion,
		DeviceKey:        k.devicePublic(),
		AccountKey:       k.AccountKey(),
		Seq:              nextSeq(seen, now),
		Issued:           now.Unix(),
		Expires:          now.Add(chat.RecordLife).Unix(),
		SignedPeerRecord: addrs,
		Bundle:           keys.bundle.bytes,
		SealingKey:       keys.box.secret.Public(),
		Mailboxes:        entries(keys.mail, now),
	})), now)
}

// accountRecord signs our account's record, numbered above seen.
func (k *Keys) accountRecord(name string, seen uint64, now time.Time) (*AccountRecord, error) {
	clean, err := CleanName(name)
	if err != nil {
		clean = "" // unset, or from before a rule: others would not show it either
	}
	return OpenAccountRecord(SignedBytes(k.device, seal.PurposeAccountRecord, encode(&wirev1.AccountRecord{
		Version:     recordVersion,
		Manifest:    k.Manifest().Bytes,
		DeviceKey:   k.devicePublic(),
		Seq:         nextSeq(seen, now),
		Issued:      now.Unix(),
		Expires:     now.Add(chat.RecordLife).Unix(),
		DisplayName: clean,
	})), now)
}
