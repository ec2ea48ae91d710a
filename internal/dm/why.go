package dm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// Trace explains where a message of ours is.
type Trace struct {
	Message *chat.Message
	Devices []Step
}

// Step is what is known about a message and one device of its recipient.
type Step struct {
	Device   chat.DeviceID // empty while the account's devices are unknown
	State    chat.Delivery
	Reason   string    // closed code: why it waits, or was refused
	At       time.Time // of the proof
	Proof    []byte    // signed receipt
	NextTry  time.Time // zero: nothing waits, or it is being tried now
	Attempts int       // without progress, since this node started
}

// maxTraced bounds the outbox rows searched for one device.
const maxTraced = 2000

// Why explains a message of ours, for `parley why`.
func (c *Courier) Why(ctx context.Context, id chat.MessageID) (*Trace, error) {
	t := &Trace{}
	err := c.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		if t.Message, err = tx.Message(id); err != nil {
			return err
		}
		if !t.Message.Own {
			return nil
		}
		known, err := tx.Deliveries(id)
		if err != nil {
			return err
		}
		for _, d := range known {
			t.Devices = append(t.Devices, Step{Device: d.Device, State: d.State, Reason: d.Reason, At: d.At, Proof: d.Proof})
		}
		account, _ := t.Message.Conversation.Account()
		pin, err := tx.Pin(account)
		if err != nil && !errors.Is(err, chat.ErrNotFound) {
			return err
		}
		for _, d := range append([]chat.DeviceID{""}, pin.Devices...) {
			if err := c.traceWaiting(tx, t, account, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("explaining message: %w", err)
	}
	return t, nil
}

// traceWaiting adds what the outbox says of the message and a device.
func (c *Courier) traceWaiting(tx *store.Tx, t *Trace, a chat.AccountID, d chat.DeviceID) error {
	rows, err := tx.Outbox(d, maxTraced)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(rows, func(r store.OutboxRow) bool { return r.Message == t.Message.ID })
	if at < 0 {
		return nil
	}
	i := slices.IndexFunc(t.Devices, func(s Step) bool { return s.Device == d })
	if i < 0 {
		t.Devices = append(t.Devices, Step{Device: d, State: chat.Queued, Reason: t.Message.Reason})
		i = len(t.Devices) - 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waits[d]
	if d == "" {
		w = c.unknown[a]
	}
	if w != nil {
		t.Devices[i].NextTry, t.Devices[i].Attempts = w.next, w.attempts
		if t.Devices[i].State == chat.Queued {
			t.Devices[i].Reason = w.reason
		}
	}
	return nil
}
