package mailbox

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

func TestDepositCollectDelete(t *testing.T) {
	inParish(t, 20, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		parcels := bo.parcels(70, true)
		began := time.Now()
		told := ana.leave(parcels)
		if took := time.Since(began); took > time.Second {
			t.Errorf("a deposit took %s", took)
		}
		last := told[len(told)-1]
		for i, k := range last {
			if !k.Held || len(k.Receipts) != 20 || k.Again != chat.ReputEvery {
				t.Fatalf("parcel %d: held %v, %d receipts, again in %s", i, k.Held, len(k.Receipts), k.Again)
			}
		}
		for _, kept := range told[:len(told)-1] {
			for _, k := range kept {
				if k.Held != (len(k.Receipts) >= chat.HeldReceipts) {
					t.Errorf("held %v with %d receipts", k.Held, len(k.Receipts))
				}
			}
		}
		bo.collectNow()
		for i, p := range parcels {
			if n := bo.times(p.Blob); n == 0 || n > firstAsked {
				t.Errorf("parcel %d was handed on %d times", i, n)
			}
		}
		if n := w.total(); n != 0 {
			t.Errorf("%d envelopes are left on the holders", n)
		}
		before := bo.Status().Load()
		if before.Answered == 0 || before.Answered != before.Asked || before.Collected < len(parcels) {
			t.Errorf("status %+v", before)
		}
		bo.collectNow()
		if after := bo.Status().Load(); after.Collected != before.Collected {
			t.Errorf("%d envelopes come out of empty boxes", after.Collected-before.Collected)
		}
		if w.lines > 2*4+2 {
			t.Errorf("%d throw-away callers for a handful of mailboxes", w.lines)
		}
		for _, r := range []*receiver{ana, bo} {
			r.lines.close()
		}
	})
}

func TestHeldNeedsEverybodyInASmallNetwork(t *testing.T) {
	inParish(t, 4, func(w *parish) {
		w.small = true
		ana, bo := w.join("ana"), w.join("bo")
		w.holders[3].down = true
		parcels := bo.parcels(1, true)
		parcels[0].Sides = []chat.DeviceID{w.holders[0].device}
		began := time.Now()
		var at []time.Duration
		var held []bool
		w.must(ana.Deposit(context.Background(), parcels, func(k []chat.Kept) {
			at, held = append(at, time.Since(began)), append(held, k[0].Held)
		}))
		if len(held) != 2 || held[0] || !held[1] || at[1] < chat.DepositTimeout {
			t.Errorf("held %v after %v, want it when the silent one had its time", held, at)
		}
		if n := w.count(w.holders[0]); n != 0 {
			t.Error("a device of one side was asked to keep it")
		}
	})
}

// TestHeldWaitsForTheDear: in a small network a holder that wants a dearer
// stamp keeps nothing yet, and who signs at once may drop what it signs for.
func TestHeldWaitsForTheDear(t *testing.T) {
	inParish(t, 4, func(w *parish) {
		w.small = true
		ana, bo := w.join("ana"), w.join("bo")
		w.holders[0].drop = true
		for _, h := range w.holders[1:] {
			h.stampBits = chat.StampBits + 1
		}
		told := ana.leave(bo.parcels(1, false))
		for i, kept := range told {
			if k := kept[0]; k.Held && (i < len(told)-1 || len(k.Receipts) != len(w.holders)) {
				t.Errorf("held with %d receipts", len(k.Receipts))
			}
		}
		for i, h := range w.holders[1:] {
			if w.count(h) != 1 {
				t.Errorf("holder %d has nothing", i+1)
			}
		}
		if !told[len(told)-1][0].Held {
			t.Error("not held after the dear were paid")
		}
	})
}

func TestTooFewAreNotHeld(t *testing.T) {
	inParish(t, 20, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		for _, h := range w.holders[:9] {
			h.down = true
		}
		last := ana.leave(bo.parcels(1, true))
		if k := last[len(last)-1][0]; k.Held || len(k.Receipts) != 11 || k.Again != again {
			t.Errorf("held %v with %d receipts, again in %s", k.Held, len(k.Receipts), k.Again)
		}
		// A holder more, and what was proven before still counts.
		parcels := bo.parcels(1, true)
		first := ana.leave(parcels)
		parcels[0].Known = first[len(first)-1][0].Receipts
		w.holders[0].down = false
		for _, h := range w.holders[9:] {
			h.down = true
		}
		last = ana.leave(parcels)
		if k := last[len(last)-1][0]; !k.Held || len(k.Receipts) != 12 {
			t.Errorf("held %v with %d receipts of two rounds", k.Held, len(k.Receipts))
		}
	})
}

func TestNobodyToAsk(t *testing.T) {
	inParish(t, 0, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		err := ana.Deposit(context.Background(), bo.parcels(1, true), func([]chat.Kept) { t.Error("something was told") })
		if err == nil {
			t.Error("a deposit with nobody")
		}
		if bo.round(context.Background(), true) {
			t.Error("a round reached nobody and says it was one")
		}
	})
}

func TestStrangerPays(t *testing.T) {
	inParish(t, 13, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		for _, h := range w.holders[:3] {
			h.stampBits = chat.StampBits + 1 // their boxes are fuller
		}
		parcels := bo.parcels(1, false)
		told := ana.leave(parcels)
		k := told[len(told)-1][0]
		if !k.Held || StampWork(parcels[0].Box.ID, pace(1).hour(parcels[0].Expires), parcels[0].Blob, k.Stamp) < chat.StampBits+1 {
			t.Fatalf("held %v with stamp %x", k.Held, k.Stamp)
		}
		// The stamp is good for the next deposit too.
		parcels[0].Stamp = k.Stamp
		began := time.Now()
		again := ana.leave(parcels)
		if last := again[len(again)-1][0]; !last.Held || string(last.Stamp) != string(k.Stamp) || time.Since(began) > time.Second {
			t.Errorf("a second deposit: held %v, stamp %x", last.Held, last.Stamp)
		}
		bo.collectNow()
		if n := bo.times(parcels[0].Blob); n == 0 {
			t.Error("a stranger's letter did not arrive")
		}
		if n := w.total(); n != 0 {
			t.Errorf("%d envelopes are left", n)
		}
	})
}

func TestUnopenedMailIsKeptHere(t *testing.T) {
	inParish(t, 12, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		parcels := bo.parcels(2, true)
		strange := sha256.Sum256(parcels[0].Blob)
		bo.fates[strange] = Unopened
		ana.leave(parcels[:1])
		bo.collectNow()
		if n := w.total(); n != 0 {
			t.Errorf("%d envelopes that do not open fill the box", n)
		}
		custody := func() (n int) {
			w.must(bo.db.Read(context.Background(), func(tx *store.Tx) error {
				list, err := tx.Unopened(10)
				n = len(list)
				return err
			}))
			return n
		}
		if n := custody(); n != 1 {
			t.Fatalf("%d in custody", n)
		}
		delete(bo.fates, strange) // what came before it has arrived
		ana.leave(parcels[1:])
		before := bo.times(parcels[0].Blob)
		bo.collectNow()
		if n := bo.times(parcels[0].Blob); n != before+1 {
			t.Errorf("tried again %d times", n-before)
		}
		if n := custody(); n != 0 {
			t.Errorf("%d in custody after it opened", n)
		}
	})
}

func TestUndecidedMailStays(t *testing.T) {
	inParish(t, 12, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		parcels := bo.parcels(3, true)
		bo.fates[sha256.Sum256(parcels[1].Blob)] = Later
		ana.leave(parcels)
		bo.collectNow()
		if n := w.total(); n != 12 {
			t.Fatalf("%d envelopes left, want the undecided one at each holder", n)
		}
		delete(bo.fates, sha256.Sum256(parcels[1].Blob))
		bo.collectNow()
		if n := w.total(); n != 0 {
			t.Errorf("%d envelopes left", n)
		}
	})
}

// TestHoldersThatComeBack: who was away during a round is asked from where it
// was left.
func TestHoldersThatComeBack(t *testing.T) {
	inParish(t, 12, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		parcels := bo.parcels(2, true)
		ana.leave(parcels[:1])
		for _, h := range w.holders[:6] {
			h.down = true
		}
		bo.collectNow()
		if n := w.total(); n != 6 {
			t.Fatalf("%d envelopes left", n)
		}
		for _, h := range w.holders {
			h.down = false
		}
		ana.leave(parcels[1:])
		for i, h := range w.holders { // all of them restarted
			w.handled.Wait()
			w.must(h.guest.Close())
			w.holders[i] = w.build(i)
		}
		bo.collectNow()
		if n := w.total(); n != 0 {
			t.Errorf("%d envelopes left", n)
		}
		if bo.times(parcels[1].Blob) == 0 {
			t.Error("the second letter did not arrive")
		}
	})
}

func TestRunCollectsAtOnceAndOnReturn(t *testing.T) {
	inParish(t, 12, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		parcels := bo.parcels(3, true)
		ana.leave(parcels[:1])
		go func() { done <- bo.Run(ctx) }()
		time.Sleep(10 * time.Second)
		if bo.times(parcels[0].Blob) == 0 {
			t.Error("nothing was collected at the start")
		}
		ana.leave(parcels[1:2])
		bo.online.Set(1)
		time.Sleep(10 * time.Second)
		if bo.times(parcels[1].Blob) == 0 {
			t.Error("nothing was collected when the network came back")
		}
		ana.leave(parcels[2:])
		time.Sleep(chat.CollectEvery*(100+chat.CollectJitter)/100 + 10*time.Second)
		if bo.times(parcels[2].Blob) == 0 {
			t.Error("nothing was collected by the clock")
		}
		if s := bo.Status().Load(); s.Next.Before(time.Now()) || s.Last.IsZero() {
			t.Errorf("status %+v", s)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		ana.lines.close()
	})
}

// TestFalseReceiptsProveNothing: who signs with another's key, or for other
// mail, is nobody's keeper.
func TestFalseReceiptsProveNothing(t *testing.T) {
	inParish(t, 13, func(w *parish) {
		ana, bo := w.join("ana"), w.join("bo")
		w.holders[0].key, w.holders[1].key = w.holders[2].key, w.holders[2].key
		last := ana.leave(bo.parcels(1, true))
		if k := last[len(last)-1][0]; k.Held || len(k.Receipts) != 11 {
			t.Errorf("held %v with %d receipts", k.Held, len(k.Receipts))
		}
		// One envelope's receipts do not count for another.
		parcels := bo.parcels(2, true)
		first := ana.leave(parcels[:1])
		for _, h := range w.holders[4:] {
			h.down = true
		}
		parcels[1].Known = first[len(first)-1][0].Receipts
		last = ana.leave(parcels[1:])
		if n := len(last[len(last)-1][0].Receipts); n != 2 {
			t.Errorf("%d receipts, want those of this round alone", n)
		}
	})
}
