package dm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

// Draft is a message to be sent.
type Draft struct {
	To     chat.AccountID
	Kind   chat.Kind // zero means chat.KindText
	Text   chat.Body
	Target chat.MessageID // replied to, edited, deleted or reacted to
}

// Send writes a message and its outbox rows in one transaction and returns it
// QUEUED. It fails with chat.ErrInvalid, ErrTooLarge, ErrBlocked (by us),
// ErrNotFound (the target) or ErrStorageFull.
func (c *Courier) Send(ctx context.Context, d Draft) (*chat.Message, error) {
	var m *chat.Message
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		var err error
		m, err = c.SendIn(tx, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// SendIn is Send inside the caller's transaction.
func (c *Courier) SendIn(tx *store.Tx, d Draft) (*chat.Message, error) {
	m, err := c.sendIn(tx, d, time.Now())
	if err != nil {
		return nil, fmt.Errorf("sending message: %w", err)
	}
	return m, nil
}

func (c *Courier) sendIn(tx *store.Tx, d Draft, now time.Time) (*chat.Message, error) {
	if d.Kind == 0 {
		d.Kind = chat.KindText
	}
	if err := checkText(d.Kind, d.Text, d.Target); err != nil {
		return nil, err
	}
	pin, err := tx.Pin(d.To)
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return nil, err
	}
	to := d.To
	if pin.Account != to { // a pinned one was parsed before, which costs as much as storing a row
		if to, _, err = identity.ParseAccountID(string(d.To)); err != nil {
			return nil, err
		}
		if pin, err = tx.Pin(to); err != nil && !errors.Is(err, chat.ErrNotFound) {
			return nil, err
		}
	}
	switch {
	case to == c.keys.Account():
		return nil, fmt.Errorf("%w: this is your own account", chat.ErrInvalid)
	case c.guard.Blocked(to):
		return nil, fmt.Errorf("%w: you block this person", chat.ErrBlocked)
	}
	d.To = to
	conv := chat.PrivateConversation(to)
	if err := checkTarget(tx, d, conv); err != nil {
		return nil, err
	}
	at, err := tx.Tick(now)
	if err != nil {
		return nil, err
	}
	p := c.newContent(to)
	if p.Epoch, p.Number, err = tx.NextNumber(conv); err != nil {
		return nil, err
	}
	p.Time = int64(at)
	setBody(p, d)
	b := encode(p)
	m := &chat.Message{
		ID:           chat.NewMessageID(b),
		Conversation: conv,
		Author:       c.keys.Account(),
		Device:       c.keys.Device(),
		Epoch:        p.Epoch,
		Number:       p.Number,
		Time:         at,
		Kind:         d.Kind,
		Text:         d.Text,
		Target:       d.Target,
		Content:      b,
		Received:     now,
		Own:          true,
		Delivery:     chat.Queued,
	}
	if err := c.enqueue(tx, m, to, pin.Devices, now); err != nil {
		return nil, err
	}
	if d.Kind != chat.KindText {
		return m, nil
	}
	if err := answers(tx, to, now); err != nil {
		return nil, err
	}
	for _, device := range pin.Devices {
		if err := c.tellInSession(tx, to, device, now); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// enqueue stores the message and one outbox row for each device that we know
// of its recipient, sealed at once where a session allows it.
func (c *Courier) enqueue(tx *store.Tx, m *chat.Message, to chat.AccountID, devices []chat.DeviceID, now time.Time) error {
	m.Reason = c.reasonFor(to, devices)
	if _, err := tx.AddMessage(m); err != nil {
		return err
	}
	row := store.OutboxRow{Message: m.ID, Account: to, Content: m.Content, Created: now, Expires: now.Add(chat.MessageLife)}
	if len(devices) == 0 {
		_, err := tx.Enqueue(row)
		return err
	}
	// What waited for the devices to become known goes before this message.
	if err := tx.OutboxSplit(to, devices); err != nil {
		return err
	}
	for _, d := range devices {
		if err := c.enqueueFor(tx, row, d, now); err != nil {
			return err
		}
	}
	return nil
}

func (c *Courier) enqueueFor(tx *store.Tx, row store.OutboxRow, d chat.DeviceID, now time.Time) error {
	row.Device = d
	list, err := sessionsOf(tx, d)
	if err != nil {
		return err
	}
	r := choose(list)
	if r == nil || r.about.account != row.Account || r.state.Lead() >= chat.SenderLead {
		_, err := tx.Enqueue(row) // the worker makes a session, or waits for receipts
		return err
	}
	number, blob, err := c.seal(r, now, row.Content)
	if err != nil {
		return err
	}
	if err := r.save(tx); err != nil {
		return err
	}
	row.Session, row.Blob = r.row.ID, withNumber(number, blob)
	return tx.EnqueueSealed(row)
}

// queueControl puts content that is shown to nobody into the outbox of one
// device.
func (c *Courier) queueControl(tx *store.Tx, to chat.AccountID, d chat.DeviceID, b []byte, now time.Time) error {
	_, err := tx.Enqueue(store.OutboxRow{
		Message: chat.NewMessageID(b), Account: to, Device: d, Content: b,
		Created: now, Expires: now.Add(chat.MessageLife), Control: true,
	})
	if err != nil {
		return fmt.Errorf("queueing answer: %w", err)
	}
	return nil
}

// checkTarget holds a draft against the message it is about.
func checkTarget(tx *store.Tx, d Draft, conv chat.Conversation) error {
	if d.Target.IsZero() {
		return nil
	}
	t, err := tx.Message(d.Target)
	if err != nil {
		return err
	}
	switch {
	case t.Conversation != conv || t.Kind != chat.KindText:
		return fmt.Errorf("%w: no such message in this conversation", chat.ErrNotFound)
	case t.Deleted:
		return fmt.Errorf("%w: the message was deleted", chat.ErrInvalid)
	case (d.Kind == chat.KindEdit || d.Kind == chat.KindDelete) && !t.Own:
		return fmt.Errorf("%w: only its author can change a message", chat.ErrInvalid)
	}
	return nil
}

// Resend writes an EXPIRED or REFUSED message of ours again, as a new one.
// Other states fail with chat.ErrInvalid.
func (c *Courier) Resend(ctx context.Context, id chat.MessageID) (*chat.Message, error) {
	var m *chat.Message
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		var err error
		m, err = c.ResendIn(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// ResendIn is Resend inside the caller's transaction.
func (c *Courier) ResendIn(tx *store.Tx, id chat.MessageID) (*chat.Message, error) {
	m, err := tx.Message(id)
	if err != nil {
		return nil, fmt.Errorf("sending again: %w", err)
	}
	to, private := m.Conversation.Account()
	switch {
	case !m.Own || !private:
		return nil, fmt.Errorf("sending again: %w: not a private message of yours", chat.ErrInvalid)
	case m.Delivery != chat.Expired && m.Delivery != chat.Refused:
		return nil, fmt.Errorf("sending again: %w: the message is %s", chat.ErrInvalid, m.Delivery)
	case m.Deleted:
		return nil, fmt.Errorf("sending again: %w: the message was deleted", chat.ErrInvalid)
	}
	return c.SendIn(tx, Draft{To: to, Kind: m.Kind, Text: m.Text, Target: m.Target})
}
