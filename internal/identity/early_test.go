package identity

import (
	"context"
	"errors"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
)

// told is Records whose first node is behind the others.
type told struct {
	*cloud
	first map[string][]byte
}

func (r told) Search(ctx context.Context, key string, found func([]byte)) ([]byte, error) {
	if v := r.first[key]; v != nil {
		found(v)
	}
	return r.Get(ctx, key)
}

func TestEarlyAnswers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		bo, cy := newPerson("bo"), newPerson("cy")
		account, device := AccountRecordKey(bo.accountID()), DeviceRecordKey(bo.deviceID())
		newer := bo.manifest(func(m *wirev1.Manifest) { m.Seq += 5 })
		w.set(account, bo.accountRecord(func(r *wirev1.AccountRecord) { r.Manifest = newer }))
		w.set(device, bo.deviceRecord(func(r *wirev1.DeviceRecord) { r.Seq += 5 }))
		w.change(func(c *cloud) { c.slow = 3 * time.Second })
		records := told{w.cloud, map[string][]byte{account: bo.accountRecord(), device: bo.deviceRecord()}}
		w.dir.records = records
		began := time.Now()
		var early *Manifest
		var after time.Duration
		note := func(m *Manifest) { early, after = m, time.Since(began) }
		m, err := w.dir.AccountEarly(t.Context(), bo.accountID(), note)
		if err != nil || m.Seq != early.Seq+5 || after != 0 || time.Since(began) != 3*time.Second {
			t.Fatalf("early %+v after %s, then %+v after %s, %v", early, after, m, time.Since(began), err)
		}
		// A pinned list stands above what a node that is behind says.
		time.Sleep(2 * accountFresh)
		early = nil
		if m, err := w.dir.AccountEarly(t.Context(), bo.accountID(), note); err != nil || early != nil || m.Seq != uint64(noon.Unix())+5 {
			t.Errorf("a list below the pinned one is told: %+v; then %+v, %v", early, m, err)
		}
		// So does a record of somebody else.
		records.first[AccountRecordKey(cy.accountID())] = bo.accountRecord()
		if _, err := w.dir.AccountEarly(t.Context(), cy.accountID(), note); !errors.Is(err, chat.ErrNotFound) || early != nil {
			t.Errorf("another's list is told: %+v, %v", early, err)
		}

		began = time.Now()
		r, err := w.dir.Callable(t.Context(), bo.deviceID())
		if err != nil || r.Seq != 7 || time.Since(began) != 0 {
			t.Fatalf("to call: %+v after %s, %v", r, time.Since(began), err)
		}
		if _, err := w.dir.Known(t.Context(), bo.deviceID()); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("the first answer was kept: %v", err)
		}
		if r, err := w.dir.Device(t.Context(), bo.deviceID()); err != nil || r.Seq != 12 || time.Since(began) != 3*time.Second {
			t.Errorf("after it: %+v after %s, %v", r, time.Since(began), err)
		}
		began = time.Now()
		if r, err := w.dir.Callable(t.Context(), bo.deviceID()); err != nil || r.Seq != 12 || time.Since(began) != 0 {
			t.Errorf("from the cache: %+v after %s, %v", r, time.Since(began), err)
		}
		records.first[DeviceRecordKey(cy.deviceID())] = bo.deviceRecord()
		w.set(DeviceRecordKey(cy.deviceID()), bo.deviceRecord())
		if r, err := w.dir.Callable(t.Context(), cy.deviceID()); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("another's record: %+v, %v", r, err)
		}
		if len(w.dir.flights) != 0 {
			t.Error("a look-up is left over")
		}
	})
}
