package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// Buried reports whether an envelope was deleted by the owner of its mailbox,
// and names the proof.
func (tx *GuestTx) Buried(box chat.MailboxID, id [32]byte) (proof int64, ok bool, err error) {
	proof, err = tx.c.number(0, `SELECT proof FROM tombstones WHERE id = ? AND mailbox = ?`, id[:], box[:])
	return proof, proof != 0, err
}

// Proof is the signed delete that Buried named. It fails with chat.ErrNotFound.
func (tx *GuestTx) Proof(proof int64) (signed []byte, err error) {
	err = tx.c.one(func(s *sqlite3.Stmt) error { signed = columnBlob(s, 0); return nil },
		`SELECT signed FROM deletes WHERE row = ?`, proof)
	return signed, err
}

// Bury drops envelopes of a mailbox, those that are kept, and keeps them all
// from coming back until ends. At most deletes are remembered of one mailbox,
// the newest. Burying again changes nothing.
func (tx *GuestTx) Bury(box chat.MailboxID, ids [][32]byte, signed []byte, ends time.Time, most int) error {
	var fresh [][32]byte
	for _, id := range ids {
		_, buried, err := tx.Buried(box, id)
		if err != nil {
			return err
		}
		if !buried {
			fresh = append(fresh, id)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	proof, err := tx.c.number(0, `INSERT INTO deletes (mailbox, ends, signed) VALUES (?, ?, ?) RETURNING row`, box[:], ends, signed)
	for _, id := range fresh {
		if err == nil {
			err = tx.drop(box, id)
		}
		if err == nil {
			err = tx.c.exec(`INSERT INTO tombstones (id, mailbox, proof) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, id[:], box[:], proof)
		}
	}
	if err == nil {
		err = tx.c.exec(`DELETE FROM deletes WHERE mailbox = ?1 AND row <= (SELECT row FROM deletes WHERE mailbox = ?1 ORDER BY row DESC LIMIT 1 OFFSET ?2)`,
			box[:], most)
	}
	if err != nil {
		return fmt.Errorf("keeping a delete: %w", err)
	}
	return nil
}

// Drop removes those envelopes of a mailbox that are kept, without a trace.
func (tx *GuestTx) Drop(box chat.MailboxID, ids [][32]byte) error {
	for _, id := range ids {
		if err := tx.drop(box, id); err != nil {
			return err
		}
	}
	return nil
}

func (tx *GuestTx) drop(box chat.MailboxID, id [32]byte) error {
	m, err := tx.Mail(id)
	if errors.Is(err, chat.ErrNotFound) || err == nil && m.Box != box {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.DropMail(m)
}

// GuestSleeper is the last record of a device or account.
type GuestSleeper struct {
	Key    string
	Issued time.Time
	Seq    uint64
	Record []byte
}

func scanSleeper(s *sqlite3.Stmt) GuestSleeper {
	return GuestSleeper{Key: s.ColumnText(0), Issued: columnTime(s, 1), Seq: uint64(s.ColumnInt64(2)), Record: columnBlob(s, 3)}
}

// Sleeper is the record under a key. It fails with chat.ErrNotFound.
func (tx *GuestTx) Sleeper(key string) (r GuestSleeper, err error) {
	err = tx.c.one(func(s *sqlite3.Stmt) error { r = scanSleeper(s); return nil },
		`SELECT key, issued, seq, record FROM sleepers WHERE key = ?`, key)
	return r, err
}

// Sleepers is up to n records in the order of their keys, those after a given one.
func (tx *GuestTx) Sleepers(after string, n int) (list []GuestSleeper, err error) {
	err = tx.c.query(func(s *sqlite3.Stmt) error { list = append(list, scanSleeper(s)); return nil },
		`SELECT key, issued, seq, record FROM sleepers WHERE key > ? ORDER BY key LIMIT ?`, after, n)
	return list, err
}

// PutSleeper keeps a record in place of an earlier one under its key.
func (tx *GuestTx) PutSleeper(r GuestSleeper) error {
	err := tx.c.exec(`INSERT INTO sleepers (key, issued, seq, record) VALUES (?1, ?2, ?3, ?4)
	  ON CONFLICT (key) DO UPDATE SET issued = ?2, seq = ?3, record = ?4`, r.Key, r.Issued, r.Seq, r.Record)
	if err != nil {
		return fmt.Errorf("keeping a sleeper: %w", err)
	}
	return nil
}

// TrimSleepers leaves so many, the ones issued last.
func (tx *GuestTx) TrimSleepers(most int) error {
	return tx.c.exec(`DELETE FROM sleepers WHERE key IN (SELECT key FROM sleepers ORDER BY issued DESC LIMIT -1 OFFSET ?)`, most)
}
