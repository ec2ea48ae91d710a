package store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"parley/internal/chat"
)

// Config says where a store lies.
type Config struct {
	Dir string
	Log *slog.Logger
	// Relaxed commits without waiting for the disk. For tests only: a power
	// cut loses the newest commits.
	Relaxed bool

	vfs       string // tests put a faulty file layer under the encryption
	noReserve bool   // and save themselves the reserve
}

// LockedError says that another process has the store open.
type LockedError struct{ PID int }

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return "the data folder is in use by another process"
	}
	return fmt.Sprintf("the data folder is in use by process %d", e.PID)
}

// NewerError says that a newer Parley wrote the store. Nothing was touched.
type NewerError struct{ Found, Known int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the store has schema %d, this program knows up to %d", e.Found, e.Known)
}

// ErrKey says that the master key is missing, damaged or of another store.
var ErrKey = errors.New("master key")

// Health is the state of the disk under the store.
type Health struct {
	Full  bool      // writes fail with chat.ErrStorageFull, reads go on
	Since time.Time // when it became full
}

// LogKind says what a log row is about. The numbers are stored.
type LogKind uint8

const (
	LogMessage        LogKind = 1 // a message was added
	LogMessageChanged LogKind = 2 // its delivery, text or reactions changed
	LogConversation   LogKind = 3 // read mark or draft
	LogContact        LogKind = 4
	LogBlock          LogKind = 5
	LogProfile        LogKind = 6 // a setting
	LogOutbox         LogKind = 7
)

// LogRow is one change that can be seen.
type LogRow struct {
	Seq          int64
	Kind         LogKind
	Conversation chat.Conversation
	Message      chat.MessageID
	Account      chat.AccountID
	At           time.Time
}

// Page asks for a stretch of a conversation. Before and After are positions
// returned by Messages; with neither, Newest chooses the end to begin at.
type Page struct {
	Conversation  chat.Conversation
	Before, After string
	Limit         int
	Newest        bool
}

// DeviceDelivery is how far a message came to one device of its recipient.
type DeviceDelivery struct {
	Device chat.DeviceID
	State  chat.Delivery
	Reason string
	At     time.Time
	Proof  []byte // signed receipt or refusal; needed above chat.Sent
	Shared bool   // with SetDelivery: the proof speaks of other messages too
}

// Conversation is one line of the list of conversations.
type Conversation struct {
	Key     chat.Conversation
	Last    *chat.Message // newest text, nil if there is none
	Unread  int
	ReadTo  chat.MessageID
	Draft   string
	Request bool // with a stranger whom we have not answered
}

// OutboxRow is one message on its way to one device.
type OutboxRow struct {
	ID                        int64
	Message                   chat.MessageID
	Account                   chat.AccountID
	Device                    chat.DeviceID // empty until the account's devices are known
	Content                   []byte
	Session                   []byte // the session that sealed Blob
	Blob                      []byte // nil until sealed; retries send the same bytes
	Created, Expires, NextTry time.Time
	Attempts                  int
	Control                   bool // a receipt or the like: not shown to anyone
}

// OutboxDevice says how much waits for a device.
type OutboxDevice struct {
	Device  chat.DeviceID
	Account chat.AccountID
	NextTry time.Time // the earliest of its rows
	Count   int
}

// SessionRow is one ratchet session. Extra and State lie sealed.
type SessionRow struct {
	Device   chat.DeviceID
	ID       []byte // hash of the first message's ephemeral key
	Setup    int64  // milliseconds
	Ours     bool   // we began it
	Answered bool
	Extra    []byte // material to repeat the handshake
	State    []byte
}

// Secret is one sealed value.
type Secret struct {
	Key     string
	Value   []byte
	Expires time.Time // zero: never
}

// ContactState says what an account is to us. The numbers are stored.
type ContactState uint8

const (
	ContactNone    ContactState = 0
	ContactRequest ContactState = 1 // they wrote, we have not answered
	ContactAdded   ContactState = 2
)

// Contact is an account as we know it.
type Contact struct {
	Account     chat.AccountID
	Petname     string // ours
	DisplayName string // theirs
	State       ContactState
	Trusted     bool      // free of cooling
	Verified    time.Time // safety number compared; zero: not
	Added       time.Time
	Changed     time.Time // set by PutContact when zero
}

// Record is a cached network record.
type Record struct {
	Key              string
	Value            []byte
	Seq              uint64
	Expires, Fetched time.Time
}

// Pin is the highest manifest of an account that we have verified.
type Pin struct {
	Account  chat.AccountID
	Seq      uint64
	Hash     [32]byte
	Manifest []byte          // the signed bytes
	Devices  []chat.DeviceID // listed in it: PinByDevice finds the pin by any of them
}

// RememberedPeer is a node to call first after a restart.
type RememberedPeer struct {
	Device chat.DeviceID
	Addrs  []string
	Seen   time.Time
}

// Token is an app's access; only the hash of its secret is kept.
type Token struct {
	Hash             [32]byte
	Name             string
	Scopes           []string
	Created, Expires time.Time
}
