package store

import (
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

const (
	// maxUnopened is the mail that nothing opens which we keep in case that
	// something does: 4 MiB of short texts, 16 MiB at worst.
	maxUnopened = 256
	// cursorLife forgets holders that were not met again: a cursor saves work,
	// no more.
	cursorLife = 30 * 24 * time.Hour
)

// Deposit is what is known of a row of the outbox that was left with others.
type Deposit struct {
	Outbox   int64
	Mailbox  chat.MailboxID
	Stamp    []byte
	Receipts []byte
	Held     bool
	Next     time.Time // when it is left there again
}

// MailRow is a row of the outbox and, unless its mailbox is zero, its deposit.
type MailRow struct {
	OutboxRow
	Deposit Deposit
}

// MailDue lists what waits for a device and was not left with others, or is to
// be left there again, oldest first, with the contents of those that are not
// sealed.
func (tx *Tx) MailDue(device chat.DeviceID, now time.Time, limit int) ([]MailRow, error) {
	var out []MailRow
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		r := MailRow{OutboxRow: scanOutbox(s)}
		if s.ColumnType(12) != sqlite3.NULL {
			r.Deposit = scanDeposit(s, 12)
			r.Deposit.Outbox = r.ID
		}
		out = append(out, r)
		return nil
	}, `SELECT `+outboxColumns+`, d.mailbox, d.stamp, d.receipts, d.held, d.next
		FROM outbox LEFT JOIN deposits d ON d.outbox = id
		WHERE device = ? AND (d.next IS NULL OR d.next <= ?) ORDER BY id LIMIT ?`, device, now, limit)
	for i := range out {
		if err == nil && out[i].Blob == nil {
			err = tx.fill(&out[i].OutboxRow)
		}
	}
	for i := range out {
		if err == nil && out[i].Content == nil && out[i].Blob == nil {
			out[i].Content, err = tx.contentOf(out[i].Message)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the mail to go: %w", err)
	}
	return out, nil
}

// MailWaits reports whether anything waits for a device behind row after.
func (tx *Tx) MailWaits(device chat.DeviceID, after int64) (bool, error) {
	n, err := tx.c.number(0, `SELECT 1 FROM outbox WHERE device = ? AND id > ? LIMIT 1`, device, after)
	if err != nil {
		return false, fmt.Errorf("reading the mail to go: %w", err)
	}
	return n == 1, nil
}

func scanDeposit(s *sqlite3.Stmt, at int) Deposit {
	d := Deposit{
		Stamp: columnBlob(s, at+1), Receipts: columnBlob(s, at+2),
		Held: s.ColumnBool(at + 3), Next: columnTime(s, at+4),
	}
	copy(d.Mailbox[:], s.ColumnRawBlob(at))
	return d
}

// MailNext is when the first deposit for a device wants to be made again; the
// zero time if there is none.
func (tx *Tx) MailNext(device chat.DeviceID) (time.Time, error) {
	var next time.Time
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		next = columnTime(s, 0)
		return nil
	}, `SELECT d.next FROM outbox JOIN deposits d ON d.outbox = id WHERE device = ? ORDER BY d.next LIMIT 1`, device)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the mail to go: %w", err)
	}
	return next, nil
}

// PutDeposit notes what became of leaving a row with others. A row that is
// done meanwhile is no fault. It rings no bell: nobody waits for it.
func (tx *Tx) PutDeposit(d Deposit) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(`INSERT INTO deposits (outbox, mailbox, stamp, receipts, held, next)
		SELECT id, ?2, ?3, ?4, ?5, ?6 FROM outbox WHERE id = ?1
		ON CONFLICT DO UPDATE SET mailbox = ?2, stamp = ?3, receipts = ?4, held = ?5, next = ?6`,
		d.Outbox, d.Mailbox[:], d.Stamp, d.Receipts, d.Held, d.Next)
	if err != nil {
		return fmt.Errorf("noting a deposit: %w", err)
	}
	return nil
}

// Deposits lists what others keep of ours, the newest first.
func (tx *Tx) Deposits(limit int) ([]Deposit, error) {
	var out []Deposit
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		d := scanDeposit(s, 1)
		d.Outbox = s.ColumnInt64(0)
		out = append(out, d)
		return nil
	}, `SELECT outbox, mailbox, stamp, receipts, held, next FROM deposits ORDER BY outbox DESC LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("reading deposits: %w", err)
	}
	return out, nil
}

// MailCursor is how far a holder of our mail was read; nil: not at all.
func (tx *Tx) MailCursor(box chat.MailboxID, holder chat.DeviceID) ([]byte, error) {
	var cursor []byte
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		cursor = columnBlob(s, 0)
		return nil
	}, `SELECT cursor FROM cursors WHERE mailbox = ? AND holder = ?`, box[:], holder)
	if err != nil {
		return nil, fmt.Errorf("reading how far mail was read: %w", err)
	}
	return cursor, nil
}

// PutMailCursor keeps how far a holder was read, and forgets what was not met
// for long.
func (tx *Tx) PutMailCursor(box chat.MailboxID, holder chat.DeviceID, cursor []byte, now time.Time) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(`INSERT INTO cursors (mailbox, holder, cursor, at) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT DO UPDATE SET cursor = ?3, at = ?4`, box[:], holder, cursor, now)
	if err == nil {
		err = tx.c.exec(`DELETE FROM cursors WHERE mailbox = ? AND at <= ?`, box[:], now.Add(-cursorLife))
	}
	if err != nil {
		return fmt.Errorf("keeping how far mail was read: %w", err)
	}
	return nil
}

// DropMailCursors forgets how far a mailbox was read that is retired.
func (tx *Tx) DropMailCursors(box chat.MailboxID) error {
	if !tx.write {
		return errReadOnly
	}
	if err := tx.c.exec(`DELETE FROM cursors WHERE mailbox = ?`, box[:]); err != nil {
		return fmt.Errorf("forgetting how far mail was read: %w", err)
	}
	return nil
}

// PutUnopened takes sealed mail into our custody that nothing opens yet; the
// oldest falls out above maxUnopened.
func (tx *Tx) PutUnopened(hash [32]byte, blob chat.Sealed, until time.Time) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(`INSERT INTO unopened (hash, blob, until) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, hash[:], []byte(blob), until)
	if err == nil {
		err = tx.c.exec(`DELETE FROM unopened WHERE row <= (SELECT max(row) FROM unopened) - ?`, maxUnopened)
	}
	if err != nil {
		return fmt.Errorf("keeping mail that did not open: %w", err)
	}
	return nil
}

// Unopened lists mail in our custody, oldest first.
func (tx *Tx) Unopened(limit int) ([]chat.Sealed, error) {
	var out []chat.Sealed
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, columnBlob(s, 0))
		return nil
	}, `SELECT blob FROM unopened ORDER BY row LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("reading mail that did not open: %w", err)
	}
	return out, nil
}

// DropUnopened ends the custody of mail that opened.
func (tx *Tx) DropUnopened(hash [32]byte) error {
	if !tx.write {
		return errReadOnly
	}
	if err := tx.c.exec(`DELETE FROM unopened WHERE hash = ?`, hash[:]); err != nil {
		return fmt.Errorf("letting go of mail: %w", err)
	}
	return nil
}

// OutboxLast is the newest row that waits for a device; 0 if none does.
func (tx *Tx) OutboxLast(device chat.DeviceID) (int64, error) {
	id, err := tx.c.number(0, `SELECT id FROM outbox WHERE device = ? ORDER BY id DESC LIMIT 1`, device)
	if err != nil {
		return 0, fmt.Errorf("reading the outbox: %w", err)
	}
	return id, nil
}
