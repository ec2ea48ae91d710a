package dm

import (
	"context"
	"sync"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

// raw is a stream to bo's courier that ana's device writes by hand.
type raw struct {
	s wire.Stream
	w *wire.Writer

	mu       sync.Mutex
	receipts int // answers so far
	statuses map[wirev1.Status]int
	ended    bool
}

func (w *world) opens(from, to *party) *raw {
	ours, theirs := wire.Pipe(from.keys.Device(), to.keys.Device())
	r := &raw{s: ours, w: wire.NewWriter(ours), statuses: map[wirev1.Status]int{}}
	w.handled.Go(func() { to.Handle(theirs) })
	w.handled.Go(func() {
		in := wire.NewReader(ours)
		in.SetWait(longWait)
		for {
			a := new(wirev1.DMAnswer)
			err := in.ReadFrame(a)
			r.mu.Lock()
			switch {
			case err != nil:
				r.ended = true
			case a.GetStatus() != nil:
				r.statuses[a.GetStatus().GetStatus()]++
			default:
				r.receipts++
			}
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	return r
}

// says writes frames and passes time until they are answered.
func (r *raw) says(frames ...*wirev1.DMFrame) {
	for _, f := range frames {
		_ = r.w.Queue(f)
	}
	_ = r.w.Flush()
	time.Sleep(time.Millisecond)
}

func (r *raw) read(what func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what()
}

func envelope(blob []byte) *wirev1.DMFrame {
	return &wirev1.DMFrame{Body: &wirev1.DMFrame_Envelope{Envelope: &wirev1.OuterEnvelope{Version: 1, Blob: blob}}}
}

func readFrame(signed []byte) *wirev1.DMFrame {
	return &wirev1.DMFrame{Body: &wirev1.DMFrame_Receipt{Receipt: signed}}
}

// contact makes people contacts who are not free of cooling.
func (p *party) contact(others ...*party) {
	for _, o := range others {
		p.must(p.Accept(context.Background(), o.account()))
	}
}

// TestRepeatedBlobsArePaced: whoever repeats a blob that was taken is told to
// wait, before a transaction and a signature are spent on it.
func TestRepeatedBlobsArePaced(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.contact(ana)
		time.Sleep(time.Second)
		_, blobs := sealed(ana, bo, "again and again")
		ana.offline()
		r := w.opens(ana, bo)
		const n = chat.DMFrameBurst + 100
		for range n {
			r.says(envelope(blobs[0]))
		}
		r.read(func() {
			// Each frame took a millisecond of simulated time.
			most := chat.DMFrameBurst + int(n*time.Millisecond/chat.DMFramePace) + 1
			if busy := r.statuses[wirev1.Status_STATUS_BUSY]; r.receipts > most || r.receipts+busy != n || r.ended {
				t.Errorf("%d blobs: %d receipts (at most %d), %v", n, r.receipts, most, r.statuses)
			}
		})
		_ = r.s.Reset()
	})
}

// TestReadReceiptsArePaced: over the pace a receipt is not even opened, and a
// receipt that can mean nothing never is.
func TestReadReceiptsArePaced(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.contact(ana)
		bad := readFrame([]byte("not signed"))
		time.Sleep(time.Second)
		r := w.opens(ana, bo)
		r.says(bad)
		r.read(func() {
			if r.ended {
				t.Error("a receipt was opened though READ is switched off")
			}
		})
		bo.must(bo.db.Write(context.Background(), func(tx *store.Tx) error {
			return tx.SetSetting(chat.SettingReadReceipts, chat.SettingOn)
		}))
		r.says(bad)
		r.read(func() {
			if r.ended {
				t.Error("a receipt of an unknown device was opened")
			}
		})
		ana.await(ana.say(bo, "hello").ID, chat.Delivered) // bo knows the device now
		m := bo.say(ana, "read me")
		bo.await(m.ID, chat.Delivered)
		good := readFrame(ana.signReceipt([]chat.MessageID{m.ID}, bo.keys.Device(), wirev1.Receipt_OUTCOME_READ, 0, time.Now()))
		r.says(good)
		if got := bo.message(m.ID).Delivery; got != chat.Read {
			t.Fatalf("after a READ receipt the message is %s", got)
		}
		time.Sleep(10 * time.Second)
		flood := make([]*wirev1.DMFrame, chat.DMFrameBurst)
		for i := range flood {
			flood[i] = good
		}
		r.says(append(flood, bad)...)
		r.read(func() {
			if r.ended {
				t.Error("a receipt over the pace was opened")
			}
		})
		time.Sleep(time.Second)
		r.says(bad)
		r.read(func() {
			if !r.ended {
				t.Error("a damaged receipt within the pace did not end the stream")
			}
		})
		_ = r.s.Reset()
	})
}

// TestBlockedFramesAreNotHandled: not even a READ receipt of a blocked account
// does anything, and nothing that they write ends their stream.
func TestBlockedFramesAreNotHandled(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.contact(ana)
		bo.must(bo.db.Write(context.Background(), func(tx *store.Tx) error {
			return tx.SetSetting(chat.SettingReadReceipts, chat.SettingOn)
		}))
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		m := bo.say(ana, "what do you want?")
		bo.await(m.ID, chat.Delivered)
		time.Sleep(time.Minute)
		r := w.opens(ana, bo)
		bo.must(bo.guard.Block(context.Background(), ana.account()))
		before := headOf(bo)
		signed := ana.signReceipt([]chat.MessageID{m.ID}, bo.keys.Device(), wirev1.Receipt_OUTCOME_READ, 0, time.Now())
		r.says(readFrame(signed), readFrame([]byte("junk")), envelope(make([]byte, 1<<10)), envelope([]byte("of no size")))
		r.read(func() {
			if r.ended || r.receipts+len(r.statuses) > 0 {
				t.Errorf("a blocked device was answered: ended %v, %d receipts, %v", r.ended, r.receipts, r.statuses)
			}
		})
		if bo.message(m.ID).Delivery == chat.Read || headOf(bo) != before {
			t.Error("a blocked device's frames did something")
		}
		_ = r.s.Reset()
	})
}

// TestAnswersWithoutAQuestion: a device may answer each blob once; a receipt
// for what did not go to it on this stream changes nothing.
func TestAnswersWithoutAQuestion(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		bo.offline()
		old := ana.say(bo, "waits")
		time.Sleep(2 * time.Minute)
		var taken, streams int
		w.mu.Lock()
		w.instead = func(s wire.Stream) {
			r := wire.NewReader(s)
			if r.ReadFrame(new(wirev1.DMFrame)) != nil {
				return
			}
			streams++
			for i := range 1000 {
				var id chat.MessageID
				id[0], id[1] = byte(i), byte(i>>8)
				signed := bo.signReceipt([]chat.MessageID{id}, ana.keys.Device(), wirev1.Receipt_OUTCOME_DELIVERED, 0, time.Now())
				if wire.WriteFrame(s, &wirev1.DMAnswer{Body: &wirev1.DMAnswer_Receipt{Receipt: signed}}) != nil {
					return
				}
				taken++
				time.Sleep(time.Millisecond)
			}
		}
		w.mu.Unlock()
		bo.back()
		w.eventually("a stream was tried", func() bool { return streams > 0 })
		time.Sleep(2 * time.Second)
		if taken > 3*streams {
			t.Errorf("%d answers were taken on %d streams of one blob each", taken, streams)
		}
		if got := ana.message(old.ID).Delivery; got != chat.Queued {
			t.Errorf("receipts for other messages made it %s", got)
		}
		w.mu.Lock()
		w.instead = nil
		w.mu.Unlock()
		ana.awaitWithin(old.ID, chat.Delivered, 3*time.Hour)
	})
}

// boxed is a first contact of ana's for bo, after change, in a box that opens.
func boxed(ana, bo *party, change func(f *wirev1.FirstContact)) chat.Sealed {
	ana.w.t.Helper()
	rec, err := ana.directory.Device(context.Background(), bo.keys.Device())
	ana.must(err)
	self := ana.keys.Self()
	f := &wirev1.FirstContact{
		Version: contentVersion, Suite: uint32(seal.Suite), AccountKey: self.Account, DeviceKey: self.Device,
		DhIdentity: ana.keys.DHCertificate(), Manifest: ana.keys.ManifestBytes(),
		EphemeralKey: make([]byte, 32), KemCiphertext: make([]byte, 1088), BundleHash: make([]byte, 32), Message: make([]byte, 200),
	}
	change(f)
	blob, err := seal.SealBox(rec.SealingKey, encode(f), 4<<10)
	ana.must(err)
	return blob
}

// garbage is n first contacts that no key of bo's fits.
func garbage(ana, bo *party, n int) []chat.Sealed {
	blobs := make([]chat.Sealed, n)
	for i := range blobs {
		blobs[i] = boxed(ana, bo, func(*wirev1.FirstContact) {})
	}
	return blobs
}

// TestGarbageInGoodBoxesIsTriedSparingly: a box that opens around a handshake
// that does not costs as much as one that does not open.
func TestGarbageInGoodBoxesIsTriedSparingly(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		time.Sleep(time.Second)
		for i, o := range bo.receives(ana, garbage(ana, bo, maxMisses+5)...) {
			want := Invalid
			if i >= maxMisses {
				want = Busy
			}
			if o.Answer != want {
				t.Errorf("blob %d: answer %d, want %d", i, o.Answer, want)
			}
		}
	})
}

// TestStrangersFirstContactsArePaced: over the pace no key of ours is used.
func TestStrangersFirstContactsArePaced(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo, cem := w.join("ana"), w.join("bo"), w.join("cem")
		cem.await(cem.say(bo, "hello").ID, chat.Delivered)
		bo.contact(cem)
		time.Sleep(time.Minute)
		count := func(from *party, n int) map[Answer]int {
			got := map[Answer]int{}
			for range n {
				o := bo.receives(from, garbage(from, bo, 1)...)[0]
				if got[o.Answer]++; o.Answer == Busy && (o.RetryAfter <= 0 || o.RetryAfter > chat.FirstPace) {
					t.Errorf("told to wait %s", o.RetryAfter)
				}
			}
			return got
		}
		if got := count(ana, chat.FirstBurst+10); got[Invalid] != chat.FirstBurst || got[Busy] != 10 {
			t.Errorf("a stranger's garbage at once: %v", got)
		}
		time.Sleep(3 * chat.FirstPace)
		if got := count(ana, 10); got[Invalid] != 3 || got[Busy] != 7 {
			t.Errorf("a stranger's garbage a little later: %v", got)
		}
		if got := count(cem, chat.FirstBurst+10); got[Invalid] != chat.FirstBurst+10 {
			t.Errorf("a contact's: %v", got)
		}
		ana.awaitWithin(ana.say(bo, "honest after all").ID, chat.Delivered, time.Minute)
	})
}

// TestBlockIsAskedBeforeDeriving: a blocked account's handshake meets silence,
// whatever is in it, and the gate learns the device.
func TestBlockIsAskedBeforeDeriving(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		time.Sleep(time.Second)
		bo.must(bo.guard.Block(context.Background(), ana.account()))
		forged := boxed(ana, bo, func(f *wirev1.FirstContact) { f.Manifest = bo.keys.ManifestBytes() })
		if o := bo.receives(ana, forged)[0]; o.Answer != Invalid || bo.guard.BlockedDevice(ana.keys.Device()) {
			t.Errorf("with another's manifest: %+v", o)
		}
		// No such bundle: had anything been derived, it would be INVALID.
		blob := boxed(ana, bo, func(*wirev1.FirstContact) {})
		if o := bo.receives(ana, blob)[0]; o.Answer != Silence {
			t.Errorf("a blocked account's handshake: %+v", o)
		}
		if !bo.guard.BlockedDevice(ana.keys.Device()) {
			t.Error("the gate has not learned the device")
		}
	})
}
