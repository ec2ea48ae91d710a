package dm

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
)

// listOf is the first device list of an account that somebody made up.
func listOf(account ed25519.PrivateKey, devices ...[]byte) []byte {
	m := &wirev1.Manifest{
		Version: 1, AccountKey: account.Public().(ed25519.PublicKey), Seq: 1,
		NotAfter: time.Now().Add(chat.ManifestLife - time.Hour).Unix(), Algorithms: []uint32{uint32(seal.Suite)},
	}
	for _, d := range devices {
		m.Devices = append(m.Devices, &wirev1.ManifestDevice{DeviceKey: d, Added: time.Now().Unix()})
	}
	return identity.SignedBytes(account, seal.PurposeManifest, encode(m))
}

// writes is a text of p's as its content, with a number that nothing else has.
func (p *party) writes(to *party, number uint64, text string) []byte {
	c := p.newContent(to.account())
	c.Epoch, c.Number, c.Time = 1, number, int64(chat.NewHLC(time.Now()))
	setBody(c, Draft{Kind: chat.KindText, Text: chat.Body(text)})
	return encode(c)
}

// sending is p's session for messages to somebody.
func (p *party) sending(to *party) (r *ratchet) {
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		list, err := sessionsOf(tx, to.keys.Device())
		r = choose(list)
		return err
	}))
	return r
}

// TestRevokedDeviceWithAForeignList: a stolen device that its account removed
// cannot go on writing as the account by repeating a handshake beside the
// device list of another account, which lists it.
func TestRevokedDeviceWithAForeignList(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		time.Sleep(time.Second)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		ana.offline()
		without := ana.list(func(m *wirev1.Manifest) {
			m.Seq++
			m.Devices = []*wirev1.ManifestDevice{{DeviceKey: keyOf(t, w.join("phone")), Added: time.Now().Unix()}}
		})
		_, err := bo.directory.Learn(context.Background(), without.Bytes)
		bo.must(err)

		r := ana.sending(bo)
		next, bare, err := r.state.Seal(time.Now(), ana.writes(bo, 100, "from the stolen phone"), 4<<10)
		bo.must(err)
		_, message, err := next.Seal(time.Now(), ana.writes(bo, 101, "send money"), 0)
		bo.must(err)
		ephemeral := r.state.Ephemeral()
		thief := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		repeated := boxed(ana, bo, func(f *wirev1.FirstContact) {
			f.AccountKey = thief.Public().(ed25519.PublicKey)
			f.Manifest = listOf(thief, ana.keys.Self().Device)
			f.EphemeralKey, f.KemCiphertext, f.Message = ephemeral[:], nil, message
		})
		for i, o := range bo.receives(ana, bare, repeated) {
			if o.Answer != Invalid {
				t.Errorf("blob %d of a removed device: %+v", i, o)
			}
		}
		if got := bo.texts(ana); len(got) != 1 {
			t.Errorf("bo reads %q", got)
		}
	})
}
