package mailbox

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/wire"
)

// endless is a holder that makes mail up, with the token that it was shown, and
// comes to no end.
type endless struct {
	box     chat.Mailbox
	serving *sync.WaitGroup
}

func (e endless) Close() error { return nil }

func (e endless) Open(_ context.Context, d chat.DeviceID, _ string) (wire.Stream, error) {
	ours, theirs := wire.Pipe("us", d)
	e.serving.Go(func() { e.serve(theirs) })
	return ours, nil
}

func (e endless) serve(s wire.Stream) {
	r, w := wire.NewReader(s), wire.NewWriter(s)
	for page := uint64(1); ; {
		q := new(wirev1.MailRequest)
		if r.ReadFrame(q) != nil {
			return
		}
		a := ok()
		switch q.Body.(type) {
		case *wirev1.MailRequest_Nonce:
			a.Nonce = make([]byte, nonceSize)
		case *wirev1.MailRequest_Collect:
			for range 40 {
				blob := make([]byte, chat.BlobSizes[0])
				_, _ = rand.Read(blob)
				a.Envelopes = append(a.Envelopes, encodeEnvelope(&wirev1.OuterEnvelope{
					Version: mailVersion, MailboxId: e.box.ID[:], ExpiryHour: pace(1).hour(time.Now().Add(time.Hour)),
					MailboxKey: e.box.Key, Permit: &wirev1.OuterEnvelope_Token{Token: e.box.Token}, Blob: blob,
				}))
			}
			a.Cursor, a.More = binary.BigEndian.AppendUint64(nil, page), true
			page++
		}
		if w.WriteFrame(a) != nil {
			return
		}
	}
}

// TestEndlessHolder: a visit ends with what a box can hold, and fails.
func TestEndlessHolder(t *testing.T) {
	inParish(t, 1, func(w *parish) {
		r := w.join("bo")
		var serving sync.WaitGroup
		defer serving.Wait()
		var own identity.Mailbox
		for _, b := range r.keys.Mailboxes() {
			if b.ID == r.box().ID {
				own = b
			}
		}
		p := &pickup{c: r.Client, box: own, line: endless{r.box(), &serving}, tally: &tally{}, fates: map[[32]byte]Fate{}}
		_, gave, err := p.read(w.t.Context(), "endless")
		if !errors.Is(err, chat.ErrInvalid) || gave > chat.BoxEnvelopes+40 || p.tally.collected > chat.BoxEnvelopes {
			t.Errorf("gave %d, took %d: %v", gave, p.tally.collected, err)
		}
		if p.tally.collected == 0 {
			t.Error("took nothing: the test proves nothing")
		}
	})
}

// TestCollectorTakesOnlyWhatHoldersMay: a holder cannot bring what it could not
// have been given.
func TestCollectorTakesOnlyWhatHoldersMay(t *testing.T) {
	o := newOwner(t)
	p := &pickup{box: identity.Mailbox{ID: o.id}}
	change := func(b []byte, fn func(*wirev1.OuterEnvelope)) []byte {
		e := new(wirev1.OuterEnvelope)
		if err := wire.Unmarshal(b, e); err != nil {
			t.Fatal(err)
		}
		fn(e)
		return encodeEnvelope(e)
	}
	honest := o.fromContact(1, 48*time.Hour)
	for name, c := range map[string]struct {
		b    []byte
		want bool
	}{
		"a contact's":      {honest, true},
		"of another size":  {change(honest, func(e *wirev1.OuterEnvelope) { e.Blob = e.Blob[1:] }), false},
		"without a blob":   {change(honest, func(e *wirev1.OuterEnvelope) { e.Blob = nil }), false},
		"not paid for":     {change(honest, func(e *wirev1.OuterEnvelope) { e.Permit, e.MailboxKey = nil, nil }), false},
		"another token":    {change(honest, func(e *wirev1.OuterEnvelope) { e.GetPermit().(*wirev1.OuterEnvelope_Token).Token[0] ^= 1 }), false},
		"a cheap stamp":    {o.fromStranger(t, 2, 4), false},
		"another's box":    {newOwner(t).fromContact(3, 48*time.Hour), false},
		"wrapped again":    {append(append([]byte{}, honest...), 0x48, 0x01), false},
		"a later version":  {change(honest, func(e *wirev1.OuterEnvelope) { e.Version++ }), false},
		"without a box id": {change(honest, func(e *wirev1.OuterEnvelope) { e.MailboxId = nil }), false},
	} {
		e := new(wirev1.OuterEnvelope)
		if err := wire.Unmarshal(c.b, e); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := p.takes(e, c.b); got != c.want {
			t.Errorf("an envelope %s is taken: %v", name, got)
		}
	}
}
