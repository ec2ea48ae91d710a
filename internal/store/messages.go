package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// AddMessage stores m, once: a message that is here already changes nothing
// and answers false. Edits, deletes and reactions are folded onto their
// target, whichever comes first, if author and conversation allow it.
func (tx *Tx) AddMessage(m *chat.Message) (added bool, err error) {
	if !tx.write {
		return false, errReadOnly
	}
	if len(m.Content) > 0 && chat.NewMessageID(m.Content) != m.ID {
		return false, fmt.Errorf("%w: the message id is not the hash of the content", chat.ErrInvalid)
	}
	if m.Kind < chat.KindText || m.Kind > chat.KindReaction || m.ID.IsZero() || m.Author == "" {
		return false, fmt.Errorf("%w: message without kind, id or author", chat.ErrInvalid)
	}
	if m.Kind != chat.KindText && m.Target.IsZero() {
		return false, fmt.Errorf("%w: message without target", chat.ErrInvalid)
	}
	if row, err := tx.row(m.ID); err != nil || row != 0 {
		return false, err
	}
	if err := tx.add(m); err != nil {
		return false, fmt.Errorf("adding a message: %w", err)
	}
	return true, nil
}

func (tx *Tx) add(m *chat.Message) error {
	conv, err := tx.makeConversation(m.Conversation)
	if err != nil {
		return err
	}
	src, err := tx.sourceID(source{m.Author, m.Device, m.Epoch})
	if err != nil {
		return err
	}
	row, err := tx.insert(m, conv, src)
	if err != nil {
		return err
	}
	pos := position(m)
	if m.Kind != chat.KindText {
		return tx.fold(m, conv, row, pos)
	}
	if err := tx.c.exec(`INSERT INTO timeline (conv, pos, msg) VALUES (?, ?, ?)`, conv, pos, row); err != nil {
		return err
	}
	if !m.Own {
		if err := tx.c.exec(`UPDATE conversations SET unread = unread + 1 WHERE id = ?`, conv); err != nil {
			return err
		}
	}
	if err := tx.append(LogMessage, conv, row, nil); err != nil {
		return err
	}
	return tx.foldEarlier(m, conv)
}

func (tx *Tx) insert(m *chat.Message, conv, src int64) (row int64, err error) {
	var reason, target, text any
	if m.Reason != "" {
		reason = m.Reason
	}
	if !m.Target.IsZero() {
		target = m.Target[:]
	}
	at := bytes.Index(m.Content, []byte(m.Text))
	if at < 0 {
		at, text = 0, string(m.Text)
	}
	received := m.Received
	if received.IsZero() {
		received = time.Now()
	}
	err = tx.c.exec(`INSERT INTO messages (id, conv, source, number, time, received, kind, own, unread, deleted,
			reactions, delivery, reason, target, text_at, text_len, text, content)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?)`,
		m.ID[:], conv, src, m.Number, int64(m.Time), received, int64(m.Kind), m.Own, !m.Own && m.Kind == chat.KindText,
		int64(m.Delivery), reason, target, at, len(m.Text), text, m.Content)
	if err != nil {
		return 0, err
	}
	row = tx.c.db.LastInsertRowID()
	tx.db.messages.add(tx, m.ID, row)
	return row, nil
}

// messageColumns are what scanMessage reads, in order.
const messageColumns = `m.row, m.id, m.conv, m.source, m.number, m.time, m.received, m.kind, m.own, m.deleted,
	m.reactions, m.delivery, m.reason, m.target, m.text_at, m.text_len, m.text, m.edit_pos, m.content`

// pageColumns are messageColumns where a page knows the answer: fifty rows
// need not be asked for it.
var pageColumns = strings.NewReplacer("m.conv", "0", "m.kind", "1").Replace(messageColumns)

// stored is a message as read, with what its reader still looks up.
type stored struct {
	chat.Message
	row, conv, source int64
	reacted           bool
}

func scanMessage(s *sqlite3.Stmt, withContent bool) stored {
	m := stored{row: s.ColumnInt64(0), conv: s.ColumnInt64(2), source: s.ColumnInt64(3), reacted: s.ColumnBool(10)}
	copy(m.ID[:], s.ColumnRawBlob(1))
	m.Number = uint64(s.ColumnInt64(4))
	m.Time = chat.HLC(s.ColumnInt64(5))
	m.Received = columnTime(s, 6)
	m.Kind = chat.Kind(s.ColumnInt64(7))
	m.Own = s.ColumnBool(8)
	m.Deleted = s.ColumnBool(9)
	m.Delivery = chat.Delivery(s.ColumnInt64(11))
	if s.ColumnType(12) != sqlite3.NULL {
		m.Reason = s.ColumnText(12)
	}
	if s.ColumnType(13) != sqlite3.NULL {
		copy(m.Target[:], s.ColumnRawBlob(13))
	}
	m.Text = scanText(s, 14, 18)
	if s.ColumnType(17) != sqlite3.NULL {
		m.EditedAt = positionTime(s.ColumnRawBlob(17)).Time()
	}
	if withContent {
		m.Content = columnBlob(s, 18)
	}
	return m
}

// scanText reads text_at, text_len, text from column at on, and content.
func scanText(s *sqlite3.Stmt, at, content int) chat.Body {
	if s.ColumnType(at+2) != sqlite3.NULL {
		return chat.Body(s.ColumnText(at + 2))
	}
	from, n := s.ColumnInt(at), s.ColumnInt(at+1)
	if raw := s.ColumnRawBlob(content); n > 0 && from+n <= len(raw) {
		return chat.Body(raw[from : from+n])
	}
	return ""
}

// complete looks up names and reactions of messages read together.
func (tx *Tx) complete(list []stored) ([]chat.Message, error) {
	out := make([]chat.Message, len(list))
	for i := range list {
		m := &list[i]
		src, err := tx.source(m.source)
		if err != nil {
			return nil, err
		}
		m.Author, m.Device, m.Epoch = src.author, src.device, src.epoch
		if m.conv != 0 {
			if m.Conversation, err = tx.conversationKey(m.conv); err != nil {
				return nil, err
			}
		}
		if m.reacted {
			if m.Reactions, err = tx.reactions(m.row); err != nil {
				return nil, err
			}
		}
		out[i] = m.Message
	}
	return out, nil
}

// Message is one message, folded, with its content bytes; chat.ErrNotFound
// without it. A deleted message is there, without text and content.
func (tx *Tx) Message(id chat.MessageID) (*chat.Message, error) {
	var list []stored
	row, err := tx.mustRow(id)
	if err == nil {
		err = tx.c.one(func(s *sqlite3.Stmt) error {
			list = append(list, scanMessage(s, true))
			return nil
		}, `SELECT `+messageColumns+` FROM messages m WHERE m.row = ?`, row)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a message: %w", err)
	}
	out, err := tx.complete(list)
	if err != nil {
		return nil, fmt.Errorf("reading a message: %w", err)
	}
	return &out[0], nil
}

// FindMessages lists up to limit message ids that begin with hex digits, in
// their order.
func (tx *Tx) FindMessages(prefix string, limit int) ([]chat.MessageID, error) {
	prefix = strings.ToLower(prefix)
	full := len(chat.MessageID{}) * 2
	if len(prefix) > full || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%w: a message id is %d hex digits", chat.ErrInvalid, full)
	}
	low, _ := hex.DecodeString(prefix + strings.Repeat("0", full-len(prefix))) // only digits remain
	high, _ := hex.DecodeString(prefix + strings.Repeat("f", full-len(prefix)))
	var ids []chat.MessageID
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		ids = append(ids, chat.MessageID(s.ColumnRawBlob(0)))
		return nil
	}, `SELECT id FROM (
			SELECT m.id AS id FROM message_ids i JOIN messages m ON m.row = i.row WHERE i.hash BETWEEN ? AND ?
			UNION ALL
			SELECT id FROM messages WHERE row > (SELECT value FROM meta WHERE key = 'filed messages')
		) WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?`, low[:8], high[:8], low, high, limit)
	if err != nil {
		return nil, fmt.Errorf("finding messages: %w", err)
	}
	return ids, nil
}

// Messages is a stretch of a conversation, oldest first: texts only, folded,
// without content bytes. prev and next are positions for Before and After, and
// empty at the end of the conversation.
func (tx *Tx) Messages(p Page) (msgs []chat.Message, prev, next string, err error) {
	conv, err := tx.conversationID(p.Conversation)
	if err != nil || conv == 0 || p.Limit <= 0 {
		return nil, "", "", err
	}
	low, high := place{pos: []byte{}}, place{pos: bytes.Repeat([]byte{0xff}, 9)}
	older := p.Before != "" || p.After == "" && p.Newest
	switch {
	case p.Before != "":
		high, err = parsePlace(p.Before)
	case p.After != "":
		low, err = parsePlace(p.After)
	}
	if err != nil {
		return nil, "", "", err
	}
	list, more, err := tx.stretch(conv, low, high, older, p.Limit)
	if err == nil {
		msgs, err = tx.complete(list)
	}
	if err != nil {
		return nil, "", "", fmt.Errorf("reading a page: %w", err)
	}
	if len(msgs) == 0 {
		return nil, "", "", nil
	}
	for i := range msgs {
		msgs[i].Conversation = p.Conversation
	}
	if older && more || !older && p.After != "" {
		prev = place{position(&msgs[0]), list[0].row}.String()
	}
	if last := len(msgs) - 1; !older && more || older && p.Before != "" {
		next = place{position(&msgs[last]), list[last].row}.String()
	}
	return msgs, prev, next, nil
}

// stretch reads up to limit messages between two places, the newest or the
// oldest of them, and whether there are more. It reads upwards in both cases:
// the rows of a conversation mostly follow each other, and SQLite steps from
// one to the next where downwards it would look up each.
func (tx *Tx) stretch(conv int64, low, high place, newest bool, limit int) (list []stored, more bool, err error) {
	if newest {
		err := tx.c.one(func(s *sqlite3.Stmt) error {
			low, more = place{columnBlob(s, 0), s.ColumnInt64(1)}, true
			return nil
		}, `SELECT pos, msg FROM timeline WHERE conv = ? AND (pos, msg) < (?, ?) ORDER BY pos DESC, msg DESC LIMIT 1 OFFSET ?`,
			conv, high.pos, high.row, limit)
		if err != nil && !errors.Is(err, chat.ErrNotFound) {
			return nil, false, err
		}
	}
	list = make([]stored, 0, limit+1)
	err = tx.c.query(func(s *sqlite3.Stmt) error {
		list = append(list, scanMessage(s, false))
		return nil
	}, `SELECT `+pageColumns+` FROM timeline t JOIN messages m ON m.row = t.msg
		WHERE t.conv = ? AND (t.pos, t.msg) > (?, ?) AND (t.pos, t.msg) < (?, ?) ORDER BY t.pos, t.msg LIMIT ?`,
		conv, low.pos, low.row, high.pos, high.row, limit+1)
	if len(list) > limit {
		list, more = list[:limit], true
	}
	return list, more, err
}

// maxHistory is how many edits of a message are shown: nobody reads more, and
// a peer may send any number.
const maxHistory = 100

// History lists the newest edits of a message, at most maxHistory, oldest
// first. A deleted message has none left.
func (tx *Tx) History(id chat.MessageID) ([]chat.Message, error) {
	t, err := tx.target(id)
	if errors.Is(err, chat.ErrNotFound) {
		return nil, fmt.Errorf("reading a history: %w", err)
	}
	if err != nil || t.deleted {
		return nil, err
	}
	var list []stored
	err = tx.c.query(func(s *sqlite3.Stmt) error {
		list = append(list, scanMessage(s, false))
		return nil
	}, `SELECT `+messageColumns+` FROM messages m JOIN sources s ON s.id = m.source
		WHERE m.target = ? AND m.kind > 1 AND m.kind = 2 AND m.conv = ? AND s.author = ?
		ORDER BY m.time DESC, s.device DESC, s.epoch DESC, m.number DESC LIMIT ?`, id[:], t.conv, t.author, maxHistory)
	if err != nil {
		return nil, fmt.Errorf("reading a history: %w", err)
	}
	slices.Reverse(list)
	return tx.complete(list)
}
