package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"slices"
	"testing"

	"github.com/cloudflare/circl/kem/kyber/kyber1024"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type recordedPair struct {
	ID        uint64
	Private   hexBytes
	Public    hexBytes
	Signature hexBytes
}

func (p recordedPair) key() dhKey { return dhKeyOf([32]byte(p.Private)) }

type recording struct {
	Ours struct {
		RegistrationID uint64 `json:"registration_id"`
		Identity       recordedPair
		Ephemeral      recordedPair
		KEMSeed        hexBytes       `json:"kem_encapsulation_seed"`
		RatchetKeys    []recordedPair `json:"ratchet_keys"`
	}
	Peer struct {
		Identity      recordedPair
		SignedPrekey  recordedPair   `json:"signed_prekey"`
		OneTimePrekey recordedPair   `json:"one_time_prekey"`
		KEMPrekey     recordedPair   `json:"kem_prekey"`
		RatchetKeys   []recordedPair `json:"ratchet_keys"`
	}
	Handshake struct {
		DH1, DH2, DH3, DH4 hexBytes
		Ciphertext         hexBytes `json:"kem_ciphertext"`
		SharedSecret       hexBytes `json:"kem_shared_secret"`
		RootKey            hexBytes `json:"root_key"`
	}
	RootKeysOurs []hexBytes `json:"root_keys_ours"`
	Steps        []struct {
		Op, From, At, ID, Result, Note string
		Counter, Chain                 uint32
		PreviousCounter                uint32 `json:"previous_counter"`
		Plaintext, Wire                hexBytes
		MessageKeys                    hexBytes `json:"message_keys"`
	}
}

// readVectors decodes a JSON file of testdata.
func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// signalSide is one role of the recording under our state machine.
type signalSide struct {
	session  *Session
	keys     []dhKey
	lastKeys []byte
	roots    [][]byte
}

func newSignalSide(ours, theirs hexBytes, keys []recordedPair) (*signalSide, signalSuite) {
	x := &signalSide{}
	for _, k := range keys {
		x.keys = append(x.keys, k.key())
	}
	return x, signalSuite{
		keys: &x.keys, lastKeys: &x.lastKeys, roots: &x.roots,
		ours: ours, theirs: theirs, identityPublic: ours,
	}
}

// signalHandshake checks the handshake from both ends and starts both roles.
func signalHandshake(t *testing.T, r *recording) (ours, peer *signalSide) {
	t.Helper()
	scheme := kyber1024.Scheme()
	pub, err := scheme.UnmarshalBinaryPublicKey(r.Peer.KEMPrekey.Public[1:])
	if err != nil {
		t.Fatal(err)
	}
	ct, ss, err := scheme.EncapsulateDeterministically(pub, r.Ours.KEMSeed)
	if err != nil {
		t.Fatal(err)
	}
	ct = append([]byte{8}, ct...)
	private, err := scheme.UnmarshalBinaryPrivateKey(r.Peer.KEMPrekey.Private[1:])
	if err != nil {
		t.Fatal(err)
	}
	peerSS, err := scheme.Decapsulate(private, ct[1:])
	if err != nil {
		t.Fatal(err)
	}
	want(t, "KEM ciphertext", ct, r.Handshake.Ciphertext)
	want(t, "KEM secret", ss, r.Handshake.SharedSecret)
	want(t, "KEM secret of the peer", peerSS, r.Handshake.SharedSecret)

	ik, ek := r.Ours.Identity.key(), r.Ours.Ephemeral.key()
	peerIK, spk, opk := r.Peer.Identity.key(), r.Peer.SignedPrekey.key(), r.Peer.OneTimePrekey.key()
	oursDH, err := agree(agreement{ik, spk.public}, agreement{ek, peerIK.public},
		agreement{ek, spk.public}, agreement{ek, opk.public})
	if err != nil {
		t.Fatal(err)
	}
	peerDH, err := agree(agreement{spk, ik.public}, agreement{peerIK, ek.public},
		agreement{spk, ek.public}, agreement{opk, ek.public})
	if err != nil {
		t.Fatal(err)
	}
	h := r.Handshake
	want(t, "DH results", oursDH, slices.Concat(h.DH1, h.DH2, h.DH3, h.DH4))
	want(t, "DH results of the peer", peerDH, oursDH)

	ours, su := newSignalSide(r.Ours.Identity.Public, r.Peer.Identity.Public, r.Ours.RatchetKeys)
	su.registration, su.oneTime = r.Ours.RegistrationID, r.Peer.OneTimePrekey.ID
	su.spk, su.kemID = r.Peer.SignedPrekey.ID, r.Peer.KEMPrekey.ID
	a := newSession(su, [32]byte{}, ek.public)
	a.start(oursDH, ss)
	want(t, "root key", a.root[:], h.RootKey)
	a.setup = &Setup{KEM: ct}
	a.self, a.peer = su.newRatchetKey(), spk.public
	if err := a.stepSend(nil); err != nil {
		t.Fatal(err)
	}
	ours.session = a

	peer, su = newSignalSide(r.Peer.Identity.Public, r.Ours.Identity.Public, r.Peer.RatchetKeys)
	b := newSession(su, [32]byte{}, ek.public)
	b.start(peerDH, peerSS)
	want(t, "root key of the peer", b.root[:], h.RootKey)
	b.self = spk
	peer.session = b
	return ours, peer
}

func want(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s is\n%x, want\n%x", what, got, want)
	}
}

// TestSignalTranscript replays a conversation recorded from a real Signal
// implementation, in both roles, through the state machine that Parley ships.
func TestSignalTranscript(t *testing.T) {
	var r recording
	readVectors(t, "signal-transcript.json", &r)
	ours, peer := signalHandshake(t, &r)
	sides := map[string]*signalSide{"ours": ours, "peer": peer}

	wire, text, keys := map[string][]byte{}, map[string][]byte{}, map[string][]byte{}
	sent, opened, refused := 0, 0, 0
	for _, step := range r.Steps {
		if step.Op == "send" {
			x := sides[step.From]
			next, m, err := x.session.seal(noon, step.Plaintext, 0)
			if err != nil {
				t.Fatalf("sealing %s: %v", step.ID, err)
			}
			want(t, "message "+step.ID, m, step.Wire)
			if len(step.MessageKeys) > 0 {
				want(t, "message keys of "+step.ID, x.lastKeys, step.MessageKeys)
			}
			x.session = next
			wire[step.ID], text[step.ID], keys[step.ID] = m, step.Plaintext, step.MessageKeys
			sent++
			continue
		}
		x := sides[step.At]
		m := wire[step.ID]
		if len(step.Wire) > 0 {
			m = step.Wire
		}
		before, keysLeft := stateOf(t, x.session), len(x.keys)
		next, body, ok := x.session.open(noon, m)
		if step.Result == "ok" {
			if !ok {
				t.Fatalf("%s does not open at %s: %s", step.ID, step.At, step.Note)
			}
			want(t, "text of "+step.ID, body, text[step.ID])
			want(t, "message keys of "+step.ID, x.lastKeys, keys[step.ID])
			x.session = next
			opened++
			continue
		}
		if ok {
			t.Fatalf("%s opened at %s, want %s: %s", step.ID, step.At, step.Result, step.Note)
		}
		want(t, "state after refusing "+step.ID, stateOf(t, x.session), before)
		if len(x.keys) != keysLeft {
			t.Fatalf("refusing %s used up a ratchet key", step.ID)
		}
		refused++
	}
	if sent != 23 || opened != 21 || refused != 8 {
		t.Errorf("replayed %d sends, %d openings, %d refusals; want 23, 21, 8", sent, opened, refused)
	}
	for name, x := range sides {
		stored := len(x.session.current.keys)
		for _, g := range x.session.old {
			stored += len(g.keys)
		}
		if stored != 1 || len(x.keys) != 0 {
			t.Errorf("%s keeps %d skipped keys and %d unused ratchet keys, want 1 and 0", name, stored, len(x.keys))
		}
	}
	// A refused step derives a root key too, which is then dropped.
	var roots [][]byte
	for _, root := range ours.roots {
		if !slices.ContainsFunc(roots, func(b []byte) bool { return bytes.Equal(b, root) }) {
			roots = append(roots, root)
		}
	}
	if len(roots) != len(r.RootKeysOurs) {
		t.Fatalf("%d root keys, want %d", len(roots), len(r.RootKeysOurs))
	}
	for i, root := range roots {
		want(t, "root key of ours", root, r.RootKeysOurs[i])
	}
}

// TestSignalPrekeySignatures checks the recorded XEdDSA signatures: the peer's
// X25519 identity, mapped to Ed25519, signed its prekeys.
func TestSignalPrekeySignatures(t *testing.T) {
	var r recording
	readVectors(t, "signal-transcript.json", &r)
	for _, prekey := range []recordedPair{r.Peer.SignedPrekey, r.Peer.KEMPrekey} {
		sig := bytes.Clone(prekey.Signature)
		public := edwards(r.Peer.Identity.Public[1:])
		public[31] |= sig[63] & 0x80
		sig[63] &= 0x7f
		if !ed25519.Verify(public, prekey.Public, sig) {
			t.Errorf("signature of the %d-byte prekey does not verify", len(prekey.Public))
		}
	}
}

// edwards maps a Montgomery u to y = (u-1)/(u+1), sign bit clear.
func edwards(u []byte) ed25519.PublicKey {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	le := slices.Clone(u)
	slices.Reverse(le)
	x := new(big.Int).SetBytes(le)
	one := big.NewInt(1)
	den := new(big.Int).ModInverse(new(big.Int).Add(x, one), p)
	y := new(big.Int).Mod(new(big.Int).Mul(new(big.Int).Sub(x, one), den), p)
	out := y.FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return out
}

func TestSafetyNumberVectors(t *testing.T) {
	var v struct {
		Pairs []struct {
			Note        string
			Left, Right struct {
				PublicKey hexBytes `json:"public_key"`
				ID        hexBytes
			}
			Digits string
		}
	}
	readVectors(t, "safety-numbers.json", &v)
	if len(v.Pairs) != 5 {
		t.Fatalf("%d pairs, want 5", len(v.Pairs))
	}
	for _, p := range v.Pairs {
		left := Party{Key: p.Left.PublicKey, ID: p.Left.ID}
		right := Party{Key: p.Right.PublicKey, ID: p.Right.ID}
		if got := SafetyNumber(left, right); got != p.Digits {
			t.Errorf("%s: %s, want %s", p.Note, got, p.Digits)
		}
		if got := SafetyNumber(right, left); got != p.Digits {
			t.Errorf("%s, swapped: %s, want %s", p.Note, got, p.Digits)
		}
	}
}
