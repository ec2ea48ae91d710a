package store

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// Original is the text a message had before its edits, empty when it was
// deleted; chat.ErrNotFound without the message.
func (tx *Tx) Original(id chat.MessageID) (text chat.Body, err error) {
	row, err := tx.mustRow(id)
	if err == nil {
		err = tx.c.one(func(s *sqlite3.Stmt) error {
			text = scanText(s, 0, 3)
			return nil
		}, `SELECT text_at, text_len, NULL, content FROM messages WHERE row = ?`, row)
	}
	if err != nil {
		return "", fmt.Errorf("reading an original text: %w", err)
	}
	return text, nil
}
