package store

import (
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// logKeep is how many rows a reader may lag behind. Older ones are trimmed and
// a cursor among them expires: the reader then reads the state anew, which is
// cheaper than so many rows.
const logKeep = 250_000

// AppendLog adds a log row to the transaction and rings the bell when it
// commits. Methods of this package that change what is seen do so themselves.
func (tx *Tx) AppendLog(kind LogKind, conv chat.Conversation, msg chat.MessageID, account chat.AccountID) error {
	var convID, msgRef, who any
	if conv != "" {
		id, err := tx.makeConversation(conv)
		if err != nil {
			return err
		}
		convID = id
	}
	if !msg.IsZero() {
		row, err := tx.row(msg)
		if err != nil {
			return err
		}
		if msgRef = row; row == 0 {
			msgRef = msg[:]
		}
	}
	if account != "" {
		who = account
	}
	return tx.append(kind, convID, msgRef, who)
}

// append takes the stored forms: number of a conversation, row or id of a
// message, account; nil for none.
func (tx *Tx) append(kind LogKind, conv, msg, account any) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(`INSERT INTO log (kind, conv, msg, account, at) VALUES (?, ?, ?, ?, ?)`,
		int64(kind), conv, msg, account, time.Now())
	if err != nil {
		return fmt.Errorf("appending to the log: %w", err)
	}
	tx.ring, tx.seq = true, tx.c.db.LastInsertRowID()
	return nil
}

// Head is the cursor behind the newest row this transaction sees.
func (tx *Tx) Head() chat.Cursor {
	seq, err := tx.c.number(0, `SELECT max(seq) FROM log`)
	if err != nil { // without its log a store has no position: let it expire
		return chat.Cursor{}
	}
	return chat.Cursor{Epoch: tx.db.epoch, Seq: seq}
}

// Follow reads the log on from c: at most limit rows, and the cursor behind
// the last of them. It fails with chat.ErrCursorExpired when c is of another
// store, ahead of this one, or behind what is kept.
func (tx *Tx) Follow(c chat.Cursor, limit int) ([]LogRow, chat.Cursor, error) {
	head, err := tx.c.number(0, `SELECT max(seq) FROM log`)
	if err != nil {
		return nil, c, fmt.Errorf("reading the log: %w", err)
	}
	oldest, err := tx.c.number(1, `SELECT min(seq) FROM log`)
	if err != nil {
		return nil, c, fmt.Errorf("reading the log: %w", err)
	}
	if c.Epoch != tx.db.epoch || c.Seq > head || c.Seq < oldest-1 {
		return nil, c, chat.ErrCursorExpired
	}
	rows := make([]LogRow, 0, min(max(limit, 0), int(head-c.Seq)))
	err = tx.c.query(func(s *sqlite3.Stmt) error {
		r := LogRow{
			Seq: s.ColumnInt64(0), Kind: LogKind(s.ColumnInt64(1)),
			Account: chat.AccountID(s.ColumnText(4)), At: columnTime(s, 5),
		}
		if id := s.ColumnInt64(2); id != 0 {
			var err error
			if r.Conversation, err = tx.conversationKey(id); err != nil {
				return err
			}
		}
		copy(r.Message[:], s.ColumnRawBlob(3))
		rows, c.Seq = append(rows, r), r.Seq
		return nil
	}, `SELECT l.seq, l.kind, l.conv, coalesce(m.id, l.msg), l.account, l.at
		FROM log l LEFT JOIN messages m ON m.row = l.msg
		WHERE l.seq > ? ORDER BY l.seq LIMIT ?`, c.Seq, limit)
	if err != nil {
		return nil, c, fmt.Errorf("reading the log: %w", err)
	}
	return rows, c, nil
}

// trimLog drops rows beyond logKeep, never the newest, in small steps.
func (tx *Tx) trimLog(limit int) error {
	return tx.c.exec(`DELETE FROM log WHERE seq IN (
		SELECT seq FROM log WHERE seq <= (SELECT max(seq) FROM log) - ? ORDER BY seq LIMIT ?)`, logKeep, limit)
}
