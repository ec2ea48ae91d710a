package identity

import (
	"crypto/ed25519"
	"fmt"
	"strings"

	"filippo.io/edwards25519"
	"github.com/mr-tron/base58"

	"parley/internal/chat"
)

// The PeerID of an Ed25519 key is base58 over an identity multihash (00, and
// the length 24) of libp2p's protobuf key: field 1 = 1 (Ed25519), field 2 = 32
// bytes. The prefix is constant, so every id has the same length and beginning.
const (
	peerIDPrefix = "\x00\x24\x08\x01\x12\x20"
	peerIDLength = 52
	peerIDStart  = "12D3Koo"
)

const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// AccountIDOf is the id of an account key.
func AccountIDOf(pub ed25519.PublicKey) chat.AccountID { return chat.AccountID(peerID(pub)) }

// DeviceIDOf is the id of a device key, equal to libp2p's PeerID of the host.
func DeviceIDOf(pub ed25519.PublicKey) chat.DeviceID { return chat.DeviceID(peerID(pub)) }

func peerID(pub ed25519.PublicKey) string {
	return base58.Encode(append([]byte(peerIDPrefix), pub...))
}

// ParseAccountID reads the text of an account id, with the exact cause when it
// is not one. It fails with chat.ErrInvalid. A device id has the same form, so
// a device id given in place of an account id is only noticed when nobody
// answers for it.
func ParseAccountID(s string) (chat.AccountID, ed25519.PublicKey, error) {
	pub, err := parsePeerID(s)
	if err != nil {
		return "", nil, fmt.Errorf("%w account id: %w", chat.ErrInvalid, err)
	}
	return AccountIDOf(pub), pub, nil
}

// ParseDeviceID reads the text of a device id as ParseAccountID does.
func ParseDeviceID(s string) (chat.DeviceID, ed25519.PublicKey, error) {
	pub, err := parsePeerID(s)
	if err != nil {
		return "", nil, fmt.Errorf("%w device id: %w", chat.ErrInvalid, err)
	}
	return DeviceIDOf(pub), pub, nil
}

func parsePeerID(s string) (ed25519.PublicKey, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, fmt.Errorf("it is empty")
	}
	if strings.HasPrefix(strings.ToLower(s), linkScheme) {
		return nil, fmt.Errorf("this is a link; an id is the part that begins with %s", peerIDStart)
	}
	position := 0
	for _, r := range s {
		position++
		if position > peerIDLength {
			break // the length is the better cause
		}
		if !strings.ContainsRune(base58Alphabet, r) {
			return nil, fmt.Errorf("character %d, %q, is not used in ids (nor are 0, O, I and l)", position, r)
		}
	}
	if n := len([]rune(s)); n != peerIDLength {
		return nil, fmt.Errorf("an id has %d characters, this has %d", peerIDLength, n)
	}
	if !strings.HasPrefix(s, peerIDStart) {
		return nil, fmt.Errorf("an id begins with %s, this begins with %s", peerIDStart, s[:len(peerIDStart)])
	}
	raw, err := base58.Decode(s)
	if err != nil || len(raw) != len(peerIDPrefix)+ed25519.PublicKeySize || string(raw[:len(peerIDPrefix)]) != peerIDPrefix {
		return nil, fmt.Errorf("it does not hold an Ed25519 key: a character is wrong")
	}
	pub := ed25519.PublicKey(raw[len(peerIDPrefix):])
	if err := checkKey(pub); err != nil {
		return nil, err
	}
	return pub, nil
}

// checkKey refuses 32 bytes that are no key: half of all typos end here. Keys
// of small order are refused too, since anybody can sign for them.
func checkKey(pub []byte) error {
	if len(pub) != ed25519.PublicKeySize {
		return fmt.Errorf("a key has %d bytes, this has %d", ed25519.PublicKeySize, len(pub))
	}
	p, err := new(edwards25519.Point).SetBytes(pub)
	if err != nil {
		return fmt.Errorf("it does not spell a key: a character is wrong")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return fmt.Errorf("it spells a key that anybody can sign for")
	}
	return nil
}
