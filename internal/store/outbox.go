package store

import (
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

const outboxColumns = `id, message, account, device, content, session, blob, created, expires, next_try, attempts, control`

func scanOutbox(s *sqlite3.Stmt) OutboxRow {
	return OutboxRow{
		ID: s.ColumnInt64(0), Message: chat.MessageID(s.ColumnRawBlob(1)),
		Account: chat.AccountID(s.ColumnText(2)), Device: chat.DeviceID(s.ColumnText(3)),
		Content: columnBlob(s, 4), Session: columnBlob(s, 5), Blob: columnBlob(s, 6),
		Created: columnTime(s, 7), Expires: columnTime(s, 8), NextTry: columnTime(s, 9),
		Attempts: s.ColumnInt(10), Control: s.ColumnBool(11),
	}
}

// touch runs a change of the outbox and rings the bell for the courier.
func (tx *Tx) touch(sql string, args ...any) error {
	if !tx.write {
		return errReadOnly
	}
	if err := tx.c.exec(sql, args...); err != nil {
		return fmt.Errorf("changing the outbox: %w", err)
	}
	tx.ring = true
	return nil
}

// Enqueue adds a row; its ID, Session and Blob are not read. The number it
// answers never names another row, also when this one is done.
func (tx *Tx) Enqueue(r OutboxRow) (int64, error) {
	err := tx.touch(`INSERT INTO outbox (message, account, device, content, session, blob, created, expires, next_try, attempts, control)
		VALUES (?, ?, ?, ?, NULL, NULL, ?, ?, ?, ?, ?)`, r.Message[:], r.Account, r.Device, r.Content,
		r.Created, r.Expires, r.NextTry, r.Attempts, r.Control)
	if err != nil {
		return 0, err
	}
	return tx.c.db.LastInsertRowID(), nil
}

// OutboxAccounts lists whose devices must be found: rows without a device
// wait for them.
func (tx *Tx) OutboxAccounts() ([]chat.AccountID, error) {
	var out []chat.AccountID
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, chat.AccountID(s.ColumnText(0)))
		return nil
	}, `SELECT DISTINCT account FROM outbox WHERE device = '' ORDER BY account`)
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", err)
	}
	return out, nil
}

// OutboxSplit makes one row per device out of each row of account that has no
// device yet. Without devices the rows wait on.
func (tx *Tx) OutboxSplit(account chat.AccountID, devices []chat.DeviceID) error {
	if len(devices) == 0 {
		return nil
	}
	for _, device := range devices[1:] {
		err := tx.touch(`INSERT INTO outbox (message, account, device, content, session, blob, created, expires, next_try, attempts, control)
			SELECT message, account, ?, content, NULL, NULL, created, expires, next_try, attempts, control
			FROM outbox WHERE device = '' AND account = ? ORDER BY id`, device, account)
		if err != nil {
			return err
		}
	}
	// The rows themselves become the first device's: they keep their place
	// before what was queued for that device since.
	return tx.touch(`UPDATE outbox SET device = ? WHERE device = '' AND account = ?`, devices[0], account)
}

// OutboxDevices says for each device how much waits and when its first row
// wants to be tried.
func (tx *Tx) OutboxDevices() ([]OutboxDevice, error) {
	var out []OutboxDevice
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, OutboxDevice{
			Device: chat.DeviceID(s.ColumnText(0)), Account: chat.AccountID(s.ColumnText(1)),
			NextTry: columnTime(s, 2), Count: s.ColumnInt(3),
		})
		return nil
	}, `SELECT device, account, min(next_try), count(*) FROM outbox WHERE device <> '' GROUP BY device, account`)
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", err)
	}
	return out, nil
}

// Outbox lists what waits for a device, oldest first.
func (tx *Tx) Outbox(device chat.DeviceID, limit int) ([]OutboxRow, error) {
	return tx.outbox(true, `WHERE device = ? ORDER BY id LIMIT ?`, device, limit)
}

// OutboxExpired lists rows whose lifetime is over.
func (tx *Tx) OutboxExpired(now time.Time, limit int) ([]OutboxRow, error) {
	return tx.outbox(true, `WHERE expires > 0 AND expires <= ? ORDER BY expires, id LIMIT ?`, now, limit)
}

// outbox reads rows. A sealed row has no content of its own: it is the
// message's, and looked up where it is asked for or still to be sealed.
func (tx *Tx) outbox(contents bool, where string, args ...any) ([]OutboxRow, error) {
	var out []OutboxRow
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, scanOutbox(s))
		return nil
	}, `SELECT `+outboxColumns+` FROM outbox `+where, args...)
	for i := range out {
		if err == nil && (contents || out[i].Blob == nil) {
			err = tx.fill(&out[i])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", err)
	}
	return out, nil
}

// fill gives a row its message's content, unless it has its own.
func (tx *Tx) fill(r *OutboxRow) (err error) {
	if r.Content == nil {
		r.Content, err = tx.contentOf(r.Message)
	}
	return err
}

// contentOf is the content bytes of a message, nil if they are gone.
func (tx *Tx) contentOf(id chat.MessageID) (content []byte, err error) {
	row, err := tx.row(id)
	if err != nil || row == 0 {
		return nil, err
	}
	err = tx.c.one(func(s *sqlite3.Stmt) error {
		content = columnBlob(s, 0)
		return nil
	}, `SELECT content FROM messages WHERE row = ?`, row)
	return content, err
}

// keepContent gives what waits of a message its own copy of the content, which
// is about to be removed from the message.
func (tx *Tx) keepContent(row int64) error {
	return tx.c.exec(`UPDATE outbox SET content = m.content FROM messages m
		WHERE m.row = ? AND substr(outbox.message, 1, 8) = substr(m.id, 1, 8) AND outbox.message = m.id AND outbox.content IS NULL`, row)
}

// SaveSealed keeps the sealed form of a row, so that every retry sends the
// same bytes. A row that is sealed already is left alone: one message is
// sealed once in a session.
func (tx *Tx) SaveSealed(id int64, session, blob []byte) error {
	if err := tx.touch(`UPDATE outbox SET session = ?, blob = ? WHERE id = ? AND blob IS NULL`, session, blob, id); err != nil {
		return err
	}
	if tx.c.db.Changes() == 0 {
		return fmt.Errorf("keeping a sealed message: row %d is gone or sealed: %w", id, chat.ErrNotFound)
	}
	return nil
}

// Unseal forgets what a given-up session sealed for a device.
func (tx *Tx) Unseal(device chat.DeviceID, session []byte) error {
	// Others keep what the session sealed: that is not what will be sent.
	err := tx.touch(`DELETE FROM deposits WHERE outbox IN (SELECT id FROM outbox WHERE device = ? AND session = ?)`, device, session)
	if err != nil {
		return err
	}
	return tx.touch(`UPDATE outbox SET session = NULL, blob = NULL WHERE device = ? AND session = ?`, device, session)
}

// OutboxRetry counts an attempt and sets the time of the next.
func (tx *Tx) OutboxRetry(id int64, next time.Time) error {
	return tx.touch(`UPDATE outbox SET next_try = ?, attempts = attempts + 1 WHERE id = ?`, next, id)
}

// OutboxDone removes a row. A row that is gone is no fault.
func (tx *Tx) OutboxDone(id int64) error {
	return tx.touch(`DELETE FROM outbox WHERE id = ?`, id)
}

// OutboxLanded removes sealed rows that arrived. They hold nothing but the
// ciphertext, whose key is gone: unlike everywhere else, pages that become free
// are not overwritten, or each message would be written a second time as zeros.
func (tx *Tx) OutboxLanded(ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	if !tx.write {
		return errReadOnly
	}
	if err := tx.c.db.Exec(`PRAGMA secure_delete = FAST`); err != nil {
		return fmt.Errorf("changing the outbox: %w", err)
	}
	var err error
	var others []int64 // with a content of their own
	for _, id := range ids {
		if err == nil {
			err = tx.touch(`DELETE FROM outbox WHERE id = ? AND content IS NULL`, id)
		}
		if tx.c.db.Changes() == 0 {
			others = append(others, id)
		}
	}
	if serr := tx.c.db.Exec(`PRAGMA secure_delete = ON`); err == nil {
		err = serr
	}
	for _, id := range others {
		if err == nil {
			err = tx.OutboxDone(id)
		}
	}
	return err
}

// OutboxDoneMessage removes what waits of a message for a device.
func (tx *Tx) OutboxDoneMessage(message chat.MessageID, device chat.DeviceID) error {
	return tx.touch(`DELETE FROM outbox WHERE substr(message, 1, 8) = ? AND message = ? AND device = ?`, message[:8], message[:], device)
}
