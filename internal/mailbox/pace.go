package mailbox

import (
	"time"

	"parley/internal/chat"
)

// pace is how many times faster than the clock a mailbox lives: 1, but in
// tests that squeeze days into minutes. Every duration of the mailbox goes
// through it, the hour of expiry too; the life of a nonce and the time a
// holder has to answer do not. The zero pace is 1.
type pace float64

// of is how long d takes at this pace.
func (p pace) of(d time.Duration) time.Duration {
	if p <= 0 || p == 1 {
		return d
	}
	return max(time.Duration(float64(d)/float64(p)), 1)
}

// hour is the number of the last hour that had begun at t: the expiry hour of
// mail that is to be kept until t at most.
func (p pace) hour(t time.Time) uint64 {
	return uint64(max(t.UnixNano(), 0)) / uint64(p.of(time.Hour))
}

// start is when an hour begins: mail of that expiry hour ends there. Hours
// beyond what a clock can show begin at the end of time.
func (p pace) start(hour uint64) time.Time {
	length := uint64(p.of(time.Hour))
	const last = 1<<63 - 1
	if hour > last/length {
		return time.Unix(0, last)
	}
	return time.Unix(0, int64(hour*length))
}

// ends is when a holder drops mail that it received at now, and false if its
// hour is over or further ahead than anybody may ask for.
func (p pace) ends(hour uint64, now time.Time) (time.Time, bool) {
	end := p.start(hour)
	if !end.After(now) || end.After(now.Add(p.of(chat.MailLife+chat.MailClock))) {
		return time.Time{}, false
	}
	if own := now.Add(p.of(chat.MailLife)); end.After(own) {
		end = own
	}
	return end, true
}
