package node

import (
	"context"
	"errors"

	"parley/internal/config"
	"parley/internal/identity"
	"parley/internal/store"
)

// Restore puts the account of a recovery phrase into a data folder that has
// none yet. The device key that the next start makes is new. It fails with
// chat.ErrInvalid and the exact cause for a wrong phrase, with
// chat.ErrConflict when the folder already has an account, and as store.Open.
func Restore(ctx context.Context, cfg *config.Config, phrase string) error {
	if _, err := identity.ParsePhrase(phrase); err != nil {
		return err // before a folder is made
	}
	db, err := store.Open(store.Config{Dir: cfg.Data.Dir})
	if err != nil {
		return err
	}
	return errors.Join(identity.Restore(ctx, db, phrase), db.Close())
}
