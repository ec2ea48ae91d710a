package identity

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// kindDispute is the secrets that remember equivocation: account -> number of
// the two lists.
const kindDispute = "two-lists"

// RefreshAccount is Account past the cache: for a message that names another
// list than the pinned one. It fails when the network does not tell.
func (d *Directory) RefreshAccount(ctx context.Context, a chat.AccountID) (*Manifest, error) {
	if a == d.keys.Account() {
		return d.keys.Manifest(), nil
	}
	return d.lookUpAccount(ctx, a, nil)
}

// Disputed reports whether the account signed two device lists with one number
// and has signed no higher one since. Nothing may be sent to it then.
func (d *Directory) Disputed(tx *store.Tx, a chat.AccountID) (bool, error) {
	value, err := tx.Secret(kindDispute, string(a))
	if errors.Is(err, chat.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(value) != 8 {
		return false, fmt.Errorf("%w: damaged mark of two device lists", chat.ErrInvalid)
	}
	pin, err := tx.Pin(a)
	if errors.Is(err, chat.ErrNotFound) {
		return true, nil
	}
	return pin.Seq <= binary.BigEndian.Uint64(value), err
}

// Dispute remembers equivocation. Both lists end before the mark does.
func (d *Directory) Dispute(tx *store.Tx, e *EquivocationError, now time.Time) error {
	return tx.PutSecret(kindDispute, string(e.Account), binary.BigEndian.AppendUint64(nil, e.Seq), now.Add(chat.ManifestLife+2*chat.ClockSlack))
}

// disputed remembers equivocation that undid a transaction, and returns the
// error it was given.
func (d *Directory) disputed(ctx context.Context, err error) error {
	var two *EquivocationError
	if !errors.As(err, &two) {
		return err
	}
	put := d.db.Write(ctx, func(tx *store.Tx) error { return d.Dispute(tx, two, time.Now()) })
	if put != nil && ctx.Err() == nil {
		d.log.Warn("two device lists of one number not noted", "account", two.Account.Short(), "cause", put)
	}
	return err
}
