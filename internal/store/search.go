package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

const (
	// indexGroup is how many messages one transaction puts into the full text:
	// FTS5 writes a segment for each, so that large groups cost less.
	indexGroup = 1024
	// maxWords bounds the work of one search.
	maxWords = 16
)

// spaceless are the scripts that are written without spaces, or whose words
// carry endings glued on. Each of their letters becomes a word of its own in
// the index, and a word of a search a phrase of such: any part is found.
var spaceless = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan,
}

// segment prepares a text for the index. Documents and queries both go
// through it. What it makes of a text must never change: the index of a text
// is removed by naming it again. (Change indexVersion with it.)
func segment(text string) string {
	plain := true
	for i := 0; i < len(text) && plain; i++ {
		plain = text[i] < utf8.RuneSelf && text[i] != 0
	}
	if plain {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + len(text)/2)
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Variation_Selector, r):
			// One and the same sign, drawn as text or as a picture.
		case r == 0:
			b.WriteByte(' ')
		case r > unicode.MaxLatin1 && (unicode.Is(unicode.So, r) || unicode.In(r, spaceless...)):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isWord reports whether the index sees anything in s.
func isWord(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.Co, unicode.M, unicode.So) && !unicode.Is(unicode.Variation_Selector, r)
	})
}

// matchExpression is an FTS5 expression for messages with every word of a
// query, and empty if it has none. Each word is a quoted phrase: nothing a
// user types is syntax. With prefix the last word may go on.
func matchExpression(query string, conv int64, prefix bool) string {
	var words []string
	for _, w := range strings.Fields(strings.ReplaceAll(query, "\x00", " ")) {
		if isWord(w) && len(words) < maxWords {
			words = append(words, `"`+strings.ReplaceAll(segment(w), `"`, `""`)+`"`)
		}
	}
	if len(words) == 0 {
		return ""
	}
	expr := `{text} : (` + strings.Join(words, " AND ")
	if prefix {
		expr += " *"
	}
	expr += ")"
	if conv != 0 {
		expr += fmt.Sprintf(` AND {place} : "%s"`, placeWord(conv))
	}
	return expr
}

// placeWord is the word in the index that stands for a conversation.
func placeWord(conv int64) string { return fmt.Sprintf("c%d", conv) }

// Search finds texts with every word of query, the newest stored first, in
// one conversation or, with conv empty, in all. Without a hit the last word
// also matches as a beginning. Texts appear a moment after they are stored.
func (tx *Tx) Search(query string, conv chat.Conversation, limit int) ([]chat.Message, error) {
	if len(query) > chat.MaxText {
		return nil, fmt.Errorf("%w: search text", chat.ErrTooLarge)
	}
	var id int64
	if conv != "" {
		var err error
		if id, err = tx.conversationID(conv); err != nil || id == 0 {
			return nil, err
		}
	}
	limit = min(limit, chat.MaxFindHits)
	for _, prefix := range []bool{false, true} {
		expr := matchExpression(query, id, prefix)
		if expr == "" {
			return nil, nil
		}
		var list []stored
		err := tx.c.query(func(s *sqlite3.Stmt) error {
			list = append(list, scanMessage(s, false))
			return nil
		}, `SELECT `+messageColumns+` FROM (SELECT rowid AS hit FROM fulltext WHERE fulltext MATCH ? ORDER BY rowid DESC LIMIT ?)
			JOIN messages m ON m.row = hit ORDER BY hit DESC`, expr, limit)
		if err != nil {
			return nil, fmt.Errorf("searching: %w", err)
		}
		if len(list) > 0 {
			return tx.complete(list)
		}
	}
	return nil, nil
}

// indexed is the row up to which the full text is complete.
func (tx *Tx) indexed() (int64, error) {
	return tx.c.number(0, `SELECT value FROM meta WHERE key = 'indexed'`)
}

// unindex takes a text out of the index before it changes. Rows the index has
// not reached yet will be read as they are by then.
func (tx *Tx) unindex(t *target) error {
	done, err := tx.indexed()
	if err != nil || t.row > done {
		return err
	}
	return tx.c.exec(`INSERT INTO fulltext (fulltext, rowid, text, place) VALUES ('delete', ?, ?, ?)`,
		t.row, segment(string(t.text)), placeWord(t.conv))
}

func (tx *Tx) reindex(t *target) error {
	done, err := tx.indexed()
	if err != nil || t.row > done {
		return err
	}
	return tx.indexRow(t.row, t.conv, t.text)
}

func (tx *Tx) indexRow(row, conv int64, text chat.Body) error {
	return tx.c.exec(`INSERT INTO fulltext (rowid, text, place) VALUES (?, ?, ?)`, row, segment(string(text)), placeWord(conv))
}

// index puts what was added since the last time into the full text, group by
// group, until it is complete.
func (db *DB) index(ctx context.Context) error {
	for more := true; more; {
		err := db.Write(ctx, func(tx *Tx) (err error) {
			more, err = tx.indexSome(indexGroup)
			return err
		})
		if err != nil {
			return fmt.Errorf("indexing: %w", err)
		}
	}
	return nil
}

// Merging the index: FTS5 keeps a part for each group it was given, and merges
// some as it goes. A search looks into every part.
const (
	// mergeStep is in pages of the index: a few milliseconds, so that no write
	// waits long behind one.
	mergeStep = 256
	// mergeAfter is how many new rows make a full merge worthwhile, and also a
	// tenth of the index: each pass costs about 3 µs a message of CPU.
	mergeAfter = 1000
)

// merge makes one part of the whole index, in steps. It is for idle times.
func (db *DB) merge(ctx context.Context) error {
	pages, more := int64(-mergeStep), true // negative: begin
	for more {
		err := db.Write(ctx, func(tx *Tx) error {
			done, err := tx.indexed()
			if err != nil {
				return err
			}
			before := tx.c.db.TotalChanges()
			if err := tx.c.exec(`INSERT INTO fulltext (fulltext, rank) VALUES ('merge', ?)`, pages); err != nil {
				return err
			}
			if more = tx.c.db.TotalChanges()-before >= 2; more { // else it had nothing to do
				return nil
			}
			return tx.c.exec(`INSERT INTO meta (key, value) VALUES ('merged', ?1) ON CONFLICT DO UPDATE SET value = ?1`, done)
		})
		if err != nil {
			return fmt.Errorf("merging the full text: %w", err)
		}
		pages = mergeStep
	}
	return nil
}

// unmerged reports whether the index has grown enough to be merged, and the
// row it has reached.
func (db *DB) unmerged(ctx context.Context) (worth bool, done int64, err error) {
	err = db.Read(ctx, func(tx *Tx) (err error) {
		if done, err = tx.indexed(); err != nil {
			return err
		}
		merged, err := tx.c.number(0, `SELECT value FROM meta WHERE key = 'merged'`)
		worth = done-merged >= max(mergeAfter, merged/10)
		return err
	})
	return worth, done, err
}

var errEnough = errors.New("enough")

func (tx *Tx) indexSome(limit int) (more bool, err error) {
	done, err := tx.indexed()
	if err != nil {
		return false, err
	}
	n, last := 0, done
	err = tx.c.query(func(s *sqlite3.Stmt) error {
		if n++; n > limit {
			return errEnough
		}
		last = s.ColumnInt64(0)
		if chat.Kind(s.ColumnInt64(2)) != chat.KindText || s.ColumnBool(3) {
			return nil
		}
		return tx.indexRow(last, s.ColumnInt64(1), scanText(s, 4, 7))
	}, `SELECT row, conv, kind, deleted, text_at, text_len, text, content FROM messages WHERE row > ? ORDER BY row`, done)
	if errors.Is(err, errEnough) {
		more, err = true, nil
	}
	if err != nil || last == done {
		return false, err
	}
	return more, tx.c.exec(`INSERT INTO meta (key, value) VALUES ('indexed', ?1) ON CONFLICT DO UPDATE SET value = ?1`, last)
}
