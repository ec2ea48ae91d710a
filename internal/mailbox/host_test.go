package mailbox

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
)

// TestMailStory: a contact leaves mail, its owner collects and deletes it, and
// it does not come back.
func TestMailStory(t *testing.T) {
	n := newTown(t)
	h, o := n.host(nil), newOwner(t)
	sender, reader := n.call(h, "sender"), n.call(h, "reader")
	var ids [][32]byte
	var sent [][]byte
	for i := range uint64(150) {
		e := o.fromContact(i, 48*time.Hour)
		a := sender.must(depositOf(e))
		if a.Status != wirev1.Status_STATUS_OK {
			t.Fatalf("deposit %d: %s", i, a.Status)
		}
		r, signer, err := openReceipt(a.Receipt)
		if err != nil || signer != h.device || [32]byte(r.EnvelopeHash) != sha256.Sum256(e) || chat.MailboxID(r.MailboxId) != o.id {
			t.Fatalf("receipt %d: %v, %v", i, r, err)
		}
		if left := time.Until(time.Unix(r.Expires, 0)); left > 48*time.Hour || left < 46*time.Hour {
			t.Errorf("kept for %s", left)
		}
		ids, sent = append(ids, sha256.Sum256(e)), append(sent, e)
	}
	again := sender.must(depositOf(sent[0]))
	if r, _, err := openReceipt(again.Receipt); err != nil || [32]byte(r.EnvelopeHash) != ids[0] {
		t.Errorf("the same again: %s, %v", again.Status, err)
	}
	got := o.collect(reader, h)
	if len(got) != len(sent) {
		t.Fatalf("%d of %d collected", len(got), len(sent))
	}
	for i := range got {
		if !bytes.Equal(got[i], sent[i]) {
			t.Fatalf("envelope %d is another one", i)
		}
	}
	if a := reader.must(o.deleteRequest(ids...)); a.Status != wirev1.Status_STATUS_OK {
		t.Fatalf("delete: %s", a.Status)
	}
	if got := o.collect(reader, h); len(got) != 0 {
		t.Errorf("%d envelopes after the delete", len(got))
	}
	if a := sender.must(depositOf(sent[0])); a.Status != wirev1.Status_STATUS_EXPIRED || len(a.Receipt) > 0 {
		t.Errorf("a deleted envelope again: %s", a.Status)
	}
	put := &wirev1.MailRequest{Body: &wirev1.MailRequest_Put{Put: sent[1]}}
	if sender.must(put); held(t, h, o.id) != 0 {
		t.Error("a repair brought a deleted envelope back")
	}
	if len(n.blamed) > 0 {
		t.Errorf("honest callers are blamed: %v", n.blamed)
	}
}

// TestCollectIsGuarded: each part of a collect is needed.
func TestCollectIsGuarded(t *testing.T) {
	n := newTown(t)
	h, other, o := n.host(nil), n.host(nil), newOwner(t)
	c := n.call(h, "reader")
	if a := c.must(depositOf(o.fromContact(1, time.Hour*48))); a.Status != wirev1.Status_STATUS_OK {
		t.Fatal(a.Status)
	}
	nonce := func(c *caller) []byte {
		b, err := c.nonce()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	used := nonce(c)
	if a := c.must(o.collectRequest(h, used, nil)); len(a.Envelopes) != 1 {
		t.Fatalf("collect: %s", a.Status)
	}
	for name, want := range map[string]struct {
		q      *wirev1.MailRequest
		status wirev1.Status
	}{
		"a nonce twice":         {o.collectRequest(h, used, nil), wirev1.Status_STATUS_EXPIRED},
		"a nonce of our own":    {o.collectRequest(h, make([]byte, nonceSize), nil), wirev1.Status_STATUS_EXPIRED},
		"no nonce":              {o.collectRequest(h, nil, nil), wirev1.Status_STATUS_EXPIRED},
		"another's nonce":       {o.collectRequest(h, nonce(n.call(h, "thief")), nil), wirev1.Status_STATUS_EXPIRED},
		"another holder's":      {o.collectRequest(h, nonce(n.call(other, "reader")), nil), wirev1.Status_STATUS_EXPIRED},
		"meant for another one": {o.collectRequest(other, nonce(c), nil), wirev1.Status_STATUS_INVALID},
		"signed for a delete": {&wirev1.MailRequest{Body: &wirev1.MailRequest_Collect{Collect: identity.SignedBytes(o.key, seal.PurposeMailDelete, encode(&wirev1.MailCollect{
			Version: 1, MailboxKey: o.public(), TokenHash: o.tokenHash(), Nonce: nonce(c), Holder: string(h.device),
		}))}}, wirev1.Status_STATUS_INVALID},
		"signed by another": {&wirev1.MailRequest{Body: &wirev1.MailRequest_Collect{Collect: identity.SignedBytes(newOwner(t).key, seal.PurposeMailFetch, encode(&wirev1.MailCollect{
			Version: 1, MailboxKey: o.public(), TokenHash: o.tokenHash(), Nonce: nonce(c), Holder: string(h.device),
		}))}}, wirev1.Status_STATUS_INVALID},
	} {
		t.Run(name, func(t *testing.T) {
			if a := n.call(h, "reader").must(want.q); a.Status != want.status || len(a.Envelopes) > 0 {
				t.Errorf("%s, %d envelopes", a.Status, len(a.Envelopes))
			}
		})
	}
	if h.nonces.spend("reader", h.nonces.make("reader", time.Now().Add(-chat.MailNonceLife)), time.Now()) {
		t.Error("a nonce outlives its minute")
	}
}

func TestDepositIsJudged(t *testing.T) {
	n := newTown(t)
	h, o := n.host(nil), newOwner(t)
	contact := func(change func(*wirev1.OuterEnvelope)) []byte {
		e := &wirev1.OuterEnvelope{
			Version: 1, MailboxId: o.id[:], ExpiryHour: pace(1).hour(time.Now().Add(48 * time.Hour)), MailboxKey: o.public(),
			Permit: &wirev1.OuterEnvelope_Token{Token: o.token[:]}, Blob: blobOf(1),
		}
		change(e)
		return encodeEnvelope(e)
	}
	hour := func(d time.Duration) func(*wirev1.OuterEnvelope) {
		return func(e *wirev1.OuterEnvelope) { e.ExpiryHour = pace(1).hour(time.Now().Add(d)) }
	}
	largest := chat.BlobSizes[len(chat.BlobSizes)-1]
	for name, want := range map[string]struct {
		e      []byte
		status wirev1.Status
	}{
		"good":                    {contact(func(*wirev1.OuterEnvelope) {}), wirev1.Status_STATUS_OK},
		"fourteen days":           {contact(hour(chat.MailLife)), wirev1.Status_STATUS_OK},
		"largest":                 {contact(func(e *wirev1.OuterEnvelope) { e.Blob = make([]byte, largest) }), wirev1.Status_STATUS_OK},
		"too large":               {contact(func(e *wirev1.OuterEnvelope) { e.Blob = make([]byte, largest+1) }), wirev1.Status_STATUS_TOO_LARGE},
		"a size of its own":       {contact(func(e *wirev1.OuterEnvelope) { e.Blob = make([]byte, 1000) }), wirev1.Status_STATUS_INVALID},
		"now":                     {contact(hour(0)), wirev1.Status_STATUS_EXPIRED},
		"fourteen days and three": {contact(hour(chat.MailLife + 4*time.Hour)), wirev1.Status_STATUS_EXPIRED},
		"the year 2099":           {contact(hour(73 * 365 * 24 * time.Hour)), wirev1.Status_STATUS_EXPIRED},
		"another token":           {contact(func(e *wirev1.OuterEnvelope) { e.Permit = &wirev1.OuterEnvelope_Token{Token: make([]byte, 32)} }), wirev1.Status_STATUS_INVALID},
		"another key":             {contact(func(e *wirev1.OuterEnvelope) { e.MailboxKey = newOwner(t).public() }), wirev1.Status_STATUS_INVALID},
		"no permit":               {contact(func(e *wirev1.OuterEnvelope) { e.MailboxKey, e.Permit = nil, nil }), wirev1.Status_STATUS_STAMP},
		"a worthless stamp":       {contact(func(e *wirev1.OuterEnvelope) { e.MailboxKey, e.Permit = nil, worthless(o, e) }), wirev1.Status_STATUS_STAMP},
		"a stamp":                 {o.fromStranger(t, 1, 4), wirev1.Status_STATUS_OK},
		"a version to come":       {contact(func(e *wirev1.OuterEnvelope) { e.Version = 2 }), wirev1.Status_STATUS_NOT_ACCEPTING},
		"in another form":         {append(contact(func(*wirev1.OuterEnvelope) {}), 0x50, 1), wirev1.Status_STATUS_INVALID},
		"nothing":                 {nil, wirev1.Status_STATUS_STAMP},
	} {
		t.Run(name, func(t *testing.T) {
			a := n.call(h, "sender").must(depositOf(want.e))
			if name == "nothing" {
				want.status = wirev1.Status_STATUS_INVALID
			}
			if a.Status != want.status || (a.Status == wirev1.Status_STATUS_OK) != (len(a.Receipt) > 0) {
				t.Errorf("%s with a receipt of %d bytes, want %s", a.Status, len(a.Receipt), want.status)
			}
		})
	}
}

// worthless is a stamp without any work in it.
func worthless(o *owner, e *wirev1.OuterEnvelope) *wirev1.OuterEnvelope_Stamp {
	for i := byte(0); ; i++ {
		stamp := []byte{i, 0, 0, 0, 0, 0, 0, 0}
		if StampWork(o.id, e.ExpiryHour, e.Blob, stamp) == 0 {
			return &wirev1.OuterEnvelope_Stamp{Stamp: stamp}
		}
	}
}

// TestExpiryWithinOneTick: what is over is not given out, and is gone at the
// next tick, on a copy that came later by repair too.
func TestExpiryWithinOneTick(t *testing.T) {
	n := newTown(t)
	h, late, o := n.host(nil), n.host(nil), newOwner(t)
	e := o.fromContact(1, chat.MailLife+2*time.Hour)
	c := n.call(h, "sender")
	a := c.must(depositOf(e))
	r, _, err := openReceipt(a.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Unix(r.Expires, 0)
	if left := time.Until(end); left > chat.MailLife || left < chat.MailLife-time.Minute {
		t.Errorf("kept for %s", left)
	}
	n.call(late, h.device).must(&wirev1.MailRequest{Body: &wirev1.MailRequest_Put{Put: e}})
	for _, h := range []*Host{h, late} {
		if err := h.upkeep(t.Context(), end.Add(-time.Second)); err != nil || held(t, h, o.id) != 1 {
			t.Errorf("gone before its time: %v", err)
		}
		last := time.Now().Add(chat.MailLife + chat.MailClock)
		err := h.guest.Read(t.Context(), func(tx *store.GuestTx) error {
			_, err := tx.MailBody(sha256.Sum256(e), last)
			return err
		})
		if !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("given out after its end: %v", err)
		}
		if err := h.upkeep(t.Context(), last); err != nil || held(t, h, o.id) != 0 || h.Stats().Load().Envelopes != 0 {
			t.Errorf("there after the tick: %v", err)
		}
	}
}

func TestPeersArePaced(t *testing.T) {
	h := newTown(t).host(nil)
	now := time.Now()
	for i := range 400 {
		if _, ok := h.admit("a", 1, now); !ok {
			t.Fatalf("call %d of a burst waits", i)
		}
	}
	wait, admitted := h.admit("a", 1, now)
	if admitted || wait != callsEach {
		t.Errorf("call 401: %v, after %s", admitted, wait)
	}
	if _, ok := h.admit("a", 1, now.Add(wait)); !ok {
		t.Error("the wait was not enough")
	}
	heavy := &wirev1.MailRequest{Body: &wirev1.MailRequest_Repair{Repair: &wirev1.MailRepair{Boxes: make([]*wirev1.MailBoxDigest, compareBoxes)}}}
	if w := weight(heavy); w != 1+compareBoxes/callBoxes {
		t.Errorf("a call about %d boxes counts as %d", compareBoxes, w)
	}
	if _, ok := h.admit("b", 1, now); !ok {
		t.Error("another device waits too")
	}
	for i := range 2 * chat.MaxStrangers {
		h.admit(chat.DeviceID(string(rune(i))+"x"), 1, now)
	}
	if n := len(h.calls); n > chat.MaxStrangers {
		t.Errorf("%d callers are remembered", n)
	}
	if _, ok := h.admit("later", 1, now.Add(time.Minute)); !ok {
		t.Error("callers of a minute ago fill the table")
	}
}

// TestReceiptsOutliveARestart: what was signed for is there after it.
func TestReceiptsOutliveARestart(t *testing.T) {
	n := newTown(t)
	dir := t.TempDir()
	var cfg HostConfig
	h := n.host(func(c *HostConfig, g *store.GuestConfig) { g.Dir, g.Relaxed = dir, false; cfg = *c })
	o := newOwner(t)
	c := n.call(h, "sender")
	var proofs [][32]byte
	for i := range uint64(40) {
		a := c.must(depositOf(o.fromContact(i, 48*time.Hour)))
		r, _, err := openReceipt(a.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		proofs = append(proofs, [32]byte(r.EnvelopeHash))
	}
	c.must(o.deleteRequest(proofs[0]))
	if err := h.guest.Close(); err != nil {
		t.Fatal(err)
	}
	guest, err := store.OpenGuest(store.GuestConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guest.Close() })
	cfg.Guest = guest
	h, err = NewHost(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	n.hosts[h.device] = h
	n.mu.Unlock()
	got := map[[32]byte]bool{}
	for _, e := range o.collect(n.call(h, "reader"), h) {
		got[sha256.Sum256(e)] = true
	}
	for i, id := range proofs {
		if got[id] != (i > 0) {
			t.Errorf("envelope %d with a receipt is there: %v", i, got[id])
		}
	}
	if a := n.call(h, "sender").must(depositOf(o.fromContact(0, 48*time.Hour))); a.Status != wirev1.Status_STATUS_EXPIRED {
		t.Errorf("the deleted one again: %s", a.Status)
	}
}
