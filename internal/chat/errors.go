package chat

import (
	"errors"
	"fmt"
	"time"
)

// The only errors with meaning between packages. Package api translates them
// into codes and reasons in one table.
var (
	ErrNotFound      = errors.New("not found")
	ErrInvalid       = errors.New("invalid")
	ErrTooLarge      = errors.New("too large")
	ErrBlocked       = errors.New("blocked") // by us; a peer's block is never revealed
	ErrNotJoined     = errors.New("not joined")
	ErrUnreachable   = errors.New("unreachable")
	ErrStorageFull   = errors.New("storage full")
	ErrCursorExpired = errors.New("cursor expired")
	ErrConflict      = errors.New("conflict") // same request id, other body
)

// CoolingError says that a sender is over its pace and when it may go on.
type CoolingError struct{ RetryAfter time.Duration }

func (e *CoolingError) Error() string {
	return fmt.Sprintf("cooling period: try again in %s", e.RetryAfter.Round(100*time.Millisecond))
}

// WarningError says that readers with default settings would not see a text.
type WarningError struct{ Verdict Verdict }

func (e *WarningError) Error() string { return "content warning: " + e.Verdict.Reason }
