package store

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"parley/internal/chat"
)

type line struct{ Text, Lang, Kind string }

// manyScripts are the lines of testdata/many-scripts.jsonl.
func manyScripts(t testing.TB) []line {
	t.Helper()
	f, err := os.Open("testdata/many-scripts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []line
	for s := bufio.NewScanner(f); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// TestSearchAnyScript: every line comes back byte for byte, is found by each
// of its words, by the whole of itself, and is not found once deleted.
func TestSearchAnyScript(t *testing.T) {
	db := openTest(t, t.TempDir())
	lines := manyScripts(t)
	var list []*chat.Message
	for i, l := range lines {
		list = append(list, text(ana, uint64(i+1), l.Text))
	}
	add(t, db, list...)
	if err := db.index(t.Context()); err != nil {
		t.Fatal(err)
	}
	words := 0
	read(t, db, func(tx *Tx) error {
		for i, m := range list {
			got, err := tx.Message(m.ID)
			if err != nil || string(got.Text) != lines[i].Text {
				t.Fatalf("line %d came back as %q, %v", i, string(got.Text), err)
			}
			for _, word := range append(strings.Fields(lines[i].Text), lines[i].Text) {
				if !isWord(word) {
					continue
				}
				words++
				hits, err := tx.Search(word, "", chat.MaxFindHits)
				if err != nil {
					t.Fatalf("%q (%s): %v", word, lines[i].Lang, err)
				}
				if len(strings.Fields(word)) <= maxWords && !slices.ContainsFunc(hits, func(h chat.Message) bool { return h.ID == m.ID }) {
					t.Errorf("%q does not find %q (%s, %s)", word, lines[i].Text, lines[i].Lang, lines[i].Kind)
				}
			}
		}
		return nil
	})
	if words < len(lines) {
		t.Fatalf("only %d words tried", words)
	}
	for i, m := range list {
		add(t, db, message(ana, uint64(5000+i), 1_770_000_000_000, chat.KindDelete, "", m.ID))
	}
	write(t, db, func(tx *Tx) error {
		return tx.c.exec(`INSERT INTO fulltext (fulltext) VALUES ('integrity-check')`)
	})
	read(t, db, func(tx *Tx) error {
		n, err := tx.c.number(-1, `SELECT count(*) FROM fulltext WHERE fulltext MATCH '{place} : c1'`)
		if n != 0 {
			t.Errorf("%d rows left in the index", n)
		}
		return err
	})
}

func TestSearchWords(t *testing.T) {
	db := openTest(t, t.TempDir())
	list := []*chat.Message{
		text(ana, 1, `The quick brown fox "quoted" AND NOT text:x`),
		text(ana, 2, "Ein Café in Über-Stadt"),
		text(ana, 3, "明日東京で会いましょう"),
		text(ana, 4, "친구가 왔어요 👍🏽❤️"),
		text(ana, 5, "cats and dogs c1"),
		text(bo, 6, "the slow brown bear"),
	}
	other := text(ana, 7, "brown elsewhere")
	other.Conversation = chat.PrivateConversation(cy)
	add(t, db, append(list, other)...)
	if err := db.index(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query string
		want  []uint64 // numbers, newest first
	}{
		{"brown", []uint64{6, 1}},
		{"BROWN the", []uint64{6, 1}},
		{"brown fox", []uint64{1}},
		{"cafe", []uint64{2}},
		{"café uber", []uint64{2}},
		{"東京", []uint64{3}},
		{"京東", nil},
		{"会い", []uint64{3}},
		{"친구", []uint64{4}},
		{"👍", []uint64{4}},
		{"❤", []uint64{4}},
		{"cat", []uint64{5}}, // begins with
		{"dogs ca", []uint64{5}},
		{"c1", []uint64{5}}, // not the word that stands for the conversation
		{`"quoted`, []uint64{1}},
		{`AND NOT`, []uint64{1}},
		{`text:x`, []uint64{1}},
		{`* OR (`, nil},
		{`NEAR(brown fox)`, nil},
		{`-brown`, []uint64{6, 1}},
		{"!!!", nil},
		{"", nil},
		{"\x00brown\x00", []uint64{6, 1}},
		{strings.Repeat("brown ", 40), []uint64{6, 1}},
		{"\xff\xfe", nil},
	} {
		read(t, db, func(tx *Tx) error {
			hits, err := tx.Search(c.query, chat.PrivateConversation(ana), 20)
			var got []uint64
			for _, h := range hits {
				got = append(got, h.Number)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q: %v, want %v, %v", c.query, got, c.want, err)
			}
			return nil
		})
	}
	read(t, db, func(tx *Tx) error {
		hits, err := tx.Search("brown", "", 2)
		if len(hits) != 2 || hits[0].Number != 7 || hits[1].Number != 6 {
			t.Errorf("everywhere, two newest: %d hits", len(hits))
		}
		return err
	})
}

// TestMergeKeepsHits: merging the index changes no answer, and makes one part.
func TestMergeKeepsHits(t *testing.T) {
	db := openTest(t, t.TempDir())
	for i := range 40 { // many groups, so many parts
		add(t, db, text(ana, uint64(i+1), "walrus number "+strings.Repeat("x", i)))
		if err := db.index(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	parts := func() (n int64) {
		read(t, db, func(tx *Tx) (err error) {
			n, err = tx.c.number(-1, `SELECT count(DISTINCT segid) FROM fulltext_idx`)
			return err
		})
		return n
	}
	before := parts()
	if err := db.merge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := parts(); before < 2 || after != 1 {
		t.Errorf("%d parts, then %d", before, after)
	}
	read(t, db, func(tx *Tx) error {
		hits, err := tx.Search("walrus", "", 100)
		if len(hits) != 40 {
			t.Errorf("%d hits", len(hits))
		}
		return err
	})
	if worth, done, err := db.unmerged(t.Context()); worth || done != 40 || err != nil {
		t.Errorf("worth merging again: %v at %d, %v", worth, done, err)
	}
}
