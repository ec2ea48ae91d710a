package dm

import (
	"context"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
)

const (
	// confirmEvery bounds what one account can make us ask the network for.
	confirmEvery = time.Hour
	// maxDoubts bounds the accounts asked about in confirmEvery; more of them
	// wait for their next message.
	maxDoubts = 1024
)

// doubt is a device list to be held against the network's.
type doubt struct {
	named [32]byte  // the list that a message named, zero for none
	asked time.Time // or wanted
	due   bool      // not asked yet
}

// doubtList makes Run hold the device list that we have of an account against
// the network's, at most once in confirmEvery: because of a message that named
// another one, or, without named, because something goes to the account. A
// network that withholds a revocation is found out so, and two lists with one
// number are.
func (c *Courier) doubtList(a chat.AccountID, named [32]byte, now time.Time) {
	c.mu.Lock()
	old := c.doubts[a]
	recent := old != nil && now.Sub(old.asked) < confirmEvery
	// A list that was named says more than an hourly look, and waits for none.
	if recent && (named == ([32]byte{}) || old.named != ([32]byte{})) {
		c.mu.Unlock()
		return
	}
	if old == nil && len(c.doubts) >= maxDoubts {
		for other, d := range c.doubts {
			if !d.due && now.Sub(d.asked) >= confirmEvery {
				delete(c.doubts, other)
			}
		}
	}
	full := old == nil && len(c.doubts) >= maxDoubts
	if !full {
		c.doubts[a] = &doubt{named: named, asked: now, due: true}
	}
	c.mu.Unlock()
	if !full {
		c.lookAgain()
	}
}

// confirmLocked starts the look-ups that are due, as far as there is room.
func (c *Courier) confirmLocked(ctx context.Context, wg *sync.WaitGroup) {
	for a, d := range c.doubts {
		if !d.due || c.resolves[a] {
			continue
		}
		if len(c.resolves) >= maxResolves {
			return // one that ends looks again
		}
		d.due = false
		c.resolves[a] = true
		named := d.named
		wg.Go(func() { c.confirm(ctx, a, named) })
	}
}

// confirm asks the network for an account's list. What it finds the Directory
// keeps, equivocation included; workers look there before they send.
func (c *Courier) confirm(ctx context.Context, a chat.AccountID, named [32]byte) {
	var m *identity.Manifest
	var err error
	if named == ([32]byte{}) {
		m, err = c.directory.Account(ctx, a)
	} else {
		m, err = c.directory.RefreshAccount(ctx, a)
	}
	switch {
	case err != nil:
		c.log.Debug("device list not confirmed", "account", a.Short(), "cause", err)
	case named != ([32]byte{}) && m.Hash != named:
		c.log.Info("a message names a device list that the network does not have", "account", a.Short())
	}
	c.mu.Lock()
	delete(c.resolves, a)
	c.mu.Unlock()
	c.lookAgain()
}
