package identity

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

// cloud is the network's weather: one map with the DHT's validators and
// selectors, that can be cut off or slow.
type cloud struct {
	mu     sync.Mutex
	values map[string][]byte
	down   error
	slow   time.Duration
	gets   int
	puts   []string // keys in order
	peers  int      // fewer than wanted make a put fail
}

func newCloud() *cloud { return &cloud{values: map[string][]byte{}, peers: 8} }

func (c *cloud) Get(ctx context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	c.gets++
	value, down, slow := c.values[key], c.down, c.slow
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(slow):
	}
	if down != nil {
		return nil, down
	}
	if value == nil {
		return nil, chat.ErrNotFound
	}
	return value, nil
}

func (c *cloud) Put(_ context.Context, key string, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.puts = append(c.puts, key)
	if c.down != nil {
		return c.down
	}
	if c.peers == 0 {
		return chat.ErrUnreachable
	}
	validate, choose := ValidateDeviceRecord, SelectDeviceRecord
	if key[1] == AccountNamespace[0] && key[:len(AccountNamespace)+1] == "/"+AccountNamespace {
		validate, choose = ValidateAccountRecord, SelectAccountRecord
	}
	if err := validate(key, value, time.Now()); err != nil {
		return err
	}
	if old := c.values[key]; old != nil {
		if i, err := choose(key, [][]byte{old, value}); err != nil || i == 0 {
			return errors.Join(chat.ErrConflict, err)
		}
	}
	c.values[key] = value
	return nil
}

func (c *cloud) set(key string, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[key] = value
}

func (c *cloud) change(fn func(*cloud)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(c)
}

func (c *cloud) counts() (gets, puts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gets, len(c.puts)
}

type world struct {
	*cloud
	db   *store.DB
	dir  *Directory
	keys *Keys
}

// inWorld runs fn at noon in a bubble, with a directory over a real store.
func inWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon)) // bubbles begin in the year 2000
		w := &world{cloud: newCloud()}
		w.db = openStore(t, t.TempDir())
		w.keys = load(t, w.db, time.Now())
		w.dir = NewDirectory(DirectoryConfig{
			DB: w.db, Keys: w.keys, Records: w.cloud,
			PeerRecord: func() ([]byte, error) { return []byte("addresses"), nil },
		})
		fn(t, w)
	})
}

func TestAccountIsLookedUpPinnedAndCached(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		bo := newPerson("bo")
		if _, err := w.dir.Account(t.Context(), bo.accountID()); !errors.Is(err, chat.ErrNotFound) {
			t.Fatalf("nobody knows bo: %v", err)
		}
		w.set(AccountRecordKey(bo.accountID()), bo.accountRecord())
		m, err := w.dir.Account(t.Context(), bo.accountID())
		if err != nil || !m.Lists(bo.deviceID()) {
			t.Fatalf("Account = %+v, %v", m, err)
		}
		read(t, w.db, func(tx *store.Tx) error {
			if a, ok := w.dir.AccountOf(tx, bo.deviceID()); !ok || a != bo.accountID() {
				t.Errorf("AccountOf = %s, %v", a, ok)
			}
			if a, ok := w.dir.AccountOf(tx, w.keys.Device()); !ok || a != w.keys.Account() {
				t.Errorf("AccountOf(self) = %s, %v", a, ok)
			}
			return nil
		})
		gets, _ := w.counts()
		if _, err := w.dir.Account(t.Context(), bo.accountID()); err != nil {
			t.Fatal(err)
		}
		if again, _ := w.counts(); again != gets {
			t.Error("a fresh manifest was looked up again")
		}
		profile, err := w.dir.Profile(t.Context(), bo.accountID())
		if err != nil || profile.DisplayName != "Maya" {
			t.Errorf("Profile = %+v, %v", profile, err)
		}

		// A newer list is noticed within the hour; a lower one is not taken.
		newer := bo.manifest(func(m *wirev1.Manifest) { m.Seq += 5; m.VaultGeneration = 1 })
		w.set(AccountRecordKey(bo.accountID()), bo.accountRecord(func(r *wirev1.AccountRecord) { r.Manifest = newer }))
		time.Sleep(accountFresh)
		if m, err = w.dir.Account(t.Context(), bo.accountID()); err != nil || !bytes.Equal(m.Bytes, newer) {
			t.Fatalf("after an hour: %+v, %v", m, err)
		}
		w.set(AccountRecordKey(bo.accountID()), bo.accountRecord(func(r *wirev1.AccountRecord) { r.Seq += 9 }))
		time.Sleep(accountFresh)
		if m, err = w.dir.Account(t.Context(), bo.accountID()); err != nil || !bytes.Equal(m.Bytes, newer) {
			t.Fatalf("a withheld revocation: %+v, %v", m, err)
		}

		// A slow network holds one message for a moment, and the next not at all.
		w.change(func(c *cloud) { c.slow = time.Hour })
		time.Sleep(accountFresh)
		for _, want := range []time.Duration{confirmWait, 0} {
			began := time.Now()
			if m, err = w.dir.Account(t.Context(), bo.accountID()); err != nil || !bytes.Equal(m.Bytes, newer) || time.Since(began) != want {
				t.Fatalf("slow network: %+v, %v after %s, want %s", m, err, time.Since(began), want)
			}
		}
		w.change(func(c *cloud) { c.slow = 0 })

		// Offline the pinned list serves until its own end.
		w.change(func(c *cloud) { c.down = chat.ErrUnreachable })
		time.Sleep(100 * day24)
		if m, err = w.dir.Account(t.Context(), bo.accountID()); err != nil || !bytes.Equal(m.Bytes, newer) {
			t.Fatalf("offline: %+v, %v", m, err)
		}
		time.Sleep(300*day24 + time.Hour)
		if _, err = w.dir.Account(t.Context(), bo.accountID()); !errors.Is(err, chat.ErrUnreachable) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestEquivocationIsHeld(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		bo := newPerson("bo")
		first, err := w.dir.Learn(t.Context(), bo.manifest())
		if err != nil {
			t.Fatal(err)
		}
		other := bo.manifest(func(m *wirev1.Manifest) { m.VaultGeneration = 9 })
		var two *EquivocationError
		if _, err := w.dir.Learn(t.Context(), other); !errors.As(err, &two) || two.Account != bo.accountID() {
			t.Fatalf("Learn of a second list: %v", err)
		}
		w.set(AccountRecordKey(bo.accountID()), bo.accountRecord(func(r *wirev1.AccountRecord) { r.Manifest = other }))
		if _, err := w.dir.Account(t.Context(), bo.accountID()); !errors.As(err, &two) {
			t.Fatalf("Account with a second list in the DHT: %v", err)
		}
		read(t, w.db, func(tx *store.Tx) error {
			pin, err := tx.Pin(bo.accountID())
			if err != nil || pin.Hash != first.Hash {
				t.Errorf("pinned %x, %v", pin.Hash, err)
			}
			return nil
		})
		disputed := func(want bool) {
			t.Helper()
			read(t, w.db, func(tx *store.Tx) error {
				if got, err := w.dir.Disputed(tx, bo.accountID()); got != want || err != nil {
					t.Errorf("disputed: %v, %v", got, err)
				}
				return nil
			})
		}
		disputed(true)
		lower, err := w.dir.Learn(t.Context(), bo.manifest(func(m *wirev1.Manifest) { m.Seq-- }))
		if err != nil || lower.Hash != first.Hash {
			t.Errorf("a lower list: %+v, %v", lower, err)
		}
		for name, signed := range map[string][]byte{"garbage": []byte("x"), "stranger's signature": sign(bo.device, "manifest", bo.manifestMessage())} {
			if _, err := w.dir.Learn(t.Context(), signed); !errors.Is(err, chat.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		disputed(true)
		if _, err := w.dir.RefreshAccount(t.Context(), bo.accountID()); !errors.As(err, &two) {
			t.Errorf("refreshed with the second list in the DHT: %v", err)
		}
		higher := bo.manifest(func(m *wirev1.Manifest) { m.Seq++ })
		w.set(AccountRecordKey(bo.accountID()), bo.accountRecord(func(r *wirev1.AccountRecord) { r.Manifest = higher; r.Seq++ }))
		if m, err := w.dir.RefreshAccount(t.Context(), bo.accountID()); err != nil || !bytes.Equal(m.Bytes, higher) {
			t.Errorf("refreshed with a higher list in the DHT: %v", err)
		}
		disputed(false)
		if own, err := w.dir.Learn(t.Context(), w.keys.ManifestBytes()); err != nil || own.Hash != w.keys.Manifest().Hash {
			t.Errorf("our own: %+v, %v", own, err)
		}
	})
}

func TestDeviceIsFreshThenStaleThenGone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		bo := newPerson("bo")
		if _, err := w.dir.Device(t.Context(), bo.deviceID()); !errors.Is(err, chat.ErrNotFound) {
			t.Fatalf("nobody knows bo: %v", err)
		}
		w.set(DeviceRecordKey(bo.deviceID()), bo.deviceRecord())
		r, err := w.dir.Device(t.Context(), bo.deviceID())
		if err != nil || r.Stale || r.Account != bo.accountID() || string(r.PeerRecord) != "addresses" {
			t.Fatalf("Device = %+v, %v", r, err)
		}
		moved := bo.deviceRecord(func(r *wirev1.DeviceRecord) { r.Seq++; r.SignedPeerRecord = []byte("elsewhere") })
		w.set(DeviceRecordKey(bo.deviceID()), moved)
		if r, err = w.dir.Device(t.Context(), bo.deviceID()); err != nil || string(r.PeerRecord) != "addresses" {
			t.Fatalf("fresh in the cache: %+v, %v", r, err)
		}
		if r, err = w.dir.Refresh(t.Context(), bo.deviceID()); err != nil || string(r.PeerRecord) != "elsewhere" {
			t.Fatalf("Refresh = %+v, %v", r, err)
		}
		w.set(DeviceRecordKey(bo.deviceID()), bo.deviceRecord())
		if r, err = w.dir.Refresh(t.Context(), bo.deviceID()); err != nil || string(r.PeerRecord) != "elsewhere" {
			t.Fatalf("a rolled back record: %+v, %v", r, err)
		}
		w.set(DeviceRecordKey(bo.deviceID()), newPerson("eve").deviceRecord())
		if r, err = w.dir.Refresh(t.Context(), bo.deviceID()); err != nil || r.Device != bo.deviceID() {
			t.Fatalf("somebody else's record: %+v, %v", r, err)
		}
		w.change(func(c *cloud) { c.down = chat.ErrUnreachable })
		if r, err = w.dir.Refresh(t.Context(), bo.deviceID()); err != nil || r.Stale {
			t.Fatalf("Refresh offline: %+v, %v", r, err)
		}
		time.Sleep(3 * day24)
		if r, err = w.dir.Device(t.Context(), bo.deviceID()); err != nil || !r.Stale || len(r.Bundle.KEM) == 0 {
			t.Fatalf("after three days: %+v, %v", r, err)
		}
		time.Sleep(12 * day24)
		if r, err = w.dir.Device(t.Context(), bo.deviceID()); err != nil || !r.Stale || r.Bundle.KEM != nil || string(r.PeerRecord) != "elsewhere" {
			t.Fatalf("after fifteen days: %+v, %v", r, err)
		}
		time.Sleep(16 * day24)
		if _, err = w.dir.Device(t.Context(), bo.deviceID()); !errors.Is(err, chat.ErrUnreachable) {
			t.Errorf("after thirty-one days: %v", err)
		}
	})
}

// A stranger may list anybody's device. The device's own record decides.
func TestDeviceBelongsToWhomItNames(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		bo, eve := newPerson("bo"), newPerson("eve")
		claim := eve.manifest(func(m *wirev1.Manifest) {
			m.Devices = append(m.Devices, &wirev1.ManifestDevice{DeviceKey: public(bo.device)}, &wirev1.ManifestDevice{DeviceKey: w.keys.devicePublic()})
		})
		owner := func(d chat.DeviceID) (a chat.AccountID) {
			read(t, w.db, func(tx *store.Tx) error {
				a, _ = w.dir.AccountOf(tx, d)
				return nil
			})
			return a
		}
		learn := func(signed []byte) {
			if _, err := w.dir.Learn(t.Context(), signed); err != nil {
				t.Fatal(err)
			}
		}
		learn(claim)
		if owner(bo.deviceID()) != eve.accountID() {
			t.Fatal("an uncontested claim does not count")
		}
		if owner(w.keys.Device()) != w.keys.Account() {
			t.Fatal("our own device was given away")
		}
		learn(bo.manifest())
		record, err := OpenDeviceRecord(bo.deviceRecord(), noon)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.dir.keep(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		if got := owner(bo.deviceID()); got != bo.accountID() {
			t.Fatalf("bo's device belongs to %s", got)
		}
		learn(eve.manifest(func(m *wirev1.Manifest) {
			m.Seq += 2
			m.Devices = append(m.Devices, &wirev1.ManifestDevice{DeviceKey: public(bo.device)})
		}))
		if got := owner(bo.deviceID()); got != bo.accountID() {
			t.Fatalf("after a new claim bo's device belongs to %s", got)
		}
		if owner(eve.deviceID()) != eve.accountID() {
			t.Error("eve lost her own device")
		}
	})
}

func TestLookUpsAreShared(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		bo := newPerson("bo")
		w.set(DeviceRecordKey(bo.deviceID()), bo.deviceRecord())
		w.change(func(c *cloud) { c.slow = 3 * time.Second })
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := w.dir.Device(impatient, bo.deviceID()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the impatient caller: %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			callers.Go(func() {
				if r, err := w.dir.Device(t.Context(), bo.deviceID()); err != nil || r.Device != bo.deviceID() {
					t.Errorf("a patient caller: %+v, %v", r, err)
				}
			})
		}
		callers.Wait()
		if gets, _ := w.counts(); gets != 1 {
			t.Errorf("%d look-ups for 21 callers, want one that outlives the impatient caller", gets)
		}
		if len(w.dir.flights) != 0 {
			t.Error("a look-up is left over")
		}
		w.change(func(c *cloud) { c.slow = time.Hour })
		began := time.Now()
		if _, err := w.dir.Device(t.Context(), newPerson("cy").deviceID()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > chat.LookupTimeout {
			t.Errorf("a dead network: %v after %s", err, time.Since(began))
		}
	})
}
