package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"testing/cryptotest"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/parley-v1.json anew: only with a new label or suite")

// Frozen vectors of our own suite. Byte strings are hex.
type frozen struct {
	Format    string          `json:"format"`
	Account   frozenAccount   `json:"account"`
	Handshake frozenHandshake `json:"handshake"`
	Ratchet   frozenRatchet   `json:"ratchet"`
	Row       frozenRow       `json:"row"`
	Box       frozenBox       `json:"box"`
	// Sessions are stored states of format 1, which every later version reads.
	Sessions []hexBytes `json:"sessions"`
}

type frozenAccount struct {
	Entropy      hexBytes `json:"entropy"`
	Seed         hexBytes `json:"seed"`
	PublicKey    hexBytes `json:"public_key"`
	Purpose      string   `json:"purpose"`
	Payload      hexBytes `json:"payload"`
	Signature    hexBytes `json:"signature"`
	OtherKey     hexBytes `json:"other_key"`
	ID           string   `json:"id"`
	OtherID      string   `json:"other_id"`
	SafetyNumber string   `json:"safety_number"`
}

type frozenHandshake struct {
	AccountA   hexBytes `json:"account_a"`
	DeviceA    hexBytes `json:"device_a"`
	DHA        hexBytes `json:"dh_a_private"`
	AccountB   hexBytes `json:"account_b"`
	DeviceB    hexBytes `json:"device_b"`
	DHB        hexBytes `json:"dh_b_private"`
	Prekey     hexBytes `json:"signed_prekey_private"`
	KEMSeed    hexBytes `json:"kem_seed"`
	Bundle     hexBytes `json:"bundle"`
	OneTimeID  hexBytes `json:"one_time_id"`
	OneTime    hexBytes `json:"one_time_private"`
	Ephemeral  hexBytes `json:"ephemeral_private"`
	KEMRandom  hexBytes `json:"kem_encapsulation_random"`
	Ciphertext hexBytes `json:"kem_ciphertext"`
	Secret     hexBytes `json:"kem_secret"`
	Transcript hexBytes `json:"transcript"`
	Root       hexBytes `json:"root"`
	Header     hexBytes `json:"header_key"`
	NextHeader hexBytes `json:"next_header_key"`
}

type frozenRatchet struct {
	// Keys are the private ratchet keys of both sides in order of use: a, b, a …
	Keys []hexBytes `json:"ratchet_private_keys"`
	// KEMSecrets are those of the KEM steps, in order.
	KEMSecrets []hexBytes      `json:"kem_secrets"`
	Messages   []frozenMessage `json:"messages"`
}

type frozenMessage struct {
	From    string   `json:"from"`
	Text    string   `json:"text"`
	Chain   int      `json:"chain"` // index into Keys
	Number  uint32   `json:"number"`
	Size    int      `json:"size"`
	KEM     string   `json:"kem"` // "", "ek" or "ct"
	Message hexBytes `json:"message"`
}

type frozenRow struct {
	Master hexBytes `json:"master"`
	Table  string   `json:"table"`
	Row    string   `json:"row"`
	Text   string   `json:"text"`
	Sealed hexBytes `json:"sealed"`
}

type frozenBox struct {
	Seed   hexBytes `json:"seed"`
	Public hexBytes `json:"public"`
	Text   string   `json:"text"`
	Blob   hexBytes `json:"blob"`
}

// MarshalText writes the hex that UnmarshalText reads.
func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// recorded is the shipped suite with its choices written down. Encapsulation
// takes its randomness from crypto/rand openly, so it does not depend on how
// the library draws it.
type recorded struct {
	parleySuite
	ratchet *[]hexBytes
	random  *[]hexBytes
	secrets *[]hexBytes
}

func (x recorded) newRatchetKey() dhKey {
	k := newDHKey()
	*x.ratchet = append(*x.ratchet, k.private[:])
	return k
}

func (x recorded) encapsulate(public []byte) (ss, ct []byte, err error) {
	ek, err := mlkem.NewEncapsulationKey768(public)
	if err != nil {
		return nil, nil, err
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	ss, ct, err = mlkemtest.Encapsulate768(ek, random)
	*x.random = append(*x.random, random)
	*x.secrets = append(*x.secrets, bytes.Clone(ss))
	return ss, ct, err
}

// freeze makes all vectors but the box from one seed.
func freeze(t *testing.T) frozen {
	cryptotest.SetGlobalRandom(t, 20260601)
	v := frozen{Format: "parley-seal/1"}
	v.Account = freezeAccount()
	x, y := newSide(t), newSide(t)
	oneTime := NewDHSecret()
	y.bundle.OneTime = &OneTimeKey{ID: []byte{0, 0, 0, 7}, Key: oneTime.Public()}
	su := recorded{ratchet: &v.Ratchet.Keys, random: new([]hexBytes), secrets: &v.Ratchet.KEMSecrets}
	a, setup, err := initiate(su, x.Identity, x.dh, y.bundle)
	if err != nil {
		t.Fatal(err)
	}
	b, err := respond(su, y.Identity, y.dh, y.prekey, oneTime, y.bundle.Bytes, x.Identity, setup)
	if err != nil {
		t.Fatal(err)
	}
	v.Handshake = frozenHandshake{
		AccountA: hexBytes(x.Account), DeviceA: hexBytes(x.Device), DHA: x.dh.key.private[:],
		AccountB: hexBytes(y.Account), DeviceB: hexBytes(y.Device), DHB: y.dh.key.private[:],
		Prekey: y.prekey.signed.private[:], KEMSeed: y.prekey.kem.seed[:], Bundle: y.bundle.Bytes,
		OneTimeID: y.bundle.OneTime.ID, OneTime: oneTime.key.private[:],
		Ephemeral: v.Ratchet.Keys[0], KEMRandom: (*su.random)[0],
		Ciphertext: setup.KEM, Secret: v.Ratchet.KEMSecrets[0], Transcript: b.bind[:],
		Root: b.root[:], Header: b.nextRecv[:], NextHeader: b.nextSend[:],
	}
	v.Ratchet.Keys, v.Ratchet.KEMSecrets = v.Ratchet.Keys[1:], v.Ratchet.KEMSecrets[1:]
	v.Sessions = append(v.Sessions, stateOf(t, a), stateOf(t, b))

	// A conversation with losses, turns and two KEM exchanges.
	now, names := noon, map[**Session]string{&a: "a", &b: "b"}
	say := func(from, to **Session, text string, size int, lost bool) {
		now = now.Add(9 * time.Hour)
		at := *from
		m := frozenMessage{From: names[from], Text: text, Number: at.send.n, Size: size}
		for i, k := range v.Ratchet.Keys {
			if bytes.Equal(k, at.self.private[:]) {
				m.Chain = i
			}
		}
		switch {
		case at.send.ek != nil:
			m.KEM = "ek"
		case at.send.ct != nil:
			m.KEM = "ct"
		}
		next, wire, err := at.Seal(now, []byte(text), size)
		if err != nil {
			t.Fatal(err)
		}
		*from, m.Message = next, wire
		v.Ratchet.Messages = append(v.Ratchet.Messages, m)
		if lost {
			return
		}
		opened, got, err := (*to).Open(now, wire)
		if err != nil || string(got) != text {
			t.Fatalf("%q opens to %q: %v", text, got, err)
		}
		*to = opened
	}
	say(&a, &b, "first", 1024, false)
	say(&a, &b, "second, lost", 0, true)
	say(&a, &b, "third", 1024, false)
	say(&b, &a, "reply with a KEM key", 4096, false)
	say(&a, &b, "answer, lost", 0, true)
	say(&a, &b, "answer with a ciphertext", 0, false)
	say(&b, &a, "päivää 🦜", 1024, false)
	say(&a, &b, "", 0, false)
	say(&b, &a, "plain turn", 0, false)
	say(&a, &b, "later", 0, false)
	say(&b, &a, "the last", 0, false)
	v.Sessions = append(v.Sessions, stateOf(t, a), stateOf(t, b))

	v.Row = frozenRow{Master: bytes.Repeat([]byte{3}, 32), Table: "sessions", Row: "42", Text: "a row"}
	v.Row.Sealed = DeriveRowKey([32]byte(v.Row.Master)).Seal(v.Row.Table, v.Row.Row, []byte(v.Row.Text))
	return v
}

func freezeAccount() frozenAccount {
	f := frozenAccount{
		Entropy: bytes.Repeat([]byte{5}, 32), Purpose: string(PurposeManifest), Payload: hexBytes("manifest bytes"),
		ID: "12D3KooWfirst", OtherID: "12D3KooWsecond", OtherKey: bytes.Repeat([]byte{6}, 32),
	}
	seed := AccountSeed([32]byte(f.Entropy))
	k := ed25519.NewKeyFromSeed(seed[:])
	f.Seed, f.PublicKey = seed[:], hexBytes(k.Public().(ed25519.PublicKey))
	f.Signature = Sign(k, PurposeManifest, f.Payload)
	f.SafetyNumber = SafetyNumber(PartyOf(ed25519.PublicKey(f.PublicKey), f.ID), PartyOf(ed25519.PublicKey(f.OtherKey), f.OtherID))
	return f
}

// TestFrozenVectors makes every value again from the seed and compares bytes.
// The box is opened only: how the library draws its randomness is not ours.
func TestFrozenVectors(t *testing.T) {
	got := freeze(t)
	const file = "testdata/parley-v1.json"
	if *rewrite {
		box := NewBoxSecret()
		got.Box = frozenBox{Seed: box.seed[:], Public: box.Public(), Text: "first contact"}
		var err error
		if got.Box.Blob, err = SealBox(box.Public(), []byte(got.Box.Text), 1500); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, encodeVectors(t, got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var old frozen
	readVectors(t, "parley-v1.json", &old)
	got.Box = old.Box
	if a, b := encodeVectors(t, got), encodeVectors(t, old); !bytes.Equal(a, b) {
		t.Errorf("%s no longer comes out: peers with the released version would not understand us", file)
	}
	kem := 0
	for _, m := range old.Ratchet.Messages {
		if m.KEM == "ct" {
			kem++
		}
	}
	if len(old.Ratchet.Messages) != 11 || kem < 3 || len(old.Ratchet.KEMSecrets) != 2 {
		t.Errorf("%d messages, %d with a ciphertext, %d KEM steps", len(old.Ratchet.Messages), kem, len(old.Ratchet.KEMSecrets))
	}

	box := boxSecretOf([boxSeedSize]byte(old.Box.Seed))
	want(t, "sealing key", box.Public(), old.Box.Public)
	text, err := box.Open(old.Box.Blob)
	if err != nil || string(text) != old.Box.Text {
		t.Errorf("frozen box opens to %q: %v", text, err)
	}
	row, err := DeriveRowKey([32]byte(old.Row.Master)).Open(old.Row.Table, old.Row.Row, old.Row.Sealed)
	if err != nil || string(row) != old.Row.Text {
		t.Errorf("frozen row opens to %q: %v", row, err)
	}
	for i, b := range old.Sessions {
		s, err := UnmarshalSession(b)
		if err != nil {
			t.Fatalf("stored session %d of format 1: %v", i, err)
		}
		want(t, "stored session", stateOf(t, s), b)
	}
}

func encodeVectors(t *testing.T, v frozen) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}
