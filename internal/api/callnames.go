package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// nameTime is for one question to the network about a name.
	nameTime = 30 * time.Second
	// nameSoon asks again for a name that nobody knew, then twice as late each
	// time up to nameLate: at first the network may not be ready.
	nameSoon = 5 * time.Second
	nameLate = 10 * time.Minute
	// nameFresh asks again for a name that may have changed: as often as
	// others publish theirs.
	nameFresh = chat.PublishEvery
)

// callNames learns what contacts call themselves: at once for new ones, and
// now and then for the others. It follows the log from the moment it starts.
func (s *Server) callNames(ctx context.Context) error {
	next := map[chat.AccountID]asking{} // contacts only
	var at chat.Cursor
	if err := s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		at = tx.Head()
		contacts, err := tx.Contacts()
		for _, c := range contacts {
			next[c.Account] = asking{due: firstAsk(c)}
		}
		return err
	}); err != nil {
		return quiet(ctx, fmt.Errorf("reading contacts: %w", err))
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		bell := s.cfg.DB.Bell()
		var err error
		if at, err = s.newContacts(ctx, at, next); err != nil {
			return quiet(ctx, err)
		}
		now := time.Now()
		soonest := now.Add(nameFresh)
		for a, ask := range next {
			if !ask.due.After(now) {
				ask = s.callName(ctx, a, ask)
				next[a] = ask
			}
			if ask.due.Before(soonest) {
				soonest = ask.due
			}
		}
		timer.Reset(time.Until(soonest))
		select {
		case <-bell:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// asking is when a name is asked for, and how long was waited for that.
type asking struct {
	due  time.Time
	wait time.Duration
}

// quiet forgets an error that the end of ctx made.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// firstAsk spreads the known names over the time in which they stay fresh.
func firstAsk(c store.Contact) time.Time {
	if c.DisplayName == "" {
		return time.Time{}
	}
	return c.Changed.Add(nameFresh)
}

// newContacts reads the log on and notes contacts that came or went.
func (s *Server) newContacts(ctx context.Context, at chat.Cursor, next map[chat.AccountID]asking) (chat.Cursor, error) {
	for {
		more := false
		if err := s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
			rows, onward, err := tx.Follow(at, chat.MaxPageSize)
			if errors.Is(err, chat.ErrCursorExpired) {
				at = tx.Head() // far behind: the next pass over all contacts is at a restart
				return nil
			}
			at, more = onward, len(rows) == chat.MaxPageSize
			for _, row := range rows {
				if row.Kind != store.LogContact {
					continue
				}
				c, contactErr := tx.Contact(row.Account)
				if errors.Is(contactErr, chat.ErrNotFound) {
					delete(next, row.Account)
					continue
				}
				if contactErr != nil {
					return contactErr
				}
				if _, known := next[row.Account]; !known {
					next[row.Account] = asking{due: firstAsk(c)}
				}
			}
			return err
		}); err != nil {
			return at, fmt.Errorf("following contacts: %w", err)
		}
		if !more {
			return at, nil
		}
	}
}

// callName asks for one name and says when to ask again.
func (s *Server) callName(ctx context.Context, a chat.AccountID, last asking) asking {
	name, err := s.nameOf(ctx, a)
	if err == nil && name != "" {
		err = s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
			c, err := tx.Contact(a)
			if err != nil || c.DisplayName == name {
				return err
			}
			c.DisplayName = name
			return putContact(tx, c)
		})
	}
	if err == nil && name != "" {
		return asking{due: time.Now().Add(nameFresh)}
	}
	wait := min(max(2*last.wait, nameSoon), nameLate)
	return asking{due: time.Now().Add(wait), wait: wait}
}

// nameOf is what an account calls itself in its record, asked for anew when
// the one at hand is old.
func (s *Server) nameOf(ctx context.Context, a chat.AccountID) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	if _, err := s.cfg.Directory.Account(ctx, a); err != nil {
		return "", err
	}
	record, err := s.cfg.Directory.Profile(ctx, a)
	if err != nil {
		return "", err
	}
	return record.DisplayName, nil
}
