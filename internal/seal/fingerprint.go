package seal

import (
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"
	"strings"
)

// Party is one side of a safety number: a public key with its type byte, and
// the stable id that goes with it.
type Party struct {
	Key []byte // type byte, then the 32-byte public key
	ID  []byte // in Parley the bytes of the AccountID text
}

// ed25519Type is the type byte of account keys. Signal's is 0x05.
const ed25519Type = 0xED

// PartyOf is the Parley party of an account key and its AccountID text.
func PartyOf(key ed25519.PublicKey, idText string) Party {
	return Party{Key: append([]byte{ed25519Type}, key...), ID: []byte(idText)}
}

// SafetyNumber is Signal's numeric fingerprint: 60 digits that two people
// compare. It is symmetric, and since it covers account keys only, adding a
// device does not change it.
func SafetyNumber(a, b Party) string {
	x, y := fingerprint(a), fingerprint(b)
	if y < x {
		x, y = y, x
	}
	return x + y
}

// fingerprintRounds makes a search for a near match 5200 times dearer.
const fingerprintRounds = 5200

func fingerprint(p Party) string {
	h := make([]byte, 0, 2+sha512.Size+2*len(p.Key)+len(p.ID))
	h = append(append(append(h, 0, 0), p.Key...), p.ID...)
	for range fingerprintRounds {
		sum := sha512.Sum512(append(h, p.Key...))
		h = append(h[:0], sum[:]...)
	}
	var digits strings.Builder
	for i := range 6 {
		var v uint64
		for _, c := range h[5*i : 5*i+5] {
			v = v<<8 | uint64(c)
		}
		fmt.Fprintf(&digits, "%05d", v%100000)
	}
	return digits.String()
}
