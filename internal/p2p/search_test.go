package p2p

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	kadrecord "github.com/libp2p/go-libp2p-record"
)

// TestSearchTellsEarlyAndHearsAll: the first value is told at once, the best
// one is returned whoever has it, and who had less is given it.
func TestSearchTellsEarlyAndHearsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 12
		w := joinedWorld(t, n)
		defer w.close()
		key := "/toy/search"
		old, best := toy(1, key), toy(2, key)
		if err := w.hosts[1].Put(t.Context(), key, old); err != nil {
			t.Fatal(err)
		}
		if err := w.hosts[7].values.Put(t.Context(), key, kadrecord.MakePutRecord(key, best)); err != nil {
			t.Fatal(err)
		}
		asker := w.hosts[n-1]
		for i := range n - 1 { // nobody is connected: handshakes count
			asker.Drop(w.hosts[i].Device())
		}
		time.Sleep(time.Second)
		var told [][]byte
		var first time.Duration
		began := time.Now()
		got, err := asker.Search(t.Context(), key, func(v []byte) {
			if told = append(told, v); len(told) == 1 {
				first = time.Since(began)
			}
		})
		if err != nil || !bytes.Equal(got, best) {
			t.Fatalf("found %q, %v", got, err)
		}
		if !bytes.Equal(told[len(told)-1], best) || len(told) > 2 {
			t.Errorf("told of %q", told)
		}
		// A handshake and a question: two round trips of 50 ms, and the bytes.
		if took := time.Since(began); took > 150*time.Millisecond || first > took {
			t.Errorf("took %s, the first value %s", took, first)
		}
		time.Sleep(time.Second)
		for i, h := range w.hosts[:n-1] {
			if rec, err := h.values.Get(t.Context(), key); err != nil || !bytes.Equal(rec.GetValue(), best) {
				t.Errorf("host %d has %q, %v", i, rec.GetValue(), err)
			}
		}
	})
}
