package parleytest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
)

// TestMailBetweenTwoWhoNeverMeet: neither is up when the other is, and nobody
// runs a server.
func TestMailBetweenTwoWhoNeverMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(t, 7, Options{})
		ana, bo := w.Node(1), w.Node(2)
		w.Befriend(1, 2)
		ana.Await(ana.Send(bo.Account(), "one"), chat.Delivered)
		w.Kill(2)
		began := time.Now()
		id := ana.Send(bo.Account(), "two")
		ana.Await(id, chat.Held)
		t.Logf("held after %s", time.Since(began))
		w.Kill(1)
		w.Pass(12 * time.Hour)
		w.Restart(2)
		bo.AwaitText(ana.Account(), "two", time.Minute)
		w.Pass(time.Minute) // his receipt goes by mail
		w.Kill(2)
		w.Pass(time.Hour)
		w.Restart(1)
		ana.Await(id, chat.Delivered)
		w.Restart(2)
		w.Pass(20 * time.Minute)
		if got := bo.Texts(ana.Account()); !slices.Equal(got, []string{"one", "two"}) {
			t.Fatalf("bo reads %q", got)
		}
	})
}

// TestStrangerWritesToASleeper: the DHT has forgotten who slept for days,
// nobody ever met them, and the holders were restarted meanwhile.
func TestStrangerWritesToASleeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(t, 5, Options{})
		ana, bo := w.Node(1), w.Node(2)
		w.Pass(time.Minute) // records are out
		for i := range w.Len() {
			w.Kill(i)
		}
		w.Pass(chat.RecordLife + 12*time.Hour)
		w.RestartAll(0, 1, 3, 4)
		id := ana.Send(bo.Account(), "we met at the fair")
		ana.Await(id, chat.Held)
		w.Kill(1)
		w.RestartAll(0, 3, 4)
		w.Restart(2)
		bo.AwaitText(ana.Account(), "we met at the fair", time.Minute)
		if got := bo.Texts(ana.Account()); len(got) != 1 {
			t.Fatalf("bo reads %q", got)
		}
	})
}
