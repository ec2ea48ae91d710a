package guard

import (
	"container/list"
	"time"

	"parley/internal/chat"
)

// maxPaces bounds what we remember of senders: more than any node has
// connections, about 1 MB.
const maxPaces = chat.MaxStrangers

// pace is one sender's cooling state by the generic cell rate algorithm: the
// time at which its allowance is whole again.
type pace struct {
	sender sender
	full   time.Time
}

type sender struct {
	account chat.AccountID
	device  chat.DeviceID
}

// paces holds the newest maxPaces senders, in the order of their last
// admitted message.
type paces struct {
	bySender map[sender]*list.Element // -> *pace in order
	order    *list.List               // oldest first
}

func newPaces() paces { return paces{bySender: map[sender]*list.Element{}, order: list.New()} }

// AdmitDM takes one private message of a contact's device into account, or
// says after what time it would be admitted. A burst of chat.DMBurst is free,
// then one message each chat.DMPace. Accounts that we trust are not counted.
func (g *Guard) AdmitDM(account chat.AccountID, device chat.DeviceID, now time.Time) (retryAfter time.Duration, ok bool) {
	if g.people.Load().trusted[account] {
		return 0, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paces.admit(sender{account, device}, now)
}

func (p *paces) admit(s sender, now time.Time) (time.Duration, bool) {
	const burst = chat.DMBurst * chat.DMPace
	e := p.bySender[s]
	full := now
	if e != nil {
		// An allowance owed further than a whole burst means that our clock
		// was set back: it is owed from now on instead.
		if full = e.Value.(*pace).full; full.Before(now) || full.Sub(now) > burst {
			full = now
		}
	}
	if wait := full.Add(chat.DMPace).Sub(now) - burst; wait > 0 {
		return wait, false
	}
	full = full.Add(chat.DMPace)
	if e != nil {
		e.Value.(*pace).full = full
		p.order.MoveToBack(e)
		return 0, true
	}
	if p.order.Len() >= maxPaces {
		p.evict(now)
	}
	p.bySender[s] = p.order.PushBack(&pace{sender: s, full: full})
	return 0, true
}

// evict forgets the oldest sender whose allowance is whole: it loses nothing.
// Only among the oldest few is it looked for; when all of them are cooling,
// the oldest goes, and gains a burst.
func (p *paces) evict(now time.Time) {
	const look = 64
	victim := p.order.Front()
	for e, i := victim, 0; e != nil && i < look; e, i = e.Next(), i+1 {
		if !e.Value.(*pace).full.After(now) {
			victim = e
			break
		}
	}
	delete(p.bySender, victim.Value.(*pace).sender)
	p.order.Remove(victim)
}
