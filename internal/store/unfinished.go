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
	n, err := tx.c.number(0, `SELECT count(*) FROM (
		SELECT o.message FROM outbox o CROSS JOIN message_ids i ON i.hash = substr(o.message, 1, 8) CROSS JOIN messages m ON m.row = i.row
			WHERE m.id = o.message AND o.control = 0 AND m.delivery = ?1
		UNION
		SELECT o.message FROM messages m JOIN outbox o ON substr(o.message, 1, 8) = substr(m.id, 1, 8) AND o.message = m.id
			WHERE m.row > (SELECT value FROM meta WHERE key = 'filed messages') AND o.control = 0 AND m.delivery = ?1)`, int64(chat.Held))
	if err != nil {
		return 0, fmt.Errorf("counting the outbox: %w", err)
	}
	return int(n), nil
}
