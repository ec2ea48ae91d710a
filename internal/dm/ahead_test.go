package dm

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/wire"
)

// TestFirstMessageLooksUpAndCallsAtOnce: a first message takes one look-up's
// time and not the sum of two and a dial.
func TestFirstMessageLooksUpAndCallsAtOnce(t *testing.T) {
	for _, invited := range []bool{false, true} {
		bubble(t, func(w *world) {
			ana, bo := w.join("ana"), w.join("bo")
			time.Sleep(time.Second)
			if invited {
				_, err := ana.directory.Learn(context.Background(), bo.keys.ManifestBytes())
				ana.must(err)
			}
			w.slow, w.delay = time.Second, 900*time.Millisecond
			began := time.Now()
			ana.await(ana.say(bo, "hello").ID, chat.Delivered)
			if took := time.Since(began); took > w.slow+100*time.Millisecond {
				t.Errorf("invited %v: DELIVERED after %s, a look-up takes %s", invited, took, w.slow)
			}
			if n := w.dialed(bo); n != 1 {
				t.Errorf("invited %v: called %d times", invited, n)
			}
		})
	}
}

// TestRevokedInTheSlowerAnswer: the first answer to a look-up still lists a
// lost device, a later one does not. The device may have been called, and is
// told nothing.
func TestRevokedInTheSlowerAnswer(t *testing.T) {
	for _, invited := range []bool{false, true} {
		bubble(t, func(w *world) {
			ana, bo, cem := w.join("ana"), w.join("bo"), w.join("cem")
			time.Sleep(time.Second)
			if invited { // by a link from before the loss
				_, err := ana.directory.Learn(context.Background(), bo.keys.ManifestBytes())
				ana.must(err)
			}
			list := bo.list(func(m *wirev1.Manifest) {
				m.Seq++
				m.Revoked = append(m.Revoked, keyOf(t, bo))
				m.Devices = []*wirev1.ManifestDevice{{DeviceKey: keyOf(t, cem), Added: time.Now().Unix()}}
			})
			key := identity.AccountRecordKey(bo.account())
			frames := 0
			w.mu.Lock()
			w.early = map[string][]byte{key: w.records[key]}
			w.records[key] = accountRecord(cem.keys.DeviceKey(), list)
			w.slow = time.Second
			w.instead = func(s wire.Stream) {
				r := wire.NewReader(s)
				for r.ReadFrame(new(wirev1.DMFrame)) == nil {
					w.mu.Lock()
					frames++
					w.mu.Unlock()
				}
				_ = s.Reset()
			}
			w.mu.Unlock()
			m := ana.say(bo, "not for a lost phone")
			time.Sleep(time.Minute)
			if w.dialed(bo) == 0 {
				t.Errorf("invited %v: the first answer called nobody: the test proves nothing", invited)
			}
			w.mu.Lock()
			if frames != 0 {
				t.Errorf("invited %v: %d frames were written", invited, frames)
			}
			w.mu.Unlock()
			if n := len(ana.outbox(bo)); n != 0 {
				t.Errorf("invited %v: %d rows wait for the lost device", invited, n)
			}
			if got := ana.message(m.ID); got.Delivery != chat.Queued || bo.has(m.ID) {
				t.Errorf("invited %v: the message is %s", invited, got.Delivery)
			}
			if n := w.dialed(cem); n > 1 {
				t.Errorf("invited %v: a device that names another account was called %d times", invited, n)
			}
		})
	}
}

func accountRecord(device ed25519.PrivateKey, list *identity.Manifest) []byte {
	now := time.Now()
	return identity.SignedBytes(device, seal.PurposeAccountRecord, encode(&wirev1.AccountRecord{
		Version: 1, Manifest: list.Bytes, DeviceKey: device.Public().(ed25519.PublicKey),
		Seq: uint64(now.Unix()), Issued: now.Unix(), Expires: now.Add(chat.RecordLife).Unix(),
	}))
}
