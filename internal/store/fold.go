package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// target is what a fold needs to know of the message it is for.
type target struct {
	row, conv int64
	author    chat.AccountID
	kind      chat.Kind
	unread    bool
	deleted   bool
	editPos   []byte
	text      chat.Body
}

func (tx *Tx) target(id chat.MessageID) (target, error) {
	var t target
	row, err := tx.mustRow(id)
	if err != nil {
		return t, err
	}
	err = tx.c.one(func(s *sqlite3.Stmt) error {
		t = target{
			row: s.ColumnInt64(0), conv: s.ColumnInt64(1), author: chat.AccountID(s.ColumnText(2)),
			kind: chat.Kind(s.ColumnInt64(3)), unread: s.ColumnBool(4), deleted: s.ColumnBool(5),
			editPos: columnBlob(s, 6), text: scanText(s, 7, 10),
		}
		return nil
	}, `SELECT m.row, m.conv, s.author, m.kind, m.unread, m.deleted, m.edit_pos, m.text_at, m.text_len, m.text, m.content
		FROM messages m JOIN sources s ON s.id = m.source WHERE m.row = ?`, row)
	return t, err
}

// fold applies m, just stored in row, to its target. Without the target it
// waits; foldEarlier will find it. The result is the same in any order: of an
// author's edits and reactions the one with the highest position counts, and
// a delete counts always.
func (tx *Tx) fold(m *chat.Message, conv, row int64, pos []byte) error {
	t, err := tx.target(m.Target)
	if errors.Is(err, chat.ErrNotFound) {
		return tx.awaitTarget(m, conv, row, pos)
	}
	if err != nil {
		return err
	}
	changed, err := tx.foldOnto(m, &t, conv, row, pos)
	if err != nil || !changed {
		return err
	}
	return tx.append(LogMessageChanged, t.conv, t.row, nil)
}

// awaitTarget bounds what waits for a message that did not come: of each kind
// and author the maxHistory newest, which is all that will ever be shown. The
// oldest above that loses text and target, or somebody could make one message
// hold the writer for long.
func (tx *Tx) awaitTarget(m *chat.Message, conv, row int64, pos []byte) error {
	waiting, oldest := 1, row
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		waiting++
		p := position(&chat.Message{
			Author: m.Author, Time: chat.HLC(s.ColumnInt64(1)), Number: uint64(s.ColumnInt64(2)),
			Device: chat.DeviceID(s.ColumnText(3)), Epoch: uint64(s.ColumnInt64(4)),
		})
		if bytes.Compare(p, pos) < 0 {
			oldest, pos = s.ColumnInt64(0), p
		}
		return nil
	}, `SELECT m.row, m.time, m.number, s.device, s.epoch FROM messages m JOIN sources s ON s.id = m.source
		WHERE m.target = ? AND m.kind > 1 AND m.kind = ? AND m.conv = ? AND s.author = ? AND m.row <> ?`,
		m.Target[:], int64(m.Kind), conv, m.Author, row)
	if err != nil {
		return fmt.Errorf("reading what waits for a message: %w", err)
	}
	if waiting <= maxHistory {
		return nil
	}
	if err := tx.blank(oldest); err != nil {
		return err
	}
	return tx.c.exec(`UPDATE messages SET target = NULL WHERE row = ?`, oldest)
}

func (tx *Tx) foldOnto(m *chat.Message, t *target, conv, row int64, pos []byte) (changed bool, err error) {
	if t.kind != chat.KindText || t.conv != conv || m.Kind != chat.KindReaction && m.Author != t.author {
		return false, nil // not for this message, or not this author's to change
	}
	switch m.Kind {
	case chat.KindEdit:
		if t.deleted {
			return false, tx.blank(row) // an edit must not bring a removed text back
		}
		if bytes.Compare(pos, t.editPos) <= 0 {
			return false, nil
		}
		return true, tx.edit(t, m.Text, pos)
	case chat.KindDelete:
		if t.deleted {
			return false, nil
		}
		return true, tx.erase(m.Target, t)
	case chat.KindReaction:
		if t.deleted {
			return false, nil
		}
		return tx.react(t.row, m.Author, string(m.Text), pos)
	case chat.KindText:
	}
	return false, nil
}

// foldEarlier applies to m, just stored, what came before it.
func (tx *Tx) foldEarlier(m *chat.Message, conv int64) error {
	type fold struct {
		chat.Message
		row int64
	}
	var folds []fold
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		f := fold{row: s.ColumnInt64(0)}
		f.Kind, f.Number, f.Time = chat.Kind(s.ColumnInt64(1)), uint64(s.ColumnInt64(2)), chat.HLC(s.ColumnInt64(3))
		f.Author, f.Device, f.Epoch = chat.AccountID(s.ColumnText(4)), chat.DeviceID(s.ColumnText(5)), uint64(s.ColumnInt64(6))
		f.Text, f.Target = scanText(s, 7, 10), m.ID
		folds = append(folds, f)
		return nil
	}, `SELECT m.row, m.kind, m.number, m.time, s.author, s.device, s.epoch, m.text_at, m.text_len, m.text, m.content
		FROM messages m JOIN sources s ON s.id = m.source
		WHERE m.target = ? AND m.kind > 1 AND m.conv = ?`, m.ID[:], conv)
	if err != nil || len(folds) == 0 {
		return err
	}
	t, err := tx.target(m.ID)
	if err != nil {
		return err
	}
	// A delete last: it finds every edit in place and removes its text.
	slices.SortStableFunc(folds, func(a, b fold) int {
		return boolInt(a.Kind == chat.KindDelete) - boolInt(b.Kind == chat.KindDelete)
	})
	for i := range folds {
		f := &folds[i]
		if _, err := tx.foldOnto(&f.Message, &t, conv, f.row, position(&f.Message)); err != nil {
			return err
		}
	}
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (tx *Tx) edit(t *target, text chat.Body, pos []byte) error {
	if err := tx.unindex(t); err != nil {
		return err
	}
	err := tx.c.exec(`UPDATE messages SET text = ?, edit_pos = ? WHERE row = ?`, string(text), pos, t.row)
	if err != nil {
		return fmt.Errorf("editing a message: %w", err)
	}
	t.text, t.editPos = text, pos
	return tx.reindex(t)
}

// erase removes the text of a message and of its edits, its content bytes and
// its reactions. The row stays, so that the message cannot come back.
func (tx *Tx) erase(id chat.MessageID, t *target) error {
	if err := tx.unindex(t); err != nil {
		return err
	}
	var edits []int64
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		edits = append(edits, s.ColumnInt64(0))
		return nil
	}, `SELECT m.row FROM messages m JOIN sources s ON s.id = m.source
		WHERE m.target = ? AND m.kind > 1 AND m.kind = 2 AND m.conv = ? AND s.author = ?`, id[:], t.conv, t.author)
	if err != nil {
		return err
	}
	for _, row := range append(edits, t.row) {
		if err := tx.blank(row); err != nil {
			return err
		}
	}
	if err := tx.c.exec(`UPDATE messages SET deleted = 1, unread = 0, reactions = 0, edit_pos = NULL WHERE row = ?`, t.row); err != nil {
		return err
	}
	if err := tx.c.exec(`DELETE FROM reactions WHERE msg = ?`, t.row); err != nil {
		return err
	}
	if t.unread {
		if err := tx.c.exec(`UPDATE conversations SET unread = unread - 1 WHERE id = ?`, t.conv); err != nil {
			return err
		}
	}
	t.deleted, t.unread, t.text, t.editPos = true, false, "", nil
	return nil
}

// blank removes the text of a stored message. What the outbox still holds of
// it is sent all the same.
func (tx *Tx) blank(row int64) error {
	if err := tx.keepContent(row); err != nil {
		return err
	}
	return tx.c.exec(`UPDATE messages SET text = NULL, text_at = 0, text_len = 0, content = NULL WHERE row = ?`, row)
}

// react keeps the newest reaction of an author. One taken back stays as an
// empty row, so that an older one that comes late does not show again.
func (tx *Tx) react(msg int64, author chat.AccountID, emoji string, pos []byte) (changed bool, err error) {
	err = tx.c.exec(`INSERT INTO reactions (msg, author, emoji, pos) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT DO UPDATE SET emoji = ?3, pos = ?4 WHERE pos < ?4`, msg, author, emoji, pos)
	if err != nil || tx.c.db.Changes() == 0 {
		return false, err
	}
	err = tx.c.exec(`UPDATE messages SET reactions = EXISTS (SELECT 1 FROM reactions WHERE msg = ?1 AND emoji <> '')
		WHERE row = ?1`, msg)
	return err == nil, err
}

func (tx *Tx) reactions(row int64) ([]chat.Reaction, error) {
	var out []chat.Reaction
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, chat.Reaction{Author: chat.AccountID(s.ColumnText(0)), Emoji: s.ColumnText(1)})
		return nil
	}, `SELECT author, emoji FROM reactions WHERE msg = ? AND emoji <> '' ORDER BY author`, row)
	return out, err
}
