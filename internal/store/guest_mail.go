package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// GuestMail is one stranger's envelope.
type GuestMail struct {
	Row     int64 // its place among all, rising; set by PutMail
	ID      [32]byte
	Box     chat.MailboxID
	Hour    uint64
	Ends    time.Time
	Contact bool // came with a token
	Work    int  // of its stamp, without one
	Size    int
	Body    []byte // only where it is asked for
}

// GuestBox is what one mailbox holds.
type GuestBox struct {
	ID                          chat.MailboxID
	Contacts, Strangers         int
	ContactBytes, StrangerBytes int64
	Print                       []byte // as SetPrint left it; nil once something changed

	num int64
}

const (
	boxColumns  = `num, mailbox, contacts, contact_bytes, strangers, stranger_bytes, print`
	mailColumns = `e.row, e.id, b.mailbox, e.hour, e.ends, e.contact, e.work, e.size`
)

func scanBox(s *sqlite3.Stmt) GuestBox {
	b := GuestBox{
		num: s.ColumnInt64(0), Contacts: s.ColumnInt(2), ContactBytes: s.ColumnInt64(3),
		Strangers: s.ColumnInt(4), StrangerBytes: s.ColumnInt64(5), Print: columnBlob(s, 6),
	}
	copy(b.ID[:], s.ColumnRawBlob(1))
	return b
}

func scanMail(s *sqlite3.Stmt) GuestMail {
	m := GuestMail{
		Row: s.ColumnInt64(0), Hour: uint64(s.ColumnInt64(3)), Ends: columnTime(s, 4),
		Contact: s.ColumnBool(5), Work: s.ColumnInt(6), Size: s.ColumnInt(7),
	}
	copy(m.ID[:], s.ColumnRawBlob(1))
	copy(m.Box[:], s.ColumnRawBlob(2))
	return m
}

// Box is what a mailbox holds: nothing, if it was never heard of.
func (tx *GuestTx) Box(id chat.MailboxID) (GuestBox, error) {
	b := GuestBox{ID: id}
	err := tx.c.one(func(s *sqlite3.Stmt) error { b = scanBox(s); return nil },
		`SELECT `+boxColumns+` FROM boxes WHERE mailbox = ?`, id[:])
	if errors.Is(err, chat.ErrNotFound) {
		err = nil
	}
	return b, err
}

// Boxes is up to n mailboxes in the order of their ids, those after a given one.
func (tx *GuestTx) Boxes(after chat.MailboxID, n int) (list []GuestBox, err error) {
	err = tx.c.query(func(s *sqlite3.Stmt) error { list = append(list, scanBox(s)); return nil },
		`SELECT `+boxColumns+` FROM boxes WHERE mailbox > ? ORDER BY mailbox LIMIT ?`, after[:], n)
	return list, err
}

// Unprinted is up to n mailboxes that changed since their print was set.
func (tx *GuestTx) Unprinted(n int) (list []GuestBox, err error) {
	err = tx.c.query(func(s *sqlite3.Stmt) error { list = append(list, scanBox(s)); return nil },
		`SELECT `+boxColumns+` FROM boxes WHERE print IS NULL LIMIT ?`, n)
	return list, err
}

// SetPrint keeps what was computed over all a mailbox holds until that changes.
func (tx *GuestTx) SetPrint(id chat.MailboxID, print []byte) error {
	return tx.c.exec(`UPDATE boxes SET print = ? WHERE mailbox = ?`, print, id[:])
}

// MailIDs is the ids of all that a mailbox holds, sorted.
func (tx *GuestTx) MailIDs(box GuestBox) (ids [][32]byte, err error) {
	err = tx.c.query(func(s *sqlite3.Stmt) error {
		ids = append(ids, [32]byte(s.ColumnRawBlob(0)))
		return nil
	}, `SELECT id FROM envelopes WHERE box = ? ORDER BY id`, box.num)
	return ids, err
}

// Mail is an envelope without its body. It fails with chat.ErrNotFound.
func (tx *GuestTx) Mail(id [32]byte) (m GuestMail, err error) {
	err = tx.c.one(func(s *sqlite3.Stmt) error { m = scanMail(s); return nil },
		`SELECT `+mailColumns+` FROM envelopes e JOIN boxes b ON b.num = e.box WHERE e.id = ?`, id[:])
	return m, err
}

// MailBody is an envelope as it came, if it has not ended. It fails with
// chat.ErrNotFound.
func (tx *GuestTx) MailBody(id [32]byte, now time.Time) (body []byte, err error) {
	err = tx.c.one(func(s *sqlite3.Stmt) error { body = columnBlob(s, 0); return nil },
		`SELECT body FROM envelopes JOIN bodies USING (row) WHERE id = ? AND ends > ?`, id[:], now)
	return body, err
}

// MailAfter is what a mailbox holds behind a row, oldest first, without
// bodies: up to n that have not ended.
func (tx *GuestTx) MailAfter(box GuestBox, row int64, n int, now time.Time) (list []GuestMail, err error) {
	err = tx.c.query(func(s *sqlite3.Stmt) error { list = append(list, scanMail(s)); return nil },
		`SELECT `+mailColumns+` FROM envelopes e JOIN boxes b ON b.num = e.box
		  WHERE e.box = ? AND e.row > ? AND e.ends > ? ORDER BY e.row LIMIT ?`, box.num, row, now, n)
	return list, err
}

// Weaker is strangers' envelopes of less work than a given one, the least work
// and the oldest first, in one mailbox or, with nil, in all: as many as free
// places and bytes, or fewer if there are no more.
func (tx *GuestTx) Weaker(box *GuestBox, work, places int, size int64) (list []GuestMail, err error) {
	scan := func(s *sqlite3.Stmt) error {
		m := scanMail(s)
		if places <= 0 && size <= 0 {
			return errEnough
		}
		list = append(list, m)
		places, size = places-1, size-int64(m.Size)
		return nil
	}
	if box == nil {
		err = tx.c.query(scan, `SELECT `+mailColumns+` FROM envelopes e INDEXED BY envelopes_work JOIN boxes b ON b.num = e.box
		  WHERE e.contact = 0 AND e.work < ? ORDER BY e.work, e.row`, work)
	} else {
		err = tx.c.query(scan, `SELECT `+mailColumns+` FROM envelopes e INDEXED BY envelopes_box_work JOIN boxes b ON b.num = e.box
		  WHERE e.contact = 0 AND e.box = ? AND e.work < ? ORDER BY e.work, e.row`, box.num, work)
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, err
}

// PutMail keeps an envelope that is not kept yet, and sets its row.
func (tx *GuestTx) PutMail(m *GuestMail) error {
	if err := tx.c.exec(`INSERT OR IGNORE INTO boxes (mailbox) VALUES (?)`, m.Box[:]); err != nil {
		return err
	}
	num, err := tx.c.number(0, `SELECT num FROM boxes WHERE mailbox = ?`, m.Box[:])
	if err != nil {
		return err
	}
	m.Size = len(m.Body)
	m.Row, err = tx.c.number(0, `INSERT INTO envelopes (id, box, hour, ends, contact, work, size) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING row`,
		m.ID[:], num, m.Hour, m.Ends, m.Contact, m.Work, m.Size)
	if err == nil {
		err = tx.c.exec(`INSERT INTO bodies (row, body) VALUES (?, ?)`, m.Row, m.Body)
	}
	if err == nil {
		err = tx.count(num, *m, 1)
	}
	if err != nil {
		return fmt.Errorf("keeping an envelope: %w", err)
	}
	return nil
}

// DropMail removes a kept envelope, and its box with the last one.
func (tx *GuestTx) DropMail(m GuestMail) error {
	num, err := tx.c.number(0, `SELECT box FROM envelopes WHERE row = ?`, m.Row)
	if err == nil {
		err = tx.c.exec(`DELETE FROM envelopes WHERE row = ?`, m.Row)
	}
	if err == nil {
		err = tx.count(num, m, -1)
	}
	if err == nil {
		err = tx.c.exec(`DELETE FROM boxes WHERE num = ? AND contacts + strangers = 0`, num)
	}
	if err != nil {
		return fmt.Errorf("dropping an envelope: %w", err)
	}
	return nil
}

// count moves the sums of a box by one envelope.
func (tx *GuestTx) count(num int64, m GuestMail, n int) error {
	if m.Contact {
		return tx.c.exec(`UPDATE boxes SET contacts = contacts + ?2, contact_bytes = contact_bytes + ?3, print = NULL WHERE num = ?1`,
			num, n, n*m.Size)
	}
	return tx.c.exec(`UPDATE boxes SET strangers = strangers + ?2, stranger_bytes = stranger_bytes + ?3, print = NULL WHERE num = ?1`,
		num, n, n*m.Size)
}

// Expire drops up to n of each that have ended: envelopes, deletes with their
// tombstones, sleepers issued before a time, sums of earlier days. It reports
// whether there may be more.
func (tx *GuestTx) Expire(now, issued time.Time, day int64, n int) (more bool, err error) {
	var ended []GuestMail
	err = tx.c.query(func(s *sqlite3.Stmt) error { ended = append(ended, scanMail(s)); return nil },
		`SELECT `+mailColumns+` FROM envelopes e JOIN boxes b ON b.num = e.box WHERE e.ends <= ? ORDER BY e.ends LIMIT ?`, now, n)
	if err != nil {
		return false, err
	}
	for _, m := range ended {
		if err := tx.DropMail(m); err != nil {
			return false, err
		}
	}
	more = len(ended) == n
	for _, s := range []struct {
		sql string
		arg any
	}{
		{`DELETE FROM deletes WHERE row IN (SELECT row FROM deletes WHERE ends <= ? ORDER BY ends LIMIT ?)`, now},
		{`DELETE FROM sleepers WHERE key IN (SELECT key FROM sleepers WHERE issued <= ? ORDER BY issued LIMIT ?)`, issued},
		{`DELETE FROM nets WHERE day < ? AND ? > 0`, day},
		{`DELETE FROM nets WHERE (day, net) IN (SELECT day, net FROM nets ORDER BY bytes DESC LIMIT -1 OFFSET ?) AND ? > 0`, guestNets},
	} {
		if err := tx.c.exec(s.sql, s.arg, n); err != nil {
			return false, err
		}
	}
	return more, nil
}
