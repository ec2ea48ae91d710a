package store

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

const sessionColumns = `SELECT id, device, setup, ours, answered, extra, state FROM sessions `

func (tx *Tx) sessions(where string, args ...any) ([]SessionRow, error) {
	var out []SessionRow
	err := tx.c.query(func(s *sqlite3.Stmt) (err error) {
		r := SessionRow{
			ID: columnBlob(s, 0), Device: chat.DeviceID(s.ColumnText(1)), Setup: s.ColumnInt64(2),
			Ours: s.ColumnBool(3), Answered: s.ColumnBool(4),
		}
		row := hex.EncodeToString(r.ID)
		if s.ColumnType(5) != sqlite3.NULL {
			if r.Extra, err = tx.db.rowKey.Open("sessions.extra", row, s.ColumnRawBlob(5)); err != nil {
				return err
			}
		}
		r.State, err = tx.db.rowKey.Open("sessions.state", row, s.ColumnRawBlob(6))
		out = append(out, r)
		return err
	}, sessionColumns+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading sessions: %w", err)
	}
	return out, nil
}

// Sessions lists those with a device, the newest setup first.
func (tx *Tx) Sessions(device chat.DeviceID) ([]SessionRow, error) {
	return tx.sessions(`WHERE device = ? ORDER BY setup DESC, id`, device)
}

// SessionByID is one session; chat.ErrNotFound without it.
func (tx *Tx) SessionByID(id []byte) (SessionRow, error) {
	list, err := tx.sessions(`WHERE id = ?`, id)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("reading a session: %w", chat.ErrNotFound)
	}
	if err != nil {
		return SessionRow{}, err
	}
	return list[0], nil
}

// SessionsAfter lists sessions in the order of their ids, from behind one; nil
// begins.
func (tx *Tx) SessionsAfter(id []byte, limit int) ([]SessionRow, error) {
	if id == nil {
		id = []byte{}
	}
	return tx.sessions(`WHERE id > ? ORDER BY id LIMIT ?`, id, limit)
}

// PutSession keeps a session, and of each device the chat.MaxSessions with the
// newest setup besides this one.
func (tx *Tx) PutSession(r SessionRow) error {
	if !tx.write {
		return errReadOnly
	}
	if len(r.ID) == 0 || r.Device == "" {
		return fmt.Errorf("%w: session without id or device", chat.ErrInvalid)
	}
	row := hex.EncodeToString(r.ID)
	var extra []byte
	if r.Extra != nil {
		extra = tx.db.rowKey.Seal("sessions.extra", row, r.Extra)
	}
	state := tx.db.rowKey.Seal("sessions.state", row, r.State)
	// Mostly the row is there and its place in the indexes stays.
	err := tx.c.exec(`UPDATE sessions SET answered = ?5, extra = ?6, state = ?7 WHERE id = ?1 AND device = ?2 AND setup = ?3 AND ours = ?4`,
		r.ID, r.Device, r.Setup, r.Ours, r.Answered, extra, state)
	if err == nil && tx.c.db.Changes() == 0 {
		err = tx.newSession(r, extra, state)
	}
	if err != nil {
		return fmt.Errorf("keeping a session: %w", err)
	}
	return nil
}

// newSession keeps a session that is new, or has moved among those of its device.
func (tx *Tx) newSession(r SessionRow, extra, state []byte) error {
	err := tx.c.exec(`INSERT INTO sessions (id, device, setup, ours, answered, extra, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
		ON CONFLICT DO UPDATE SET device = ?2, setup = ?3, ours = ?4, answered = ?5, extra = ?6, state = ?7`,
		r.ID, r.Device, r.Setup, r.Ours, r.Answered, extra, state)
	if err != nil {
		return err
	}
	return tx.c.exec(`DELETE FROM sessions WHERE device = ?1 AND id <> ?2 AND id IN (
		SELECT id FROM sessions WHERE device = ?1 AND id <> ?2 ORDER BY setup DESC, id LIMIT -1 OFFSET ?3)`,
		r.Device, r.ID, chat.MaxSessions-1)
}

// DeleteSession forgets a session. One that is gone is no fault.
func (tx *Tx) DeleteSession(id []byte) error {
	if !tx.write {
		return errReadOnly
	}
	if err := tx.c.exec(`DELETE FROM sessions WHERE id = ?`, id); err != nil {
		return fmt.Errorf("forgetting a session: %w", err)
	}
	return nil
}

func secretRow(kind, key string) string { return kind + "\x00" + key }

// Secret is a sealed value; chat.ErrNotFound without it. Expired ones are
// there until the upkeep removes them.
func (tx *Tx) Secret(kind, key string) ([]byte, error) {
	var v []byte
	err := tx.c.one(func(s *sqlite3.Stmt) (err error) {
		v, err = tx.db.rowKey.Open("secrets", secretRow(kind, key), s.ColumnRawBlob(0))
		return err
	}, `SELECT value FROM secrets WHERE kind = ? AND key = ?`, kind, key)
	if err != nil {
		return nil, fmt.Errorf("reading secret %s: %w", kind, err)
	}
	return v, nil
}

// PutSecret seals and keeps a value; with the zero time for ever.
func (tx *Tx) PutSecret(kind, key string, v []byte, expires time.Time) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(`INSERT INTO secrets (kind, key, value, expires) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT DO UPDATE SET value = ?3, expires = ?4`,
		kind, key, tx.db.rowKey.Seal("secrets", secretRow(kind, key), v), expires)
	if err != nil {
		return fmt.Errorf("keeping secret %s: %w", kind, err)
	}
	return nil
}

// DeleteSecret forgets a value and overwrites its place. One that is gone is
// no fault.
func (tx *Tx) DeleteSecret(kind, key string) error {
	if !tx.write {
		return errReadOnly
	}
	if err := tx.c.exec(`DELETE FROM secrets WHERE kind = ? AND key = ?`, kind, key); err != nil {
		return fmt.Errorf("forgetting secret %s: %w", kind, err)
	}
	return nil
}

// Secrets lists all of a kind in the order of their keys.
func (tx *Tx) Secrets(kind string) ([]Secret, error) {
	var out []Secret
	err := tx.c.query(func(s *sqlite3.Stmt) (err error) {
		one := Secret{Key: s.ColumnText(0), Expires: columnTime(s, 2)}
		one.Value, err = tx.db.rowKey.Open("secrets", secretRow(kind, one.Key), s.ColumnRawBlob(1))
		out = append(out, one)
		return err
	}, `SELECT key, value, expires FROM secrets WHERE kind = ? ORDER BY key`, kind)
	if err != nil {
		return nil, fmt.Errorf("reading secrets %s: %w", kind, err)
	}
	return out, nil
}
