package parleytest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
)

func TestTwoStrangersTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(t, 4, Options{})
		ana, bo := w.Node(1), w.Node(2)
		w.Befriend(1, 2)
		id := ana.Send(bo.Account(), "see you at nine")
		ana.Await(id, chat.Delivered)
		if got := bo.Texts(ana.Account()); !slices.Equal(got, []string{"see you at nine"}) {
			t.Fatalf("bo reads %q", got)
		}
		id = bo.Send(ana.Account(), "nine it is 👍")
		bo.Await(id, chat.Delivered)
		if got := ana.Texts(bo.Account()); !slices.Equal(got, []string{"see you at nine", "nine it is 👍"}) {
			t.Fatalf("ana reads %q", got)
		}
	})
}

func TestMessageWaitsForSomeoneAsleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(t, 5, Options{})
		ana, bo := w.Node(1), w.Node(2)
		w.Befriend(1, 2)
		ana.Await(ana.Send(bo.Account(), "one"), chat.Delivered)
		w.Kill(2)
		id := ana.Send(bo.Account(), "two")
		w.Pass(time.Hour)
		w.Restart(1) // the sender forgets nothing either
		w.Restart(2)
		ana.Await(id, chat.Delivered)
		if got := bo.Texts(ana.Account()); !slices.Equal(got, []string{"one", "two"}) {
			t.Fatalf("bo reads %q", got)
		}
	})
}

func TestCutAndHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(t, 4, Options{})
		ana, bo := w.Node(1), w.Node(2)
		w.Befriend(1, 2)
		ana.Await(ana.Send(bo.Account(), "before"), chat.Delivered)
		w.Cut(1, 2)
		var ids []string
		for _, text := range []string{"a", "b", "c"} {
			ids = append(ids, ana.Send(bo.Account(), text))
		}
		w.Pass(5 * time.Minute)
		if got := bo.Texts(ana.Account()); !slices.Equal(got, []string{"before"}) {
			t.Fatalf("across a cut wire bo reads %q", got)
		}
		w.Heal()
		for _, id := range ids {
			ana.Await(id, chat.Delivered)
		}
		if got := bo.Texts(ana.Account()); !slices.Equal(got, []string{"before", "a", "b", "c"}) {
			t.Fatalf("bo reads %q", got)
		}
	})
}
