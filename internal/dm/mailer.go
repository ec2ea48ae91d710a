package dm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// runMail leaves what waits for absent devices with others until ctx ends.
func (c *Courier) runMail(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		bell := c.db.Bell()
		next, err := c.scheduleMail(ctx, &wg)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("mail to go not read", "cause", err)
			next, bell = time.Now().Add(faultWait), nil
		}
		if !sleep(ctx, mailGap) {
			return
		}
		var late <-chan time.Time
		timer := time.NewTimer(time.Until(next))
		if !next.IsZero() {
			late = timer.C
		}
		if !c.anybodyAway() {
			bell = nil
		}
		select {
		case <-bell:
		case <-c.mails:
		case <-late:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (c *Courier) anybodyAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.away) > 0
}

// scheduleMail starts what is due and returns when it wants to be called
// again; the zero time means at the next bell.
func (c *Courier) scheduleMail(ctx context.Context, wg *sync.WaitGroup) (next time.Time, err error) {
	now := time.Now()
	absent, next := c.absent(now)
	for d := range absent {
		if c.answering(d, now) { // it is there after all; who fails says so again
			delete(absent, d)
			c.isBack(d)
		}
	}
	if len(absent) == 0 {
		return next, nil
	}
	due, none, err := c.mailDue(ctx, absent, now)
	if err != nil {
		return next, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range none { // forgotten once the courier has no reason to wait for it either
		if c.waits[d] == nil && c.away[d] != nil && !c.away[d].busy {
			delete(c.away, d)
		}
	}
	for _, d := range due {
		a := c.away[d]
		if a == nil || a.busy || c.mailing >= maxMails {
			continue // one that ends looks again
		}
		a.busy = true
		c.mailing++
		wg.Go(func() { c.mailTo(ctx, d, a) })
	}
	return next, nil
}

// mailTo leaves a device's mail with others until none is due.
func (c *Courier) mailTo(ctx context.Context, d chat.DeviceID, a *absence) {
	var err error
	for more := true; more && err == nil; {
		more, err = c.leave(ctx, d, a)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Debug("mail not left with others", "device", d.Short(), "cause", err)
	}
	var seen int64
	var next time.Time
	rerr := c.db.Read(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		due, err := tx.MailDue(d, time.Now(), 1)
		if err != nil {
			return err
		}
		if len(due) > 0 { // could not go now
			seen, next = 0, time.Now().Add(mailRetry)
			return nil
		}
		if seen, err = tx.OutboxLast(d); err != nil {
			return err
		}
		next, err = tx.MailNext(d)
		return err
	})
	c.mu.Lock()
	c.mailing--
	a.busy = false
	switch {
	case err != nil || rerr != nil:
		a.pause = time.Now().Add(mailRetry)
	case seen == 0:
		a.pause = next
	default:
		a.seen, a.next = seen, next
	}
	c.mu.Unlock()
	c.mailAgain()
}

// absence notes what came of a worker's run: whoever did not answer gets mail.
func (c *Courier) absence(w *worker, res result) {
	switch {
	case res.progress:
		c.isBack(w.device)
	case res.broken != nil || w.stopped(): // it answered, if not as we like
	case res.reason == waitUnreachable || slices.Contains(dialCodes, res.reason):
		c.isAway(w.account, w.device)
	}
}

// silent reports whether a stream has owed its answer for so long that mail
// should not wait for it.
func (w *worker) silent(now time.Time) bool {
	return w.count() > 0 && now.Sub(w.owing()) >= silentAfter
}

// answering reports whether a stream to the device is open and owes nothing
// for long.
func (c *Courier) answering(d chat.DeviceID, now time.Time) bool {
	w := c.workerOf(d)
	return w != nil && c.streaming(d) && !w.silent(now)
}

// errNoMailbox says that nobody knows where a device gets its mail.
var errNoMailbox = errors.New("no mailbox known")

// mailboxOf is where mail for a device goes now: into the mailbox that its
// record names, with the token of a ticket if we have it. A fresh record is
// believed alone: a mailbox that a block voided is in the tickets only.
func (c *Courier) mailboxOf(ctx context.Context, d chat.DeviceID, a *absence) (chat.Mailbox, error) {
	var known []ticket
	err := c.db.Read(ctx, func(tx *store.Tx) (err error) {
		known, err = ticketsOf(tx, d)
		return err
	})
	if err != nil {
		return chat.Mailbox{}, err
	}
	now := time.Now()
	rec, err := c.directory.Known(ctx, d)
	if now.Sub(a.looked) > lookMail {
		bounded, cancel := context.WithTimeout(ctx, lookWait)
		if fresh, ferr := c.directory.Mail(bounded, d); ferr == nil {
			rec, err, a.looked = fresh, nil, now
		}
		cancel()
	}
	if ctx.Err() != nil {
		return chat.Mailbox{}, ctx.Err()
	}
	var listed []ticket // without keys
	if err == nil {
		for _, m := range rec.Mailboxes {
			listed = append(listed, ticket{id: m.ID, from: m.From, until: m.Until})
		}
		if !rec.Stale {
			if t, ok := openAt(listed, now); ok {
				return withToken(t, known), nil
			}
		}
	}
	if t, ok := openAt(known, now); ok {
		return t.mailbox(), nil
	}
	if t, ok := openAt(listed, now); ok {
		return withToken(t, known), nil
	}
	// It slept through all it announced: the last one is collected first.
	all := append(known, listed...)
	if len(all) == 0 {
		return chat.Mailbox{}, errNoMailbox
	}
	last := slices.MaxFunc(all, func(a, b ticket) int { return a.until.Compare(b.until) })
	if last.from.After(now) {
		return chat.Mailbox{}, errNoMailbox // all are of the future: a clock is wrong
	}
	return withToken(last, known), nil
}
