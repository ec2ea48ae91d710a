package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

const contactColumns = `SELECT account, petname, display_name, state, trusted, verified, added, changed FROM contacts `

func scanContact(s *sqlite3.Stmt) Contact {
	return Contact{
		Account: chat.AccountID(s.ColumnText(0)), Petname: s.ColumnText(1), DisplayName: s.ColumnText(2),
		State: ContactState(s.ColumnInt64(3)), Trusted: s.ColumnBool(4),
		Verified: columnTime(s, 5), Added: columnTime(s, 6), Changed: columnTime(s, 7),
	}
}

// Contact is what we know of an account; chat.ErrNotFound if nothing.
func (tx *Tx) Contact(a chat.AccountID) (Contact, error) {
	var c Contact
	err := tx.c.one(func(s *sqlite3.Stmt) error {
		c = scanContact(s)
		return nil
	}, contactColumns+`WHERE account = ?`, a)
	if err != nil {
		return Contact{}, fmt.Errorf("reading a contact: %w", err)
	}
	return c, nil
}

// Contacts lists all, requests included, in the order of their ids.
func (tx *Tx) Contacts() ([]Contact, error) {
	var out []Contact
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, scanContact(s))
		return nil
	}, contactColumns+`ORDER BY account`)
	if err != nil {
		return nil, fmt.Errorf("reading contacts: %w", err)
	}
	return out, nil
}

// PutContact adds or changes a contact. It fails with chat.ErrTooLarge when a
// new one is over chat.MaxContacts, or a new request over chat.MaxRequests.
func (tx *Tx) PutContact(c Contact) error {
	if !tx.write {
		return errReadOnly
	}
	if c.Account == "" || c.State > ContactAdded {
		return fmt.Errorf("%w: contact without account or state", chat.ErrInvalid)
	}
	old, err := tx.Contact(c.Account)
	switch {
	case errors.Is(err, chat.ErrNotFound):
		n, err := tx.c.number(0, `SELECT count(*) FROM contacts`)
		if err != nil {
			return fmt.Errorf("counting contacts: %w", err)
		}
		if n >= chat.MaxContacts {
			return fmt.Errorf("%w: more than %d contacts", chat.ErrTooLarge, chat.MaxContacts)
		}
	case err != nil:
		return err
	}
	if c.State == ContactRequest && old.State != ContactRequest {
		n, err := tx.CountRequests()
		if err != nil {
			return err
		}
		if n >= chat.MaxRequests {
			return fmt.Errorf("%w: more than %d contact requests", chat.ErrTooLarge, chat.MaxRequests)
		}
	}
	if c.Changed.IsZero() {
		c.Changed = time.Now()
	}
	err = tx.c.exec(`INSERT INTO contacts (account, petname, display_name, state, trusted, verified, added, changed)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
		ON CONFLICT DO UPDATE SET petname = ?2, display_name = ?3, state = ?4, trusted = ?5, verified = ?6, added = ?7, changed = ?8`,
		c.Account, c.Petname, c.DisplayName, int64(c.State), c.Trusted, c.Verified, c.Added, c.Changed)
	if err == nil {
		err = tx.append(LogContact, nil, nil, c.Account)
	}
	if err != nil {
		return fmt.Errorf("keeping a contact: %w", err)
	}
	return nil
}

// DeleteContact forgets what we know of an account; messages stay.
func (tx *Tx) DeleteContact(a chat.AccountID) error {
	return tx.change(LogContact, a, `DELETE FROM contacts WHERE account = ?`, a)
}

// CountRequests is how many strangers wait for an answer.
func (tx *Tx) CountRequests() (int, error) {
	n, err := tx.c.number(0, `SELECT count(*) FROM contacts WHERE state = 1`)
	if err != nil {
		return 0, fmt.Errorf("counting requests: %w", err)
	}
	return int(n), nil
}

// change runs one statement and logs it if it changed a row.
func (tx *Tx) change(kind LogKind, a chat.AccountID, sql string, args ...any) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(sql, args...)
	if err == nil && tx.c.db.Changes() > 0 {
		var who any
		if a != "" {
			who = a
		}
		err = tx.append(kind, nil, nil, who)
	}
	if err != nil {
		return fmt.Errorf("changing people or settings: %w", err)
	}
	return nil
}

// Block adds an account to the block list, chat.MaxBlocks long at most.
func (tx *Tx) Block(a chat.AccountID, at time.Time) error {
	n, err := tx.c.number(0, `SELECT count(*) FROM blocks`)
	if err != nil {
		return fmt.Errorf("counting blocks: %w", err)
	}
	if n >= chat.MaxBlocks {
		return fmt.Errorf("%w: more than %d blocks", chat.ErrTooLarge, chat.MaxBlocks)
	}
	return tx.change(LogBlock, a, `INSERT INTO blocks (account, at) VALUES (?, ?) ON CONFLICT DO NOTHING`, a, at)
}

// Unblock takes an account off the list.
func (tx *Tx) Unblock(a chat.AccountID) error {
	return tx.change(LogBlock, a, `DELETE FROM blocks WHERE account = ?`, a)
}

// Blocks is the block list.
func (tx *Tx) Blocks() ([]chat.AccountID, error) {
	var out []chat.AccountID
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, chat.AccountID(s.ColumnText(0)))
		return nil
	}, `SELECT account FROM blocks ORDER BY account`)
	if err != nil {
		return nil, fmt.Errorf("reading blocks: %w", err)
	}
	return out, nil
}

// Setting is a value the user chose, empty when unset.
func (tx *Tx) Setting(key string) (string, error) {
	var v string
	err := tx.c.one(func(s *sqlite3.Stmt) error {
		v = s.ColumnText(0)
		return nil
	}, `SELECT value FROM settings WHERE key = ?`, key)
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return "", fmt.Errorf("reading setting %s: %w", key, err)
	}
	return v, nil
}

// SetSetting keeps a value; empty unsets it.
func (tx *Tx) SetSetting(key, value string) error {
	if value == "" {
		return tx.change(LogProfile, "", `DELETE FROM settings WHERE key = ?`, key)
	}
	return tx.change(LogProfile, "", `INSERT INTO settings (key, value) VALUES (?1, ?2)
		ON CONFLICT DO UPDATE SET value = ?2 WHERE value <> ?2`, key, value)
}
