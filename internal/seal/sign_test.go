package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSignatureHasOnePurpose(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := key.Public().(ed25519.PublicKey)
	payload := []byte("payload")
	for _, p := range purposes {
		sig := Sign(key, p, payload)
		for _, q := range purposes {
			if got := Verify(public, q, payload, sig); got != (p == q) {
				t.Errorf("signature for %s verifies for %s: %v", p, q, got)
			}
		}
		if !ed25519.Verify(public, []byte("parley/"+string(p)+"/v1\x00payload"), sig) {
			t.Errorf("%s: not the documented bytes", p)
		}
		if ed25519.Verify(public, payload, sig) {
			t.Errorf("%s: verifies without its label", p)
		}
	}
	if len(purposes) != 19 {
		t.Errorf("%d purposes: add the new one to the design's list first", len(purposes))
	}
}

func TestVerifyRefusesAnyShape(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := key.Public().(ed25519.PublicKey)
	sig := Sign(key, PurposeReceipt, []byte("x"))
	for name, ok := range map[string]bool{
		"no key":          Verify(nil, PurposeReceipt, []byte("x"), sig),
		"short key":       Verify(public[:31], PurposeReceipt, []byte("x"), sig),
		"no signature":    Verify(public, PurposeReceipt, []byte("x"), nil),
		"short signature": Verify(public, PurposeReceipt, []byte("x"), sig[:63]),
		"other payload":   Verify(public, PurposeReceipt, []byte("y"), sig),
		"unknown purpose": Verify(public, "love-letter", []byte("x"), sig),
	} {
		if ok {
			t.Errorf("%s: verifies", name)
		}
	}
}

func TestSignRefusesUnknownPurpose(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("signed for a purpose that is not on the list")
		}
	}()
	Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), "love-letter", nil)
}

func TestAccountSeed(t *testing.T) {
	seed := AccountSeed([32]byte{1, 2, 3})
	// HKDF-SHA-256, no salt, "parley/account/v1"; recompute.py agrees.
	const want = "f8e1704ac8f66d99d0726bbc65312b83842c7f972b64e72925ceba0187a14cd4"
	if got := hex.EncodeToString(seed[:]); got != want {
		t.Errorf("seed %s, want %s", got, want)
	}
}

func TestPartyOf(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	p := PartyOf(key, "12D3KooW")
	if p.Key[0] != 0xED || !bytes.Equal(p.Key[1:], key) || string(p.ID) != "12D3KooW" {
		t.Errorf("party is %x, %q", p.Key, p.ID)
	}
	n := SafetyNumber(p, PartyOf(key, "another"))
	if len(n) != 60 || strings.Trim(n, "0123456789") != "" {
		t.Errorf("safety number %q is not 60 digits", n)
	}
}

// TestSecretsRedact prints every secret type in every way that comes to mind
// and looks for its bytes.
func TestSecretsRedact(t *testing.T) {
	a, _ := newPair(t)
	row := DeriveRowKey([32]byte{9})
	secrets := map[string]any{
		"DHSecret": NewDHSecret(), "PrekeySecret": NewPrekey(), "BoxSecret": NewBoxSecret(),
		"Session": a, "Session value": *a, "RowKey": row, "*RowKey": &row,
	}
	for name, s := range secrets {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			if got := fmt.Sprintf(verb, s); got != redactedText {
				t.Errorf("%s under %s prints %q", name, verb, got)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
		if strings.Count(log.String(), redactedText) != 2 {
			t.Errorf("%s logs as %s", name, log.String())
		}
		if b, err := json.Marshal(s); err != nil || string(b) != `"`+redactedText+`"` {
			t.Errorf("%s is %s (%v) in JSON", name, b, err)
		}
	}
}
