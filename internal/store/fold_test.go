package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parley/internal/chat"
)

// TestFoldInAnyOrder: whatever the order of arrival, and with repeats, the
// conversation reads the same, and so does the full text.
func TestFoldInAnyOrder(t *testing.T) {
	straight, shuffled := openTest(t, t.TempDir()), openTest(t, t.TempDir())
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++ // each in a conversation of its own
		key := chat.PrivateConversation(chat.AccountID(fmt.Sprint("round", round)))
		base := int64(1_760_000_000_000) + int64(round)*1_000_000
		people := []chat.AccountID{ana, bo, cy}
		var all []*chat.Message
		for i := range 4 {
			author := rapid.SampledFrom(people).Draw(rt, "author")
			all = append(all, message(author, uint64(i+1), base+int64(i), chat.KindText, fmt.Sprintf("first%d words", i), chat.MessageID{}))
		}
		for i := range rapid.IntRange(1, 12).Draw(rt, "folds") {
			target := all[rapid.IntRange(0, 3).Draw(rt, "target")].ID
			author := rapid.SampledFrom(people).Draw(rt, "by")
			kind := rapid.SampledFrom([]chat.Kind{chat.KindEdit, chat.KindEdit, chat.KindDelete, chat.KindReaction, chat.KindReaction}).Draw(rt, "kind")
			body := rapid.SampledFrom([]string{"👍", "❤️", "", fmt.Sprintf("second%d words", i)}).Draw(rt, "text")
			at := base + int64(rapid.IntRange(0, 3).Draw(rt, "at"))
			all = append(all, message(author, uint64(100+i), at, kind, body, target))
		}
		order := rapid.Permutation(all).Draw(rt, "order")
		cut := rapid.IntRange(0, len(order)).Draw(rt, "indexed after")

		for _, m := range all {
			m.Conversation = key
		}
		add(t, straight, all...)
		add(t, shuffled, order[:cut]...)
		if err := shuffled.index(t.Context()); err != nil {
			rt.Fatal(err)
		}
		add(t, shuffled, order[cut:]...)
		add(t, shuffled, all...) // again, all of them
		if a, b := shown(t, straight, key), shown(t, shuffled, key); a != b {
			rt.Fatalf("in order:\n%s\nshuffled:\n%s", a, b)
		}
		checkIndex(t, straight, key)
		checkIndex(t, shuffled, key)
	})
}

// shown is all that a reader sees.
func shown(t testing.TB, db *DB, key chat.Conversation) string {
	var out string
	read(t, db, func(tx *Tx) error {
		msgs, _, _, err := tx.Messages(Page{Conversation: key, Limit: 100})
		if err != nil {
			return err
		}
		for _, m := range msgs {
			history, err := tx.History(m.ID)
			if err != nil {
				return err
			}
			out += fmt.Sprintf("%s %q %v %v %v edits", m.Author.Short(), string(m.Text), m.EditedAt.UnixMilli(), m.Deleted, m.Reactions)
			for _, e := range history {
				out += fmt.Sprintf(" %q", string(e.Text))
			}
			out += "\n"
		}
		c, err := tx.Conversation(key)
		out += fmt.Sprintf("unread %d\n", c.Unread)
		return err
	})
	return out
}

// checkIndex brings the full text up to date and compares it with the rows:
// each shown text is found by its words and no other row answers.
func checkIndex(t testing.TB, db *DB, key chat.Conversation) {
	t.Helper()
	if err := db.index(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, db, func(tx *Tx) error {
		return tx.c.exec(`INSERT INTO fulltext (fulltext) VALUES ('integrity-check')`)
	})
	read(t, db, func(tx *Tx) error {
		msgs, _, _, err := tx.Messages(Page{Conversation: key, Limit: 100})
		if err != nil {
			return err
		}
		want := map[chat.MessageID]bool{}
		for _, m := range msgs {
			if m.Deleted && m.Text != "" {
				t.Errorf("deleted message still has text")
			}
			if strings.Contains(string(m.Text), "words") {
				want[m.ID] = true
			}
		}
		hits, err := tx.Search("words", key, chat.MaxFindHits)
		for _, h := range hits {
			if !want[h.ID] {
				t.Errorf("hit on %q, deleted %v", string(h.Text), h.Deleted)
			}
			delete(want, h.ID)
		}
		if len(want) > 0 {
			t.Errorf("%d texts are not in the index", len(want))
		}
		return err
	})
}

func TestOnlyTheAuthorMayChange(t *testing.T) {
	db := openTest(t, t.TempDir())
	m := text(ana, 1, "mine")
	elsewhere := message(ana, 9, 1_760_000_000_000, chat.KindDelete, "", m.ID)
	elsewhere.Conversation = chat.PrivateConversation(cy)
	add(t, db, m,
		message(cy, 2, 1_760_000_100_000, chat.KindEdit, "not yours", m.ID),
		message(cy, 3, 1_760_000_200_000, chat.KindDelete, "", m.ID),
		elsewhere)
	read(t, db, func(tx *Tx) error {
		got, err := tx.Message(m.ID)
		if err == nil && (got.Text != "mine" || got.Deleted || !got.EditedAt.IsZero()) {
			t.Errorf("changed by a stranger: %q deleted %v", string(got.Text), got.Deleted)
		}
		return err
	})
}

func TestDeleteLeavesNoText(t *testing.T) {
	db := openTest(t, t.TempDir())
	m := text(ana, 1, "first version of a secret")
	edit := message(ana, 2, 1_760_000_100_000, chat.KindEdit, "second version of a secret", m.ID)
	late := message(ana, 4, 1_760_000_150_000, chat.KindEdit, "late version of a secret", m.ID)
	add(t, db, m, edit)
	if err := db.index(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, db, message(ana, 3, 1_760_000_200_000, chat.KindDelete, "", m.ID), late)
	read(t, db, func(tx *Tx) error {
		for _, id := range []chat.MessageID{m.ID, edit.ID, late.ID} {
			got, err := tx.Message(id)
			if err != nil {
				return err
			}
			if got.Text != "" || len(got.Content) > 0 {
				t.Errorf("kind %d keeps %q", got.Kind, string(got.Text))
			}
		}
		hits, err := tx.Search("secret", "", 10)
		if len(hits) > 0 {
			t.Errorf("%d hits", len(hits))
		}
		c, cerr := tx.Conversation(chat.PrivateConversation(ana))
		if c.Unread != 0 || !c.Last.Deleted {
			t.Errorf("conversation %+v", c)
		}
		if err == nil {
			err = cerr
		}
		return err
	})
	write(t, db, func(tx *Tx) error {
		added, err := tx.AddMessage(m)
		if added {
			t.Error("a deleted message came back")
		}
		return err
	})
	// Nothing in the index files holds the words either.
	read(t, db, func(tx *Tx) error {
		n, err := tx.c.number(0, `SELECT count(*) FROM fulltext_data WHERE instr(block, CAST('secret' AS BLOB)) > 0`)
		if n > 0 {
			t.Errorf("%d index blocks still hold the text", n)
		}
		return err
	})
}

func TestUnreadAndMark(t *testing.T) {
	db := openTest(t, t.TempDir())
	key := chat.PrivateConversation(ana)
	m := []*chat.Message{text(ana, 1, "one"), text(bo, 2, "mine"), text(ana, 3, "three"), text(ana, 4, "four")}
	add(t, db, m...)
	mark := func(to *chat.Message, want ...*chat.Message) {
		t.Helper()
		write(t, db, func(tx *Tx) error {
			got, err := tx.MarkRead(key, to.ID)
			var ids []chat.MessageID
			for _, w := range want {
				ids = append(ids, w.ID)
			}
			if fmt.Sprint(got) != fmt.Sprint(ids) {
				t.Errorf("newly %v, want %v", got, ids)
			}
			return err
		})
	}
	mark(m[2], m[0], m[2])
	mark(m[2])
	late := message(ana, 7, time.UnixMilli(1_760_000_001_500).UnixMilli(), chat.KindText, "late", chat.MessageID{})
	add(t, db, late) // sorts before the mark, but nobody has read it
	mark(m[0])
	read(t, db, func(tx *Tx) error {
		c, err := tx.Conversation(key)
		if c.Unread != 2 || c.ReadTo != m[2].ID || c.Last.ID != m[3].ID {
			t.Errorf("got unread %d, read to %v, last %q", c.Unread, c.ReadTo, string(c.Last.Text))
		}
		return err
	})
	mark(m[3], late, m[3])
}

// TestManyEdits: of any number of edits, before their message or after it, the
// newest count and the history ends with them; the rest wait for nothing.
func TestManyEdits(t *testing.T) {
	db := openTest(t, t.TempDir())
	for name, early := range map[string]bool{"before": true, "after": false} {
		key := chat.PrivateConversation(chat.AccountID(name))
		target := text(ana, 1, "the message "+name)
		target.Conversation = key
		var edits []*chat.Message
		for i := range 2*maxHistory + 7 {
			e := message(ana, uint64(2+i), 1_760_000_100_000+int64(i), chat.KindEdit, fmt.Sprintf("%s %d", name, i), target.ID)
			e.Conversation = key
			edits = append(edits, e)
		}
		last := string(edits[len(edits)-1].Text)
		// The newest comes in the middle.
		edits[len(edits)-1], edits[9] = edits[9], edits[len(edits)-1]
		if early {
			add(t, db, edits...)
			read(t, db, func(tx *Tx) error {
				n, err := tx.c.number(0, `SELECT count(*) FROM messages WHERE target = ? AND kind > 1`, target.ID[:])
				if n != maxHistory {
					t.Errorf("%d edits wait for a message that did not come", n)
				}
				return err
			})
		}
		add(t, db, target)
		add(t, db, edits...) // again, or for the first time
		read(t, db, func(tx *Tx) error {
			m, err := tx.Message(target.ID)
			if err != nil {
				return err
			}
			history, err := tx.History(target.ID)
			if err != nil {
				return err
			}
			if n := len(history); string(m.Text) != last || n != maxHistory || string(history[n-1].Text) != last || history[0].Time >= history[1].Time {
				t.Errorf("%s: %q after %d edits, the last %q", name, m.Text, n, history[n-1].Text)
			}
			return nil
		})
	}
}
