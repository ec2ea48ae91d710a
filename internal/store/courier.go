package store

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// OutboxTargets lists the devices with waiting rows and the account of the
// oldest, without counting: it leaps over the index, so its cost is that of
// the devices.
func (tx *Tx) OutboxTargets() ([]OutboxDevice, error) {
	var out []OutboxDevice
	var last OutboxDevice
	for {
		err := tx.c.one(func(s *sqlite3.Stmt) error {
			last.Device, last.Account = chat.DeviceID(s.ColumnText(0)), chat.AccountID(s.ColumnText(1))
			return nil
		}, `SELECT device, account FROM outbox WHERE device > ? ORDER BY device, id LIMIT 1`, last.Device)
		if errors.Is(err, chat.ErrNotFound) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the outbox: %w", err)
		}
		out = append(out, last)
	}
}

// OutboxAfter lists what waits for a device behind row after, oldest first.
func (tx *Tx) OutboxAfter(device chat.DeviceID, after int64, limit int) ([]OutboxRow, error) {
	return tx.outbox(`WHERE device = ? AND id > ? ORDER BY id LIMIT ?`, device, after, limit)
}

// EnqueueSealed is Enqueue and SaveSealed in one: Session and Blob are kept.
func (tx *Tx) EnqueueSealed(r OutboxRow) error {
	return tx.touch(`INSERT INTO outbox (message, account, device, content, session, blob, created, expires, next_try, attempts, control)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.Message[:], r.Account, r.Device, r.Content, r.Session, r.Blob,
		r.Created, r.Expires, r.NextTry, r.Attempts, r.Control)
}
