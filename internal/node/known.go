package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// knownLife is how long an answer holds: a new contact waits that long for
	// a place of its own among the streams, and needs it only under attack.
	knownLife = time.Minute
	// knownWait bounds the question to a disk that does not answer.
	knownWait = time.Second
)

// acquaintances remembers which devices belong to contacts or to ourselves, so
// that a flood of streams costs one read for each device and minute.
type acquaintances struct {
	mu    sync.Mutex
	asked map[chat.DeviceID]acquaintance // at most chat.MaxStrangers; full: all go
}

type acquaintance struct {
	known bool
	until time.Time
}

// knows reports whether a device belongs to a contact or to our own account, as
// far as the store can tell. It is p2p's Known.
func (n *Node) knows(d chat.DeviceID) bool {
	now := time.Now()
	n.met.mu.Lock()
	a, ok := n.met.asked[d]
	n.met.mu.Unlock()
	if ok && now.Before(a.until) {
		return a.known
	}
	ctx, cancel := context.WithTimeout(context.Background(), knownWait)
	defer cancel()
	known := false
	err := n.db.Read(ctx, func(tx *store.Tx) error {
		pin, err := tx.PinByDevice(d)
		if err != nil {
			return err
		}
		known = pin.Account == n.keys.Account()
		contact, err := tx.Contact(pin.Account)
		known = known || err == nil && contact.State == store.ContactAdded
		return err
	})
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		n.log.Debug("not known whether a device is a contact's", "device", d.Short(), "cause", err)
	}
	n.met.mu.Lock()
	defer n.met.mu.Unlock()
	if n.met.asked == nil || len(n.met.asked) >= chat.MaxStrangers {
		n.met.asked = map[chat.DeviceID]acquaintance{}
	}
	n.met.asked[d] = acquaintance{known, now.Add(knownLife)}
	return known
}
