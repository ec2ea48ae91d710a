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
// admitted message: a burst of them is free, then one each time every passes.
type paces struct {
	burst    time.Duration // every, as often as a burst has messages
	every    time.Duration
	bySender map[sender]*list.Element // -> *pace in order
	order    *list.List               // oldest first
}

func newPaces(burst int, every time.Duration) paces {
	return paces{
		burst: time.Duration(burst) * every, every: every,
		bySender: map[sender]*list.Element{}, order: list.New(),
	}
}

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

// AdmitFrame takes one frame of a device into account before anything is spent
// on it: a signature, a ratchet or a write. It is wider than AdmitDM, which
// knows the account, so that an honest sender only meets that one. Devices of
// accounts that we trust are not counted.
func (g *Guard) AdmitFrame(device chat.DeviceID, now time.Time) (retryAfter time.Duration, ok bool) {
	if g.people.Load().free[device] {
		return 0, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.frames.admit(sender{device: device}, now)
}

// AdmitFirst takes one blob of a device of no contact into account before a
// first-contact box is tried for it.
func (g *Guard) AdmitFirst(device chat.DeviceID, now time.Time) (retryAfter time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.firsts.admit(sender{device: device}, now)
}

func (p *paces) admit(s sender, now time.Time) (time.Duration, bool) {
	e := p.bySender[s]
	full := now
	if e != nil {
		// An allowance owed further than a whole burst means that our clock
		// was set back: it is owed from now on instead.
		if full = e.Value.(*pace).full; full.Before(now) || full.Sub(now) > p.burst {
			full = now
		}
	}
	if wait := full.Add(p.every).Sub(now) - p.burst; wait > 0 {
		return wait, false
	}
	full = full.Add(p.every)
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
