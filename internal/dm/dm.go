package dm

import (
	"context"
	"log/slog"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/live"
	"parley/internal/store"
	"parley/internal/wire"
)

// Protocol is the id of the streams that Handle serves.
const Protocol = "/parley/dm/1"

// Dialer opens a stream to a device: over a connection that is there, else
// over one it makes. It fails with an error that is chat.ErrUnreachable, whose
// Code() string, if it has one, is the closed reason. The stream's Remote is
// the device asked for, proven by the transport.
type Dialer interface {
	Open(ctx context.Context, d chat.DeviceID, protocol string) (wire.Stream, error)
}

// Config is what a Courier is made of. Everything but Log is needed.
type Config struct {
	DB     *store.DB
	Keys   *identity.Keys
	Dialer Dialer
	Log    *slog.Logger
}

// Courier sends and receives private messages.
type Courier struct {
	cooling live.Value[map[chat.AccountID]time.Time]
}

// New builds a Courier and starts nothing.
func New(cfg Config) (*Courier, error) { return &Courier{}, nil }

// Run delivers what waits until ctx ends, and returns when its workers have.
func (c *Courier) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Handle serves one incoming stream: a wire.Handler.
func (c *Courier) Handle(s wire.Stream) { _ = s.Reset() }

// Nudge says that a device is connected now: what waits for it goes at once.
// It never blocks.
func (c *Courier) Nudge(d chat.DeviceID) {}

// Draft is a message to be sent.
type Draft struct {
	To     chat.AccountID
	Kind   chat.Kind // zero means chat.KindText
	Text   chat.Body
	Target chat.MessageID // replied to, edited, deleted or reacted to
}

// Send writes a message and its outbox rows in one transaction and returns it
// QUEUED. It fails with chat.ErrInvalid, ErrTooLarge, ErrBlocked (by us),
// ErrNotFound (the target) or ErrStorageFull.
func (c *Courier) Send(ctx context.Context, d Draft) (*chat.Message, error) { return nil, nil }

// SendIn is Send inside the caller's transaction.
func (c *Courier) SendIn(tx *store.Tx, d Draft) (*chat.Message, error) { return nil, nil }

// Resend writes an EXPIRED or REFUSED text of ours again, as a new message.
// Other states fail with chat.ErrInvalid.
func (c *Courier) Resend(ctx context.Context, id chat.MessageID) (*chat.Message, error) {
	return nil, nil
}

// ResendIn is Resend inside the caller's transaction.
func (c *Courier) ResendIn(tx *store.Tx, id chat.MessageID) (*chat.Message, error) { return nil, nil }

// MarkRead moves the read mark of a conversation and, if both people opted in,
// sends READ receipts.
func (c *Courier) MarkRead(ctx context.Context, conv chat.Conversation, upTo chat.MessageID) error {
	return nil
}

// Accept makes an account that asked, or any other, a contact.
func (c *Courier) Accept(ctx context.Context, a chat.AccountID) error { return nil }

// Decline forgets a contact request; its messages stay.
func (c *Courier) Decline(ctx context.Context, a chat.AccountID) error { return nil }

// Cooling is who makes us wait, and until when. The map is never written to
// after it was set.
func (c *Courier) Cooling() *live.Value[map[chat.AccountID]time.Time] { return &c.cooling }

// Trace explains where a message is.
type Trace struct {
	Message *chat.Message
	Devices []Step
	Summary string
}

// Step is what is known about a message and one device of its recipient.
type Step struct {
	Device   chat.DeviceID // empty while the account's devices are unknown
	State    chat.Delivery
	Reason   string    // closed code
	At       time.Time // of the proof
	Proof    []byte    // signed receipt
	NextTry  time.Time // zero: nothing waits
	Attempts int
}

// Why explains a message of ours to `parley why`.
func (c *Courier) Why(ctx context.Context, id chat.MessageID) (*Trace, error) { return nil, nil }

// Receive is the single entrance: up to 64 blobs in one transaction, from the
// device at the other end of a stream, or from "" when mail brought them.
func (c *Courier) Receive(ctx context.Context, from chat.DeviceID, blobs []chat.Sealed) ([]Outcome, error) {
	return nil, nil
}

// Answer is what the sender of a blob may learn.
type Answer uint8

const (
	Silence  Answer = iota // nothing at all: the author is blocked
	Received               // stored, now or earlier: a receipt is due
	Refused                // opened and not accepted: a signed refusal is due
	Busy                   // over the pace; nothing changed
	Invalid                // did not open; nothing changed, and no reason leaves
)

// Outcome is what became of one blob.
type Outcome struct {
	Blob       [32]byte // its hash
	Answer     Answer
	Message    chat.MessageID // with Received and Refused
	To         chat.DeviceID  // the author's device
	Reason     string         // with Refused: closed code
	RetryAfter time.Duration  // with Busy
}
