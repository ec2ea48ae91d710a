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
	"parley/internal/wire"
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

// handshakes is content in a session that p made for it alone.
func (p *party) handshakes(to *party, rec *identity.DeviceRecord, content []byte) (*ratchet, chat.Sealed) {
	r, err := p.initiate(to.account(), rec, nil, time.Now())
	p.must(err)
	_, blob, err := p.seal(r, time.Now(), content)
	p.must(err)
	return r, blob
}

// outbox is what waits at p for somebody's device.
func (p *party) outbox(o *party) (rows []store.OutboxRow) {
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) (err error) {
		rows, err = tx.Outbox(o.keys.Device(), -1)
		return err
	}))
	return rows
}

// TestHandshakesOfAnAbsentDevice: who shakes hands again and again and takes no
// answer has one row waiting, and a stranger who repeats a text one session.
func TestHandshakesOfAnAbsentDevice(t *testing.T) {
	bubble(t, func(w *world) {
		mal, bo := w.join("mal"), w.join("bo")
		time.Sleep(time.Second)
		rec, err := mal.directory.Device(context.Background(), bo.keys.Device())
		mal.must(err)
		mal.offline()
		again := mal.writes(bo, 1, "hi")
		takes := func(content []byte) {
			t.Helper()
			_, blob := mal.handshakes(bo, rec, content)
			if o := bo.receives(mal, blob)[0]; o.Answer != Received || o.Message != chat.NewMessageID(content) {
				t.Fatalf("a repeated text: %+v", o)
			}
			time.Sleep(time.Minute) // no pace is in the way
		}
		for range 10 {
			takes(again)
		}
		if rows, sessions := len(bo.outbox(mal)), sessionsWith(bo, mal); rows != 1 || sessions != 1 {
			t.Errorf("a stranger's repeated text left %d outbox rows and %d sessions", rows, sessions)
		}
		takes(mal.writes(bo, 2, "are you there?"))
		bo.knows(mal)
		for i := range uint64(10) {
			takes(mal.writes(bo, 3+i, "hello"))
		}
		if rows := len(bo.outbox(mal)); rows != 1 {
			t.Errorf("a contact's handshakes left %d outbox rows", rows)
		}
	})
}

// TestCarriedReceipts: receipts inside a session find the rows they speak of
// among many; of a stranger's no more than one is looked at.
func TestCarriedReceipts(t *testing.T) {
	bubble(t, func(w *world) {
		ana, mal, bo := w.join("ana"), w.join("mal"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		bo.await(bo.say(ana, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		bo.offline()
		carries := func(p *party, signed ...[]byte) chat.Sealed {
			c := p.newContent(bo.account())
			c.Body = &wirev1.Content_Receipts_{Receipts: &wirev1.Content_Receipts{Receipts: signed}}
			r := p.sending(bo)
			next, blob, err := r.state.Seal(time.Now(), encode(c), 16<<10)
			p.must(err)
			r.state = next
			return blob
		}
		one, two, three := bo.say(ana, "one"), bo.say(ana, "two"), bo.say(ana, "three")
		w.eventually("all are sealed", func() bool { return len(bo.waiting(ana)) == 3 })
		ana.offline()
		lead := bo.sending(ana).state.Lead()
		bo.receives(ana, carries(ana, ana.signs(bo, one.ID, chat.MessageID{1}), ana.signs(bo, three.ID)))
		for m, want := range map[*chat.Message]chat.Delivery{one: chat.Delivered, two: chat.Queued, three: chat.Delivered} {
			if got := bo.message(m.ID).Delivery; got != want {
				t.Errorf("%s is %s, want %s", m.Text, got, want)
			}
		}
		if got := bo.sending(ana).state.Lead(); got >= lead {
			t.Errorf("the session's lead is %d, was %d", got, lead)
		}

		// A stranger, whose first text is here, claims to have got what waits.
		rec, err := mal.directory.Device(context.Background(), bo.keys.Device())
		mal.must(err)
		r, first := mal.handshakes(bo, rec, mal.writes(bo, 1, "hi"))
		mal.must(mal.db.Write(context.Background(), r.save))
		bo.receives(mal, first)
		rows := bo.outbox(mal) // the answer
		late := mal.signs(bo, rows[0].Message)
		if o := bo.receives(mal, carries(mal, mal.signs(bo, two.ID), late))[0]; o.Answer != Received {
			t.Fatalf("a stranger's receipts: %+v", o)
		}
		if got := bo.outbox(mal); len(got) != 1 || bo.message(two.ID).Delivery != chat.Queued {
			t.Error("more than one receipt of a stranger was looked at")
		}
	})
}

// TestBlockedAccountClaimsADevice: a blocked account that lists the device of
// somebody who was never heard of does not shut them out.
func TestBlockedAccountClaimsADevice(t *testing.T) {
	bubble(t, func(w *world) {
		mal, bo, cem := w.join("mal"), w.join("bo"), w.join("cem")
		time.Sleep(time.Second)
		mal.await(mal.say(bo, "hi").ID, chat.Delivered)
		claim := mal.list(func(m *wirev1.Manifest) {
			m.Seq++
			m.Devices = append(m.Devices, &wirev1.ManifestDevice{DeviceKey: keyOf(t, cem), Added: time.Now().Unix()})
		})
		_, err := bo.directory.Learn(context.Background(), claim.Bytes)
		bo.must(err)
		bo.must(bo.guard.Block(context.Background(), mal.account()))
		if bo.guard.Allowed(mal.keys.Device()) || !bo.guard.Allowed(cem.keys.Device()) {
			t.Error("the wrong device is shut out")
		}
		cem.await(cem.say(bo, "hello, I am cem").ID, chat.Delivered)
	})
}

// TestRemovedWhileItHolds: a device that put messages off, and is removed from
// its account meanwhile, is sent nothing again, and what it says it got late
// proves nothing: both wait for the account's other devices.
func TestRemovedWhileItHolds(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo, cem := w.join("ana"), w.join("bo"), w.join("cem")
		ana.knows(bo)
		time.Sleep(time.Second)
		var late chat.MessageID
		removed := make(chan struct{})
		w.mu.Lock()
		w.instead = func(s wire.Stream) {
			r := wire.NewReader(s)
			for blobs := 0; ; blobs++ {
				var f wirev1.DMFrame
				if r.ReadFrame(&f) != nil {
					_ = s.Reset()
					return
				}
				if blobs > 0 {
					_ = wire.WriteFrame(s, status(wirev1.Status_STATUS_BUSY)(f.GetEnvelope().GetBlob()))
					continue
				}
				<-removed
				_ = wire.WriteFrame(s, &wirev1.DMAnswer{Body: &wirev1.DMAnswer_Receipt{Receipt: bo.signs(ana, late)}})
			}
		}
		w.mu.Unlock()
		late = ana.say(bo, "written before the removal").ID
		busy := ana.say(bo, "put off").ID
		time.Sleep(5 * time.Second)
		list := bo.list(func(m *wirev1.Manifest) {
			m.Seq++
			m.Devices = []*wirev1.ManifestDevice{{DeviceKey: keyOf(t, cem), Added: time.Now().Unix()}}
		})
		_, err := ana.directory.Learn(context.Background(), list.Bytes)
		ana.must(err)
		dials := w.dialed(bo)
		close(removed)
		time.Sleep(time.Hour)
		for what, id := range map[string]chat.MessageID{"what it held": late, "what it put off": busy} {
			if got := ana.message(id).Delivery; got != chat.Queued {
				t.Errorf("%s is %s", what, got)
			}
		}
		if n := w.dialed(bo) - dials; n != 0 {
			t.Errorf("it was called %d times more", n)
		}
		if rows := len(ana.outbox(bo)); rows != 0 {
			t.Errorf("%d rows wait for the removed device", rows)
		}
		w.mu.Lock()
		w.instead = nil
		w.mu.Unlock()
	})
}

// dialed is how often somebody was called.
func (w *world) dialed(p *party) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials[p.keys.Device()]
}
