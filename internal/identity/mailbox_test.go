package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/internal/chat"
)

func TestMailboxIDIsFrozen(t *testing.T) {
	key := public(keyOf("mailbox"))
	token := sha256.Sum256([]byte("token"))
	hash := sha256.Sum256(token[:])
	want := sha256.Sum256(append(append([]byte("parley/mailbox-id/v1\x00"), key...), hash[:]...))
	if got := MailboxIDOf(key, hash); got != want {
		t.Errorf("id %x, want %x", got, want)
	}
}

// covers requires one open mailbox now and the weeks ahead in a row.
func covers(t *testing.T, k *Keys, now time.Time) []Mailbox {
	t.Helper()
	open := k.Announced(now)
	if len(open) != 1+chat.MailboxesAhead || open[0].From.After(now) {
		t.Fatalf("%s: %d mailboxes announced", now, len(open))
	}
	for i, m := range open[1:] {
		if !m.From.Equal(open[i].Until) {
			t.Errorf("%s: a gap between %s and %s", now, open[i].Until, m.From)
		}
	}
	record, err := k.deviceRecord([]byte("addresses"), 0, now)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range open {
		if e := record.Mailboxes[i]; e.ID != m.ID || !e.From.Equal(m.From) || !e.Until.Equal(m.Until) {
			t.Errorf("the record lists %+v", e)
		}
	}
	return open
}

func TestMailboxesTurnWeekly(t *testing.T) {
	db := openStore(t, t.TempDir())
	k, err := Load(t.Context(), db, noon)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[chat.MailboxID]bool{}
	now := noon
	for range 60 {
		for _, m := range covers(t, k, now)[:1] {
			seen[m.ID] = true
		}
		now = now.Add(24 * time.Hour)
		if _, err := k.Rotate(t.Context(), db, now); err != nil {
			t.Fatal(err)
		}
		if err := k.RetireMailboxes(t.Context(), db, now); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d mailboxes in 60 days", len(seen))
	}
	all := k.Mailboxes()
	if oldest := all[0].Until.Add(chat.MailboxGrace); !oldest.After(now) || len(all) > 4+4 {
		t.Errorf("%d mailboxes are collected, the oldest until %s on %s", len(all), oldest, now)
	}
	again, err := Load(t.Context(), db, now)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Mailboxes(); !slices.EqualFunc(got, all, func(a, b Mailbox) bool {
		return a.ID == b.ID && a.From.Equal(b.From) && a.Until.Equal(b.Until) && a.Serial == b.Serial && a.Key.Equal(b.Key)
	}) {
		t.Errorf("loaded %v, had %v", got, all)
	}
}

func TestMailboxesWaitForTheirOwner(t *testing.T) {
	db := openStore(t, t.TempDir())
	k, err := Load(t.Context(), db, noon)
	if err != nil {
		t.Fatal(err)
	}
	first := k.Announced(noon)
	now := noon.Add(60 * 24 * time.Hour) // asleep
	if k, err = Load(t.Context(), db, now); err != nil {
		t.Fatal(err)
	}
	covers(t, k, now)
	for _, m := range first {
		if !slices.ContainsFunc(k.Mailboxes(), func(o Mailbox) bool { return o.ID == m.ID }) {
			t.Error("an id was retired while its device slept")
		}
	}
}

func TestClockSetBackKeepsAMailbox(t *testing.T) {
	db := openStore(t, t.TempDir())
	k, err := Load(t.Context(), db, noon)
	if err != nil {
		t.Fatal(err)
	}
	back := noon.Add(-90 * 24 * time.Hour)
	if _, err := k.Rotate(t.Context(), db, back); err != nil {
		t.Fatal(err)
	}
	covers(t, k, back)
}

func TestBlockVoidsTokens(t *testing.T) {
	db := openStore(t, t.TempDir())
	k, err := Load(t.Context(), db, noon)
	if err != nil {
		t.Fatal(err)
	}
	before := k.Announced(noon)
	now := noon.Add(time.Hour)
	if err := k.RenewMailbox(t.Context(), db, now); err != nil {
		t.Fatal(err)
	}
	for _, m := range covers(t, k, now) {
		if slices.ContainsFunc(before, func(o Mailbox) bool { return o.ID == m.ID }) {
			t.Error("a mailbox that the blocked one has a token of is still announced")
		}
	}
	all := k.Mailboxes()
	if all[0].ID != before[0].ID || len(all) != 2+chat.MailboxesAhead {
		t.Errorf("%d mailboxes, want the old one and the new ones", len(all))
	}
	changed, err := k.Rotate(t.Context(), db, now)
	if err != nil || !changed {
		t.Errorf("Rotate after it: %v, %v; the record must go out", changed, err)
	}
	if changed, err = k.Rotate(t.Context(), db, now); err != nil || changed {
		t.Errorf("Rotate again: %v, %v", changed, err)
	}
}

func TestMailboxRedacts(t *testing.T) {
	m := newMailbox(7, noon)
	for _, text := range []string{fmt.Sprint(m), fmt.Sprintf("%v %+v %#v", m, m, m)} {
		if len(text) > 60 {
			t.Errorf("a mailbox shows as %s", text)
		}
	}
	if m.ID != MailboxIDOf(m.Key.Public().(ed25519.PublicKey), sha256.Sum256(m.Token[:])) {
		t.Error("id does not follow from key and token")
	}
}

// TestFullRecordFits: every field of a device record at its largest.
func TestFullRecordFits(t *testing.T) {
	db := openStore(t, t.TempDir())
	k, err := Load(t.Context(), db, noon)
	if err != nil {
		t.Fatal(err)
	}
	r, err := k.deviceRecord(make([]byte, maxPeerRecord), uint64(noon.Unix())+1000, noon)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d without addresses", len(r.Bytes), len(r.Bytes)-maxPeerRecord)
}
