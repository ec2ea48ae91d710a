package identity

import (
	"parley/internal/chat"
	"parley/internal/seal"
)

// SafetyNumber is the 60 digits that two people compare. It is the same from
// either side and does not change with devices. It fails with chat.ErrInvalid
// when an id is none.
func SafetyNumber(a, b chat.AccountID) (string, error) {
	left, leftKey, err := ParseAccountID(string(a))
	if err != nil {
		return "", err
	}
	right, rightKey, err := ParseAccountID(string(b))
	if err != nil {
		return "", err
	}
	return seal.SafetyNumber(seal.PartyOf(leftKey, string(left)), seal.PartyOf(rightKey, string(right))), nil
}
