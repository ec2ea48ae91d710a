package dm

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
)

// sealed lets ana write texts for bo without anything leaving, and returns the
// blobs.
func sealed(ana, bo *party, texts ...string) (ids []chat.MessageID, blobs []chat.Sealed) {
	ana.w.t.Helper()
	bo.offline()
	defer bo.back()
	for _, text := range texts {
		ids = append(ids, ana.say(bo, text).ID)
	}
	ana.w.eventually("all messages are sealed", func() bool {
		blobs = ana.waiting(bo)
		return len(blobs) >= len(texts)
	})
	return ids, blobs[len(blobs)-len(texts):]
}

func (p *party) receives(from *party, blobs ...chat.Sealed) []Outcome {
	p.w.t.Helper()
	out, err := p.Receive(context.Background(), from.keys.Device(), blobs)
	p.must(err)
	return out
}

func TestDuplicatesChangeNothing(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		time.Sleep(time.Second)
		ids, blobs := sealed(ana, bo, "one", "two", "three")
		ana.offline()
		for range 3 {
			out := bo.receives(ana, append(slices.Clone(blobs), blobs...)...)
			for i, o := range out {
				if o.Answer != Received || o.Message != ids[i%3] || o.To != ana.keys.Device() {
					t.Fatalf("blob %d: %+v", i, o)
				}
			}
		}
		if got := bo.texts(ana); !slices.Equal(got, []string{"one", "two", "three"}) {
			t.Fatalf("bo has %q", got)
		}
		// Somebody else repeats what they saw on the way.
		cem := w.join("cem")
		if out := bo.receives(cem, blobs[0]); out[0].Answer != Invalid {
			t.Errorf("a blob repeated by another device: %+v", out[0])
		}
	})
}

func TestCorruptLoseReplay(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute) // the answer has crossed: messages are bare
		ids, blobs := sealed(ana, bo, "m0", "m1", "m2", "m3", "m4", "m5")
		ana.offline()
		if out := bo.receives(ana, blobs[0]); out[0].Answer != Received {
			t.Fatalf("first: %+v", out[0])
		}
		bad := slices.Clone(blobs[5])
		bad[len(bad)-1] ^= 1
		before := sendsOnState(bo, ana)
		if out := bo.receives(ana, bad); out[0] != (Outcome{Blob: hashOf(bad), Answer: Invalid}) {
			t.Fatalf("damaged: %+v", out[0])
		}
		if sendsOnState(bo, ana) != before {
			t.Error("a damaged message changed the session")
		}
		if out := bo.receives(ana, blobs[3]); out[0].Answer != Received || out[0].Message != ids[3] {
			t.Fatalf("overtaking: %+v", out[0])
		}
		// Replayed past the seen mark the session itself must refuse it.
		bo.must(bo.db.Write(context.Background(), func(tx *store.Tx) error {
			return tx.MarkSeen(hashOf(blobs[3]), nil, time.Now().Add(-time.Hour))
		}))
		if out := bo.receives(ana, blobs[3]); out[0].Answer != Invalid {
			t.Fatalf("replayed: %+v", out[0])
		}
		// One bad blob in a group takes nothing of the others along.
		out := bo.receives(ana, blobs[1], bad, blobs[2], blobs[4], make(chat.Sealed, 1<<10), blobs[5], blobs[5][:500])
		want := []Answer{Received, Invalid, Received, Received, Invalid, Received, Invalid}
		for i, o := range out {
			if o.Answer != want[i] {
				t.Errorf("blob %d of the group: answer %d, want %d", i, o.Answer, want[i])
			}
		}
		if got := prefixed(bo.texts(ana), "m"); len(got) != 6 || !slices.IsSorted(got) {
			t.Errorf("bo has %q", got)
		}
	})
}

func sendsOnState(p, to *party) (state string) {
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.Sessions(to.keys.Device())
		for _, r := range rows {
			state += string(r.State)
		}
		return err
	}))
	return state
}

func TestStrangersAreHeldToTheRules(t *testing.T) {
	bubble(t, func(w *world) {
		bo := w.join("bo")
		time.Sleep(time.Second)
		refused := func(from *party, text, reason string) {
			t.Helper()
			m := from.say(bo, text)
			from.await(m.ID, chat.Refused)
			if got := from.message(m.ID); got.Reason != reason {
				t.Errorf("%q: refused because of %q, want %q", text, got.Reason, reason)
			}
			if bo.has(m.ID) {
				t.Errorf("%q was refused and is stored", text)
			}
			var proof []byte
			from.must(from.db.Read(context.Background(), func(tx *store.Tx) error {
				ds, err := tx.Deliveries(m.ID)
				for _, d := range ds {
					proof = d.Proof
				}
				return err
			}))
			if len(proof) == 0 {
				t.Errorf("%q: refused without a proof", text)
			}
		}
		ana := w.join("ana")
		refused(ana, strings.Repeat("é", chat.MaxRequestRunes+1), "request_too_long")
		refused(ana, "buy at https://example.test/now", "request_links")
		if n := contactsOf(bo); n != 0 {
			t.Fatalf("refused first words left %d contacts", n)
		}
		var ids []chat.MessageID
		for i := range chat.MaxRequestMessages {
			ids = append(ids, ana.say(bo, fmt.Sprint("please ", i)).ID)
			ana.await(ids[i], chat.Delivered)
		}
		refused(ana, "one more", "requests_full")
		if _, err := ana.Send(context.Background(), Draft{To: bo.account(), Kind: chat.KindReaction, Text: "👋", Target: ids[0]}); err != nil {
			t.Fatal(err)
		}
		// An answer makes a contact of the stranger.
		bo.await(bo.say(ana, "yes?").ID, chat.Delivered)
		long := ana.say(bo, strings.Repeat("now I may ", 100)+"https://example.test/")
		ana.await(long.ID, chat.Delivered)

		for i := range chat.MaxRequests {
			p := w.join(fmt.Sprint("stranger", i))
			p.await(p.say(bo, "hello").ID, chat.Delivered)
		}
		late := w.join("late")
		refused(late, "hello", "requests_full")
	})
}

// TestOldTalkDoesNotRaiseTheLimit: who was a contact once has no more room for
// first words than others, however much we wrote and whatever time they claim.
func TestOldTalkDoesNotRaiseTheLimit(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.contact(bo)
		time.Sleep(time.Second)
		for i := range chat.MaxRequestMessages + 3 {
			bo.await(bo.say(ana, fmt.Sprint("long ago ", i)).ID, chat.Delivered)
		}
		ctx := context.Background()
		bo.must(bo.db.Write(ctx, func(tx *store.Tx) error { return tx.DeleteContact(ana.account()) }))
		time.Sleep(time.Hour)
		for i := range chat.MaxRequestMessages {
			ana.await(ana.say(bo, fmt.Sprint("hello again ", i)).ID, chat.Delivered)
		}
		more := ana.say(bo, "and more")
		ana.await(more.ID, chat.Refused)
		if got := ana.message(more.ID).Reason; got != "requests_full" || bo.has(more.ID) {
			t.Errorf("over the limit: %q, stored %v", got, bo.has(more.ID))
		}
		// A text from before all others counts as well.
		early := &chat.Message{
			Conversation: chat.PrivateConversation(ana.account()), Author: ana.account(), Device: ana.keys.Device(),
			Number: 1, Time: 1, Kind: chat.KindText, Text: "backdated", Content: []byte("backdated"), ID: chat.NewMessageID([]byte("backdated")),
		}
		bo.must(bo.db.Write(ctx, func(tx *store.Tx) error {
			if _, err := tx.AddMessage(early); err != nil {
				return err
			}
			n, err := (&group{tx: tx}).requestsOf(&person{account: ana.account()}, chat.MessageID{1})
			if n != chat.MaxRequestMessages+1 {
				t.Errorf("%d texts count", n)
			}
			return err
		}))
	})
}

func contactsOf(p *party) (n int) {
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		list, err := tx.Contacts()
		n = len(list)
		return err
	}))
	return n
}

func TestRequestIsAcceptedOrDeclined(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo, cem := w.join("ana"), w.join("bo"), w.join("cem")
		ana.await(ana.say(bo, "may I?").ID, chat.Delivered)
		cem.await(cem.say(bo, "and me?").ID, chat.Delivered)
		ctx := context.Background()
		bo.must(bo.Accept(ctx, ana.account()))
		bo.must(bo.Decline(ctx, cem.account()))
		if bo.Decline(ctx, cem.account()) == nil || bo.Decline(ctx, ana.account()) == nil {
			t.Error("declining what is no request worked")
		}
		bo.must(bo.db.Read(ctx, func(tx *store.Tx) error {
			c, err := tx.Contact(ana.account())
			if c.State != store.ContactAdded {
				t.Errorf("ana is %d after being accepted", c.State)
			}
			return err
		}))
		if got := bo.texts(cem); len(got) != 1 {
			t.Errorf("after declining bo has %q of cem", got)
		}
	})
}

func TestBlockedAuthorHearsNothing(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		bo.must(bo.guard.Block(context.Background(), ana.account()))
		m := ana.say(bo, "are you there?")
		time.Sleep(time.Hour)
		if got := ana.message(m.ID); got.Delivery != chat.Queued || bo.has(m.ID) {
			t.Errorf("to a blocker the message is %s, stored there: %v", got.Delivery, bo.has(m.ID))
		}
		before := sendsOnState(bo, ana)
		for _, blob := range ana.waiting(bo) {
			if out := bo.receives(ana, blob); out[0].Answer != Silence || out[0].Message != (chat.MessageID{}) {
				t.Errorf("a blocked author's blob: %+v", out[0])
			}
		}
		if len(bo.answers(ana.keys.Device(), []Outcome{{Answer: Silence}}, time.Now())) != 0 {
			t.Error("silence is answered")
		}
		if sendsOnState(bo, ana) != before {
			t.Error("a blocked author's blob changed a session")
		}
		bo.must(bo.guard.Unblock(context.Background(), ana.account()))
		ana.await(m.ID, chat.Delivered)
	})
}

// TestBlockIsSilentOnAnOpenStream: the block falls while a stream stands.
func TestBlockIsSilentOnAnOpenStream(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		bo.must(bo.guard.Block(context.Background(), ana.account()))
		m := ana.say(bo, "and now?")
		time.Sleep(2 * owedAfter)
		if got := ana.message(m.ID); got.Delivery != chat.Queued || got.Reason != waitNoReceipt {
			t.Errorf("written to a silent stream the message is %s (%s)", got.Delivery, got.Reason)
		}
		time.Sleep(time.Hour)
		if got := ana.message(m.ID); got.Delivery != chat.Queued || got.Reason != waitUnreachable || bo.has(m.ID) {
			t.Errorf("after an hour the message is %s (%s)", got.Delivery, got.Reason)
		}
	})
}

func TestCoolingCountsDown(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.must(bo.Accept(context.Background(), ana.account())) // a contact, not trusted
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		var last *chat.Message
		const n = chat.DMBurst + 60
		for i := range n {
			last = ana.say(bo, fmt.Sprintf("m%04d", i))
		}
		begun := time.Now()
		cooled, reason := false, false
		for ana.message(last.ID).Delivery != chat.Delivered {
			if until, ok := ana.Cooling().Load()[bo.account()]; ok {
				cooled = true
				if until.Before(time.Now().Add(-time.Second)) {
					t.Fatalf("the countdown ended at %s and still stands", until)
				}
			}
			m := ana.message(last.ID)
			reason = reason || m.Reason == waitCooling
			if time.Since(begun) > time.Minute {
				t.Fatalf("after a minute the last message is %s", m.Delivery)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !cooled || !reason {
			t.Errorf("countdown shown: %v, as a reason: %v", cooled, reason)
		}
		if took := time.Since(begun); took < 4*time.Second {
			t.Errorf("%d messages over the burst took %s: nothing cooled", n-chat.DMBurst, took)
		}
		time.Sleep(time.Second)
		if left := ana.Cooling().Load(); len(left) != 0 {
			t.Errorf("countdown left over: %v", left)
		}
		if got := prefixed(bo.texts(ana), "m"); len(got) != n || !slices.IsSorted(got) {
			t.Errorf("bo has %d of %d, in order: %v", len(got), n, slices.IsSorted(got))
		}
	})
}

func TestForgedReceiptsProveNothing(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo, eve := w.join("ana"), w.join("bo"), w.join("eve")
		bo.knows(ana)
		eve.knows(ana)
		ana.await(ana.say(eve, "hello").ID, chat.Delivered)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		bo.offline()
		m := ana.say(bo, "still on its way")
		ids := []chat.MessageID{m.ID}
		now := time.Now()
		good := bo.signs(ana, m.ID)
		flipped := slices.Clone(good)
		flipped[len(flipped)-1] ^= 1
		payload, err := identity.OpenSigned(keyOf(t, bo), seal.PurposeReceipt, good)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			signed []byte
			from   *party
		}{
			"of a stranger to the message": {eve.signs(ana, m.ID), eve},
			"in another's name":            {eve.signs(ana, m.ID), bo},
			"repeated by another":          {good, eve},
			"for another device":           {bo.signReceipt(ids, eve.keys.Device(), wirev1.Receipt_OUTCOME_DELIVERED, 0, now), bo},
			"with a flipped bit":           {flipped, bo},
			"of another purpose":           {identity.SignedBytes(bo.keys.DeviceKey(), seal.PurposeMailReceipt, payload), bo},
			"of no outcome":                {bo.signReceipt(ids, ana.keys.Device(), 0, 0, now), bo},
			"without ids":                  {bo.signReceipt(nil, ana.keys.Device(), wirev1.Receipt_OUTCOME_DELIVERED, 0, now), bo},
			"garbage":                      {[]byte("receipt"), bo},
		} {
			ana.applies(c.signed, c.from)
			if got := ana.message(m.ID).Delivery; got != chat.Queued {
				t.Errorf("a receipt %s made the message %s", name, got)
			}
			if n := len(ana.waiting(bo)); n != 1 {
				t.Errorf("a receipt %s left %d rows for bo", name, n)
			}
		}
		ana.applies(good, bo)
		if got := ana.message(m.ID).Delivery; got != chat.Delivered {
			t.Errorf("the true receipt made the message %s", got)
		}
		ana.applies(bo.signReceipt(ids, ana.keys.Device(), wirev1.Receipt_OUTCOME_REFUSED, 0, now), bo)
		if got := ana.message(m.ID).Delivery; got != chat.Delivered {
			t.Errorf("a refusal after the receipt made the message %s", got)
		}
	})
}

func keyOf(t testing.TB, p *party) ed25519.PublicKey {
	t.Helper()
	_, key, err := identity.ParseDeviceID(string(p.keys.Device()))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestBrokenSessionIsMadeAnew(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		forget := func() {
			bo.must(bo.db.Write(context.Background(), func(tx *store.Tx) error {
				rows, err := tx.Sessions(ana.keys.Device())
				for _, r := range rows {
					if err := tx.DeleteSession(r.ID); err != nil {
						return err
					}
				}
				return err
			}))
		}
		ana.await(ana.say(bo, "one").ID, chat.Delivered)
		bo.await(bo.say(ana, "two").ID, chat.Delivered)
		time.Sleep(time.Minute)
		old := sendsOn(ana, bo)
		forget()
		m := ana.say(bo, "three")
		ana.awaitWithin(m.ID, chat.Delivered, 10*time.Second)
		if sendsOn(ana, bo) == old {
			t.Error("ana still sends on the broken session")
		}
		bo.await(bo.say(ana, "four").ID, chat.Delivered)
		time.Sleep(time.Minute)
		forget() // again, within the hour
		m = ana.say(bo, "five")
		begun := time.Now()
		ana.awaitWithin(m.ID, chat.Delivered, 2*time.Hour)
		if took := time.Since(begun); took < 50*time.Minute {
			t.Errorf("a second set-up followed after %s, at most hourly is allowed", took)
		}
		if got := bo.texts(ana); !slices.Equal(got, []string{"one", "two", "three", "four", "five"}) {
			t.Errorf("bo has %q", got)
		}
	})
}

func TestMailFindsItsSession(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		time.Sleep(time.Second)
		first, blobs := sealed(ana, bo, "by mail")
		ana.offline()
		out, err := bo.Receive(context.Background(), "", blobs)
		bo.must(err)
		if out[0].Answer != Received || out[0].Message != first[0] || out[0].To != ana.keys.Device() {
			t.Fatalf("first contact by mail: %+v", out[0])
		}
		ana.back()
		bo.Nudge(ana.keys.Device())
		ana.await(first[0], chat.Delivered) // the receipt came inside the session
		time.Sleep(time.Minute)
		second, blobs := sealed(ana, bo, "bare, by mail")
		ana.offline()
		out, err = bo.Receive(context.Background(), "", append(blobs, make(chat.Sealed, 4<<10)))
		bo.must(err)
		if out[0].Answer != Received || out[0].Message != second[0] || out[1].Answer != Invalid {
			t.Fatalf("by mail: %+v", out)
		}
	})
}
