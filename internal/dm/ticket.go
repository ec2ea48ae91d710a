package dm

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/store"
	"parley/internal/wire"
)

// Secrets: a contact's device -> the tickets that it gave us, and the serial
// number of the newest of ours that we gave it.
const (
	kindTicket = "mail-ticket"
	kindTold   = "mail-told"
)

// maxTickets in one content: the present mailbox, three ahead, and some to come.
const maxTickets = 8

// ticket lets us leave mail for a device without a stamp.
type ticket struct {
	id          chat.MailboxID
	key, token  []byte // empty: only the id is known
	from, until time.Time
}

func (t ticket) mailbox() chat.Mailbox { return chat.Mailbox{ID: t.id, Key: t.key, Token: t.token} }

// openAt is the ticket to a mailbox that takes mail now.
func openAt(list []ticket, now time.Time) (ticket, bool) {
	i := slices.IndexFunc(list, func(t ticket) bool { return !t.from.After(now.Add(chat.ClockSlack)) && t.until.After(now) })
	if i < 0 {
		return ticket{}, false
	}
	return list[i], true
}

// withToken is the mailbox of t, with the token if one of known has it.
func withToken(t ticket, known []ticket) chat.Mailbox {
	if i := slices.IndexFunc(known, func(o ticket) bool { return o.id == t.id }); i >= 0 {
		return known[i].mailbox()
	}
	return t.mailbox()
}

// readTickets takes those that are well-formed; others help nobody.
func readTickets(list []*wirev1.MailTicket) (out []ticket) {
	for _, t := range list[:min(len(list), maxTickets)] {
		if len(t.GetKey()) != ed25519.PublicKeySize || len(t.GetToken()) != sha256.Size || t.GetUntil() <= t.GetFrom() {
			continue
		}
		out = append(out, ticket{
			id:  identity.MailboxIDOf(t.Key, sha256.Sum256(t.Token)),
			key: t.Key, token: t.Token, from: time.Unix(t.From, 0), until: time.Unix(t.Until, 0),
		})
	}
	return out
}

func ticketsOf(tx *store.Tx, d chat.DeviceID) ([]ticket, error) {
	b, err := tx.Secret(kindTicket, string(d))
	if err != nil {
		return nil, notFoundIsNil(err)
	}
	p := new(wirev1.Content)
	if err := wire.Unmarshal(b, p); err != nil {
		return nil, err
	}
	return readTickets(p.Mailboxes), nil
}

// putTickets keeps what a device told of its mailboxes in place of what it told
// before, or, of only one, beside that.
func putTickets(tx *store.Tx, d chat.DeviceID, list []*wirev1.MailTicket) error {
	fresh := readTickets(list)
	if len(fresh) == 0 {
		return nil
	}
	if len(fresh) == 1 {
		known, err := ticketsOf(tx, d)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(known, func(o ticket) bool { return o.id == fresh[0].id }) {
			return nil
		}
	}
	p := &wirev1.Content{}
	until := fresh[0].until
	for _, t := range fresh {
		p.Mailboxes = append(p.Mailboxes, &wirev1.MailTicket{Key: t.key, Token: t.token, From: t.from.Unix(), Until: t.until.Unix()})
		if t.until.After(until) {
			until = t.until
		}
	}
	return tx.PutSecret(kindTicket, string(d), encode(p), until.Add(chat.MailboxGrace))
}

// ownTickets is the tickets to our mailboxes, the present one first, and the
// newest one's serial number.
func (c *Courier) ownTickets(now time.Time) (list []*wirev1.MailTicket, serial uint64) {
	for _, m := range c.keys.Announced(now) {
		if len(list) == 1+chat.MailboxesAhead {
			break
		}
		list = append(list, &wirev1.MailTicket{Key: m.Public(), Token: m.Token[:], From: m.From.Unix(), Until: m.Until.Unix()})
		serial = max(serial, m.Serial)
	}
	return list, serial
}

// tell queues the tickets to our mailboxes for a contact's device that has not
// got the newest ones.
func (c *Courier) tell(tx *store.Tx, a chat.AccountID, d chat.DeviceID, now time.Time) error {
	list, serial := c.ownTickets(now)
	if told, err := c.told(tx, d); err != nil || told >= serial {
		return err
	}
	p := c.newContent(a)
	p.Body = &wirev1.Content_Answer_{Answer: &wirev1.Content_Answer{}}
	p.Mailboxes = list
	if err := c.noteTold(tx, d, serial); err != nil {
		return err
	}
	return c.queueControl(tx, a, d, encode(p), now)
}

// tellInSession is tell beside a text of ours, for a device that wrote to us:
// who answers mail with mail is answered without a stamp. In a session that
// nobody answered the first contact has told of the present mailbox.
func (c *Courier) tellInSession(tx *store.Tx, a chat.AccountID, d chat.DeviceID, now time.Time) error {
	_, serial := c.ownTickets(now)
	if told, err := c.told(tx, d); err != nil || told >= serial {
		return err
	}
	list, err := sessionsOf(tx, d)
	if err != nil {
		return err
	}
	r := choose(list)
	if r == nil || r.about.account != a || r.row.Ours && !r.row.Answered {
		return nil
	}
	return c.tell(tx, a, d, now)
}

// told is the serial number of the newest ticket that a device was sent.
func (c *Courier) told(tx *store.Tx, d chat.DeviceID) (uint64, error) {
	b, err := tx.Secret(kindTold, string(d))
	if err != nil || len(b) != 8 {
		return 0, notFoundIsNil(err)
	}
	return binary.BigEndian.Uint64(b), nil
}

func (c *Courier) noteTold(tx *store.Tx, d chat.DeviceID, serial uint64) error {
	return tx.PutSecret(kindTold, string(d), binary.BigEndian.AppendUint64(nil, serial), time.Time{})
}

// presentTicket is what a first contact carries, so that an answer needs no
// look-up; nil if there is none.
func (c *Courier) presentTicket(now time.Time) *wirev1.MailTicket {
	if list, _ := c.ownTickets(now); len(list) > 0 {
		return list[0]
	}
	return nil
}

// ticketsIn puts the tickets to our mailboxes into an answer to a contact.
// Strangers get none: they could fill the contacts' share.
func (g *group) ticketsIn(p *wirev1.Content, a chat.AccountID, d chat.DeviceID) error {
	if who := g.people[a]; who == nil || who.state != store.ContactAdded {
		return nil
	}
	list, serial := g.c.ownTickets(g.now)
	p.Mailboxes = list
	return g.c.noteTold(g.tx, d, serial)
}

// mailboxes keeps the tickets that came with a content, and sees to it that a
// contact has the newest of ours.
func (g *group) mailboxes(p *person, op *opening, content *content) error {
	if list := content.wire.Mailboxes; len(list) > 0 {
		if err := putTickets(g.tx, op.r.row.Device, list); err != nil {
			return err
		}
	}
	if p.state != store.ContactAdded || op.fresh || !op.bare || g.told[op.r.row.Device] {
		return nil
	}
	g.told[op.r.row.Device] = true
	return g.c.tell(g.tx, op.r.about.account, op.r.row.Device, g.now)
}

const (
	// resendAfter is when a message that comes by mail again gets its receipt
	// again: its sender leaves it there until the receipt arrives.
	resendAfter = chat.ReputEvery / 2
	// maxResent bounds the memory of it; beyond, a receipt goes once too often.
	maxResent = 4096
)

// receiptAgain queues the receipt of a message that came by mail again.
func (g *group) receiptAgain(o Outcome) error {
	if g.from != "" || o.Answer != Received || !g.c.mayResend(o.Message, g.now) {
		return nil
	}
	m, err := g.tx.Message(o.Message)
	if err != nil {
		return notFoundIsNil(err) // of what is shown to nobody
	}
	list, err := g.sessionsOf(o.To)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.about.account == m.Author {
			g.mail, g.mailTo = append(g.mail, o.Message), append(g.mailTo, r)
			break
		}
	}
	return nil
}

// mayResend reports whether a receipt may go by mail now, and notes it.
func (c *Courier) mayResend(id chat.MessageID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.resent[id]); age >= 0 && age < resendAfter {
		return false
	}
	if len(c.resent) >= maxResent {
		clear(c.resent)
	}
	c.resent[id] = now
	return true
}
