package dm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

func TestOrderIsKeptBothWays(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		var sent, back []string
		var last, lastBack *chat.Message
		for i := range 300 {
			sent = append(sent, fmt.Sprintf("a%03d", i))
			last = ana.say(bo, sent[i])
			if i%3 == 0 {
				back = append(back, fmt.Sprintf("b%03d", i))
				lastBack = bo.say(ana, back[len(back)-1])
			}
			if i%50 == 0 {
				time.Sleep(time.Second)
			}
		}
		ana.await(last.ID, chat.Delivered)
		bo.await(lastBack.ID, chat.Delivered)
		for _, p := range []*party{ana, bo} {
			o := map[*party]*party{ana: bo, bo: ana}[p]
			all := p.texts(o)
			if got := prefixed(all, "a"); !slices.Equal(got, sent) {
				t.Errorf("%s reads ana's %d messages as %d: %v", p.name, len(sent), len(got), got)
			}
			if got := prefixed(all, "b"); !slices.Equal(got, back) {
				t.Errorf("%s reads bo's %d messages as %d: %v", p.name, len(back), len(got), got)
			}
		}
	})
}

func prefixed(all []string, prefix string) (out []string) {
	for _, s := range all {
		if strings.HasPrefix(s, prefix) {
			out = append(out, s)
		}
	}
	return out
}

func TestThreePeopleTalkApart(t *testing.T) {
	bubble(t, func(w *world) {
		people := []*party{w.join("ana"), w.join("bo"), w.join("cem")}
		type sent struct {
			by *party
			id chat.MessageID
		}
		var all []sent
		for _, p := range people {
			for _, o := range people {
				if p != o {
					p.knows(o)
				}
			}
		}
		for i := range 20 {
			for _, p := range people {
				for _, o := range people {
					if p != o {
						all = append(all, sent{p, p.say(o, fmt.Sprintf("%s to %s %d", p.name, o.name, i)).ID})
					}
				}
			}
		}
		for _, s := range all {
			s.by.await(s.id, chat.Delivered)
		}
		for _, p := range people {
			for _, o := range people {
				if p == o {
					continue
				}
				got := prefixed(p.texts(o), o.name+" to "+p.name)
				if len(got) != 20 || len(p.texts(o)) != 40 {
					t.Errorf("%s has %d texts of %s in a conversation of %d", p.name, len(got), o.name, len(p.texts(o)))
				}
			}
		}
	})
}

func TestOfflineRecipientGetsItLater(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		time.Sleep(time.Second) // records are out
		bo.kill()
		m := ana.say(bo, "see you at nine")
		time.Sleep(time.Minute)
		if got := ana.message(m.ID); got.Delivery != chat.Queued || got.Reason != waitUnreachable {
			t.Fatalf("to a sleeping device the message is %s (%s)", got.Delivery, got.Reason)
		}
		ana.kill()
		time.Sleep(time.Hour)
		ana.start()
		bo.start()
		ana.await(m.ID, chat.Delivered)
		if got := bo.texts(ana); !slices.Equal(got, []string{"see you at nine"}) {
			t.Fatalf("bo has %q", got)
		}
	})
}

func TestUnknownAccountWaits(t *testing.T) {
	bubble(t, func(w *world) {
		ana := w.join("ana")
		bo := w.join("bo")
		time.Sleep(time.Second)
		w.mu.Lock()
		records := w.records
		w.records = map[string][]byte{}
		w.mu.Unlock()
		m := ana.say(bo, "is anybody there?")
		time.Sleep(time.Minute)
		if got := ana.message(m.ID); got.Delivery != chat.Queued || got.Reason != waitNoRecord {
			t.Fatalf("without a record the message is %s (%s)", got.Delivery, got.Reason)
		}
		trace, err := ana.Why(context.Background(), m.ID)
		ana.must(err)
		if len(trace.Devices) != 1 || trace.Devices[0].Reason != waitNoRecord || trace.Devices[0].NextTry.IsZero() {
			t.Fatalf("why: %+v", trace)
		}
		w.mu.Lock()
		w.records = records
		w.mu.Unlock()
		ana.await(m.ID, chat.Delivered)
	})
}

func TestNudgeEndsABackoff(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		time.Sleep(time.Second)
		bo.offline()
		m := ana.say(bo, "hello")
		time.Sleep(2 * time.Hour) // the backoff is at its longest
		bo.back()
		ana.Nudge(bo.keys.Device())
		ana.awaitWithin(m.ID, chat.Delivered, 2*time.Second)
	})
}

func TestSimultaneousFirstContact(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		time.Sleep(time.Second)
		w.delay = 100 * time.Millisecond // both have made a session before either arrives
		a, b := ana.say(bo, "me first"), bo.say(ana, "no, me")
		ana.await(a.ID, chat.Delivered)
		bo.await(b.ID, chat.Delivered)
		for i := range 10 {
			a, b = ana.say(bo, fmt.Sprint("a", i)), bo.say(ana, fmt.Sprint("b", i))
			time.Sleep(time.Second)
		}
		ana.await(a.ID, chat.Delivered)
		bo.await(b.ID, chat.Delivered)
		if ours, theirs := sendsOn(ana, bo), sendsOn(bo, ana); ours != theirs {
			t.Errorf("ana sends on session %x, bo on %x", ours, theirs)
		}
		for _, p := range []*party{ana, bo} {
			if n := len(p.texts(map[*party]*party{ana: bo, bo: ana}[p])); n != 22 {
				t.Errorf("%s has %d texts, want 22", p.name, n)
			}
		}
	})
}

func sendsOn(p, to *party) (id string) {
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		list, err := sessionsOf(tx, to.keys.Device())
		if r := choose(list); r != nil {
			id = string(r.row.ID)
		}
		return err
	}))
	return id
}

func TestFirstContactEndsWithTheAnswer(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(5 * time.Second) // bo's Answer crosses
		ana.must(ana.db.Read(context.Background(), func(tx *store.Tx) error {
			list, err := sessionsOf(tx, bo.keys.Device())
			if err != nil {
				return err
			}
			if len(list) != 1 || !list[0].row.Answered || len(list[0].about.sealing) > 0 {
				t.Errorf("ana's sessions after the answer: %d, answered %v", len(list), list[0].row.Answered)
			}
			if _, first := list[0].state.Setup(); first {
				t.Error("the handshake is still repeated")
			}
			return nil
		}))
		for _, p := range []*party{ana, bo} {
			p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
				left, err := tx.OutboxDevices()
				if len(left) != 0 {
					t.Errorf("%s still has %+v in the outbox", p.name, left)
				}
				return err
			}))
		}
	})
}

func TestMessagesFarAheadOfReceiptsAllArrive(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		bo.offline()
		const n = chat.SenderLead + 200
		var last *chat.Message
		for i := range n {
			last = ana.say(bo, fmt.Sprintf("m%04d", i))
		}
		unsealed := 0
		ana.must(ana.db.Read(context.Background(), func(tx *store.Tx) error {
			rows, err := tx.Outbox(bo.keys.Device(), 2*n)
			for _, row := range rows {
				if row.Blob == nil {
					unsealed++
				}
			}
			return err
		}))
		if unsealed < 200 {
			t.Errorf("%d of %d messages wait unsealed, want at least 200 beyond the lead", unsealed, n)
		}
		bo.back()
		ana.await(last.ID, chat.Delivered)
		if got := prefixed(bo.texts(ana), "m"); len(got) != n || !slices.IsSorted(got) {
			t.Errorf("bo has %d texts, in order: %v", len(got), slices.IsSorted(got))
		}
	})
}

func TestExpiredAndProvenLater(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		bo.offline()
		m := ana.say(bo, "too late?")
		if _, err := ana.Resend(context.Background(), m.ID); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("sending a queued message again: %v", err)
		}
		rows := ana.waiting(bo)
		time.Sleep(chat.MessageLife + 2*expireEvery)
		if got := ana.message(m.ID); got.Delivery != chat.Expired {
			t.Fatalf("after its life the message is %s", got.Delivery)
		}
		again, err := ana.Resend(context.Background(), m.ID)
		ana.must(err)
		if again.ID == m.ID || again.Text != m.Text {
			t.Errorf("sent again as %+v", again)
		}
		// A copy that was under way arrives after all: the proof wins.
		out, err := bo.Receive(context.Background(), ana.keys.Device(), rows)
		bo.must(err)
		if out[0].Answer != Received || out[0].Message != m.ID {
			t.Fatalf("late copy: %+v", out[0])
		}
		ana.applies(bo.signs(ana, m.ID), bo)
		if got := ana.message(m.ID); got.Delivery != chat.Delivered {
			t.Errorf("after the receipt the message is %s", got.Delivery)
		}
	})
}

// waiting is the sealed blobs for somebody in p's outbox, oldest first.
func (p *party) waiting(to *party) (blobs []chat.Sealed) {
	p.w.t.Helper()
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.Outbox(to.keys.Device(), 1000)
		for _, row := range rows {
			if row.Blob == nil {
				continue
			}
			_, blob, err := splitNumber(row.Blob)
			if err != nil {
				return err
			}
			blobs = append(blobs, blob)
		}
		return err
	}))
	return blobs
}

func TestReadReceiptsAreOptInOnBothSides(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		on := func(p *party) {
			p.must(p.db.Write(context.Background(), func(tx *store.Tx) error {
				return tx.SetSetting(chat.SettingReadReceipts, chat.SettingOn)
			}))
		}
		read := func(m *chat.Message) {
			ana.await(m.ID, chat.Delivered)
			bo.must(bo.MarkRead(context.Background(), chat.PrivateConversation(ana.account()), m.ID))
			time.Sleep(10 * time.Second)
		}
		m := ana.say(bo, "one")
		read(m)
		if got := ana.message(m.ID).Delivery; got != chat.Delivered {
			t.Errorf("nobody opted in, message is %s", got)
		}
		on(bo)
		m = ana.say(bo, "two")
		read(m)
		if got := ana.message(m.ID).Delivery; got != chat.Delivered {
			t.Errorf("ana did not opt in, message is %s", got)
		}
		on(ana)
		m = ana.say(bo, "three")
		read(m) // through the outbox: bo has no open stream
		if got := ana.message(m.ID).Delivery; got != chat.Read {
			t.Errorf("both opted in, message is %s", got)
		}
		m = ana.say(bo, "four")
		bo.await(bo.say(ana, "a stream of bo's own").ID, chat.Delivered)
		if !bo.streaming(ana.keys.Device()) {
			t.Fatal("bo's stream is not kept open")
		}
		read(m)
		if got := ana.message(m.ID).Delivery; got != chat.Read {
			t.Errorf("over the open stream the message is %s", got)
		}
	})
}

func TestSendRefuses(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo, cem := w.join("ana"), w.join("bo"), w.join("cem")
		bo.knows(ana)
		m := ana.say(bo, "hello")
		ana.await(m.ID, chat.Delivered)
		theirs := bo.say(ana, "hi")
		bo.await(theirs.ID, chat.Delivered)
		for _, c := range []struct {
			name string
			d    Draft
			want error
		}{
			{"empty", Draft{To: bo.account(), Text: "  \n"}, chat.ErrInvalid},
			{"too long", Draft{To: bo.account(), Text: chat.Body(strings.Repeat("x", chat.MaxText+1))}, chat.ErrTooLarge},
			{"not UTF-8", Draft{To: bo.account(), Text: "\xff"}, chat.ErrInvalid},
			{"typo in id", Draft{To: "12D3KooWrong", Text: "x"}, chat.ErrInvalid},
			{"to oneself", Draft{To: ana.account(), Text: "x"}, chat.ErrInvalid},
			{"unknown kind", Draft{To: bo.account(), Kind: 9, Text: "x"}, chat.ErrInvalid},
			{"edit of nothing", Draft{To: bo.account(), Kind: chat.KindEdit, Text: "x"}, chat.ErrInvalid},
			{"edit of somebody's", Draft{To: bo.account(), Kind: chat.KindEdit, Text: "x", Target: theirs.ID}, chat.ErrInvalid},
			{"delete of somebody's", Draft{To: bo.account(), Kind: chat.KindDelete, Target: theirs.ID}, chat.ErrInvalid},
			{"reply to nothing", Draft{To: bo.account(), Text: "x", Target: chat.MessageID{1}}, chat.ErrNotFound},
			{"reply elsewhere", Draft{To: cem.account(), Text: "x", Target: m.ID}, chat.ErrNotFound},
			{"long reaction", Draft{To: bo.account(), Kind: chat.KindReaction, Text: chat.Body(strings.Repeat("x", chat.MaxReaction+1)), Target: m.ID}, chat.ErrTooLarge},
		} {
			if _, err := ana.Send(context.Background(), c.d); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
		if err := ana.guard.Block(context.Background(), bo.account()); err != nil {
			t.Fatal(err)
		}
		if _, err := ana.Send(context.Background(), Draft{To: bo.account(), Text: "x"}); !errors.Is(err, chat.ErrBlocked) {
			t.Errorf("to somebody we block: %v", err)
		}
	})
}

// TestManyRecipients: more devices than workers, whose idle streams must make
// room for those that wait.
func TestManyRecipients(t *testing.T) {
	bubble(t, func(w *world) {
		ana := w.join("ana")
		var people []*party
		for i := range maxWorkers + 6 {
			p := w.join(fmt.Sprint("p", i))
			p.knows(ana)
			people = append(people, p)
		}
		time.Sleep(time.Second)
		var ids []chat.MessageID
		for _, p := range people {
			ids = append(ids, ana.say(p, "hello, all").ID)
		}
		for _, id := range ids {
			ana.awaitWithin(id, chat.Delivered, keepOpen/2)
		}
	})
}

// TestReadReceiptSurvivesItsStream: the stream to which it was handed breaks.
func TestReadReceiptSurvivesItsStream(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		for _, p := range []*party{ana, bo} {
			p.must(p.db.Write(context.Background(), func(tx *store.Tx) error {
				return tx.SetSetting(chat.SettingReadReceipts, chat.SettingOn)
			}))
		}
		m := ana.say(bo, "read me")
		ana.await(m.ID, chat.Delivered)
		lost := newWorker(bo.Courier, ana.account(), ana.keys.Device())
		lost.reads <- bo.signReceipt([]chat.MessageID{m.ID}, ana.keys.Device(), wirev1.Receipt_OUTCOME_READ, 0, time.Now())
		lost.queueUnread(context.Background())
		ana.await(m.ID, chat.Read)
	})
}
