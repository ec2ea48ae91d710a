package dm

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
	"parley/internal/wire"
)

// TestGarbageOnTheStream: whatever a peer writes, the stream ends, nothing is
// stored, and the next honest one is served.
func TestGarbageOnTheStream(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		rnd := rand.New(rand.NewPCG(7, 7))
		noise := make([]byte, 8<<10)
		for i := range noise {
			noise[i] = byte(rnd.Uint32())
		}
		before := headOf(bo)
		for name, junk := range map[string][]byte{
			"noise":            noise,
			"endless length":   {0xff, 0xff, 0xff, 0xff},
			"oversized length": {0xff, 0xff, 0x7f},
			"cut short":        {0x20, 1, 2},
			"empty frame":      {0},
			"nothing":          nil,
		} {
			ours, theirs := wire.Pipe(ana.keys.Device(), bo.keys.Device())
			done := make(chan struct{})
			w.handled.Go(func() { bo.Handle(theirs); close(done) })
			_, _ = ours.Write(junk)
			_ = ours.CloseWrite()
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Errorf("%s: the handler still waits", name)
			}
			_ = ours.Reset()
			<-done
		}
		// A silent peer is not waited for either.
		ours, theirs := wire.Pipe(ana.keys.Device(), bo.keys.Device())
		begun := time.Now()
		bo.Handle(theirs)
		if took := time.Since(begun); took > chat.IdleTimeout {
			t.Errorf("a silent stream was kept for %s", took)
		}
		_ = ours.Reset()
		if headOf(bo) != before {
			t.Error("garbage moved the log")
		}
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
	})
}

func headOf(p *party) (c chat.Cursor) {
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		c = tx.Head()
		return nil
	}))
	return c
}

// TestLyingAnswersProveNothing: a device answers a courier with whatever it
// likes but true receipts.
func TestLyingAnswersProveNothing(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo, eve := w.join("ana"), w.join("bo"), w.join("eve")
		bo.knows(ana)
		time.Sleep(time.Second)
		var m *chat.Message
		lies := []func(blob []byte) *wirev1.DMAnswer{
			func([]byte) *wirev1.DMAnswer { return &wirev1.DMAnswer{} },
			func([]byte) *wirev1.DMAnswer {
				return &wirev1.DMAnswer{Body: &wirev1.DMAnswer_Receipt{Receipt: eve.signs(ana, m.ID)}}
			},
			func([]byte) *wirev1.DMAnswer {
				return &wirev1.DMAnswer{Body: &wirev1.DMAnswer_Receipt{Receipt: bo.signReceipt(
					[]chat.MessageID{m.ID}, ana.keys.Device(), wirev1.Receipt_OUTCOME_READ, 0, time.Now())}}
			},
			status(wirev1.Status_STATUS_OK), status(wirev1.Status_STATUS_INVALID), status(wirev1.Status_STATUS_QUOTA),
			status(wirev1.Status_STATUS_BUSY), status(99),
		}
		turn := 0
		w.mu.Lock()
		w.instead = func(s wire.Stream) {
			r := wire.NewReader(s)
			for {
				var f wirev1.DMFrame
				if r.ReadFrame(&f) != nil {
					_ = s.Reset()
					return
				}
				turn++
				_ = wire.WriteFrame(s, lies[turn%len(lies)](f.GetEnvelope().GetBlob()))
			}
		}
		w.mu.Unlock()
		m = ana.say(bo, "hello")
		for range 3600 {
			if got := ana.message(m.ID).Delivery; got != chat.Queued {
				t.Fatalf("lies made the message %s", got)
			}
			time.Sleep(time.Second)
		}
		if turn < len(lies) {
			t.Fatalf("only %d lies were told", turn)
		}
		if n := sessionsWith(ana, bo); n > chat.MaxSessions {
			t.Errorf("%d sessions are kept, at most %d", n, chat.MaxSessions)
		}
		w.mu.Lock()
		w.instead = nil
		w.mu.Unlock()
		ana.awaitWithin(m.ID, chat.Delivered, 3*time.Hour)
	})
}

func status(s wirev1.Status) func([]byte) *wirev1.DMAnswer {
	return func(blob []byte) *wirev1.DMAnswer {
		h := hashOf(blob)
		return &wirev1.DMAnswer{Body: &wirev1.DMAnswer_Status{Status: &wirev1.DMStatus{Status: s, BlobHash: h[:], RetryAfterMs: 1000}}}
	}
}

func sessionsWith(p, o *party) (n int) {
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.Sessions(o.keys.Device())
		n = len(rows)
		return err
	}))
	return n
}

// TestGarbageIsTriedSparingly: a group full of noise costs a few box trials,
// and what was not tried is not called invalid.
func TestGarbageIsTriedSparingly(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		time.Sleep(time.Second)
		ids, good := sealed(ana, bo, "behind the noise")
		ana.offline()
		var blobs []chat.Sealed
		for i := range maxMisses + 5 {
			noise := make(chat.Sealed, 4<<10)
			noise[0] = byte(i)
			blobs = append(blobs, noise)
		}
		out := bo.receives(ana, append(blobs, good...)...)
		for i, o := range out {
			want := Invalid
			if i >= maxMisses {
				want = Busy
			}
			if o.Answer != want {
				t.Errorf("blob %d: answer %d, want %d", i, o.Answer, want)
			}
		}
		if out := bo.receives(ana, good...); out[0].Answer != Received || out[0].Message != ids[0] {
			t.Errorf("alone: %+v", out[0])
		}
	})
}
