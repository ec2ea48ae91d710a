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

// OutboxAfter lists what waits for a device behind row after, oldest first,
// with the contents of those that are not sealed.
func (tx *Tx) OutboxAfter(device chat.DeviceID, after int64, limit int) ([]OutboxRow, error) {
	return tx.outbox(false, `WHERE device = ? AND id > ? ORDER BY id LIMIT ?`, device, after, limit)
}

// OutboxSealed is in which session what waits of a message for a device was
// sealed, and the first n bytes of that; chat.ErrNotFound if nothing was.
func (tx *Tx) OutboxSealed(message chat.MessageID, device chat.DeviceID, n int) (session, head []byte, err error) {
	err = tx.c.one(func(s *sqlite3.Stmt) error {
		session, head = columnBlob(s, 0), columnBlob(s, 1)
		return nil
	}, `SELECT session, substr(blob, 1, ?) FROM outbox WHERE substr(message, 1, 8) = ? AND message = ? AND device = ? AND blob IS NOT NULL
		ORDER BY id LIMIT 1`, n, message[:8], message[:], device)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the outbox: %w", err)
	}
	return session, head, nil
}

// EnqueueSealed is Enqueue and SaveSealed in one: Session and Blob are kept.
// The content is not, if it is a stored message's.
func (tx *Tx) EnqueueSealed(r OutboxRow) error {
	row, err := tx.row(r.Message)
	if err != nil {
		return err
	}
	if row != 0 {
		r.Content = nil
	}
	return tx.touch(`INSERT INTO outbox (message, account, device, content, session, blob, created, expires, next_try, attempts, control)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.Message[:], r.Account, r.Device, r.Content, r.Session, r.Blob,
		r.Created, r.Expires, r.NextTry, r.Attempts, r.Control)
}
