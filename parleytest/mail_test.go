package parleytest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/identity"
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
		w.Pass(3 * time.Hour)
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

// TestBlockMovesTheMailbox: whoever was blocked knows no mailbox of ours any
// more, everybody else's mail still arrives.
func TestBlockMovesTheMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(t, 6, Options{})
		ana, bo, eve := w.Node(1), w.Node(2), w.Node(3)
		w.Befriend(1, 2)
		w.Befriend(2, 3)
		ana.Await(ana.Send(bo.Account(), "one"), chat.Delivered)
		eve.Await(eve.Send(bo.Account(), "spam"), chat.Delivered)
		w.Pass(time.Minute)
		before := bo.Inside().Keys().Announced(time.Now())
		if _, err := bo.Client().People.Block(t.Context(), &apiv1.BlockRequest{Account: string(eve.Account())}); err != nil {
			t.Fatal(err)
		}
		for _, m := range bo.Inside().Keys().Announced(time.Now()) {
			if slices.ContainsFunc(before, func(o identity.Mailbox) bool { return o.ID == m.ID }) {
				t.Error("a mailbox that the blocked one knows is still announced")
			}
		}
		w.Pass(time.Minute) // the new record is out
		w.Kill(2)
		id := ana.Send(bo.Account(), "two")
		ana.Await(id, chat.Held)
		eve.Await(eve.Send(bo.Account(), "more spam"), chat.Held) // and learns nothing
		w.Kill(1)
		w.Restart(2)
		bo.AwaitText(ana.Account(), "two", time.Minute)
		if got := bo.Texts(eve.Account()); slices.Contains(got, "more spam") {
			t.Errorf("bo reads %q of somebody blocked", got)
		}
	})
}
