package dm

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// Depositor leaves sealed messages with others, for a device that is away.
type Depositor interface {
	// Deposit leaves parcels, all for one mailbox. It tells what is proven of
	// each, in their order, whenever one of them got on and at the end, in the
	// caller's goroutine. It fails when nobody could be asked, and when ctx
	// ends; what was told holds all the same.
	Deposit(ctx context.Context, parcels []chat.Parcel, told func([]chat.Kept)) error
}

const (
	// mailAfter is how long a device may take to answer a call before its mail
	// goes to others as well: a call across the world takes a second.
	mailAfter = 3 * time.Second
	// silentAfter is the same for a device that is on the line and owes an
	// answer: a commit on a slow disk fits.
	silentAfter = 5 * time.Second
	// maxMails bounds deposits under way: each talks to a whole region.
	maxMails = 8
	// mailGap lets commits that follow each other closely share one look.
	mailGap = 50 * time.Millisecond
	// mailRetry is when mail is tried again that could not be left anywhere.
	mailRetry = 15 * time.Second
	// mailTimeout bounds one deposit: sealing, a look-up, stamps, two rounds.
	mailTimeout = 3 * time.Minute
	// lookMail is how long a look-up says where a device that stays away gets
	// its mail.
	lookMail = 10 * time.Minute
	// lookWait is what mail waits for that look-up, before it goes where the
	// last one said.
	lookWait = 5 * time.Second
)

// absence is a device that did not answer. Guarded by Courier.mu, but for the
// one goroutine that leaves its mail while busy is set, which owns looked.
type absence struct {
	account chat.AccountID
	busy    bool
	seen    int64     // rows of the outbox up to this one were left with others, or tried
	next    time.Time // when the first is to be left again; zero: none was
	pause   time.Time // nothing is tried before
	looked  time.Time // when its record was last looked up
}

// isAway makes mail of what waits for a device.
func (c *Courier) isAway(a chat.AccountID, d chat.DeviceID) {
	if c.depositor == nil {
		return
	}
	c.mu.Lock()
	if c.away[d] == nil {
		c.away[d] = &absence{account: a}
	}
	c.mu.Unlock()
	c.mailAgain()
}

// isBack ends an absence: what waits goes live.
func (c *Courier) isBack(d chat.DeviceID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.away, d)
}

// mailNowLocked ends the pauses of mail that found nobody to take it.
func (c *Courier) mailNowLocked() {
	for _, a := range c.away {
		a.pause = time.Time{}
	}
	c.mailAgain()
}

// mailAgain makes the mail loop look again.
func (c *Courier) mailAgain() {
	select {
	case c.mails <- struct{}{}:
	default:
	}
}

// absent are the devices whose mail may be looked at now.
func (c *Courier) absent(now time.Time) (out map[chat.DeviceID]absence, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out = map[chat.DeviceID]absence{}
	for d, a := range c.away {
		switch {
		case a.busy:
		case a.pause.After(now):
			if next.IsZero() || a.pause.Before(next) {
				next = a.pause
			}
		default:
			out[d] = *a
			if a.next.After(now) && (next.IsZero() || a.next.Before(next)) {
				next = a.next
			}
		}
	}
	return out, next
}

// mailDue is which of the absent have mail to go, and which nothing at all.
func (c *Courier) mailDue(ctx context.Context, absent map[chat.DeviceID]absence, now time.Time) (due, none []chat.DeviceID, err error) {
	err = c.db.Read(ctx, func(tx *store.Tx) error {
		for d, a := range absent {
			waits, err := tx.MailWaits(d, a.seen)
			if err != nil {
				return err
			}
			switch {
			case waits, !a.next.IsZero() && !a.next.After(now):
				due = append(due, d)
			case a.next.IsZero():
				none = append(none, d)
			}
		}
		return nil
	})
	return due, none, err
}

// parcelRow is a row of the outbox and the parcel made of it.
type parcelRow struct {
	store.MailRow
	level chat.Delivery // as noted
}

// leave leaves what waits for a device with others: one batch. more says that
// there may be another one now.
func (c *Courier) leave(ctx context.Context, d chat.DeviceID, a *absence) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	now := time.Now()
	w := newWorker(c, a.account, d)
	var rows []store.MailRow
	err = c.db.Read(ctx, func(tx *store.Tx) error {
		if reason, err := w.held(tx); err != nil || reason != "" {
			return err // nothing may go to it now
		}
		all, err := tx.MailDue(d, now, groupSize)
		for _, row := range all {
			if row.Account == a.account {
				rows = append(rows, row)
			}
		}
		return err
	})
	if err != nil || len(rows) == 0 {
		return false, err
	}
	more = len(rows) == groupSize
	last := rows[len(rows)-1].ID
	if rows, err = c.sealMail(ctx, w, rows); err != nil || len(rows) == 0 {
		return false, err
	}
	if rows[len(rows)-1].ID != last {
		more = false // the rest cannot be sealed now
	}
	box, err := c.mailboxOf(ctx, d, a)
	if err != nil {
		return false, err
	}
	sides, err := c.sides(ctx, a.account)
	if err != nil {
		return false, err
	}
	batch := make([]parcelRow, len(rows))
	parcels := make([]chat.Parcel, len(rows))
	for i, row := range rows {
		_, blob, err := splitNumber(row.Blob)
		if err != nil {
			return false, err
		}
		batch[i].MailRow = row
		parcels[i] = chat.Parcel{Box: box, Blob: blob, Created: row.Created, Expires: row.Expires, Sides: sides}
		if row.Deposit.Mailbox == box.ID {
			parcels[i].Stamp = row.Deposit.Stamp
			for _, k := range Keepers(row.Deposit.Receipts) {
				parcels[i].Known = append(parcels[i].Known, k.Receipt)
			}
		}
	}
	err = c.depositor.Deposit(ctx, parcels, func(kept []chat.Kept) {
		if nerr := c.noteKept(ctx, d, box.ID, batch, kept); nerr != nil && ctx.Err() == nil {
			c.log.Warn("deposit not noted", "device", d.Short(), "cause", nerr)
		}
	})
	if err != nil {
		return false, fmt.Errorf("leaving mail: %w", err)
	}
	return more, nil
}

// sealMail is the rows with their ciphertexts, up to the first that cannot
// have one now.
func (c *Courier) sealMail(ctx context.Context, w *worker, rows []store.MailRow) ([]store.MailRow, error) {
	plain := make([]store.OutboxRow, len(rows))
	for i, row := range rows {
		plain[i] = row.OutboxRow
	}
	sealed, reason, err := w.prepare(ctx, plain)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		c.log.Debug("mail not sealed", "device", w.device.Short(), "cause", reason)
	}
	blobs := make(map[int64]store.OutboxRow, len(sealed))
	for _, row := range sealed {
		blobs[row.ID] = row
	}
	for i := range rows {
		row, ok := blobs[rows[i].ID]
		if !ok {
			return rows[:i], nil
		}
		rows[i].OutboxRow = row
	}
	return rows, nil
}

// noteKept writes down what holders proved of a batch, where that is news.
func (c *Courier) noteKept(ctx context.Context, d chat.DeviceID, box chat.MailboxID, batch []parcelRow, kept []chat.Kept) error {
	now := time.Now()
	return c.db.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		for i := range batch {
			row, k := &batch[i], kept[i]
			level, proof := chat.Sent, []byte(nil)
			switch {
			case k.Held:
				level, proof = chat.Held, KeptProof(k.Receipts)
			case len(k.Receipts) == 0:
				level = chat.Queued
			}
			if row.Control && k.Held {
				// Nobody signs for what is shown to nobody; lost, it comes again.
				if err := tx.OutboxDone(row.ID); err != nil {
					return err
				}
				continue
			}
			err := tx.PutDeposit(store.Deposit{
				Outbox: row.ID, Mailbox: box, Stamp: k.Stamp, Receipts: KeptProof(k.Receipts),
				Held: k.Held, Next: now.Add(k.Again),
			})
			if err != nil {
				return err
			}
			if level <= row.level || row.Control {
				continue
			}
			row.level = level
			_, err = tx.SetDelivery(row.Message, store.DeviceDelivery{Device: d, State: level, At: now, Proof: proof})
			if err := notFoundIsNil(err); err != nil {
				return err
			}
		}
		return nil
	})
}

// sides is the devices whose word on a message proves nothing: its author's
// and its recipient's.
func (c *Courier) sides(ctx context.Context, a chat.AccountID) ([]chat.DeviceID, error) {
	sides := slices.Clone(c.keys.Manifest().Devices)
	err := c.db.Read(ctx, func(tx *store.Tx) error {
		pin, err := tx.Pin(a)
		sides = append(sides, pin.Devices...)
		return notFoundIsNil(err)
	})
	return sides, err
}
