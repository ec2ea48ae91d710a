package mailbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"parley/internal/chat"
)

const (
	nonceSize = 8 + 16 + 16 // time, random, proof that it is ours
	// maxSpent bounds the nonces spent in one life: each took a signature and a
	// call of one of chat.MaxStrangers callers. Beyond, callers wait.
	maxSpent = 1 << 16
)

// nonces hands out what a collect is signed over. A nonce carries the proof
// that it is ours and the caller's, so that asking for many takes no memory;
// only spent ones are remembered.
type nonces struct {
	secret [32]byte

	mu    sync.Mutex
	spent map[[nonceSize]byte]time.Time // -> its end; at most maxSpent
}

func newNonces() *nonces {
	return &nonces{secret: random32(), spent: map[[nonceSize]byte]time.Time{}}
}

// make is a nonce for one caller.
func (n *nonces) make(d chat.DeviceID, now time.Time) []byte {
	b := make([]byte, 24, nonceSize)
	binary.BigEndian.PutUint64(b, uint64(now.UnixNano()))
	_, _ = rand.Read(b[8:]) // never fails
	return append(b, n.proof(d, b)...)
}

func (n *nonces) proof(d chat.DeviceID, b []byte) []byte {
	m := hmac.New(sha256.New, n.secret[:])
	m.Write(b)
	m.Write([]byte(d))
	return m.Sum(nil)[:16]
}

// spend reports whether b is a nonce of d that lives and was not spent before.
func (n *nonces) spend(d chat.DeviceID, b []byte, now time.Time) bool {
	if len(b) != nonceSize || !hmac.Equal(n.proof(d, b[:24]), b[24:]) {
		return false
	}
	made := time.Unix(0, int64(binary.BigEndian.Uint64(b)))
	end := made.Add(chat.MailNonceLife)
	if made.After(now) || !end.After(now) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, spent := n.spent[[nonceSize]byte(b)]; spent {
		return false
	}
	if len(n.spent) >= maxSpent {
		for b, end := range n.spent {
			if !end.After(now) {
				delete(n.spent, b)
			}
		}
		if len(n.spent) >= maxSpent {
			return false
		}
	}
	n.spent[[nonceSize]byte(b)] = end
	return true
}
