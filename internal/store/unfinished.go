package store

import (
	"fmt"

	"parley/internal/chat"
)

// Unfinished is how many messages of ours the outbox still holds; receipts
// and the like do not count.
func (tx *Tx) Unfinished() (int, error) {
	n, err := tx.c.number(0, `SELECT count(DISTINCT message) FROM outbox WHERE control = 0`)
	if err != nil {
		return 0, fmt.Errorf("counting the outbox: %w", err)
	}
	return int(n), nil
}

// UnfinishedHeld is how many of these are kept by enough others.
func (tx *Tx) UnfinishedHeld() (int, error) {
	n, err := tx.c.number(0, `SELECT count(DISTINCT o.message) FROM outbox o JOIN messages m
		ON substr(m.id, 1, 8) = substr(o.message, 1, 8) AND m.id = o.message WHERE o.control = 0 AND m.delivery = ?`, int64(chat.Held))
	if err != nil {
		return 0, fmt.Errorf("counting the outbox: %w", err)
	}
	return int(n), nil
}
