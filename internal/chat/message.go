package chat

import (
	"log/slog"
	"time"
)

// Body is what a person wrote. It is never logged and never exported; its
// String redacts, so forgetting is safe. Convert with string(b) to use it.
type Body string

// String hides the text.
func (b Body) String() string { return "[body]" }

// LogValue hides the text from structured logs.
func (b Body) LogValue() slog.Value { return slog.StringValue("[body]") }

// HLC is a hybrid logical clock: Unix milliseconds << 16 | counter. It orders
// an author's messages and stays within two seconds of the local clock.
type HLC int64

// NewHLC is the stamp of t with counter zero.
func NewHLC(t time.Time) HLC { return HLC(t.UnixMilli() << 16) }

// Time is the wall-clock part.
func (h HLC) Time() time.Time { return time.UnixMilli(int64(h) >> 16) }

// Next is the smallest stamp that is above h and not below now.
func (h HLC) Next(now time.Time) HLC {
	if n := NewHLC(now); n > h {
		return n
	}
	return h + 1
}

// Kind says what a message does. The numbers are stored and sent.
type Kind uint8

const (
	KindText     Kind = 1 // Text, optionally a reply to Target
	KindEdit     Kind = 2 // replaces the text of Target, author's own only
	KindDelete   Kind = 3 // asks everyone to remove Target, author's own only
	KindReaction Kind = 4 // Text is one emoji on Target; empty takes it back
)

// Message is what we store and show.
type Message struct {
	ID           MessageID
	Conversation Conversation
	Author       AccountID
	Device       DeviceID
	Epoch        uint64 // the device's numbering epoch
	Number       uint64 // from 1, without gaps inside (device, epoch, conversation)
	Time         HLC
	Kind         Kind
	Text         Body
	Target       MessageID // replied to, edited, deleted or reacted to; zero if none
	Content      []byte    // exact bytes that were sealed; MessageID is their hash
	Received     time.Time // when our store committed it
	Own          bool      // written by this account
	Delivery     Delivery
	Reason       string // closed reason code with Refused or a waiting Queued

	// Folded by the store from later messages.
	EditedAt  time.Time
	Deleted   bool
	Reactions []Reaction
}

// Reaction is one emoji of one account on a message.
type Reaction struct {
	Author AccountID
	Emoji  string
}

// Sealed is an opaque private message for one device.
type Sealed []byte

// Cursor is a position in the durable log. A recreated store has a new epoch,
// so that old cursors fail loudly with ErrCursorExpired.
type Cursor struct {
	Epoch uint64
	Seq   int64
}
