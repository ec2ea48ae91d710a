package dm

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

// TestStatesFollowProofs feeds 100,000 random events about messages to an
// account with two devices: true, forged, repeated and late receipts, SENT
// marks and expiries. No shown state goes back, and none is ahead of a proof.
func TestStatesFollowProofs(t *testing.T) {
	events, messages := 100_000, 400
	if testing.Short() {
		events, messages = 20_000, 100
	}
	w := newWorld(t)
	defer w.end()
	ana, bo, second, eve := w.join("ana"), w.join("bo"), w.join("second"), w.join("eve")
	ctx := context.Background()
	bo.offline()
	ana.must(ana.db.Write(ctx, func(tx *store.Tx) error {
		// The account of bo lists another device besides.
		pin, err := bo.keys.Manifest(), error(nil)
		if err = tx.SetSetting(chat.SettingReadReceipts, chat.SettingOn); err != nil {
			return err
		}
		return tx.PutPin(store.Pin{
			Account: bo.account(), Seq: pin.Seq, Hash: pin.Hash, Manifest: pin.Bytes,
			Devices: []chat.DeviceID{bo.keys.Device(), second.keys.Device()},
		})
	}))
	ana.stop() // no courier: events come from here
	type truth struct {
		id     chat.MessageID
		shown  chat.Delivery
		proven [6]bool // chat.Delivery up to Read -> somebody proved it
		ended  bool    // refused or expired
	}
	all := make([]*truth, messages)
	for i := range all {
		all[i] = &truth{id: ana.say(bo, "hello").ID, shown: chat.Queued}
	}
	rnd := rand.New(rand.NewPCG(11, 5))
	now := time.Now()
	devices := []*party{bo, second}
	outcomes := []wirev1.Receipt_Outcome{
		wirev1.Receipt_OUTCOME_DELIVERED, wirev1.Receipt_OUTCOME_DELIVERED, wirev1.Receipt_OUTCOME_READ, wirev1.Receipt_OUTCOME_REFUSED,
	}
	var old [][]byte // true receipts, to be repeated
	var oldFrom []*party
	var oldID []*truth
	event := func(tx *store.Tx) error {
		m := all[rnd.IntN(1+rnd.IntN(len(all)))]
		d := devices[rnd.IntN(2)]
		switch rnd.IntN(8) {
		case 0:
			_, err := tx.SetDelivery(m.id, store.DeviceDelivery{Device: d.keys.Device(), State: chat.Sent, At: now})
			m.proven[chat.Sent] = true
			return err
		case 1:
			m.ended = true
			return expireRow(tx, store.OutboxRow{Message: m.id, Device: d.keys.Device()}, now)
		case 2, 3: // a repeated one
			if len(old) == 0 {
				return nil
			}
			i := rnd.IntN(len(old))
			return ana.carried(tx, old[i:i+1], oldFrom[i].keys.Device(), now, reach)
		case 4: // a true one
			o := outcomes[rnd.IntN(len(outcomes))]
			switch o {
			case wirev1.Receipt_OUTCOME_DELIVERED:
				m.proven[chat.Delivered] = true
			case wirev1.Receipt_OUTCOME_READ:
				m.proven[chat.Read] = true
			default:
				m.ended = true
			}
			signed := d.signReceipt([]chat.MessageID{m.id}, ana.keys.Device(), o, 1, now)
			old, oldFrom, oldID = append(old, signed), append(oldFrom, d), append(oldID, m)
			return ana.carried(tx, [][]byte{signed}, d.keys.Device(), now, reach)
		default: // a forged one
			o := outcomes[rnd.IntN(len(outcomes))]
			by, as, to := eve, eve, ana
			switch rnd.IntN(3) {
			case 0:
				as = d // in another's name
			case 1:
				by, as, to = d, d, eve // for another device
			}
			return ana.carried(tx, [][]byte{by.signReceipt([]chat.MessageID{m.id}, to.keys.Device(), o, 1, now)}, as.keys.Device(), now, reach)
		}
	}
	check := func(tx *store.Tx) error {
		for _, m := range all {
			got, err := tx.Message(m.id)
			if err != nil {
				return err
			}
			if got.Delivery != m.shown && m.shown.Advance(got.Delivery) != got.Delivery {
				t.Fatalf("went from %s back to %s", m.shown, got.Delivery)
			}
			m.shown = got.Delivery
			switch s := got.Delivery; s {
			case chat.Queued:
			case chat.Sent, chat.Delivered, chat.Read:
				if !m.proven[s] {
					t.Fatalf("%s without a proof", s)
				}
			case chat.Refused, chat.Expired:
				if !m.ended {
					t.Fatalf("%s without a cause", s)
				}
			default:
				t.Fatalf("in state %s", s)
			}
		}
		return nil
	}
	for done := 0; done < events; {
		ana.must(ana.db.Write(ctx, func(tx *store.Tx) error {
			for range 500 {
				done++
				if err := event(tx); err != nil {
					return err
				}
			}
			return check(tx)
		}))
	}
	shown := map[chat.Delivery]int{}
	for _, m := range all {
		shown[m.shown]++
	}
	if shown[chat.Read] == 0 || len(oldID) < events/10 {
		t.Errorf("%d events of %d receipts ended in %v: nothing was tested", events, len(oldID), shown)
	}
}
