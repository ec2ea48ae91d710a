package mailbox

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

const (
	// boxesAtOnce bounds the connections of one round.
	boxesAtOnce = 4
	// firstAsked holders are read before the others, so that what many have is
	// mostly deleted before it travels again. One alone may be a dropper.
	firstAsked = 3
	// visitTimeout bounds one holder: a full box over a slow line.
	visitTimeout = 2 * time.Minute
)

// round collects every mailbox of ours and retires those whose time is over.
// It reports whether all of them were reached. past includes mailboxes that
// take no new mail.
func (c *Client) round(ctx context.Context, past bool) bool {
	began := time.Now()
	boxes := c.keys.Mailboxes()
	tally := &tally{}
	open := 0
	var group errgroup.Group
	group.SetLimit(boxesAtOnce)
	for _, box := range boxes {
		if box.From.After(began.Add(chat.ClockSlack)) {
			continue
		}
		if open++; !past && !box.Until.Add(c.pace.of(chat.CollectEvery)).After(began) {
			continue
		}
		group.Go(func() error {
			if err := c.collect(ctx, box, tally); err != nil && ctx.Err() == nil {
				c.log.Debug("mail not collected", "cause", err)
				return err
			}
			return nil
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return false
	}
	c.retry(ctx, tally.got())
	c.moved(began)
	c.change(func(s *Status) {
		s.Boxes, s.Asked, s.Answered = open, tally.asked, tally.answered
		s.Last, s.Collected = time.Now(), s.Collected+tally.collected
	})
	if err != nil {
		return false
	}
	c.keys.Collected()
	if !past {
		return true
	}
	if err := c.keys.RetireMailboxes(ctx, c.db, began); err != nil {
		c.log.Warn("old mailboxes not retired", "cause", err)
	}
	return true
}

// tally counts one round.
type tally struct {
	mu                         sync.Mutex
	asked, answered, collected int
}

func (t *tally) got() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.collected > 0
}

// pickup is one mailbox while it is collected.
type pickup struct {
	c     *Client
	box   identity.Mailbox
	line  Line
	tally *tally

	mu sync.Mutex
	// Guarded by mu.
	fates   map[[32]byte]Fate // hash of a blob -> its fate; of this round
	gone    [][32]byte        // envelopes that holders may drop, in the order of their commits
	reached bool
}

// collect asks every holder around a mailbox.
func (c *Client) collect(ctx context.Context, box identity.Mailbox, t *tally) error {
	region, err := c.region(ctx, Place(box.ID), 0)
	if err != nil {
		return err
	}
	line, err := c.lines.take(box.ID)
	if err != nil {
		return err
	}
	defer c.lines.give(line)
	p := &pickup{c: c, box: box, line: line, tally: t, fates: map[[32]byte]Fate{}}
	holders := Holders(region)
	order := make([]chat.DeviceID, len(holders))
	for i, from := range rand.Perm(len(holders)) {
		order[i] = holders[from]
	}
	first := min(firstAsked, len(order))
	told := make([]int, len(order)) // how much of gone each has been told
	for _, part := range [][]int{{0, first}, {first, len(order)}} {
		var wg sync.WaitGroup
		for i := part[0]; i < part[1]; i++ {
			wg.Go(func() { told[i] = p.visit(ctx, order[i]) })
		}
		wg.Wait()
	}
	p.tell(ctx, order, told)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reached {
		return fmt.Errorf("%w: no holder answered", chat.ErrUnreachable)
	}
	return nil
}

// tell deletes what a holder had not been told of when its visit ended.
func (p *pickup) tell(ctx context.Context, order []chat.DeviceID, told []int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, d := range order {
		if told[i] < 0 || len(p.since(told[i])) == 0 {
			continue // it does not answer, or knows all
		}
		wg.Go(func() {
			call, cancel := context.WithTimeout(ctx, chat.DepositTimeout)
			defer cancel()
			k, err := dial(call, p.line, d)
			if err == nil {
				_, err = p.remove(k, told[i])
				k.end(err)
			}
			if err != nil {
				p.c.log.Debug("holder not told of a delete", "holder", d.Short(), "cause", err)
			}
		})
	}
}

func (p *pickup) since(n int) [][32]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone[n:]
}

// visit reads one holder to its end and deletes there what is committed. It
// returns how much of gone the holder was told of, or -1.
func (p *pickup) visit(ctx context.Context, d chat.DeviceID) int {
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	told, gave, err := p.read(ctx, d)
	if err != nil {
		p.c.log.Debug("holder not read", "holder", d.Short(), "cause", err)
	}
	p.c.met(d, told >= 0, gave)
	p.tally.mu.Lock()
	p.tally.asked++
	if told >= 0 {
		p.tally.answered++
	}
	p.tally.mu.Unlock()
	p.mu.Lock()
	p.reached = p.reached || told >= 0
	p.mu.Unlock()
	return told
}

func (p *pickup) read(ctx context.Context, d chat.DeviceID) (told, gave int, err error) {
	k, err := dial(ctx, p.line, d)
	if err != nil {
		return -1, 0, err
	}
	defer func() { k.end(err) }()
	nonce, err := k.nonce()
	if err != nil {
		return -1, 0, err
	}
	if told, err = p.remove(k, 0); err != nil {
		return -1, 0, err
	}
	cursor, err := p.c.cursor(ctx, p.box.ID, d)
	if err != nil {
		return -1, 0, err
	}
	for {
		page, next, err := p.page(k, d, cursor, nonce)
		if err != nil {
			return told, gave, err
		}
		nonce = next
		if gave += len(page.Envelopes); gave > chat.BoxEnvelopes {
			return told, gave, fmt.Errorf("%w: more envelopes than a box holds", chat.ErrInvalid)
		}
		p.c.fault("fetched")
		whole, err := p.take(ctx, page.Envelopes)
		if err != nil {
			return told, gave, err
		}
		if told, err = p.remove(k, told); err != nil {
			return told, gave, err
		}
		p.c.fault("deleted")
		if !whole {
			return told, gave, nil // the rest comes again from the old cursor
		}
		if string(cursor) != string(page.Cursor) && len(page.Cursor) > 0 {
			cursor = page.Cursor
			if err := p.c.keepCursor(ctx, p.box.ID, d, cursor); err != nil {
				return told, gave, err
			}
			p.c.fault("kept")
		} else if page.More {
			return told, gave, fmt.Errorf("%w: a holder that comes to no end", chat.ErrInvalid)
		}
		if !page.More {
			return told, gave, nil
		}
	}
}

// page asks for the next envelopes, and in one go for the nonce after.
func (p *pickup) page(k *call, d chat.DeviceID, cursor, nonce []byte) (page *wirev1.MailAnswer, next []byte, err error) {
	hash := p.box.TokenHash()
	signed := identity.SignedBytes(p.box.Key, seal.PurposeMailFetch, encode(&wirev1.MailCollect{
		Version: mailVersion, MailboxKey: p.box.Public(), TokenHash: hash[:],
		Cursor: cursor, Nonce: nonce, Holder: string(d),
	}))
	if err := k.w.Queue(&wirev1.MailRequest{Body: &wirev1.MailRequest_Collect{Collect: signed}}); err != nil {
		return nil, nil, err
	}
	if err := k.w.WriteFrame(nonceRequest()); err != nil {
		return nil, nil, err
	}
	if page, err = k.read(); err != nil {
		return nil, nil, err
	}
	if err := check(page); err != nil {
		return nil, nil, err
	}
	fresh, err := k.read()
	if err != nil {
		return nil, nil, err
	}
	return page, fresh.Nonce, check(fresh)
}

// remove deletes at a holder what of gone it has not been told.
func (p *pickup) remove(k *call, told int) (int, error) {
	for {
		ids := p.since(told)
		if len(ids) == 0 {
			return told, nil
		}
		ids = ids[:min(len(ids), chat.MailDeleteIDs)]
		hash := p.box.TokenHash()
		del := &wirev1.MailDelete{Version: mailVersion, MailboxKey: p.box.Public(), TokenHash: hash[:]}
		for _, id := range ids {
			del.Ids = append(del.Ids, id[:])
		}
		a, err := k.ask(&wirev1.MailRequest{Body: &wirev1.MailRequest_Delete{
			Delete: identity.SignedBytes(p.box.Key, seal.PurposeMailDelete, encode(del)),
		}})
		if err == nil {
			err = check(a)
		}
		if err != nil {
			return told, err
		}
		told += len(ids)
	}
}

// take hands envelopes on and notes which may be dropped after the commit. It
// is false if some must come again.
func (p *pickup) take(ctx context.Context, envelopes [][]byte) (whole bool, err error) {
	var blobs []chat.Sealed
	ids := map[[32]byte][][32]byte{} // hash of a blob -> envelopes around it
	for _, b := range envelopes {
		e := new(wirev1.OuterEnvelope)
		if wire.Unmarshal(b, e) != nil || !p.takes(e, b) {
			return false, fmt.Errorf("%w: no honest holder keeps such an envelope", chat.ErrInvalid)
		}
		hash := sha256.Sum256(e.Blob)
		if ids[hash] == nil && p.fate(hash) == Later {
			blobs = append(blobs, e.Blob)
		}
		ids[hash] = append(ids[hash], sha256.Sum256(b))
	}
	fates, err := p.c.hand(ctx, blobs)
	if err != nil {
		return false, err
	}
	p.c.fault("committed")
	p.tally.mu.Lock()
	p.tally.collected += len(blobs)
	p.tally.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for hash, fate := range fates {
		p.fates[hash] = fate
	}
	whole = true
	for hash, list := range ids {
		if p.fates[hash] == Later {
			whole = false
			continue
		}
		p.gone = append(p.gone, list...)
	}
	return whole, nil
}

// takes reports whether a holder that follows the rules may have taken an
// envelope, for this box and paid for.
func (p *pickup) takes(e *wirev1.OuterEnvelope, b []byte) bool {
	contact, work, ok := readPermit(e, b)
	return ok && chat.MailboxID(e.MailboxId) == p.box.ID && (contact || work >= chat.StampBits)
}

func (p *pickup) fate(hash [32]byte) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fates[hash]
}

func (c *Client) cursor(ctx context.Context, box chat.MailboxID, d chat.DeviceID) (cursor []byte, err error) {
	err = c.db.Read(ctx, func(tx *store.Tx) error {
		cursor, err = tx.MailCursor(box, d)
		return err
	})
	return cursor, err
}

func (c *Client) keepCursor(ctx context.Context, box chat.MailboxID, d chat.DeviceID, cursor []byte) error {
	return c.db.Write(ctx, func(tx *store.Tx) error { return tx.PutMailCursor(box, d, cursor, time.Now()) })
}
