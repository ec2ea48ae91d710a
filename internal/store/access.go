package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// RequestAnswer is what a call with this request id was answered, and the
// hash of its body; chat.ErrNotFound if there was none in the last day.
func (tx *Tx) RequestAnswer(id string) (hash [32]byte, answer []byte, err error) {
	err = tx.c.one(func(s *sqlite3.Stmt) error {
		copy(hash[:], s.ColumnRawBlob(0))
		answer = columnBlob(s, 1)
		return nil
	}, `SELECT hash, answer FROM requests WHERE id = ?`, id)
	if err != nil {
		return hash, nil, fmt.Errorf("reading an answer: %w", err)
	}
	return hash, answer, nil
}

// PutRequestAnswer keeps an answer for chat.RequestIDLife.
func (tx *Tx) PutRequestAnswer(id string, hash [32]byte, answer []byte, now time.Time) error {
	if answer == nil {
		answer = []byte{}
	}
	return tx.ring3(
		`DELETE FROM requests WHERE id = ?`, []any{id},
		`INSERT INTO requests (id, hash, answer, at) VALUES (?, ?, ?, ?)`, []any{id, hash[:], answer, now},
		`DELETE FROM requests WHERE row <= (SELECT max(row) FROM requests) - ?`, maxAnswers)
}

const tokenColumns = `SELECT hash, name, scopes, created, expires FROM tokens `

func scanToken(s *sqlite3.Stmt) Token {
	return Token{
		Hash: [32]byte(s.ColumnRawBlob(0)), Name: s.ColumnText(1), Scopes: lines(s.ColumnText(2)),
		Created: columnTime(s, 3), Expires: columnTime(s, 4),
	}
}

// PutToken keeps an app's token. How many there may be is for the api to judge,
// which also knows their kinds.
func (tx *Tx) PutToken(t Token) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(`INSERT INTO tokens (hash, name, scopes, created, expires) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT DO UPDATE SET name = ?2, scopes = ?3, created = ?4, expires = ?5`,
		t.Hash[:], t.Name, strings.Join(t.Scopes, "\n"), t.Created, t.Expires)
	if err != nil {
		return fmt.Errorf("keeping a token: %w", err)
	}
	return nil
}

// Token is the token with this hash; chat.ErrNotFound without it. Whether it
// has expired is for the caller to judge.
func (tx *Tx) Token(hash [32]byte) (Token, error) {
	var t Token
	err := tx.c.one(func(s *sqlite3.Stmt) error {
		t = scanToken(s)
		return nil
	}, tokenColumns+`WHERE hash = ?`, hash[:])
	if err != nil {
		return Token{}, fmt.Errorf("reading a token: %w", err)
	}
	return t, nil
}

// Tokens lists all, oldest first.
func (tx *Tx) Tokens() ([]Token, error) {
	var out []Token
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, scanToken(s))
		return nil
	}, tokenColumns+`ORDER BY created, name`)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	return out, nil
}

// DeleteToken takes an app's access away. One that is gone is no fault.
func (tx *Tx) DeleteToken(hash [32]byte) error {
	if !tx.write {
		return errReadOnly
	}
	if err := tx.c.exec(`DELETE FROM tokens WHERE hash = ?`, hash[:]); err != nil {
		return fmt.Errorf("removing a token: %w", err)
	}
	return nil
}
