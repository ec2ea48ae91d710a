package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// clockLead is how far a peer's stamp may push our clock ahead of the time of
// day: enough for clocks that disagree a little, too little for one peer to
// put all our messages into next year.
const clockLead = 2 * time.Second

// wildClock is how far our own clock may have been ahead for its stamps to be
// kept up with, so that the order of our messages holds over a clock that is
// set back: a wrong time zone fits, a wrong year does not.
const wildClock = 24 * time.Hour

// clock is the highest stamp, written once for a group.
type clock struct{ now, saved chat.HLC }

// Tick is the next stamp for a message of ours, above every one before, unless
// those were written while this machine's clock was days ahead.
func (tx *Tx) Tick(now time.Time) (chat.HLC, error) {
	if !tx.write {
		return 0, errReadOnly
	}
	if tx.clock.now.Time().Sub(now) > wildClock {
		// Going on from there would stamp every message into that future.
		tx.clock.now = 0
	}
	tx.clock.now = tx.clock.now.Next(now)
	return tx.clock.now, nil
}

// Observe moves the clock up to a received stamp, so that an answer sorts
// behind what it answers, but at most two seconds past now.
func (tx *Tx) Observe(h chat.HLC, now time.Time) error {
	if !tx.write {
		return errReadOnly
	}
	tx.clock.now = max(tx.clock.now, min(h, chat.NewHLC(now.Add(clockLead))))
	return nil
}

func (c *conn) readClock() (clock, error) {
	n, err := c.number(0, `SELECT value FROM meta WHERE key = 'clock'`)
	if err != nil {
		return clock{}, fmt.Errorf("reading the clock: %w", err)
	}
	return clock{chat.HLC(n), chat.HLC(n)}, nil
}

func (c *conn) saveClock(k clock) error {
	if k.now == k.saved {
		return nil
	}
	err := c.exec(`INSERT INTO meta (key, value) VALUES ('clock', ?1) ON CONFLICT DO UPDATE SET value = ?1`, int64(k.now))
	if err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	return nil
}

// NextNumber is the number of our next message in a conversation, from 1
// without gaps, and the epoch it counts in: a recreated store has a new one.
func (tx *Tx) NextNumber(conv chat.Conversation) (epoch, number uint64, err error) {
	if !tx.write {
		return 0, 0, errReadOnly
	}
	id, err := tx.makeConversation(conv)
	if err != nil {
		return 0, 0, err
	}
	n, err := tx.c.number(1, `SELECT next_number FROM conversations WHERE id = ?`, id)
	if err == nil {
		err = tx.c.exec(`UPDATE conversations SET next_number = ? WHERE id = ?`, n+1, id)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("numbering a message: %w", err)
	}
	return tx.db.numberEpoch, uint64(n), nil
}

const conversationColumns = `SELECT c.id, c.key, c.unread, c.read_to, c.draft,
	EXISTS (SELECT 1 FROM contacts k WHERE k.state = 1 AND 'people/' || k.account = c.key),
	coalesce((SELECT msg FROM timeline t WHERE t.conv = c.id ORDER BY t.pos DESC, t.msg DESC LIMIT 1), 0),
	(SELECT pos FROM timeline t WHERE t.conv = c.id ORDER BY t.pos DESC, t.msg DESC LIMIT 1) AS newest
	FROM conversations c `

// Conversations lists all, the one with the newest message first.
func (tx *Tx) Conversations() ([]Conversation, error) {
	return tx.conversations(conversationColumns + `ORDER BY newest DESC, c.id DESC`)
}

// Conversation is one; chat.ErrNotFound if nothing was ever written, drafted
// or read there.
func (tx *Tx) Conversation(key chat.Conversation) (Conversation, error) {
	list, err := tx.conversations(conversationColumns+`WHERE c.key = ?`, key)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("reading a conversation: %w", chat.ErrNotFound)
	}
	if err != nil {
		return Conversation{}, err
	}
	return list[0], nil
}

func (tx *Tx) conversations(sql string, args ...any) ([]Conversation, error) {
	var out []Conversation
	var rows []int64
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		c := Conversation{
			Key: chat.Conversation(s.ColumnText(1)), Unread: s.ColumnInt(2), Draft: s.ColumnText(4), Request: s.ColumnBool(5),
		}
		copy(c.ReadTo[:], s.ColumnRawBlob(3))
		out, rows = append(out, c), append(rows, s.ColumnInt64(6))
		return nil
	}, sql, args...)
	for i := 0; i < len(out) && err == nil; i++ {
		if rows[i] != 0 {
			out[i].Last, err = tx.messageAt(rows[i])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading conversations: %w", err)
	}
	return out, nil
}

func (tx *Tx) messageAt(row int64) (*chat.Message, error) {
	var list []stored
	err := tx.c.one(func(s *sqlite3.Stmt) error {
		list = append(list, scanMessage(s, false))
		return nil
	}, `SELECT `+messageColumns+` FROM messages m WHERE m.row = ?`, row)
	if err != nil {
		return nil, err
	}
	out, err := tx.complete(list)
	if err != nil {
		return nil, err
	}
	return &out[0], nil
}

// MarkRead marks everything up to a message as read and answers what was not
// read before. The mark itself never goes back.
func (tx *Tx) MarkRead(key chat.Conversation, upTo chat.MessageID) (newly []chat.MessageID, err error) {
	if !tx.write {
		return nil, errReadOnly
	}
	conv, err := tx.conversationID(key)
	if err != nil {
		return nil, err
	}
	var mark []placed
	row, err := tx.mustRow(upTo)
	if err == nil {
		mark, err = tx.placed(`WHERE m.row = ? AND m.conv = ? AND m.kind = 1`, row, conv)
	}
	if err == nil && len(mark) == 0 {
		err = chat.ErrNotFound
	}
	var unread []placed
	if err == nil {
		unread, err = tx.placed(`WHERE m.conv = ? AND m.unread = 1`, conv)
	}
	if err != nil {
		return nil, fmt.Errorf("marking as read: %w", err)
	}
	end := mark[0]
	unread = slices.DeleteFunc(unread, func(p placed) bool { return p.compare(end) > 0 })
	slices.SortFunc(unread, placed.compare)
	for i := 0; i < len(unread) && err == nil; i++ {
		newly = append(newly, unread[i].id)
		err = tx.c.exec(`UPDATE messages SET unread = 0 WHERE row = ?`, unread[i].row)
	}
	moved := int64(0)
	if err == nil {
		err = tx.c.exec(`UPDATE conversations SET read_to = ?2, read_pos = ?3
			WHERE id = ?1 AND (read_pos IS NULL OR read_pos < ?3)`, conv, upTo[:], end.pos)
		moved = tx.c.db.Changes()
	}
	if err == nil && len(newly) > 0 {
		err = tx.c.exec(`UPDATE conversations SET unread = unread - ? WHERE id = ?`, len(newly), conv)
	}
	if err == nil && (moved > 0 || len(newly) > 0) {
		err = tx.append(LogConversation, conv, nil, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("marking as read: %w", err)
	}
	return newly, nil
}

// placed is a message and where it stands.
type placed struct {
	place
	id chat.MessageID
}

func (p placed) compare(o placed) int {
	if c := bytes.Compare(p.pos, o.pos); c != 0 {
		return c
	}
	return cmp.Compare(p.row, o.row)
}

func (tx *Tx) placed(where string, args ...any) ([]placed, error) {
	var list []placed
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		src, err := tx.source(s.ColumnInt64(2))
		p := placed{place: place{row: s.ColumnInt64(0)}, id: chat.MessageID(s.ColumnRawBlob(1))}
		p.pos = position(&chat.Message{
			Author: src.author, Device: src.device, Epoch: src.epoch,
			Number: uint64(s.ColumnInt64(3)), Time: chat.HLC(s.ColumnInt64(4)),
		})
		list = append(list, p)
		return err
	}, `SELECT m.row, m.id, m.source, m.number, m.time FROM messages m `+where, args...)
	return list, err
}

// CountReceived is how many texts of others a conversation has, counted to most.
func (tx *Tx) CountReceived(key chat.Conversation, most int) (int, error) {
	conv, err := tx.conversationID(key)
	if err != nil || conv == 0 {
		return 0, err
	}
	n, err := tx.c.number(0, `SELECT count(*) FROM (
		SELECT 1 FROM timeline t JOIN messages m ON m.row = t.msg WHERE t.conv = ? AND m.own = 0 LIMIT ?)`, conv, most)
	if err != nil {
		return 0, fmt.Errorf("counting texts: %w", err)
	}
	return int(n), nil
}

// SetDraft keeps what is written but not sent; empty removes it.
func (tx *Tx) SetDraft(key chat.Conversation, text string) error {
	if !tx.write {
		return errReadOnly
	}
	if len(text) > chat.MaxDraft {
		return fmt.Errorf("%w: draft", chat.ErrTooLarge)
	}
	conv, err := tx.makeConversation(key)
	if err != nil {
		return err
	}
	err = tx.c.exec(`UPDATE conversations SET draft = ?2 WHERE id = ?1 AND draft <> ?2`, conv, text)
	if err == nil && tx.c.db.Changes() > 0 {
		err = tx.append(LogConversation, conv, nil, nil)
	}
	if err != nil {
		return fmt.Errorf("keeping a draft: %w", err)
	}
	return nil
}
