package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// AccountID names a person: the PeerID text of the account's Ed25519 key.
// The account key signs manifests and never runs a host. Package identity
// parses and computes it.
type AccountID string

// DeviceID names a node: the PeerID text of its host key. It never converts
// to an AccountID.
type DeviceID string

// Short is the form for logs: the last eight characters, since all Ed25519
// PeerIDs begin alike.
func (a AccountID) Short() string { return short(string(a)) }

// Short is the form for logs: the last eight characters.
func (d DeviceID) Short() string { return short(string(d)) }

func short(s string) string {
	if len(s) <= 8 {
		return s
	}
	return "…" + s[len(s)-8:]
}

// MessageID is the SHA-256 of a message's exact content bytes before sealing
// or signature: the one key for de-duplication on every path.
type MessageID [32]byte

// NewMessageID hashes content bytes as they were or will be sealed.
func NewMessageID(content []byte) MessageID { return sha256.Sum256(content) }

// String is 64 lower-case hex digits.
func (m MessageID) String() string { return hex.EncodeToString(m[:]) }

// IsZero reports whether m names no message.
func (m MessageID) IsZero() bool { return m == MessageID{} }

// ParseMessageID reads 64 hex digits. It fails with ErrInvalid.
func ParseMessageID(s string) (MessageID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(MessageID{}) {
		return MessageID{}, fmt.Errorf("%w: a message id is 64 hex digits", ErrInvalid)
	}
	return MessageID(b), nil
}

// MailboxID is the index of a device's mail among its hosts: a hash of the
// mailbox public key and its token's hash, published in the device record.
type MailboxID [32]byte

// RoomID is the SHA-256 of a room's signed charter.
type RoomID [32]byte

// String is 64 lower-case hex digits.
func (r RoomID) String() string { return hex.EncodeToString(r[:]) }

// Conversation is the one key for history, mute and unread: a private
// conversation with an account, or a room.
type Conversation string

const peoplePrefix, roomPrefix = "people/", "rooms/"

// PrivateConversation is the conversation with one account.
func PrivateConversation(a AccountID) Conversation { return Conversation(peoplePrefix + string(a)) }

// RoomConversation is the conversation of a room.
func RoomConversation(r RoomID) Conversation { return Conversation(roomPrefix + r.String()) }

// Account is the other side of a private conversation, and false for a room.
func (c Conversation) Account() (AccountID, bool) {
	a, ok := strings.CutPrefix(string(c), peoplePrefix)
	return AccountID(a), ok && a != ""
}
