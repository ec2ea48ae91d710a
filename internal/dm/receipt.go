package dm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

const receiptVersion = 1

// receipt is a verified receipt of another device for messages of ours.
type receipt struct {
	from   chat.DeviceID
	ids    []chat.MessageID
	state  chat.Delivery
	reason string
	at     time.Time
	signed []byte // the proof
}

// signReceipt says for our device what became of messages of another one.
func (c *Courier) signReceipt(ids []chat.MessageID, to chat.DeviceID, o wirev1.Receipt_Outcome, why wirev1.Receipt_Refusal, now time.Time) []byte {
	_, key, err := identity.ParseDeviceID(string(to))
	if err != nil {
		panic("dm: receipt for a device that was verified: " + err.Error())
	}
	p := &wirev1.Receipt{
		Version: receiptVersion, FromDevice: c.keys.Self().Device, ToDevice: key,
		Time: now.UnixMilli(), Outcome: o, Reason: why,
	}
	for _, id := range ids {
		p.MessageIds = append(p.MessageIds, id[:])
	}
	return identity.SignedBytes(c.keys.DeviceKey(), seal.PurposeReceipt, encode(p))
}

// openReceipt verifies a receipt that device from signed for our device. It
// fails with chat.ErrInvalid.
func (c *Courier) openReceipt(signed []byte, from chat.DeviceID, now time.Time) (*receipt, error) {
	_, key, err := identity.ParseDeviceID(string(from))
	if err != nil {
		return nil, err
	}
	payload, err := identity.OpenSigned(key, seal.PurposeReceipt, signed)
	if err != nil {
		return nil, err
	}
	p := new(wirev1.Receipt)
	if err := wire.Unmarshal(payload, p); err != nil {
		return nil, err
	}
	if p.Version != receiptVersion || len(p.MessageIds) == 0 || len(p.MessageIds) > chat.ReceiptIDs ||
		string(p.FromDevice) != string(key) || string(p.ToDevice) != string(c.keys.Self().Device) {
		return nil, fmt.Errorf("%w: receipt of or for another device", chat.ErrInvalid)
	}
	r := &receipt{from: from, at: time.UnixMilli(p.Time), signed: slices.Clone(signed)}
	if r.at.After(now) {
		r.at = now
	}
	switch p.Outcome {
	case wirev1.Receipt_OUTCOME_DELIVERED:
		r.state = chat.Delivered
	case wirev1.Receipt_OUTCOME_READ:
		r.state = chat.Read
	case wirev1.Receipt_OUTCOME_REFUSED:
		r.state, r.reason = chat.Refused, refusalCodes[p.Reason]
		if r.reason == "" {
			r.reason = refusalCodes[wirev1.Receipt_REFUSAL_UNSPECIFIED]
		}
	default:
		return nil, fmt.Errorf("%w: receipt of an unknown kind", chat.ErrInvalid)
	}
	for _, id := range p.MessageIds {
		if len(id) != len(chat.MessageID{}) {
			return nil, fmt.Errorf("%w: receipt with a damaged id", chat.ErrInvalid)
		}
		r.ids = append(r.ids, chat.MessageID(id))
	}
	return r, nil
}

// apply moves the messages that the receipt proves something of. Ids that are
// not ours, or not for the signer's account, change nothing.
func (c *Courier) apply(tx *store.Tx, r *receipt) error {
	if r.state == chat.Read {
		if on, err := readReceipts(tx); err != nil || !on {
			return err // who does not tell is not told
		}
	}
	for _, id := range r.ids {
		if err := c.applyTo(tx, r, id); err != nil {
			return fmt.Errorf("applying receipt: %w", err)
		}
	}
	return nil
}

func (c *Courier) applyTo(tx *store.Tx, r *receipt, id chat.MessageID) error {
	// The signer is done with what waits for it, shown or not.
	if err := tx.OutboxDoneMessage(id, r.from); err != nil {
		return err
	}
	m, err := tx.Message(id)
	if err != nil {
		return notFoundIsNil(err)
	}
	account, private := m.Conversation.Account()
	if !m.Own || !private || m.Device != c.keys.Device() {
		return nil
	}
	pin, err := tx.Pin(account)
	if err != nil {
		return notFoundIsNil(err)
	}
	if !slices.Contains(pin.Devices, r.from) {
		return nil
	}
	_, err = tx.SetDelivery(id, r.delivery())
	return err
}

func (r *receipt) delivery() store.DeviceDelivery {
	return store.DeviceDelivery{Device: r.from, State: r.state, Reason: r.reason, At: r.at, Proof: r.signed, Shared: len(r.ids) > 1}
}

// carried applies receipts that came inside a session in one content. Those
// that do not verify change nothing: they harm nobody but their sender. reach
// is told how far they take the sessions with the device.
func (c *Courier) carried(tx *store.Tx, list [][]byte, from chat.DeviceID, now time.Time, reach func(*store.Tx, map[string]uint64) error) error {
	var receipts []*receipt
	reached := map[string]uint64{} // before the rows go
	for _, signed := range list {
		r, err := c.openReceipt(signed, from, now)
		if err != nil {
			continue
		}
		receipts = append(receipts, r)
		if r.state == chat.Read {
			continue
		}
		if err := receipted(tx, r, reached); err != nil {
			return err
		}
	}
	if err := reach(tx, reached); err != nil {
		return err
	}
	for _, r := range receipts {
		if err := c.apply(tx, r); err != nil {
			return err
		}
	}
	return nil
}

// receipted notes how far a receipt takes the sessions with its device, for
// receipts that no worker is waiting for.
func receipted(tx *store.Tx, r *receipt, reached map[string]uint64) error {
	for _, id := range r.ids {
		session, head, err := tx.OutboxSealed(id, r.from, numberSize)
		if errors.Is(err, chat.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if number, _, err := splitNumber(head); err == nil {
			reached[string(session)] = max(reached[string(session)], number)
		}
	}
	return nil
}

// reach stores in each session the highest number known to have arrived.
func reach(tx *store.Tx, reached map[string]uint64) error {
	for id, number := range reached {
		row, err := tx.SessionByID([]byte(id))
		if errors.Is(err, chat.ErrNotFound) {
			continue // dropped since
		}
		if err != nil {
			return err
		}
		r, err := readRatchet(row)
		if err != nil {
			return err
		}
		if next := r.state.Receipted(number); next != r.state {
			r.state = next
			if err := r.save(tx); err != nil {
				return err
			}
		}
	}
	return nil
}

func readReceipts(tx *store.Tx) (bool, error) {
	v, err := tx.Setting(chat.SettingReadReceipts)
	return v == chat.SettingOn, err
}

// queueReceipt puts a receipt that no stream carries into the outbox.
func (c *Courier) queueReceipt(tx *store.Tx, to chat.AccountID, d chat.DeviceID, signed []byte, now time.Time) error {
	p := c.newContent(to)
	p.Body = &wirev1.Content_Receipts_{Receipts: &wirev1.Content_Receipts{Receipts: [][]byte{signed}}}
	return c.queueControl(tx, to, d, encode(p), now)
}

// MarkRead moves the read mark of a conversation and, if both people opted in,
// tells the authors' devices: over an open stream, else through the outbox.
func (c *Courier) MarkRead(ctx context.Context, conv chat.Conversation, upTo chat.MessageID) error {
	account, private := conv.Account()
	var live []liveReceipt
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		newly, err := tx.MarkRead(conv, upTo)
		if err != nil || !private {
			return err
		}
		on, err := readReceipts(tx)
		if err != nil || !on || c.guard.Blocked(account) {
			return err
		}
		contact, err := tx.Contact(account)
		if err != nil || contact.State != store.ContactAdded {
			return notFoundIsNil(err) // reading a request tells the stranger nothing
		}
		live, err = c.readReceipts(tx, account, newly, time.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("marking read: %w", err)
	}
	for _, r := range live {
		if c.offer(r.to, r.signed) {
			continue
		}
		if err := c.db.Write(ctx, func(tx *store.Tx) error {
			return c.queueReceipt(tx, account, r.to, r.signed, time.Now())
		}); err != nil {
			return fmt.Errorf("marking read: %w", err)
		}
	}
	return nil
}

// liveReceipt is a READ receipt on its way to an open stream.
type liveReceipt struct {
	to     chat.DeviceID
	signed []byte
}

// readReceipts signs READ receipts for what was newly read. Those for devices
// without an open stream are queued at once, the others returned.
func (c *Courier) readReceipts(tx *store.Tx, a chat.AccountID, newly []chat.MessageID, now time.Time) ([]liveReceipt, error) {
	byDevice := map[chat.DeviceID][]chat.MessageID{}
	for _, id := range newly {
		m, err := tx.Message(id)
		if err != nil {
			return nil, err
		}
		if !m.Own {
			byDevice[m.Device] = append(byDevice[m.Device], id)
		}
	}
	var live []liveReceipt
	for d, ids := range byDevice {
		for some := range slices.Chunk(ids, chat.ReceiptIDs) {
			signed := c.signReceipt(some, d, wirev1.Receipt_OUTCOME_READ, 0, now)
			if c.streaming(d) {
				live = append(live, liveReceipt{d, signed})
				continue
			}
			if err := c.queueReceipt(tx, a, d, signed, now); err != nil {
				return nil, err
			}
		}
	}
	return live, nil
}

// remember and again are the outcome of a blob as its seen mark keeps it.
func (o Outcome) remember() []byte {
	b := append([]byte{byte(o.Answer)}, o.Message[:]...)
	b = append(b, byte(len(o.To)))
	b = append(b, o.To...)
	return append(b, o.Reason...)
}

// again is the answer to a blob that was decided before. A blob that another
// device repeats was never that device's.
func (o Outcome) again(value []byte, from chat.DeviceID) Outcome {
	const head = 1 + len(chat.MessageID{}) + 1
	o.Answer = Invalid
	if len(value) < head || len(value) < head+int(value[head-1]) {
		return o
	}
	to := chat.DeviceID(value[head : head+int(value[head-1])])
	if from != "" && from != to {
		return o
	}
	o.Answer, o.Message, o.To = Answer(value[0]), chat.MessageID(value[1:head-1]), to
	o.Reason = string(value[head+len(to):])
	return o
}
