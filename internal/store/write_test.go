package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"parley/internal/chat"
)

var errMine = errors.New("my own fault")

// TestGroupsEqualSingleWrites: many writers at once, some of which fail or
// panic, leave exactly what the others wrote, as if each had been alone.
func TestGroupsEqualSingleWrites(t *testing.T) {
	db, err := Open(Config{Dir: t.TempDir()}) // FULL: commits take time, so groups form
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const writers, each = 16, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n := uint64(w*each + i + 1)
				bad := rand.IntN(4)
				func() {
					defer func() {
						if v := recover(); (v != nil) != (bad == 1) {
							t.Errorf("panic %v for %d", v, bad)
						}
					}()
					m := text(ana, n, fmt.Sprintf("words %d %d", n, bad))
					if bad < 2 {
						m.ID[0] ^= 1 // would be found if it stayed
						m.Content = nil
					}
					err := db.Write(t.Context(), func(tx *Tx) error {
						added, err := tx.AddMessage(m)
						if err != nil || !added {
							return fmt.Errorf("%v %w", added, err)
						}
						switch bad {
						case 0:
							return errMine
						case 1:
							panic("mine")
						}
						return nil
					})
					if (bad == 0) != errors.Is(err, errMine) || bad > 1 && err != nil {
						t.Errorf("%d: %v", bad, err)
					}
				}()
			}
		})
	}
	wg.Wait()
	read(t, db, func(tx *Tx) error {
		rows, head, err := tx.Follow(chat.Cursor{Epoch: db.Epoch()}, 10*writers*each)
		if err != nil {
			return err
		}
		n, err := tx.c.number(0, `SELECT count(*) FROM messages`)
		if err != nil {
			return err
		}
		if int(n) != len(rows) || head != tx.Head() {
			t.Errorf("%d messages, %d log rows, head %v", n, len(rows), head)
		}
		for _, r := range rows {
			m, err := tx.Message(r.Message)
			if err != nil {
				return err
			}
			var number, bad int
			if _, err := fmt.Sscanf(string(m.Text), "words %d %d", &number, &bad); err != nil || bad < 2 {
				t.Errorf("%q was rolled back", string(m.Text))
			}
		}
		check, err := tx.c.number(0, `SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'`)
		if check != 0 {
			t.Error("the database is not intact")
		}
		return err
	})
}

// TestFollowWithoutGapOrRepeat: readers that wake by the bell see every row
// once and in order while writers are busy.
func TestFollowWithoutGapOrRepeat(t *testing.T) {
	db, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const writers, each, readers = 4, 50, 3
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			seen := map[chat.MessageID]bool{}
			c := chat.Cursor{Epoch: db.Epoch()}
			for len(seen) < writers*each {
				bell := db.Bell()
				var rows []LogRow
				err := db.Read(t.Context(), func(tx *Tx) (err error) {
					rows, c, err = tx.Follow(c, 7+r)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				for _, row := range rows {
					if seen[row.Message] || row.Kind != LogMessage || row.Conversation != chat.PrivateConversation(ana) {
						t.Errorf("row %+v again or wrong", row)
					}
					seen[row.Message] = true
				}
				if len(rows) == 0 {
					select {
					case <-bell:
					case <-t.Context().Done():
						return
					}
				}
			}
		})
	}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				add(t, db, text(ana, uint64(w*each+i+1), "hello"))
			}
		})
	}
	wg.Wait()
}

func TestCursorsExpire(t *testing.T) {
	db := openTest(t, t.TempDir())
	add(t, db, text(ana, 1, "a"), text(ana, 2, "b"), text(ana, 3, "c"))
	follow := func(c chat.Cursor) (n int, err error) {
		err = db.Read(t.Context(), func(tx *Tx) error {
			rows, _, err := tx.Follow(c, 10)
			n = len(rows)
			return err
		})
		return n, err
	}
	for _, c := range []chat.Cursor{{}, {Epoch: db.Epoch() + 1}, {Epoch: db.Epoch(), Seq: 4}, {Epoch: db.Epoch(), Seq: -1}} {
		if _, err := follow(c); !errors.Is(err, chat.ErrCursorExpired) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if n, err := follow(chat.Cursor{Epoch: db.Epoch(), Seq: 1}); n != 2 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	// Past the horizon, and never without a last row.
	write(t, db, func(tx *Tx) error {
		err := tx.c.exec(`UPDATE log SET seq = seq + ?`, logKeep)
		return errors.Join(err, tx.AppendLog(LogProfile, "", chat.MessageID{}, ""), tx.trimLog(100), tx.trimLog(100))
	})
	if _, err := follow(chat.Cursor{Epoch: db.Epoch(), Seq: 1}); !errors.Is(err, chat.ErrCursorExpired) {
		t.Errorf("trimmed: %v", err)
	}
	if n, err := follow(chat.Cursor{Epoch: db.Epoch(), Seq: logKeep + 3}); n != 1 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestBellRings(t *testing.T) {
	db := openTest(t, t.TempDir())
	rings := func(fn func(tx *Tx) error) bool {
		bell := db.Bell()
		write(t, db, fn)
		select {
		case <-bell:
			return true
		default:
			return false
		}
	}
	if !rings(func(tx *Tx) error { _, err := tx.AddMessage(text(ana, 1, "a")); return err }) {
		t.Error("silent for a message")
	}
	if !rings(func(tx *Tx) error { _, err := tx.Enqueue(OutboxRow{Account: ana}); return err }) {
		t.Error("silent for the outbox")
	}
	if rings(func(tx *Tx) error { return tx.PutSecret("k", "k", nil, time.Time{}) }) {
		t.Error("rings for a secret")
	}
	if rings(func(tx *Tx) error { _, err := tx.AddMessage(text(ana, 1, "a")); return err }) {
		t.Error("rings for a repeat")
	}
}

func TestWriteHonoursItsContext(t *testing.T) {
	db := openTest(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	begun, wait := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		write(t, db, func(*Tx) error { // holds the group for the others to queue behind
			close(begun)
			<-wait
			return nil
		})
	})
	<-begun
	ran := false
	wg.Go(func() {
		if err := db.Write(ctx, func(*Tx) error { ran = true; return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	for queued := 0; queued == 0; runtime.Gosched() {
		db.w.mu.Lock()
		queued = len(db.w.queue)
		db.w.mu.Unlock()
	}
	cancel()
	for queued := 1; queued == 1; runtime.Gosched() {
		db.w.mu.Lock()
		queued = len(db.w.queue)
		db.w.mu.Unlock()
	}
	close(wait)
	wg.Wait()
	if ran {
		t.Error("ran after its context ended")
	}
	if err := db.Read(ctx, func(*Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
}

// TestLostGoroutine: a function that ends its goroutine, as a failing test
// does, takes neither the store nor its neighbours along.
func TestLostGoroutine(t *testing.T) {
	db := openTest(t, t.TempDir())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = db.Write(context.Background(), func(tx *Tx) error {
			if _, err := tx.AddMessage(text(ana, 1, "lost")); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	add(t, db, text(ana, 2, "kept"))
	read(t, db, func(tx *Tx) error {
		if _, err := tx.Message(text(ana, 1, "lost").ID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("lost message: %v", err)
		}
		return nil
	})
}

func TestPages(t *testing.T) {
	db := openTest(t, t.TempDir())
	key := chat.PrivateConversation(ana)
	var want []chat.MessageID
	for i := range 25 {
		m := text(ana, uint64(i+1), fmt.Sprint("m", i))
		if i%5 < 2 { // ties in time: author, then number decide
			m = message(ana, uint64(i+1), 1_760_000_000_000+int64(i/5*5)*1000, chat.KindText, fmt.Sprint("m", i), chat.MessageID{})
		}
		want = append(want, m.ID)
		add(t, db, m)
	}
	page := func(p Page) (ids []chat.MessageID, prev, next string) {
		p.Conversation, p.Limit = key, 7
		read(t, db, func(tx *Tx) error {
			msgs, before, after, err := tx.Messages(p)
			for _, m := range msgs {
				ids = append(ids, m.ID)
			}
			prev, next = before, after
			return err
		})
		return ids, prev, next
	}
	var down []chat.MessageID
	ids, prev, next := page(Page{Newest: true})
	if next != "" {
		t.Error("something after the newest")
	}
	for down = ids; prev != ""; down = append(ids, down...) {
		ids, prev, _ = page(Page{Before: prev})
	}
	var up []chat.MessageID
	ids, prev, next = page(Page{})
	if prev != "" {
		t.Error("something before the oldest")
	}
	for up = ids; next != ""; up = append(up, ids...) {
		ids, _, next = page(Page{After: next})
	}
	if fmt.Sprint(down) != fmt.Sprint(want) || fmt.Sprint(up) != fmt.Sprint(want) {
		t.Errorf("down %v\nup   %v\nwant %v", down, up, want)
	}
	read(t, db, func(tx *Tx) error {
		if _, _, _, err := tx.Messages(Page{Conversation: key, Before: "nonsense!", Limit: 1}); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("nonsense: %v", err)
		}
		found, err := tx.FindMessages(want[3].String()[:9], 5)
		if len(found) != 1 || found[0] != want[3] {
			t.Errorf("found %v", found)
		}
		all, aerr := tx.FindMessages("", 100)
		if len(all) != len(want) {
			t.Errorf("%d of all", len(all))
		}
		if _, err := tx.FindMessages("xyz", 5); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("no hex: %v", err)
		}
		return errors.Join(err, aerr)
	})
}
