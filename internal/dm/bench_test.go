package dm

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
	"parley/internal/wire"
)

// duo is two people with a session, for measuring.
func duo(b *testing.B, durable bool) (ana, bo *party) {
	b.Helper()
	w := newWorld(b)
	ana = &party{w: w, name: "ana", dir: filepath.Join(w.dir, "ana"), full: durable}
	bo = &party{w: w, name: "bo", dir: filepath.Join(w.dir, "bo"), full: durable}
	w.people = []*party{ana, bo}
	b.Cleanup(w.end)
	ana.start()
	bo.start()
	ana.knows(bo)
	bo.knows(ana)
	reach := func(p *party, m *chat.Message) {
		for range 3000 {
			if p.message(m.ID).Delivery == chat.Delivered {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		b.Fatalf("not delivered: %+v", p.message(m.ID))
	}
	reach(ana, ana.say(bo, "hello"))
	reach(bo, bo.say(ana, "hello"))
	reach(ana, ana.say(bo, "well?"))
	return ana, bo
}

// delivered waits for the state of a message by the bell.
func delivered(b *testing.B, p *party, id chat.MessageID) {
	for {
		bell := p.db.Bell()
		if p.message(id).Delivery == chat.Delivered {
			return
		}
		<-bell
	}
}

const benchText = 200

// BenchmarkRate: many messages of 200 bytes under way, from Send to the
// committed receipt; 64 callers fill a group.
func BenchmarkRate(b *testing.B) {
	for _, durable := range []bool{false, true} {
		b.Run(map[bool]string{false: "relaxed", true: "durable"}[durable], func(b *testing.B) {
			ana, bo := duo(b, durable)
			text := chat.Body(fmt.Sprintf("%0*d", benchText, 0))
			ids := make([]chat.MessageID, b.N)
			b.ResetTimer()
			var wg sync.WaitGroup
			const callers = 64
			for c := range callers {
				wg.Go(func() {
					for i := c; i < b.N; i += callers {
						m, err := ana.Send(context.Background(), Draft{To: bo.account(), Text: text})
						if err != nil {
							b.Error(err)
							return
						}
						ids[i] = m.ID
					}
				})
			}
			wg.Wait()
			for _, id := range ids {
				delivered(b, ana, id)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkRoundTrip: one message at a time, Send to the committed receipt.
func BenchmarkRoundTrip(b *testing.B) {
	for _, durable := range []bool{false, true} {
		b.Run(map[bool]string{false: "relaxed", true: "durable"}[durable], func(b *testing.B) {
			ana, bo := duo(b, durable)
			b.ResetTimer()
			for range b.N {
				delivered(b, ana, ana.say(bo, "a message of ordinary length, as people write").ID)
			}
		})
	}
}

// BenchmarkRaw is the yardstick of BenchmarkRate/durable: 200-byte writes over
// a pipe, one fdatasync per 64 at both ends, an answer per 64.
func BenchmarkRaw(b *testing.B) {
	ours, theirs := wire.Pipe("ana", "bo")
	files := [2]*os.File{}
	for i := range files {
		f, err := os.Create(filepath.Join(b.TempDir(), "log"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		files[i] = f
	}
	group := make([]byte, benchText*groupSize)
	rounds := (b.N + groupSize - 1) / groupSize
	b.ResetTimer()
	var wg sync.WaitGroup
	wg.Go(func() {
		in := make([]byte, len(group))
		for range rounds {
			if _, err := io.ReadFull(theirs, in); err != nil {
				b.Error(err)
				return
			}
			keep(b, files[1], in)
			_, _ = theirs.Write(in[:64])
		}
	})
	wg.Go(func() {
		in := make([]byte, 64)
		for range rounds {
			if _, err := io.ReadFull(ours, in); err != nil {
				b.Error(err)
				return
			}
		}
	})
	for range rounds {
		keep(b, files[0], group)
		for i := 0; i < len(group); i += benchText {
			_, _ = ours.Write(group[i : i+benchText])
		}
	}
	wg.Wait()
	b.ReportMetric(float64(rounds*groupSize)/b.Elapsed().Seconds(), "msg/s")
}

func keep(b *testing.B, f *os.File, data []byte) {
	if _, err := f.Write(data); err != nil {
		b.Error(err)
	}
	if err := syncData(f); err != nil {
		b.Error(err)
	}
}

// BenchmarkReceive is the entrance alone: groups of 64 bare messages.
func BenchmarkReceive(b *testing.B) {
	ana, bo := duo(b, false)
	bo.offline()
	text := chat.Body(fmt.Sprintf("%0*d", benchText, 0))
	var blobs []chat.Sealed
	for range b.N {
		ana.must(ana.db.Write(context.Background(), func(tx *store.Tx) error {
			list, err := sessionsOf(tx, bo.keys.Device())
			if err != nil {
				return err
			}
			r := choose(list)
			p := ana.newContent(bo.account())
			p.Number, p.Time = uint64(len(blobs)+10), int64(chat.NewHLC(time.Now()))
			setBody(p, Draft{Kind: chat.KindText, Text: text})
			_, blob, err := ana.seal(r, time.Now(), encode(p))
			if err != nil {
				return err
			}
			blobs = append(blobs, blob)
			return r.save(tx)
		}))
	}
	b.ResetTimer()
	for i := 0; i < len(blobs); i += groupSize {
		for _, o := range bo.receives(ana, blobs[i:min(i+groupSize, len(blobs))]...) {
			if o.Answer != Received {
				b.Fatalf("%+v", o)
			}
		}
	}
}
