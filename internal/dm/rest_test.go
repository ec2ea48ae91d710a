package dm

import (
	"context"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/store"
)

// TestOldKeysGo: the key of a message that was overtaken and never came is
// erased, though nothing else happens in its session.
func TestOldKeysGo(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.knows(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		ids, blobs := sealed(ana, bo, "one", "two", "three")
		ana.offline()
		if out := bo.receives(ana, blobs[2]); out[0].Message != ids[2] {
			t.Fatalf("overtaking: %+v", out[0])
		}
		ctx := context.Background()
		begin := time.Now()
		pass := rest{}
		bo.must(bo.trimSessions(ctx, &pass, begin.Add(chat.SkippedKeyLife-time.Hour)))
		if pass.after != nil || pass.next != begin.Add(chat.SkippedKeyLife-time.Hour+trimEvery) {
			t.Errorf("after a whole pass: %+v", pass)
		}
		before := sendsOnState(bo, ana)
		bo.must(bo.trimSessions(ctx, &pass, begin.Add(chat.SkippedKeyLife+time.Hour))) // between two passes
		if sendsOnState(bo, ana) != before {
			t.Error("a session changed between two passes")
		}
		if out := bo.receives(ana, blobs[0]); out[0].Message != ids[0] {
			t.Fatalf("before its time is over: %+v", out[0])
		}
		bo.must(bo.trimSessions(ctx, &rest{}, begin.Add(chat.SkippedKeyLife+time.Hour)))
		if out := bo.receives(ana, blobs[1]); out[0].Answer != Invalid {
			t.Errorf("the erased key opened its message: %+v", out[0])
		}
	})
}

// TestSessionsAreTrimmedInGroups: every session has its turn.
func TestSessionsAreTrimmedInGroups(t *testing.T) {
	w := newWorld(t)
	defer w.end()
	ana, bo := w.join("ana"), w.join("bo")
	ana.await(ana.say(bo, "hello").ID, chat.Delivered)
	ana.stop()
	const n = 2*trimGroup + 5
	ana.must(ana.db.Write(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Sessions(bo.keys.Device())
		for i := range n {
			r := rows[0]
			r.ID, r.Device = []byte{byte(i), byte(i >> 8), 1}, chat.DeviceID([]byte{'d', byte('a' + i%26), byte('a' + i/26)})
			if err := tx.PutSession(r); err != nil {
				return err
			}
		}
		return err
	}))
	pass, groups := rest{}, 0
	for now := time.Now(); groups == 0 || pass.after != nil; groups++ {
		ana.must(ana.trimSessions(t.Context(), &pass, now))
	}
	if groups != 3 {
		t.Errorf("%d sessions took %d groups", n, groups)
	}
}

// TestHandshakeIsRememberedAsLongAsItsKeys: a first contact that is replayed on
// the last day of its prekeys makes no second session.
func TestHandshakeIsRememberedAsLongAsItsKeys(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.contact(ana)
		time.Sleep(time.Second)
		_, blobs := sealed(ana, bo, "hello")
		if out := bo.receives(ana, blobs[0]); out[0].Answer != Received {
			t.Fatalf("first: %+v", out[0])
		}
		ana.stop()
		bo.stop()
		ana.ran.Wait()
		bo.ran.Wait()
		bo.must(bo.db.Write(context.Background(), func(tx *store.Tx) error {
			rows, err := tx.Sessions(ana.keys.Device())
			for _, r := range rows {
				if err := tx.DeleteSession(r.ID); err != nil {
					return err
				}
			}
			return err
		}))
		time.Sleep(identity.HandshakeLife - time.Hour) // the keys are still there
		if out := bo.receives(ana, blobs[0]); out[0].Answer != Invalid || sessionsWith(bo, ana) != 0 {
			t.Errorf("replayed: %+v, %d sessions", out[0], sessionsWith(bo, ana))
		}
	})
}

// TestEndedListAdmitsNobody: a running session is no way around the end of its
// author's device list; a handshake with a newer list is.
func TestEndedListAdmitsNobody(t *testing.T) {
	bubble(t, func(w *world) {
		ana, bo := w.join("ana"), w.join("bo")
		bo.contact(ana)
		ana.await(ana.say(bo, "hello").ID, chat.Delivered)
		time.Sleep(time.Minute)
		short := ana.list(func(m *wirev1.Manifest) { m.Seq++; m.NotAfter = time.Now().Add(24 * time.Hour).Unix() })
		_, err := bo.directory.Learn(context.Background(), short.Bytes)
		bo.must(err)
		_, blobs := sealed(ana, bo, "in time", "too late")
		ana.offline()
		if out := bo.receives(ana, blobs[0]); out[0].Answer != Received {
			t.Fatalf("before the end: %+v", out[0])
		}
		ana.stop() // before it hears that its list was replaced
		ana.ran.Wait()
		time.Sleep(25 * time.Hour)
		if out := bo.receives(ana, blobs[1]); out[0].Answer != Invalid {
			t.Errorf("after the end of the list: %+v", out[0])
		}
	})
}
