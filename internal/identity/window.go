package identity

import (
	"fmt"
	"time"

	"parley/internal/chat"
)

// window is a stretch of validity in Unix seconds.
type window struct{ from, until int64 }

// check holds the window against the clock and its longest allowed length.
// Clocks may disagree by chat.ClockSlack at either end.
func (w window) check(what string, most time.Duration, now time.Time) error {
	slack := int64(chat.ClockSlack / time.Second)
	switch {
	case w.from <= 0 || w.until <= w.from:
		return fmt.Errorf("%w: %s without a proper time window", chat.ErrInvalid, what)
	case w.until-w.from > int64(most/time.Second):
		return fmt.Errorf("%w: %s is valid longer than %s", chat.ErrInvalid, what, most)
	case w.from > now.Unix()+slack:
		return fmt.Errorf("%w: %s is from the future: check the clock", chat.ErrInvalid, what)
	case w.until < now.Unix()-slack:
		return fmt.Errorf("%w: %s ended on %s", chat.ErrInvalid, what, day(time.Unix(w.until, 0)))
	}
	return nil
}

func checkSeq(what string, seq uint64) error {
	if seq == 0 || seq > maxSeq {
		return fmt.Errorf("%w: %s with number %d", chat.ErrInvalid, what, seq)
	}
	return nil
}

// nextSeq is above every seq seen and not below the clock, so that a restored
// account neither collides with its past nor falls below a pin.
func nextSeq(seen uint64, now time.Time) uint64 {
	return max(seen+1, uint64(max(now.Unix(), 1)))
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 UTC") }
