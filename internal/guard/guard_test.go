package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

func newGuard(t *testing.T) (*Guard, *store.DB) {
	t.Helper()
	db, err := store.Open(store.Config{Dir: t.TempDir(), Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	g, err := New(Config{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	return g, db
}

// pin makes the store believe that the account listed the devices.
func pin(t *testing.T, db *store.DB, seq uint64, a chat.AccountID, devices ...chat.DeviceID) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.PutPin(store.Pin{Account: a, Seq: seq, Manifest: []byte("signed"), Devices: devices}); err != nil {
			return err
		}
		for _, d := range devices {
			if err := tx.ProveDevice(d, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBlockRefusesAccountAndDevices(t *testing.T) {
	g, db := newGuard(t)
	pin(t, db, 1, "ana", "ana-phone", "ana-desk")
	pin(t, db, 1, "bo", "bo-phone")
	if err := g.Block(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	check := func(g *Guard, when string) {
		t.Helper()
		if !g.Blocked("ana") || g.Blocked("bo") || g.Allowed("ana-phone") || g.Allowed("ana-desk") || !g.Allowed("bo-phone") || !g.Allowed("unknown") {
			t.Errorf("%s: the block does not hold, or holds too much", when)
		}
		if got := g.BlockedDevices("ana"); !slices.Equal(got, []chat.DeviceID{"ana-desk", "ana-phone"}) {
			t.Errorf("%s: devices to drop: %v", when, got)
		}
		if got := g.Blocks(); !slices.Equal(got, []chat.AccountID{"ana"}) {
			t.Errorf("%s: blocks: %v", when, got)
		}
	}
	check(g, "after blocking")
	if err := g.Block(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	check(g, "blocked twice")
	again, err := New(Config{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	check(again, "after a restart")

	pin(t, db, 2, "ana", "ana-phone", "ana-desk", "ana-new")
	if err := g.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g.Allowed("ana-new") {
		t.Error("a new device of a blocked account is let in")
	}
	if err := g.Unblock(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	if err := g.Unblock(t.Context(), "nobody"); err != nil {
		t.Fatal(err)
	}
	if g.Blocked("ana") || !g.Allowed("ana-phone") || len(g.Blocks()) != 0 || len(g.BlockedDevices("ana")) != 0 {
		t.Error("the block outlives its end")
	}
}

// A caller who hangs up cannot leave a block that is stored but does not hold.
func TestRefreshOutlivesItsCaller(t *testing.T) {
	g, db := newGuard(t)
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.Block("ana", time.Unix(1, 0)) }); err != nil {
		t.Fatal(err)
	}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	if err := g.Refresh(gone); err != nil || !g.Blocked("ana") {
		t.Errorf("Refresh of a caller who hung up: %v, blocked %v", err, g.Blocked("ana"))
	}
}

// Of the pins that strangers bring, only those about somebody whom we block or
// trust are worth a read.
func TestPinnedReadsWhatConcernsUs(t *testing.T) {
	g, db := newGuard(t)
	if err := g.Block(t.Context(), "eve"); err != nil {
		t.Fatal(err)
	}
	pinned := func(seq uint64, a chat.AccountID, devices ...chat.DeviceID) (refreshed bool) {
		t.Helper()
		before := g.refresh.Load()
		pin(t, db, seq, a, devices...)
		if err := g.Pinned(t.Context(), a, devices); err != nil {
			t.Fatal(err)
		}
		return g.refresh.Load() != before
	}
	if pinned(1, "stranger", "stranger-phone") {
		t.Error("a stranger's pin was worth a read")
	}
	if !pinned(1, "eve", "eve-phone") || g.Allowed("eve-phone") {
		t.Error("a blocked account's new device is let in")
	}
	if !pinned(2, "stranger", "stranger-phone", "eve-phone") {
		t.Error("a blocked device with another account was not looked at")
	}
	g.refresh.Add(1) // one is under way
	if !pinned(3, "stranger", "stranger-phone") {
		t.Error("a Refresh under way may not have seen the pin")
	}
}

// A blocked account that lists a contact's device does not take it down.
func TestBlockSparesDevicesOfContacts(t *testing.T) {
	g, db := newGuard(t)
	pin(t, db, 1, "eve", "eve-phone", "bo-phone")
	pin(t, db, 1, "bo", "bo-phone")
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.PutContact(store.Contact{Account: "bo", State: store.ContactAdded})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Block(t.Context(), "eve"); err != nil {
		t.Fatal(err)
	}
	if g.Allowed("eve-phone") || !g.Allowed("bo-phone") {
		t.Error("the wrong device is blocked")
	}
}

func TestRefreshesNeverGoBack(t *testing.T) {
	g, db := newGuard(t)
	var writers sync.WaitGroup
	const blocked = 40
	for i := range blocked {
		writers.Go(func() {
			a := chat.AccountID(fmt.Sprintf("account %d", i))
			if err := g.Block(t.Context(), a); err != nil {
				t.Error(err)
			}
			if !g.Blocked(a) {
				t.Errorf("%s is not blocked when Block returns", a)
			}
		})
	}
	writers.Wait()
	if n := len(g.Blocks()); n != blocked {
		t.Errorf("%d of %d blocks hold", n, blocked)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Refresh(t.Context()); err == nil {
		t.Error("Refresh over a closed store succeeds")
	}
	if n := len(g.Blocks()); n != blocked {
		t.Errorf("after a failed Refresh %d blocks hold", n)
	}
}

func TestNewFailsWithoutStore(t *testing.T) {
	_, db := newGuard(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if g, err := New(Config{DB: db}); err == nil || g != nil {
		t.Errorf("New over a closed store = %v, %v: blocks would be forgotten", g, err)
	}
}

func TestTrustedContactsAreFree(t *testing.T) {
	g, db := newGuard(t)
	flood := func() (ok int) {
		for range 10 * chat.DMBurst {
			if _, admitted := g.AdmitDM("bot", "bot-host", time.Unix(1e9, 0)); admitted {
				ok++
			}
		}
		return ok
	}
	if n := flood(); n != chat.DMBurst {
		t.Errorf("%d messages of a stranger were admitted at once", n)
	}
	trust := func(yes bool) {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			return tx.PutContact(store.Contact{Account: "bot", State: store.ContactAdded, Trusted: yes})
		})
		if err := errors.Join(err, g.Refresh(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	trust(true)
	if n := flood(); n != 10*chat.DMBurst {
		t.Errorf("%d messages of a trusted contact were admitted", n)
	}
	trust(false)
	if n := flood(); n != 0 {
		t.Errorf("%d messages were admitted after trust ended", n)
	}
}

// A device's frames are counted whoever it is, unless its account is trusted.
func TestFramesAreCountedByDevice(t *testing.T) {
	g, db := newGuard(t)
	now := time.Unix(1e9, 0)
	count := func(admit func(chat.DeviceID, time.Time) (time.Duration, bool), d chat.DeviceID) (ok int) {
		for range 1000 {
			if wait, admitted := admit(d, now); admitted {
				ok++
			} else if wait <= 0 {
				t.Fatalf("refused and told to wait %s", wait)
			}
		}
		return ok
	}
	if n := count(g.AdmitFrame, "bot-host"); n != chat.DMFrameBurst {
		t.Errorf("%d frames of a device were admitted at once", n)
	}
	if n := count(g.AdmitFirst, "bot-host"); n != chat.FirstBurst {
		t.Errorf("%d first contacts of a device were admitted at once", n)
	}
	pin(t, db, 1, "bot", "bot-host")
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.PutContact(store.Contact{Account: "bot", State: store.ContactAdded, Trusted: true})
	})
	if err := errors.Join(err, g.Refresh(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := count(g.AdmitFrame, "bot-host"); n != 1000 {
		t.Errorf("%d frames of a trusted account's device were admitted", n)
	}
	if n := count(g.AdmitFrame, "other-host"); n != chat.DMFrameBurst {
		t.Errorf("%d frames of another device were admitted", n)
	}
	if g.BlockedDevice("bot-host") {
		t.Error("a trusted device is called blocked")
	}
	if err := g.Block(t.Context(), "bot"); err != nil {
		t.Fatal(err)
	}
	if !g.BlockedDevice("bot-host") || g.BlockedDevice("other-host") {
		t.Error("the block does not know its device, or knows too many")
	}
}
