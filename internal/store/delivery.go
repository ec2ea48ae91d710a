package store

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// SetDelivery records how far a message of ours came to one device; the empty
// device stands for a word on the message as a whole. A state never goes back,
// and Held, Delivered and Read need a proof. The message shows the best of its
// devices; changed says whether that is new.
func (tx *Tx) SetDelivery(id chat.MessageID, d DeviceDelivery) (changed bool, err error) {
	if !tx.write {
		return false, errReadOnly
	}
	if d.State < chat.Queued || d.State > chat.Expired {
		return false, fmt.Errorf("%w: no delivery state", chat.ErrInvalid)
	}
	if d.State >= chat.Held && d.State <= chat.Read && len(d.Proof) == 0 {
		return false, fmt.Errorf("%w: %s without a proof", chat.ErrInvalid, d.State)
	}
	var conv int64
	var shown chat.Delivery
	row, err := tx.mustRow(id)
	if err == nil {
		err = tx.c.one(func(s *sqlite3.Stmt) error {
			conv, shown = s.ColumnInt64(0), chat.Delivery(s.ColumnInt64(1))
			return nil
		}, `SELECT conv, delivery FROM messages WHERE row = ?`, row)
	}
	if err == nil && shown == chat.DeliveryNone {
		err = fmt.Errorf("%w: not a message of ours", chat.ErrInvalid)
	}
	if err == nil {
		changed, err = tx.setDelivery(row, conv, shown, d)
	}
	if err != nil {
		return false, fmt.Errorf("recording a delivery: %w", err)
	}
	return changed, nil
}

func (tx *Tx) setDelivery(row, conv int64, shown chat.Delivery, d DeviceDelivery) (bool, error) {
	// The best of its devices, this one as it will be; of equals the newest word.
	old, best, reason, since := chat.DeliveryNone, d.State, d.Reason, millis(d.At)
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		state, at := chat.Delivery(s.ColumnInt64(1)), s.ColumnInt64(3)
		switch {
		case s.ColumnText(0) == string(d.Device):
			old = state
		case better(state, best) || !better(best, state) && at > since:
			best, reason, since = state, s.ColumnText(2), at
		}
		return nil
	}, `SELECT device, state, reason, at FROM deliveries WHERE msg = ?`, row)
	if err != nil {
		return false, err
	}
	if old.Advance(d.State) == old {
		return false, nil
	}
	var shared any
	if d.Shared {
		if shared, err = tx.keepProof(d.Proof); err != nil {
			return false, err
		}
		d.Proof = nil
	}
	err = tx.c.exec(`INSERT INTO deliveries (msg, device, state, reason, at, proof, shared) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
		ON CONFLICT DO UPDATE SET state = ?3, reason = ?4, at = ?5, proof = ?6, shared = ?7`,
		row, d.Device, int64(d.State), d.Reason, d.At, d.Proof, shared)
	if err != nil {
		return false, err
	}
	next := shown.Advance(best)
	if next == shown {
		return false, nil
	}
	var why any
	if reason != "" {
		why = reason
	}
	if err := tx.c.exec(`UPDATE messages SET delivery = ?, reason = ? WHERE row = ?`, int64(next), why, row); err != nil {
		return false, err
	}
	return true, tx.append(LogMessageChanged, conv, row, nil)
}

// proof is a receipt that a transaction has kept.
type proof struct {
	id    int64
	bytes []byte
}

// keepProof is where a proof is kept that speaks of up to 64 messages, whose
// deliveries follow each other: they share one row. It stays when a later proof
// covers a message again, for the others it speaks of.
func (tx *Tx) keepProof(b []byte) (id any, err error) {
	if tx.proof.id == 0 || !bytes.Equal(tx.proof.bytes, b) {
		if err := tx.c.exec(`INSERT INTO proofs (bytes) VALUES (?)`, b); err != nil {
			return nil, err
		}
		tx.proof = proof{tx.c.db.LastInsertRowID(), bytes.Clone(b)}
	}
	return tx.proof.id, nil
}

// better orders the states of several devices: any progress counts more than
// one device's refusal.
func better(a, b chat.Delivery) bool {
	rank := func(d chat.Delivery) int {
		switch d {
		case chat.DeliveryNone:
			return -1
		case chat.Refused, chat.Expired:
			return 0
		default:
			return int(d)
		}
	}
	return rank(a) > rank(b)
}

// Deliveries lists what is known per device, the oldest word first.
func (tx *Tx) Deliveries(id chat.MessageID) ([]DeviceDelivery, error) {
	row, err := tx.mustRow(id)
	var out []DeviceDelivery
	if err == nil {
		err = tx.c.query(func(s *sqlite3.Stmt) error {
			out = append(out, DeviceDelivery{
				Device: chat.DeviceID(s.ColumnText(0)), State: chat.Delivery(s.ColumnInt64(1)),
				Reason: s.ColumnText(2), At: columnTime(s, 3), Proof: columnBlob(s, 4),
			})
			return nil
		}, `SELECT device, state, reason, at, coalesce(proof, (SELECT bytes FROM proofs p WHERE p.id = shared))
			FROM deliveries WHERE msg = ? ORDER BY at, device`, row)
	}
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	return out, nil
}

// SetWait says why a message of ours still waits: a closed code, or nothing.
// Once it is through, refused or expired there is nothing to wait for.
func (tx *Tx) SetWait(id chat.MessageID, reason string) error {
	if !tx.write {
		return errReadOnly
	}
	var conv int64
	var state chat.Delivery
	var old string
	row, err := tx.mustRow(id)
	if err == nil {
		err = tx.c.one(func(s *sqlite3.Stmt) error {
			conv, state, old = s.ColumnInt64(0), chat.Delivery(s.ColumnInt64(1)), s.ColumnText(2)
			return nil
		}, `SELECT conv, delivery, coalesce(reason, '') FROM messages WHERE row = ?`, row)
	}
	if errors.Is(err, chat.ErrNotFound) {
		return fmt.Errorf("recording a wait: %w", err)
	}
	if err != nil || old == reason || state == chat.DeliveryNone || state.Final() {
		return err
	}
	var why any
	if reason != "" {
		why = reason
	}
	if err := tx.c.exec(`UPDATE messages SET reason = ? WHERE row = ?`, why, row); err != nil {
		return fmt.Errorf("recording a wait: %w", err)
	}
	return tx.append(LogMessageChanged, conv, row, nil)
}
