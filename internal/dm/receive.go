package dm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/store"
)

// Answer is what the sender of a blob may learn.
type Answer uint8

const (
	Silence  Answer = iota // nothing at all: the author is blocked
	Received               // stored, now or earlier: a receipt is due
	Refused                // opened and not accepted: a signed refusal is due
	Busy                   // over the pace; nothing changed
	Invalid                // did not open; nothing changed, and no reason leaves
)

// Outcome is what became of one blob.
type Outcome struct {
	Blob       [32]byte // its hash
	Answer     Answer
	Message    chat.MessageID // with Received and Refused
	To         chat.DeviceID  // the author's device
	Reason     string         // with Refused: closed code
	RetryAfter time.Duration  // with Busy
}

// maxMisses bounds the box trials of one group, each some 0.1 ms of the one
// writer's time for every sealing key: garbage must not hold up the others.
// What is left untried may come again after missWait.
const (
	maxMisses = 8
	missWait  = time.Second
)

// groupSize is how many blobs share one commit and one receipt.
const groupSize = chat.ReceiptIDs

// Receive is the single entrance: up to 64 blobs in one transaction, from the
// device at the other end of a stream, or from "" when mail brought them.
// Receipts for mail are queued in the same transaction; those for a stream are
// the caller's, after Receive returned.
func (c *Courier) Receive(ctx context.Context, from chat.DeviceID, blobs []chat.Sealed) ([]Outcome, error) {
	if len(blobs) > groupSize {
		return nil, fmt.Errorf("receiving: %w: %d blobs at once", chat.ErrTooLarge, len(blobs))
	}
	outcomes := make([]Outcome, len(blobs))
	if from != "" && c.guard.BlockedDevice(from) {
		return outcomes, nil // silence
	}
	var pinned []*identity.Manifest
	var doubts map[chat.AccountID][32]byte
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		g := &group{
			c: c, tx: tx, from: from, now: time.Now(),
			sessions: map[chat.DeviceID][]*ratchet{},
			changed:  map[*ratchet]bool{},
			people:   map[chat.AccountID]*person{},
			doubts:   map[chat.AccountID][32]byte{},
			told:     map[chat.DeviceID]bool{},
		}
		if from != "" { // a block that the guard has not read the devices of yet
			a, err := tx.ProvedAccount(from)
			if err := notFoundIsNil(err); err != nil {
				return err
			}
			g.silent = c.guard.Blocked(a)
		}
		for i, blob := range blobs {
			var err error
			if outcomes[i], err = g.receive(blob); err != nil {
				return err
			}
		}
		pinned, doubts = g.pinned, g.doubts
		return g.finish(outcomes)
	})
	if err != nil {
		return nil, fmt.Errorf("receiving: %w", err)
	}
	for _, m := range pinned {
		if err := c.guard.Pinned(ctx, m.Account, m.Devices); err != nil {
			c.log.Debug("blocks not refreshed", "cause", err)
		}
	}
	for a, named := range doubts {
		c.doubtList(a, named, time.Now())
	}
	return outcomes, nil
}

// group is one transaction of Receive. Nothing of a blob is written before
// the blob is accepted, so that a bad one takes nothing of the others along.
type group struct {
	c    *Courier
	tx   *store.Tx
	from chat.DeviceID // "" for mail
	now  time.Time

	silent bool // from belongs to a blocked account
	misses int  // blobs that no session opened and that were no first contact

	sessions map[chat.DeviceID][]*ratchet // read so far
	changed  map[*ratchet]bool            // to be stored at the end
	people   map[chat.AccountID]*person   // authors met so far; at most groupSize
	boxes    boxes
	mail     []chat.MessageID // receipts due by mail, with mailTo
	mailTo   []*ratchet
	told     map[chat.DeviceID]bool      // who was looked at for our tickets
	pinned   []*identity.Manifest        // at most one for each blob
	doubts   map[chat.AccountID][32]byte // author -> a list that they name and we do not know
}

// receive decides about one blob and writes what follows. An error means that
// the store failed; whatever the peer did is in the outcome.
func (g *group) receive(blob chat.Sealed) (Outcome, error) {
	o := Outcome{Blob: hashOf(blob)}
	if !slices.Contains(chat.BlobSizes[:], len(blob)) {
		o.Answer = Invalid
		return o, nil
	}
	if g.silent {
		return o, nil
	}
	value, seen, err := g.tx.Seen(o.Blob)
	if err != nil {
		return o, err
	}
	if seen {
		o = o.again(value, g.from)
		return o, g.receiptAgain(o)
	}
	op, err := g.open(blob)
	if err != nil {
		return o, err
	}
	switch {
	case op == nil && g.misses > maxMisses:
		o.Answer, o.RetryAfter = Busy, missWait
	case op == nil:
		o.Answer = Invalid
	case op.wait > 0:
		o.Answer, o.RetryAfter = Busy, op.wait
	case op.blocked:
		return o, g.learn(op) // so that the gate knows the device
	default:
		return g.judge(o, op)
	}
	return o, nil
}

// judge decides about a blob that opened.
func (g *group) judge(o Outcome, op *opening) (Outcome, error) {
	account := op.r.about.account
	if g.c.guard.Blocked(account) {
		return o, g.learn(op)
	}
	content, refusal, ok := parseContent(op.plain)
	if !ok {
		o.Answer = Invalid
		return o, nil
	}
	if known := content.wire.Version == contentVersion; known && !content.by(op.r.about, g.c.keys.Account()) {
		o.Answer = Invalid
		return o, nil
	}
	p, err := g.person(op)
	if err != nil {
		return o, err
	}
	if !p.listed[op.r.row.Device] {
		o.Answer = Invalid
		return o, nil
	}
	if g.from != "" { // mail has its holders' quotas instead
		if wait, ok := g.c.guard.AdmitDM(account, op.r.row.Device, g.now); !ok {
			o.Answer, o.RetryAfter = Busy, wait
			return o, nil
		}
	}
	o.Message, o.To, o.Answer = content.id, op.r.row.Device, Received
	if op.fresh && p.state != store.ContactAdded {
		if stored, err := g.stored(p, content.id); stored || err != nil {
			return o, err // for what is here no stranger gets another session
		}
	}
	if refusal == 0 {
		if refusal, err = g.policy(p, op, content); err != nil {
			return o, err
		}
	}
	if refusal != 0 {
		o.Answer, o.Reason = Refused, refusalCodes[refusal]
		if op.fresh {
			return o, nil // a refused stranger leaves no trace
		}
		return o, g.advance(o, op)
	}
	if err := g.advance(o, op); err != nil {
		return o, err
	}
	if named := content.wire.ManifestHash; len(named) == sha256.Size && [32]byte(named) != p.list {
		g.doubts[account] = [32]byte(named)
	}
	return o, g.store(p, op, content)
}

// advance takes over the session as it is after the blob.
func (g *group) advance(o Outcome, op *opening) error {
	if op.fresh {
		if err := g.join(op); err != nil {
			return err
		}
	}
	op.r.state = op.next
	if op.bare && !op.r.row.Answered {
		op.r.row.Answered = true // they know that we have the session
	}
	g.changed[op.r] = true
	if op.ticket != nil {
		if err := putTickets(g.tx, op.r.row.Device, []*wirev1.MailTicket{op.ticket}); err != nil {
			return err
		}
	}
	return g.tx.MarkSeen(o.Blob, o.remember(), g.now.Add(chat.SeenBlobLife))
}

// store keeps what the content says.
func (g *group) store(p *person, op *opening, content *content) error {
	if g.from == "" && content.kind != 0 {
		g.mail, g.mailTo = append(g.mail, content.id), append(g.mailTo, op.r)
		g.c.mayResend(content.id, g.now) // not from the next holder's copy
	}
	if err := g.mailboxes(p, op, content); err != nil {
		return err
	}
	switch body := content.wire.Body.(type) {
	case *wirev1.Content_Answer_:
		return nil
	case *wirev1.Content_Receipts_:
		list := body.Receipts.GetReceipts()
		if p.state != store.ContactAdded { // whoever we wrote to is a contact
			list = list[:min(len(list), 1)]
		}
		return g.c.carried(g.tx, list, op.r.row.Device, g.now, g.reach)
	}
	at := chat.HLC(content.wire.Time)
	if err := g.tx.Observe(at, g.now); err != nil {
		return err
	}
	if latest := chat.NewHLC(g.now.Add(maxAhead)); at > latest {
		at = latest // shown as now; the content keeps what they said
	}
	_, err := g.tx.AddMessage(&chat.Message{
		ID:           content.id,
		Conversation: chat.PrivateConversation(op.r.about.account),
		Author:       op.r.about.account,
		Device:       op.r.row.Device,
		Epoch:        content.wire.Epoch,
		Number:       content.wire.Number,
		Time:         at,
		Kind:         content.kind,
		Text:         content.text,
		Target:       content.target,
		Content:      content.bytes,
		Received:     g.now,
	})
	return err
}

// reach is the same as the function, for sessions that the group may have read
// already, and changed.
func (g *group) reach(tx *store.Tx, reached map[string]uint64) error {
	for _, list := range g.sessions {
		for _, r := range list {
			if number, ok := reached[string(r.row.ID)]; ok {
				r.state = r.state.Receipted(number)
				g.changed[r] = true
				delete(reached, string(r.row.ID))
			}
		}
	}
	return reach(tx, reached)
}

// maxAhead is how far a peer's clock may lead ours in what we show.
const maxAhead = 2 * time.Second

// finish stores the sessions as the group leaves them, and queues receipts
// that no stream can carry.
func (g *group) finish(outcomes []Outcome) error {
	for r := range g.changed {
		if err := r.save(g.tx); err != nil {
			return err
		}
	}
	for len(g.mail) > 0 {
		r := g.mailTo[0]
		var ids []chat.MessageID
		for i := 0; i < len(g.mail); {
			if g.mailTo[i] != r {
				i++
				continue
			}
			ids = append(ids, g.mail[i])
			g.mail, g.mailTo = slices.Delete(g.mail, i, i+1), slices.Delete(g.mailTo, i, i+1)
		}
		signed := g.c.signReceipt(ids, r.row.Device, wirev1.Receipt_OUTCOME_DELIVERED, 0, g.now)
		if err := g.c.queueReceipt(g.tx, r.about.account, r.row.Device, signed, g.now); err != nil {
			return err
		}
	}
	return nil
}

// person is an author as the group knows them.
type person struct {
	account chat.AccountID
	state   store.ContactState
	known   bool                   // has a contact row
	contact store.Contact          // if known
	listed  map[chat.DeviceID]bool // devices of the highest manifest
	list    [32]byte               // its hash
}

// person reads an author once for the group.
func (g *group) person(op *opening) (*person, error) {
	a := op.r.about.account
	p := g.people[a]
	if p == nil {
		p = &person{account: a, listed: map[chat.DeviceID]bool{}}
		if err := g.readContact(p); err != nil {
			return nil, err
		}
		g.people[a] = p
	}
	return p, g.lists(p, op)
}

// lists finds out whether the author's device is in the account's highest
// manifest that we have verified.
func (g *group) lists(p *person, op *opening) error {
	device := op.r.row.Device
	if op.manifest != nil {
		p.listed[device], p.list = op.manifest.Lists(device), op.manifest.Hash
		return nil
	}
	if _, known := p.listed[device]; known {
		return nil
	}
	p.listed[device] = false
	pin, err := g.tx.Pin(p.account)
	if err != nil {
		return notFoundIsNil(err)
	}
	p.list, p.listed[device] = pin.Hash, slices.Contains(pin.Devices, device)
	if p.listed[device] {
		p.listed[device] = !identity.Ended(pin.Manifest, g.now)
		return nil
	}
	if m, err := identity.OpenManifest(pin.Manifest, g.now); err == nil { // one that has ended lists nobody
		p.listed[device] = m.Lists(device)
	}
	return nil
}

func hashOf(blob chat.Sealed) [32]byte { return sha256.Sum256(blob) }
