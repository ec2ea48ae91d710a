package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"parley/internal/chat"
)

// openTest opens a relaxed store that is closed with the test.
func openTest(t testing.TB, dir string) *DB {
	t.Helper()
	db, err := Open(Config{Dir: dir, Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // also closed by tests that reopen
	return db
}

func write(t testing.TB, db *DB, fn func(*Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, db *DB, fn func(*Tx) error) {
	t.Helper()
	if err := db.Read(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

const (
	ana = chat.AccountID("12D3KooWAnaAnaAnaAnaAnaAnaAnaAnaAnaAnaAnaAnaAnaAnaAna")
	bo  = chat.AccountID("12D3KooWBoBoBoBoBoBoBoBoBoBoBoBoBoBoBoBoBoBoBoBoBoBo")
	cy  = chat.AccountID("12D3KooWCyCyCyCyCyCyCyCyCyCyCyCyCyCyCyCyCyCyCyCyCyCy")
)

func deviceOf(a chat.AccountID, n int) chat.DeviceID {
	return chat.DeviceID(fmt.Sprintf("12D3KooWd%d%s", n, a[10:50]))
}

// message is one of author's in the conversation with ana, the owner of the
// store being bo, with content bytes that hold the text as real ones do.
func message(author chat.AccountID, number uint64, at int64, kind chat.Kind, text string, target chat.MessageID) *chat.Message {
	m := &chat.Message{
		Conversation: chat.PrivateConversation(ana), Author: author, Device: deviceOf(author, 1), Epoch: 1700000000000,
		Number: number, Time: chat.NewHLC(time.UnixMilli(at)), Kind: kind, Text: chat.Body(text), Target: target,
		Received: time.UnixMilli(at + 5), Own: author == bo,
	}
	if m.Own {
		m.Delivery = chat.Queued
	}
	salt := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(author), number))
	m.Content = append([]byte{1}, salt[:16]...)
	m.Content = append(m.Content, byte(kind))
	m.Content = append(m.Content, target[:]...)
	m.Content = binary.BigEndian.AppendUint64(m.Content, uint64(m.Time))
	m.Content = append(m.Content, text...)
	m.ID = chat.NewMessageID(m.Content)
	return m
}

func text(author chat.AccountID, number uint64, s string) *chat.Message {
	return message(author, number, 1_760_000_000_000+int64(number)*1000, chat.KindText, s, chat.MessageID{})
}

func add(t testing.TB, db *DB, list ...*chat.Message) {
	t.Helper()
	write(t, db, func(tx *Tx) error {
		for _, m := range list {
			if _, err := tx.AddMessage(m); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestMessageRoundTrip(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	reply := text(ana, 2, "see you at nine")
	reply.Target = text(bo, 1, "when?").ID
	own := text(bo, 1, "when?")
	own.Reason = "no_address"
	add(t, db, own, reply)
	epoch := db.Epoch()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir)
	if db.Epoch() != epoch || epoch == 0 {
		t.Fatalf("epoch %d after %d", db.Epoch(), epoch)
	}
	for _, want := range []*chat.Message{own, reply} {
		read(t, db, func(tx *Tx) error {
			got, err := tx.Message(want.ID)
			if err != nil {
				return err
			}
			if a, b := fmt.Sprintf("%#v", *got), fmt.Sprintf("%#v", *want); a != b {
				t.Errorf("got  %s\nwant %s", a, b)
			}
			return nil
		})
	}
}
