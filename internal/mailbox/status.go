package mailbox

import (
	"maps"
	"time"

	"parley/internal/chat"
	"parley/internal/live"
)

// maxHolders is how many holders' counts are kept: several regions of every
// mailbox of ours.
const maxHolders = 512

// Status is how our own mail fares: counts only.
type Status struct {
	Boxes           int       // mailboxes that may still get mail
	Last, Next      time.Time // rounds of collecting
	Asked, Answered int       // holders, in the last round
	Collected       int       // envelopes, since the start
}

// Holder is what one holder of our mail did since the start.
type Holder struct {
	ForUs    int // envelopes that it gave us
	Region   bool
	Asked    time.Time
	Answered bool // then
}

// Status is how collecting fares; the latest wins.
func (c *Client) Status() *live.Value[Status] { return &c.status }

// Holders is who was asked for our mail.
func (c *Client) Holders() map[chat.DeviceID]Holder {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.holders)
}

func (c *Client) change(fn func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status.Load()
	fn(&s)
	c.status.Set(s)
}

func (c *Client) next(at time.Time) { c.change(func(s *Status) { s.Next = at }) }

// met notes that a holder was asked.
func (c *Client) met(d chat.DeviceID, answered bool, gave int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, known := c.holders[d]
	if !known && len(c.holders) >= maxHolders {
		oldest, at := chat.DeviceID(""), time.Time{}
		for o, x := range c.holders {
			if oldest == "" || x.Asked.Before(at) {
				oldest, at = o, x.Asked
			}
		}
		delete(c.holders, oldest)
	}
	h.ForUs += gave
	h.Region, h.Asked, h.Answered = true, time.Now(), answered
	c.holders[d] = h
}

// moved marks who is no longer in a region of ours.
func (c *Client) moved(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d, h := range c.holders {
		if h.Region && h.Asked.Before(began) {
			h.Region = false
			c.holders[d] = h
		}
	}
}
