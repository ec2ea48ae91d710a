package mailbox

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

// FuzzMailRequest talks to one holder as a program of calls, good and
// spoiled, and holds it to a model: what was signed for and not deleted is
// there, what was deleted is not, and nothing else is.
func FuzzMailRequest(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 3, 1, 4, 0, 5, 0})
	f.Add([]byte{0, 1, 1, 2, 0, 1, 3, 1, 0, 1, 2, 1, 4, 0})
	f.Add([]byte{6, 9, 0, 3, 7, 0x0a, 0, 4, 0, 8, 3, 9, 1})
	f.Add([]byte{10, 0, 11, 5, 12, 1, 0, 1, 10, 1})
	f.Add([]byte{0, 1, 0, 2, 5, 0, 3, 1, 5, 0, 4, 0})
	n := newTown(f)
	h, other := n.host(nil), n.host(nil)
	f.Fuzz(func(t *testing.T, program []byte) {
		o := newOwner(t)
		kept, buried := map[[32]byte]bool{}, map[[32]byte]bool{}
		c := fuzzCall(t, n, h)
		for i := 0; i+1 < len(program) && i < 40; i += 2 {
			arg := program[i+1]
			e := o.fromContact(uint64(arg%8), 48*time.Hour)
			id := sha256.Sum256(e)
			switch program[i] % 13 {
			case 0, 1, 2: // a deposit, or a copy from another holder
				q := depositOf(e)
				if program[i]%13 == 2 {
					q = &wirev1.MailRequest{Body: &wirev1.MailRequest_Put{Put: e}}
				}
				a := c.must(q)
				if want := a.Status == wirev1.Status_STATUS_OK; want == buried[id] {
					t.Fatalf("deposit: %s, deleted before: %v", a.Status, buried[id])
				}
				kept[id] = !buried[id]
			case 3:
				if a := c.must(o.deleteRequest(id)); a.Status != wirev1.Status_STATUS_OK {
					t.Fatalf("delete: %s", a.Status)
				}
				buried[id], kept[id] = true, false
			case 4:
				fuzzCollect(t, o, c, h, kept)
			case 5: // both repair, the other one last
				for _, h := range []*Host{h, other} {
					if _, err := h.repair(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			case 6: // spoiled at one bit
				b := encode(depositOf(e))
				b[int(arg)*len(b)/256] ^= 1 << (i % 8)
				c = fuzzRaw(t, n, h, c, b)
			case 7: // any bytes
				c = fuzzRaw(t, n, h, c, program[i:])
			case 8:
				b := encode(o.deleteRequest(id))
				b[int(arg)*len(b)/256] ^= 1 << (i % 8)
				c = fuzzRaw(t, n, h, c, b)
			case 9:
				a := c.must(&wirev1.MailRequest{Body: &wirev1.MailRequest_Audit{Audit: &wirev1.MailAudit{Nonce: make([]byte, auditNonce), Id: id[:]}}})
				if kept[id] != bytes.Equal(a.Mac, auditMAC(make([]byte, auditNonce), e)) {
					t.Fatalf("audit: %s, kept %v", a.Status, kept[id])
				}
			case 10:
				item := &wirev1.MailItem{Id: id[:], ExpiryHour: pace(1).hour(time.Now().Add(time.Hour * 40))}
				a := c.must(repairOf(&wirev1.MailBoxDigest{MailboxId: o.id[:], Items: []*wirev1.MailItem{item}}))
				if wants := len(a.Want) == 1; wants == (kept[id] || buried[id]) || (len(a.Deletes) == 1) != buried[id] {
					t.Fatalf("repair: %v, kept %v, deleted %v", a, kept[id], buried[id])
				}
			case 11: // another's delete
				c.must(newOwner(t).deleteRequest(id))
			case 12:
				if err := h.upkeep(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
		}
		fuzzCollect(t, o, c, h, kept)
		c.end(nil)
		for _, h := range []*Host{h, other} { // the next program finds them empty
			if err := h.upkeep(t.Context(), time.Now().Add(2*chat.MailLife)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func fuzzCall(t *testing.T, n *town, h *Host) *caller {
	k, err := dial(t.Context(), post{n, chat.DeviceID(fmt.Sprintf("fuzz %x", random32()))}, h.device)
	if err != nil {
		t.Fatal(err)
	}
	return &caller{t, k}
}

// fuzzRaw sends bytes as a frame on a stream of their own, since it may end.
func fuzzRaw(t *testing.T, n *town, h *Host, c *caller, body []byte) *caller {
	q := new(wirev1.MailRequest)
	if wire.Unmarshal(body, q) != nil {
		return c
	}
	if d := q.GetDelete(); d != nil {
		if m := new(wirev1.MailDelete); openable(d, m) {
			return c // still the owner's word: the spoiled bit was in the frame
		}
	}
	if e := q.GetDeposit(); e != nil {
		if _, a := h.openEnvelope(e, time.Now()); a.Status == wirev1.Status_STATUS_OK {
			return c
		}
	}
	raw := fuzzCall(t, n, h)
	_, _ = raw.ask(q) // whatever it says: the model sees what it did
	raw.end(nil)
	return c
}

func openable(signed []byte, m owned) bool {
	_, err := openOwned(signed, seal.PurposeMailDelete, m)
	return err == nil
}

func fuzzCollect(t *testing.T, o *owner, c *caller, h *Host, kept map[[32]byte]bool) {
	got := map[[32]byte]bool{}
	for _, e := range o.collect(c, h) {
		got[sha256.Sum256(e)] = true
	}
	for id, there := range kept {
		if got[id] != there {
			t.Fatalf("envelope %x: there %v, want %v", id[:4], got[id], there)
		}
		delete(got, id)
	}
	if len(got) > 0 {
		t.Fatalf("%d envelopes that nobody left", len(got))
	}
}

// FuzzEnvelope: what is taken has one form, and its permit is paid.
func FuzzEnvelope(f *testing.F) {
	o := newOwner(f)
	f.Add(o.fromContact(1, 48*time.Hour))
	f.Add(o.fromStranger(f, 1, 6))
	f.Add([]byte(nil))
	h := &Host{stampBits: 4}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, a := h.openEnvelope(b, time.Now())
		if a.Status != wirev1.Status_STATUS_OK {
			if a.Status == wirev1.Status_STATUS_STAMP && a.StampBits == 0 {
				t.Error("a stamp of no bits is asked for")
			}
			return
		}
		e := new(wirev1.OuterEnvelope)
		if err := proto.Unmarshal(b, e); err != nil || !bytes.Equal(encodeEnvelope(e), b) {
			t.Fatalf("taken in another form: %v", err)
		}
		if m.ID != sha256.Sum256(b) || m.Contact == (m.Work >= 4) || !slices.Contains(chat.BlobSizes[:], len(e.Blob)) {
			t.Fatalf("taken: %+v", m)
		}
	})
}

// FuzzOwned: what opens as an owner's word was signed by the key it names.
func FuzzOwned(f *testing.F) {
	o := newOwner(f)
	f.Add(o.deleteBytes([32]byte{1}), true)
	f.Add(o.collectRequest(&Host{device: "h"}, make([]byte, nonceSize), nil).GetCollect(), false)
	f.Add([]byte{10, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, remove bool) {
		var m owned = new(wirev1.MailCollect)
		p := seal.PurposeMailFetch
		if remove {
			m, p = new(wirev1.MailDelete), seal.PurposeMailDelete
		}
		id, err := openOwned(b, p, m)
		if err != nil {
			if !errors.Is(err, chat.ErrInvalid) && !errors.Is(err, chat.ErrTooLarge) {
				t.Errorf("the error of noise is %v", err)
			}
			return
		}
		if _, err := identity.OpenSigned(m.GetMailboxKey(), p, b); err != nil || id != BoxID(m.GetMailboxKey(), [32]byte(m.GetTokenHash())) {
			t.Errorf("opened what its key did not sign: %v", err)
		}
	})
}

// FuzzMailAnswer: a holder that answers anything makes a repair end and moves
// nothing here.
func FuzzMailAnswer(f *testing.F) {
	n := newTown(f)
	h, o := n.host(nil), newOwner(f)
	e := o.fromContact(1, 48*time.Hour)
	id := sha256.Sum256(e)
	if _, a := h.openEnvelope(e, time.Now()); a.Status != wirev1.Status_STATUS_OK {
		f.Fatal(a.Status)
	}
	m, _ := h.openEnvelope(e, time.Now())
	h.keep(f.Context(), []*letter{{GuestMail: m}}, time.Now())
	yes := wirev1.Status_STATUS_OK
	for _, a := range []*wirev1.MailAnswer{
		{Status: yes},
		{Status: yes, Boxes: []*wirev1.MailBoxDigest{{MailboxId: o.id[:]}}, Want: [][]byte{id[:]}, Deletes: [][]byte{newOwner(f).deleteBytes(id)}},
		{Status: wirev1.Status_STATUS_BUSY, RetryAfterMs: 1 << 30},
	} {
		f.Add(encode(a))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := new(wirev1.MailAnswer)
		if wire.Unmarshal(b, a) != nil || a.Status == wirev1.Status_STATUS_BUSY && a.RetryAfterMs < 20_000 {
			return // the wait would be all of the test
		}
		near, far := wire.Pipe("us", "liar")
		r := wire.NewReader(far)
		n.calls.Go(func() {
			for r.ReadFrame(new(wirev1.MailRequest)) == nil && wire.WriteFrame(far, a) == nil {
			}
			_ = far.Reset()
		})
		k := &call{s: near, w: wire.NewWriter(near), r: wire.NewReader(near), stop: func() bool { return true }}
		var out outcome
		err := h.run(t.Context(), k, &errand{
			to: "liar", boxes: []store.GuestBox{{ID: o.id, Print: make([]byte, printSize)}}, audit: id, auditBox: chat.MailboxID{1},
			sleepers: []store.GuestSleeper{{Key: "k", Record: []byte{1}}},
		}, &out)
		k.end(err)
		_ = near.Reset()
		if out.passed || held(t, h, o.id) != 1 {
			t.Fatalf("%+v, %v, %d left", out, err, held(t, h, o.id))
		}
	})
}
