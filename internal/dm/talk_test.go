package dm

import (
	"context"
	"testing"
	"time"

	"parley/internal/chat"
)

func TestTwoPeopleTalk(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		ana.knows(bo)
		bo.knows(ana)
		first := ana.say(bo, "hello, Bo")
		if first.Delivery != chat.Queued || !first.Own {
			t.Fatalf("sent message is %s", first.Delivery)
		}
		ana.await(first.ID, chat.Delivered)
		got := bo.message(first.ID)
		if got.Text != "hello, Bo" || got.Author != ana.account() || got.Device != ana.keys.Device() || got.Own {
			t.Fatalf("bo has %+v", got)
		}
		answer := bo.say(ana, "hello, Ana")
		bo.await(answer.ID, chat.Delivered)

		edit, err := ana.Send(context.Background(), Draft{To: bo.account(), Kind: chat.KindEdit, Text: "hello, dear Bo", Target: first.ID})
		ana.must(err)
		ana.await(edit.ID, chat.Delivered)
		if got := bo.message(first.ID); got.Text != "hello, dear Bo" || got.EditedAt.IsZero() {
			t.Fatalf("after the edit bo has %q", string(got.Text))
		}
		like, err := bo.Send(context.Background(), Draft{To: ana.account(), Kind: chat.KindReaction, Text: "👍", Target: first.ID})
		bo.must(err)
		bo.await(like.ID, chat.Delivered)
		if got := ana.message(first.ID).Reactions; len(got) != 1 || got[0].Emoji != "👍" || got[0].Author != bo.account() {
			t.Fatalf("ana sees reactions %+v", got)
		}
		gone, err := ana.Send(context.Background(), Draft{To: bo.account(), Kind: chat.KindDelete, Target: first.ID})
		ana.must(err)
		ana.await(gone.ID, chat.Delivered)
		if got := bo.message(first.ID); !got.Deleted || got.Text != "" {
			t.Fatalf("after the delete bo has %+v", got)
		}
		time.Sleep(time.Minute) // idle streams close
	})
}
