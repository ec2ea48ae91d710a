package store

import "fmt"

// Unfinished is how many messages of ours the outbox still holds; receipts
// and the like do not count.
func (tx *Tx) Unfinished() (int, error) {
	n, err := tx.c.number(0, `SELECT count(DISTINCT message) FROM outbox WHERE control = 0`)
	if err != nil {
		return 0, fmt.Errorf("counting the outbox: %w", err)
	}
	return int(n), nil
}
