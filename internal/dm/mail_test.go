package dm

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
)

// office stands for a region of holders, the weather of these tests.
type office struct {
	holders int  // who sign
	few     bool // their receipts are not enough

	mu       sync.Mutex
	boxes    map[chat.MailboxID][]chat.Sealed
	deposits []chat.Parcel
}

func newOffice() *office { return &office{holders: 12, boxes: map[chat.MailboxID][]chat.Sealed{}} }

func (o *office) Deposit(_ context.Context, parcels []chat.Parcel, told func([]chat.Kept)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holders == 0 {
		return chat.ErrUnreachable
	}
	kept := make([]chat.Kept, len(parcels))
	for i, p := range parcels {
		if p.Box.ID != parcels[0].Box.ID {
			return fmt.Errorf("%w: a batch for two mailboxes", chat.ErrInvalid)
		}
		if box := o.boxes[p.Box.ID]; !slices.ContainsFunc(box, func(b chat.Sealed) bool { return slices.Equal(b, p.Blob) }) {
			o.boxes[p.Box.ID] = append(box, p.Blob)
		}
		o.deposits = append(o.deposits, p)
		kept[i] = chat.Kept{Stamp: []byte("stamp"), Again: chat.ReputEvery, Held: !o.few}
		for h := range o.holders {
			kept[i].Receipts = append(kept[i].Receipts, storageReceipt(h, p))
		}
	}
	half := slices.Clone(kept)
	for i := range half {
		half[i].Held, half[i].Receipts = false, half[i].Receipts[:1]
	}
	told(half)
	told(kept)
	return nil
}

func storageReceipt(holder int, p chat.Parcel) []byte {
	seed := sha256.Sum256([]byte{byte(holder)})
	key := ed25519.NewKeyFromSeed(seed[:])
	hash := sha256.Sum256(p.Blob)
	return identity.SignedBytes(key, seal.PurposeMailReceipt, encode(&wirev1.MailReceipt{
		Version: 1, MailboxId: p.Box.ID[:], EnvelopeHash: hash[:], Expires: p.Expires.Unix(), HolderKey: key.Public().(ed25519.PublicKey),
	}))
}

// collect gives p the mail in all its boxes, some of it twice. What was taken
// is deleted.
func (o *office) collect(p *party) (outcomes []Outcome) {
	p.w.t.Helper()
	for _, box := range p.keys.Mailboxes() {
		o.mu.Lock()
		mail := slices.Clone(o.boxes[box.ID])
		delete(o.boxes, box.ID)
		o.mu.Unlock()
		for some := range slices.Chunk(append(mail, mail...), groupSize) {
			got, err := p.Receive(context.Background(), "", some)
			p.must(err)
			outcomes = append(outcomes, got...)
		}
	}
	return outcomes
}

func (o *office) sent() []chat.Parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.deposits)
}

// mailBubble is a story with an office.
func mailBubble(t *testing.T, story func(w *world)) {
	bubble(t, func(w *world) {
		w.mail = newOffice()
		story(w)
	})
}

func TestMailBetweenTwoWhoNeverMeet(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute) // answers cross
		bo.kill()
		m := ana.say(bo, "see you at nine")
		ana.awaitWithin(m.ID, chat.Held, 10*time.Second)
		d := ana.deliveryTo(m.ID, bo)
		if got := Keepers(d.Proof); len(got) != w.mail.holders {
			t.Errorf("%d keepers in the proof", len(got))
		}
		for _, p := range w.mail.sent() {
			if len(p.Box.Token) == 0 {
				t.Error("a contact pays with a stamp")
			}
		}
		ana.kill()
		time.Sleep(24 * time.Hour)
		bo.start()
		w.mail.collect(bo)
		if got := bo.texts(ana); !slices.Equal(got, []string{"hello", "see you at nine"}) {
			t.Fatalf("bo reads %q", got)
		}
		time.Sleep(time.Minute) // his receipt goes by mail
		bo.kill()
		ana.start()
		w.mail.collect(ana)
		if got := ana.message(m.ID); got.Delivery != chat.Delivered {
			t.Errorf("after the receipt came by mail the message is %s", got.Delivery)
		}
		ana.must(ana.db.Read(context.Background(), func(tx *store.Tx) error {
			left, err := tx.Deposits(10)
			if len(left) != 0 {
				t.Errorf("deposits of a delivered message are kept: %d", len(left))
			}
			return err
		}))
	})
}

// deliveryTo is how far a message of p came to somebody's device.
func (p *party) deliveryTo(id chat.MessageID, to *party) (out store.DeviceDelivery) {
	p.w.t.Helper()
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		all, err := tx.Deliveries(id)
		for _, d := range all {
			if d.Device == to.keys.Device() {
				out = d
			}
		}
		return err
	}))
	return out
}

func TestStrangerWritesToSomebodyAsleep(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		time.Sleep(time.Second) // records are out
		bo.kill()
		m := ana.say(bo, "we met at the fair")
		ana.awaitWithin(m.ID, chat.Held, 10*time.Second)
		if p := w.mail.sent()[0]; len(p.Box.Token) != 0 || p.Box.ID == (chat.MailboxID{}) {
			t.Errorf("a stranger's parcel goes to %+v", p.Box)
		}
		ana.kill()
		bo.start()
		w.mail.collect(bo)
		if got := bo.texts(ana); !slices.Equal(got, []string{"we met at the fair"}) {
			t.Fatalf("bo reads %q", got)
		}
		// His answer needs no look-up: she left a ticket.
		w.mu.Lock()
		w.records = map[string][]byte{}
		w.mu.Unlock()
		before := len(w.mail.sent())
		answer := bo.say(ana, "I remember")
		bo.awaitWithin(answer.ID, chat.Held, 20*time.Second)
		for _, p := range w.mail.sent()[before:] {
			if len(p.Box.Token) == 0 {
				t.Error("the answer has no token")
			}
		}
		bo.kill()
		ana.start()
		w.mail.collect(ana)
		if got := ana.texts(bo); !slices.Equal(got, []string{"we met at the fair", "I remember"}) {
			t.Errorf("ana reads %q", got)
		}
		if got := ana.message(m.ID).Delivery; got != chat.Delivered {
			t.Errorf("her message is %s", got)
		}
		// Nor does her next one pay: his tickets came beside his answer.
		before = len(w.mail.sent())
		ana.awaitWithin(ana.say(bo, "see you there").ID, chat.Held, 20*time.Second)
		for _, p := range w.mail.sent()[before:] {
			if p.Box.ID == bo.keys.Mailboxes()[0].ID && len(p.Box.Token) == 0 {
				t.Error("after his answer she still pays with a stamp")
			}
		}
	})
}

func TestStrangersGetNoTickets(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.await(ana.say(bo, "hello?").ID, chat.Delivered)
		time.Sleep(time.Minute)
		tickets := func(of, has *party) (n int) {
			has.must(has.db.Read(context.Background(), func(tx *store.Tx) error {
				list, err := ticketsOf(tx, of.keys.Device())
				n = len(list)
				return err
			}))
			return n
		}
		if n := tickets(bo, ana); n != 0 {
			t.Errorf("a stranger has %d tickets", n)
		}
		bo.await(bo.say(ana, "yes").ID, chat.Delivered)
		ana.await(ana.say(bo, "good").ID, chat.Delivered)
		time.Sleep(time.Minute)
		for _, p := range [][2]*party{{ana, bo}, {bo, ana}} {
			if n := tickets(p[0], p[1]); n != 1+chat.MailboxesAhead {
				t.Errorf("%s has %d tickets of %s", p[1].name, n, p[0].name)
			}
		}
	})
}

// TestMailWaitsItsWholeLife: it is left with others again until it expires, the
// same bytes each time, and to the mailbox of the day.
func TestMailWaitsItsWholeLife(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		bo.kill()
		m := ana.say(bo, "too late?")
		ana.awaitWithin(m.ID, chat.Held, 10*time.Second)
		time.Sleep(chat.MessageLife + 2*expireEvery)
		if got := ana.message(m.ID).Delivery; got != chat.Expired {
			t.Fatalf("after its life it is %s", got)
		}
		all := w.mail.sent()
		if n := len(all); n < 26 || n > 32 {
			t.Errorf("left with others %d times in 14 days", n)
		}
		boxes := map[chat.MailboxID]bool{}
		for _, p := range all {
			boxes[p.Box.ID] = true
			if !slices.Equal(p.Blob, all[0].Blob) || !p.Expires.Equal(all[0].Expires) || !p.Created.Equal(all[0].Created) {
				t.Fatal("a deposit again has other bytes or another end")
			}
		}
		if n := len(boxes); n < 2 || n > 3 {
			t.Errorf("%d mailboxes in 14 days", n)
		}
	})
}

func TestTooFewHoldersIsOnlySent(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		time.Sleep(time.Second)
		bo.kill()
		w.mail.few = true
		m := ana.say(bo, "hello")
		ana.awaitWithin(m.ID, chat.Sent, 10*time.Second)
		time.Sleep(time.Hour)
		if got := ana.message(m.ID).Delivery; got != chat.Sent {
			t.Errorf("with too few receipts it is %s", got)
		}
		w.mail.mu.Lock()
		w.mail.few = false
		w.mail.mu.Unlock()
		ana.awaitWithin(m.ID, chat.Held, chat.ReputEvery+time.Hour)
	})
}

func TestNobodyToKeepIt(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		time.Sleep(time.Second)
		bo.kill()
		w.mail.holders = 0
		m := ana.say(bo, "hello")
		time.Sleep(time.Hour)
		if got := ana.message(m.ID); got.Delivery != chat.Queued || got.Reason != waitUnreachable {
			t.Errorf("nobody keeps it and it is %s (%s)", got.Delivery, got.Reason)
		}
		bo.start() // the live way was never given up
		ana.awaitWithin(m.ID, chat.Delivered, 2*lastRetry)
	})
}

// TestLostReceiptIsSentAgain: the sender leaves its mail with others until the
// receipt comes.
func TestLostReceiptIsSentAgain(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		bo.offline()
		ana.offline() // mail is all they have
		m := ana.say(bo, "are you there?")
		ana.awaitWithin(m.ID, chat.Held, 10*time.Second)
		w.mail.collect(bo)
		time.Sleep(time.Minute)
		w.mail.mu.Lock()
		for _, box := range ana.keys.Mailboxes() { // all who kept the receipt are gone
			delete(w.mail.boxes, box.ID)
		}
		before := len(w.mail.deposits)
		w.mail.mu.Unlock()
		w.mail.collect(bo)
		w.mail.collect(bo)
		time.Sleep(time.Minute)
		if n := len(w.mail.sent()) - before; n != 0 {
			t.Errorf("%d receipts for copies of the same hour", n)
		}
		time.Sleep(chat.ReputEvery + time.Hour)
		w.mail.collect(bo)
		time.Sleep(time.Minute)
		w.mail.collect(ana)
		if got := ana.message(m.ID).Delivery; got != chat.Delivered {
			t.Errorf("the message is %s", got)
		}
		if n := len(bo.texts(ana)); n != 2 {
			t.Errorf("bo has %d texts", n)
		}
	})
}

// TestMuchMailGoesInBatches: more than fit one batch, for somebody asleep.
func TestMuchMailGoesInBatches(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		bo.kill()
		var want []string
		var last *chat.Message
		for i := range 300 {
			want = append(want, fmt.Sprintf("m%03d", i))
			last = ana.say(bo, want[i])
		}
		ana.awaitWithin(last.ID, chat.Held, time.Minute)
		ana.kill()
		bo.start()
		for _, o := range w.mail.collect(bo) {
			if o.Answer != Received {
				t.Fatalf("outcome %+v", o)
			}
		}
		if got := prefixed(bo.texts(ana), "m"); !slices.Equal(got, want) {
			t.Errorf("bo has %d texts: %s", len(got), strings.Join(got, " "))
		}
	})
}

// TestBlockedSenderLearnsNothing: to them it is a device that is away.
func TestBlockedSenderLearnsNothing(t *testing.T) {
	mailBubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		bo.must(bo.guard.Block(context.Background(), ana.account()))
		w.cut()
		m := ana.say(bo, "please")
		ana.awaitWithin(m.ID, chat.Held, time.Minute)
		w.mail.collect(bo)
		time.Sleep(time.Minute)
		if got := bo.texts(ana); len(got) != 1 {
			t.Errorf("bo reads %q of somebody blocked", got)
		}
		if got := ana.message(m.ID).Delivery; got != chat.Held {
			t.Errorf("the message is %s", got)
		}
	})
}
