package identity

import (
	"errors"
	"strings"
	"testing"

	"parley/internal/chat"
	"parley/internal/seal"
)

func TestSafetyNumber(t *testing.T) {
	ana, bo := newPerson("ana"), newPerson("bo")
	got, err := SafetyNumber(ana.accountID(), bo.accountID())
	if err != nil {
		t.Fatal(err)
	}
	want := seal.SafetyNumber(
		seal.Party{Key: append([]byte{0xED}, public(ana.account)...), ID: []byte(ana.accountID())},
		seal.Party{Key: append([]byte{0xED}, public(bo.account)...), ID: []byte(bo.accountID())})
	if got != want || len(got) != 60 || strings.Trim(got, "0123456789") != "" {
		t.Errorf("safety number = %s, want %s", got, want)
	}
	back, err := SafetyNumber(bo.accountID(), ana.accountID())
	if err != nil || back != got {
		t.Errorf("from the other side: %s, %v", back, err)
	}
	if _, err := SafetyNumber(ana.accountID(), "12D3Koo"); !errors.Is(err, chat.ErrInvalid) {
		t.Errorf("with half an id: %v", err)
	}
}
