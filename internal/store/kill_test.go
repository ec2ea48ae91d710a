package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/chat"
)

// TestKill kills a writing process again and again, at random moments, and
// opens what it left. PARLEY_KILLS says how often; `make kill` many times.
func TestKill(t *testing.T) {
	if dir := os.Getenv("PARLEY_KILL_DIR"); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	kills := 30
	if n, err := strconv.Atoi(os.Getenv("PARLEY_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	acked := map[uint64]bool{}
	for range kills {
		killOnce(t, dir, acked)
		if t.Failed() {
			return
		}
	}
	if len(acked) < kills {
		t.Errorf("only %d messages in %d rounds", len(acked), kills)
	}
}

// killOnce runs the test binary as the writer, reads what it says is durable,
// kills it, and holds the store to that.
func killOnce(t *testing.T, dir string, acked map[uint64]bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), "PARLEY_KILL_DIR="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	left := 1 + rand.IntN(60)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.ParseUint(strings.TrimPrefix(lines.Text(), "durable "), 10, 64)
		if err != nil {
			t.Fatalf("the writer says %q", lines.Text())
		}
		acked[n] = true
		if left--; left == 0 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // killed
	db, err := Open(Config{Dir: dir, noReserve: true})
	if err != nil {
		t.Fatalf("the store needs a hand: %v", err)
	}
	defer db.Close()
	read(t, db, func(tx *Tx) error {
		for n := range acked {
			if _, err := tx.Message(text(ana, n, "").ID); err != nil {
				t.Errorf("acknowledged and lost: %d: %v", n, err)
			}
		}
		rows, _, err := tx.Follow(chat.Cursor{Epoch: db.Epoch()}, 1_000_000)
		if err != nil {
			return err
		}
		messages, merr := tx.c.number(0, `SELECT count(*) FROM messages`)
		distinct, derr := tx.c.number(0, `SELECT count(DISTINCT id) FROM messages`)
		outbox, oerr := tx.c.number(0, `SELECT count(*) FROM outbox`)
		bad, berr := tx.c.number(0, `SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'`)
		s, serr := tx.SessionByID([]byte("chain"))
		chain := int64(binary.BigEndian.Uint64(s.State))
		if messages != distinct || messages != outbox || messages != chain || messages != int64(len(rows)) || bad != 0 {
			t.Errorf("%d messages, %d distinct, %d in the outbox, chain at %d, %d log rows, %d faults",
				messages, distinct, outbox, chain, len(rows), bad)
		}
		return errors.Join(merr, derr, oerr, berr, serr)
	})
	if err := db.index(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, db, func(tx *Tx) error {
		return tx.c.exec(`INSERT INTO fulltext (fulltext) VALUES ('integrity-check')`)
	})
}

// writeUntilKilled is the life of the writer: groups of transactions, each a
// message, its outbox row and a step of a chain, with upkeep beside them.
func writeUntilKilled(t *testing.T, dir string) {
	db, err := Open(Config{Dir: dir, noReserve: true})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i := 0; ; i++ {
			_ = db.index(context.Background())
			if i%5 == 0 {
				_ = db.checkpoint()
			}
			<-db.Bell()
		}
	})
	var out sync.Mutex
	for range 4 {
		wg.Go(func() {
			for {
				var n uint64
				err := db.Write(context.Background(), func(tx *Tx) (err error) {
					if n, err = advance(tx); err != nil {
						return err
					}
					if n%7 == 0 { // one that fails takes nothing along
						return errMine
					}
					return nil
				})
				if errors.Is(err, errMine) {
					err = db.Write(context.Background(), func(tx *Tx) (err error) { n, err = advance(tx); return err })
				}
				if err != nil {
					panic(err)
				}
				out.Lock()
				fmt.Printf("durable %d\n", n)
				out.Unlock()
			}
		})
	}
}

// advance sends the next message of the chain.
func advance(tx *Tx) (uint64, error) {
	s, err := tx.SessionByID([]byte("chain"))
	if errors.Is(err, chat.ErrNotFound) {
		s, err = SessionRow{ID: []byte("chain"), Device: "d", State: make([]byte, 8)}, nil
	}
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint64(s.State) + 1
	s.State = binary.BigEndian.AppendUint64(nil, n)
	m := text(ana, n, "")
	if _, err := tx.AddMessage(m); err != nil {
		return 0, err
	}
	if _, err := tx.Enqueue(OutboxRow{Message: m.ID, Account: ana, Content: m.Content, NextTry: time.Now()}); err != nil {
		return 0, err
	}
	return n, tx.PutSession(s)
}
