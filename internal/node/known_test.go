package node

import (
	"strings"
	"testing"
	"time"

	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/p2p"
	"parley/internal/store"
)

// TestNobodyConfirmedLoopback: doctor and status tell no more than is known.
func TestNobodyConfirmedLoopback(t *testing.T) {
	n := startNode(t)
	awaitStatus(t, n.host, "assumed to be reachable", func(s p2p.Status) bool { return s.Reachability == "assumed" })
	for _, c := range n.checks(t.Context()) {
		if c.Name == "reachability" && (c.Result != api.OK || !strings.Contains(c.Text, "only nodes of this computer")) {
			t.Errorf("doctor says %q", c.Text)
		}
	}
}

// TestKnows: places among the streams are kept for contacts' devices, not for
// those of people who only asked or whom nobody knows.
func TestKnows(t *testing.T) {
	n := startNode(t)
	accounts := map[chat.AccountID]store.ContactState{"friend": store.ContactAdded, "asker": store.ContactRequest, "other": store.ContactNone}
	if err := n.db.Write(t.Context(), func(tx *store.Tx) error {
		for a, state := range accounts {
			if err := tx.PutPin(store.Pin{Account: a, Seq: 1, Manifest: []byte("signed"), Devices: []chat.DeviceID{chat.DeviceID(a + " phone")}}); err != nil {
				return err
			}
			if state == store.ContactNone {
				continue
			}
			if err := tx.PutContact(store.Contact{Account: a, State: state, Added: time.Now()}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // asked, then remembered
		for device, want := range map[chat.DeviceID]bool{"friend phone": true, "asker phone": false, "other phone": false, "nobody's phone": false} {
			if got := n.knows(device); got != want {
				t.Errorf("%s is known: %v", device, got)
			}
		}
	}
}
