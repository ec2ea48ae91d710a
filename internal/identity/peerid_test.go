package identity

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"parley/internal/chat"
)

// The public key of RFC 8032's first test vector, and its PeerID as libp2p
// writes it.
const (
	rfcKey    = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	rfcPeerID = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"
)

func TestPeerIDRoundTrip(t *testing.T) {
	for i := range 200 {
		pub := public(keyOf(string(rune('a' + i))))
		account := AccountIDOf(pub)
		if len(account) != peerIDLength || !strings.HasPrefix(string(account), peerIDStart) {
			t.Fatalf("id %q has another form", account)
		}
		got, key, err := ParseAccountID("  " + string(account) + "\n")
		if err != nil || got != account || !key.Equal(pub) {
			t.Fatalf("ParseAccountID(%s) = %s, %x, %v", account, got, key, err)
		}
		device, key, err := ParseDeviceID(string(account))
		if err != nil || string(device) != string(account) || !key.Equal(pub) {
			t.Fatalf("ParseDeviceID(%s) = %s, %x, %v", account, device, key, err)
		}
	}
}

func TestPeerIDVector(t *testing.T) {
	pub, err := hex.DecodeString(rfcKey)
	if err != nil {
		t.Fatal(err)
	}
	if got := AccountIDOf(pub); got != rfcPeerID {
		t.Errorf("id = %s, want %s", got, rfcPeerID)
	}
	_, got, err := ParseAccountID(rfcPeerID)
	if err != nil || hex.EncodeToString(got) != rfcKey {
		t.Errorf("key came back as %x, %v", got, err)
	}
}

func TestParseIDCauses(t *testing.T) {
	good := string(AccountIDOf(public(keyOf("ana"))))
	zero := peerID(make([]byte, 32))                      // a point of small order
	one := peerID(append([]byte{1}, make([]byte, 31)...)) // the neutral element
	off := peerID(append([]byte{2}, make([]byte, 31)...)) // no point at all
	for _, c := range []struct{ name, in, cause string }{
		{"empty", " ", "it is empty"},
		{"short", good[:51], "52 characters, this has 51"},
		{"long", good + "x", "52 characters, this has 53"},
		{"very long", strings.Repeat("1", 500), "52 characters, this has 500"},
		{"zero for o", good[:20] + "0" + good[21:], "character 21, '0', is not used"},
		{"letter l", good[:51] + "l", "character 52, 'l', is not used"},
		{"Cyrillic look-alike", good[:9] + "а" + good[10:], "character 10, 'а', is not used"},
		{"other kind of id", "Qm" + good[2:], "an id begins with 12D3Koo"},
		{"link", "parley:id/" + good, "this is a link"},
		{"no point", off, "does not spell a key"},
		{"neutral element", one, "anybody can sign"},
		{"small order", zero, "anybody can sign"},
		{"good", good, ""},
	} {
		_, _, err := ParseAccountID(c.in)
		wantCause(t, c.name, err, c.cause)
		if err != nil && !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("%s: %v is not ErrInvalid", c.name, err)
		}
		_, _, err = ParseDeviceID(c.in)
		wantCause(t, c.name, err, c.cause)
	}
}

func TestTyposAreNeverTheSameID(t *testing.T) {
	good := string(AccountIDOf(public(keyOf("ana"))))
	noticed, all := 0, 0
	for i := range good {
		for _, r := range base58Alphabet {
			typo := good[:i] + string(r) + good[i+1:]
			if typo == good {
				continue
			}
			all++
			got, _, err := ParseAccountID(typo)
			if err != nil {
				noticed++
			} else if string(got) != typo {
				t.Fatalf("%s was read as %s", typo, got)
			}
		}
	}
	if noticed*10 < all*4 {
		t.Errorf("%d of %d typos were noticed, want about half", noticed, all)
	}
}
