package identity

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"parley/internal/chat"
	"parley/internal/live"
	"parley/internal/store"
)

// running starts Run in the bubble and returns how to stop it.
func (w *world) running(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.dir.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func (w *world) own(t *testing.T) (*DeviceRecord, *AccountRecord) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	device, err := OpenDeviceRecord(w.values[DeviceRecordKey(w.keys.Device())], time.Now())
	if err != nil {
		t.Fatalf("our device record in the DHT: %v", err)
	}
	account, err := OpenAccountRecord(w.values[AccountRecordKey(w.keys.Account())], time.Now())
	if err != nil {
		t.Fatalf("our account record in the DHT: %v", err)
	}
	return device, account
}

func TestRunPublishesAndRenews(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		write(t, w.db, func(tx *store.Tx) error { return tx.SetSetting(chat.SettingDisplayName, "Ana") })
		stop := w.running(t)
		synctest.Wait()
		device, account := w.own(t)
		if account.DisplayName != "Ana" || device.Account != w.keys.Account() || !account.Manifest.Lists(w.keys.Device()) {
			t.Errorf("published %+v, %+v", device, account)
		}
		if p := w.dir.Published().Load(); p.Cause != "" || !p.At.Equal(noon) {
			t.Errorf("Published = %+v", p)
		}
		// Never a moment in forty days without valid records of both kinds, and
		// a new bundle each day.
		bundles := map[[32]byte]bool{}
		for range 40 * 8 {
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			device, _ = w.own(t)
			bundles[device.BundleHash] = true
		}
		if n := len(bundles); n < 39 || n > 41 {
			t.Errorf("%d bundles in forty days", n)
		}
		if _, puts := w.counts(); puts > 2*(2*40+40+6+5) { // and a mailbox each week
			t.Errorf("%d puts in forty days", puts)
		}
		stop()
	})
}

func TestRunTriesUntilItWorks(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.change(func(c *cloud) { c.peers = 0 })
		stop := w.running(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		_, puts := w.counts()
		if p := w.dir.Published().Load(); !p.At.IsZero() || !strings.Contains(p.Cause, "unreachable") {
			t.Errorf("Published = %+v", p)
		}
		if puts < 20 || puts > 80 {
			t.Errorf("%d puts in an hour alone", puts)
		}
		w.change(func(c *cloud) { c.peers = 1 })
		w.dir.Nudge()
		time.Sleep(publishRetryMin)
		synctest.Wait()
		w.own(t)
		stop()
	})
}

func TestNudges(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var addrs live.Value[string]
		addrs.Set("one")
		w.dir.peerRecord = func() ([]byte, error) { return []byte(addrs.Load()), nil }
		stop := w.running(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		_, before := w.counts()

		// A burst of news is told once, soon.
		for _, a := range []string{"two", "three", "four"} {
			addrs.Set(a)
			w.dir.Nudge()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(publishCalm)
		synctest.Wait()
		if device, _ := w.own(t); string(device.PeerRecord) != "four" {
			t.Errorf("published %q", device.PeerRecord)
		}
		if _, puts := w.counts(); puts != before+2 {
			t.Errorf("%d puts for a burst of news", puts-before)
		}

		// New peers all day long without news: told ever more seldom.
		_, before = w.counts()
		for range 8 * 60 * 6 {
			w.dir.Nudge()
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		if _, puts := w.counts(); puts-before < 12 || puts-before > 2*14 {
			t.Errorf("%d puts in a day of nudges without news", puts-before)
		}
		addrs.Set("five")
		w.dir.Nudge()
		time.Sleep(publishGap)
		synctest.Wait()
		if device, _ := w.own(t); string(device.PeerRecord) != "five" {
			t.Errorf("news after a quiet day: %q", device.PeerRecord)
		}
		stop()
	})
}

func TestNothingIsPublishedWithoutAddress(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var addrs live.Value[string]
		w.dir.peerRecord = func() ([]byte, error) { return []byte(addrs.Load()), nil }
		stop := w.running(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, puts := w.counts(); puts != 0 {
			t.Errorf("%d puts without an address", puts)
		}
		addrs.Set("here")
		w.dir.Nudge()
		time.Sleep(publishRetryMin)
		synctest.Wait()
		w.own(t)
		stop()
	})
}

// A restored account finds its other device in the DHT before it publishes.
func TestRunKeepsOtherDevicesAfterRestore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		stop := w.running(t)
		synctest.Wait()
		stop()
		db := openStore(t, t.TempDir())
		if err := Restore(t.Context(), db, w.keys.Phrase()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		second := &world{cloud: w.cloud, db: db, keys: load(t, db, time.Now())}
		second.dir = NewDirectory(DirectoryConfig{DB: db, Keys: second.keys, Records: w.cloud, PeerRecord: w.dir.peerRecord})
		stop = second.running(t)
		synctest.Wait()
		_, account := second.own(t)
		if !account.Manifest.Lists(w.keys.Device()) || !account.Manifest.Lists(second.keys.Device()) || account.Device != second.keys.Device() {
			t.Errorf("after the restore the account lists %v", account.Manifest.Devices)
		}
		stop()
	})
}

func TestFingerprintSeesAddressesOnly(t *testing.T) {
	envelope := func(seq uint64, addrs ...string) []byte {
		var record []byte
		record = protowire.AppendTag(record, 1, protowire.BytesType)
		record = protowire.AppendString(record, "peer")
		record = protowire.AppendTag(record, 2, protowire.VarintType)
		record = protowire.AppendVarint(record, seq)
		for _, a := range addrs {
			record = protowire.AppendTag(record, 3, protowire.BytesType)
			record = protowire.AppendString(record, a)
		}
		var b []byte
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendString(b, "key")
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendBytes(b, record)
		b = protowire.AppendTag(b, 5, protowire.BytesType)
		return protowire.AppendString(b, string(rune('a'+seq)))
	}
	base := fingerprint(envelope(1, "x", "y"), "Ana")
	if fingerprint(envelope(2, "x", "y"), "Ana") != base {
		t.Error("signing again looks like news")
	}
	for name, other := range map[string][32]byte{
		"another address": fingerprint(envelope(1, "x", "z"), "Ana"), "one more": fingerprint(envelope(1, "x", "y", "z"), "Ana"),
		"another name": fingerprint(envelope(1, "x", "y"), "Bo"), "another form": fingerprint([]byte("x"), "Ana"),
	} {
		if other == base {
			t.Errorf("%s does not look like news", name)
		}
	}
}
