package mailbox

import (
	"crypto/ed25519"
	"crypto/sha256"

	"parley/internal/chat"
	"parley/internal/identity"
)

// Protocol is the id of the streams that Host.Handle serves.
const Protocol = "/parley/mailbox/1"

// BoxID names the mailbox of a key and a token: a holder checks a token
// against it without having met the mailbox before.
func BoxID(pub ed25519.PublicKey, tokenHash [32]byte) chat.MailboxID {
	return identity.MailboxIDOf(pub, tokenHash)
}

// Place is where a mailbox lies in the space of the DHT: its region is the
// nodes around it.
func Place(id chat.MailboxID) [32]byte { return sha256.Sum256(id[:]) }

// SleeperPlace is where a record lies in the space of the DHT.
func SleeperPlace(key string) [32]byte { return sha256.Sum256([]byte(key)) }
