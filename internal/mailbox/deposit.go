package mailbox

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/wire"
)

const (
	// depositJitter parts the moment of sending from that of the deposit, as
	// far as somebody who waits for HELD does not notice.
	depositJitter = 300 * time.Millisecond
	// maxStamp is the most that a holder can make us pay: 64 times the price of
	// an empty box, some seconds. Dearer ones are left to those who want less.
	maxStamp = chat.StampBits + 6
	// again is when a deposit is made again that was not enough, and soon when
	// a holder only wanted us to come later.
	again = 10 * time.Minute
	soon  = 5 * time.Second
)

// batch is the parcels for one mailbox on their way.
type batch struct {
	c      *Client
	box    chat.Mailbox
	region chat.Region
	asked  []chat.DeviceID
	old    map[chat.DeviceID]bool // of those asked, whom we have known for chat.HolderAge
	told   func([]chat.Kept)

	mu sync.Mutex
	// Guarded by mu.
	items []item
}

// item is one parcel. Its envelope changes only between two goes.
type item struct {
	chat.Parcel
	envelope []byte
	id       [32]byte
	proofs   map[chat.DeviceID][]byte // holder -> its receipt
	level    chat.Delivery            // as told
	stamp    []byte
	dear     int  // bits that some holder wants of the stamp; 0: none wants more
	busy     bool // some holder wants it later
}

// Deposit leaves parcels, all for one mailbox, with the holders around it. It
// tells what is known of each parcel, in their order, whenever one of them got
// on, and at the end, in the caller's goroutine. It fails when nobody could be
// asked, and when ctx ends.
func (c *Client) Deposit(ctx context.Context, parcels []chat.Parcel, told func([]chat.Kept)) error {
	if len(parcels) == 0 {
		return nil
	}
	box := parcels[0].Box
	region, err := c.region(ctx, Place(box.ID), regionLife)
	if err != nil {
		return err
	}
	b := &batch{c: c, box: box, region: region, told: told, old: map[chat.DeviceID]bool{}}
	for _, d := range Holders(region) {
		if !slices.Contains(parcels[0].Sides, d) {
			b.asked = append(b.asked, d)
			if c.regions.KnownFor(d) >= c.pace.of(chat.HolderAge) {
				b.old[d] = true
			}
		}
	}
	if len(b.asked) == 0 {
		return fmt.Errorf("finding holders: %w: nobody else is there", chat.ErrUnreachable)
	}
	for _, p := range parcels {
		b.items = append(b.items, item{Parcel: p, stamp: p.Stamp, proofs: map[chat.DeviceID][]byte{}})
	}
	line, err := c.lines.take(box.ID)
	if err != nil {
		return fmt.Errorf("leaving mail: %w", err)
	}
	defer c.lines.give(line)
	select {
	case <-time.After(rand.N(depositJitter)):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := b.wrap(ctx); err != nil {
		return fmt.Errorf("leaving mail: %w", err)
	}
	b.recall()
	b.goRound(ctx, line)
	if b.dearer() && ctx.Err() == nil {
		if err := b.wrap(ctx); err != nil {
			return fmt.Errorf("leaving mail: %w", err)
		}
		b.goRound(ctx, line)
	}
	return ctx.Err()
}

// wrap makes the envelopes, for a stranger with the stamps that holders want.
func (b *batch) wrap(ctx context.Context) error {
	p := b.c.pace
	for i := range b.items {
		it := &b.items[i]
		until := it.Created.Add(p.of(chat.MailLife))
		if it.Expires.Before(until) {
			until = it.Expires
		}
		e := &wirev1.OuterEnvelope{Version: mailVersion, MailboxId: b.box.ID[:], ExpiryHour: p.hour(until), Blob: it.Blob}
		if len(b.box.Token) > 0 {
			e.MailboxKey, e.Permit = b.box.Key, &wirev1.OuterEnvelope_Token{Token: b.box.Token}
		} else {
			bits := max(chat.StampBits, it.dear)
			if StampWork(b.box.ID, e.ExpiryHour, it.Blob, it.stamp) < bits {
				stamp, err := b.c.mine(ctx, b.box.ID, e.ExpiryHour, it.Blob, bits)
				if err != nil {
					return err
				}
				it.stamp = stamp
			}
			it.dear = 0
			e.Permit = &wirev1.OuterEnvelope_Stamp{Stamp: it.stamp}
		}
		it.envelope = encodeEnvelope(e)
		it.id = sha256.Sum256(it.envelope)
	}
	return nil
}

// recall counts the receipts of earlier deposits of the same envelopes.
func (b *batch) recall() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.items {
		for _, signed := range b.items[i].Known {
			if r, d, err := openReceipt(signed); err == nil && b.proves(r, i) {
				b.items[i].proofs[d] = signed
			}
		}
	}
}

// proves reports whether a receipt is for an item and still holds.
func (b *batch) proves(r *wirev1.MailReceipt, i int) bool {
	return [32]byte(r.EnvelopeHash) == b.items[i].id && chat.MailboxID(r.MailboxId) == b.box.ID && r.Expires > time.Now().Unix()
}

// mine makes one stamp at a time, so that a crowd of them takes one core.
func (c *Client) mine(ctx context.Context, box chat.MailboxID, hour uint64, blob []byte, bits int) ([]byte, error) {
	select {
	case c.mint <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.mint }()
	return Stamp(ctx, box, hour, blob, bits)
}

// goRound visits every holder, and tells what each visit proves.
func (b *batch) goRound(ctx context.Context, line Line) {
	ctx, cancel := context.WithTimeout(ctx, chat.DepositTimeout)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	done := make(chan struct{}, len(b.asked))
	for _, d := range b.asked {
		wg.Go(func() {
			if err := b.visit(ctx, line, d); err != nil {
				b.c.log.Debug("mail not left with a holder", "holder", d.Short(), "cause", err)
			}
			done <- struct{}{}
		})
	}
	for left := len(b.asked) - 1; left >= 0; left-- {
		<-done
		if kept, news := b.prove(left == 0); news {
			b.told(kept)
		}
	}
}

// visit leaves all parcels with one holder.
func (b *batch) visit(ctx context.Context, line Line, d chat.DeviceID) (err error) {
	k, err := dial(ctx, line, d)
	if err != nil {
		return err
	}
	defer func() { k.end(err) }()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i := range b.items {
			if k.w.Queue(&wirev1.MailRequest{Body: &wirev1.MailRequest_Deposit{Deposit: b.items[i].envelope}}) != nil {
				return // the reader sees it too
			}
		}
		_ = k.w.Flush()
	})
	for i := range b.items {
		a, err := k.read()
		if err != nil {
			_ = k.s.Reset() // the writer must not wait for it
			return err
		}
		if err := b.answered(d, i, a); err != nil {
			_ = k.s.Reset()
			return err
		}
	}
	return nil
}

// answered takes one holder's answer for one parcel.
func (b *batch) answered(d chat.DeviceID, i int, a *wirev1.MailAnswer) error {
	switch a.Status {
	case wirev1.Status_STATUS_OK:
		r, signer, err := openReceipt(a.Receipt)
		if err == nil && (signer != d || !b.proves(r, i)) {
			err = fmt.Errorf("%w: receipt for something else", chat.ErrInvalid)
		}
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.items[i].proofs[d] = a.Receipt
	case wirev1.Status_STATUS_BUSY:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.items[i].busy = true
	case wirev1.Status_STATUS_STAMP:
		b.mu.Lock()
		defer b.mu.Unlock()
		if bits := int(a.StampBits); bits > chat.StampBits && bits <= maxStamp && len(b.box.Token) == 0 {
			b.items[i].dear = max(b.items[i].dear, bits)
		}
	}
	return nil
}

// dearer reports whether a second go would pay what holders asked for in the
// first.
func (b *batch) dearer() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	more := false
	for i := range b.items {
		it := &b.items[i]
		if it.level == chat.Held {
			it.dear = 0 // enough took it as it is: its envelope stays
		}
		more = more || it.dear > 0
	}
	return more
}

// prove is what receipts prove by now, and whether that is news. all says that
// every holder answered or had its time.
func (b *batch) prove(all bool) (kept []chat.Kept, news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.items {
		it := &b.items[i]
		level := chat.Queued
		if len(it.proofs) > 0 {
			level = chat.Sent
		}
		if b.heldLocked(it, all) {
			level = chat.Held
		}
		if level > it.level {
			it.level, news = level, true
		}
	}
	if !news && !all {
		return nil, false
	}
	return b.keptLocked(), true
}

// heldLocked reports whether what holders signed for a parcel is enough: 12
// whom we have known for a while, or any 12 where too few are; in a small
// network everybody who answered in time: one that wants a dearer stamp first
// has not kept it, and those that signed may be the ones that drop.
func (b *batch) heldLocked(it *item, all bool) bool {
	signed, old := 0, 0
	for d := range it.proofs {
		if slices.Contains(it.Sides, d) {
			continue
		}
		signed++
		if b.old[d] {
			old++
		}
	}
	switch {
	case old >= chat.HeldReceipts:
		return true
	case b.region.Small:
		return signed >= chat.HeldReceipts || all && signed > 0 && it.dear == 0
	default:
		return signed >= chat.HeldReceipts && len(b.old) < chat.HeldReceipts
	}
}

func (b *batch) keptLocked() []chat.Kept {
	out := make([]chat.Kept, len(b.items))
	for i := range b.items {
		it := &b.items[i]
		k := &out[i]
		k.Held, k.Stamp = it.level == chat.Held, it.stamp
		for _, signed := range it.proofs {
			k.Receipts = append(k.Receipts, signed)
		}
		switch {
		case k.Held:
			k.Again = b.c.pace.of(chat.ReputEvery)
		case it.busy:
			k.Again = soon
		default:
			k.Again = b.c.pace.of(again)
		}
	}
	return out
}

// openReceipt verifies a storage receipt by the key that it names.
func openReceipt(signed []byte) (*wirev1.MailReceipt, chat.DeviceID, error) {
	outer, r := new(wirev1.Signed), new(wirev1.MailReceipt)
	if err := wire.Unmarshal(signed, outer); err != nil {
		return nil, "", err
	}
	if err := wire.Unmarshal(outer.Payload, r); err != nil {
		return nil, "", err
	}
	if r.Version != mailVersion || len(r.MailboxId) != len(chat.MailboxID{}) || len(r.EnvelopeHash) != sha256.Size {
		return nil, "", fmt.Errorf("%w: malformed storage receipt", chat.ErrInvalid)
	}
	if _, err := identity.OpenSigned(r.HolderKey, seal.PurposeMailReceipt, signed); err != nil {
		return nil, "", err
	}
	return r, identity.DeviceIDOf(r.HolderKey), nil
}

// encode marshals our own message.
func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("mailbox: encoding our own message: " + err.Error())
	}
	return b
}
