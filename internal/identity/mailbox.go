package identity

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

// kindMailbox rows: serial number -> key, token and time of a mailbox.
const kindMailbox = "mailbox"

// maxOwnMailboxes bounds what we collect from: seventeen days of weekly ids,
// those announced, and as many blocks, each of which opens another one.
const maxOwnMailboxes = 48

// Mailbox is a place of ours where mail waits. Its key signs what is fetched
// and deleted; key and token together let contacts leave mail without a stamp.
type Mailbox struct {
	ID          chat.MailboxID
	Key         ed25519.PrivateKey
	Token       [32]byte
	From, Until time.Time // when it takes mail; it is collected for chat.MailboxGrace after
	Serial      uint64    // newer ones have higher numbers
}

// Public is the key that contacts show with the token.
func (m Mailbox) Public() ed25519.PublicKey { return m.Key.Public().(ed25519.PublicKey) }

// TokenHash is what holders are shown when we collect.
func (m Mailbox) TokenHash() [32]byte { return sha256.Sum256(m.Token[:]) }

// String hides the keys.
func (m Mailbox) String() string { return "[mailbox " + strconv.FormatUint(m.Serial, 10) + "]" }

// GoString hides the keys from %#v too.
func (m Mailbox) GoString() string { return m.String() }

// MailboxEntry is a mailbox as a device record lists it.
type MailboxEntry struct {
	ID          chat.MailboxID
	From, Until time.Time
}

// MailboxIDOf is the id that follows from a mailbox key and its token's hash.
func MailboxIDOf(key ed25519.PublicKey, tokenHash [32]byte) chat.MailboxID {
	h := sha256.New()
	h.Write([]byte("parley/mailbox-id/v1\x00"))
	h.Write(key)
	h.Write(tokenHash[:])
	return chat.MailboxID(h.Sum(nil))
}

type mailboxRow struct {
	Format      int
	Seed, Token []byte
	From, Until int64
	Serial      uint64
}

// Mailboxes is every mailbox in which mail for us may lie, oldest first.
func (k *Keys) Mailboxes() []Mailbox { return slices.Clone(k.snapshot().mail) }

// Announced is the mailbox that takes our mail now, and those that will.
func (k *Keys) Announced(now time.Time) []Mailbox { return announced(k.snapshot().mail, now) }

func announced(all []Mailbox, now time.Time) []Mailbox {
	for i, m := range all {
		if m.Until.After(now) {
			return slices.Clone(all[i:])
		}
	}
	return nil
}

// mailDue reports whether a mailbox for now or for the weeks ahead is missing.
func mailDue(all []Mailbox, now time.Time) bool {
	open := announced(all, now)
	return len(open) <= chat.MailboxesAhead || open[0].From.After(now)
}

// moreMailboxes opens what is missing: one that covers now, and the weeks
// ahead in a row.
func moreMailboxes(tx *store.Tx, all []Mailbox, now time.Time) ([]Mailbox, error) {
	all = slices.Clone(all)
	open := announced(all, now)
	if len(open) > 0 && open[0].From.After(now) { // the clock was set back
		first := &all[len(all)-len(open)]
		first.From = now.Truncate(time.Second)
		if err := putMailbox(tx, *first); err != nil {
			return nil, err
		}
	}
	for n := len(open); n <= chat.MailboxesAhead; n++ {
		from, serial := now.Truncate(time.Second), uint64(1)
		if len(all) > 0 {
			last := all[len(all)-1]
			serial = last.Serial + 1
			if last.Until.After(from) {
				from = last.Until
			}
		}
		m := newMailbox(serial, from)
		if err := putMailbox(tx, m); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func newMailbox(serial uint64, from time.Time) Mailbox {
	var seed [ed25519.SeedSize]byte
	_, _ = rand.Read(seed[:]) // never fails
	m := Mailbox{Key: ed25519.NewKeyFromSeed(seed[:]), From: from, Until: from.Add(chat.MailboxLife), Serial: serial}
	_, _ = rand.Read(m.Token[:])
	m.ID = MailboxIDOf(m.Public(), m.TokenHash())
	return m
}

func putMailbox(tx *store.Tx, m Mailbox) error {
	row := mailboxRow{Seed: m.Key.Seed(), Token: m.Token[:], From: m.From.Unix(), Until: m.Until.Unix(), Serial: m.Serial}
	return putRow(tx, kindMailbox, strconv.FormatUint(m.Serial, 10), &row, &row.Format)
}

// readMailboxes is the stored mailboxes, oldest first.
func readMailboxes(tx *store.Tx) ([]Mailbox, error) {
	rows, err := tx.Secrets(kindMailbox)
	if err != nil {
		return nil, fmt.Errorf("reading mailboxes: %w", err)
	}
	all := make([]Mailbox, len(rows))
	for i, s := range rows {
		var row mailboxRow
		if err := readRow(s.Value, &row, &row.Format); err != nil {
			return nil, fmt.Errorf("reading mailboxes: %w", err)
		}
		if len(row.Seed) != ed25519.SeedSize || len(row.Token) != sha256.Size {
			return nil, fmt.Errorf("reading mailboxes: %w: key cut short", chat.ErrInvalid)
		}
		m := Mailbox{
			Key: ed25519.NewKeyFromSeed(row.Seed), Token: [32]byte(row.Token),
			From: time.Unix(row.From, 0), Until: time.Unix(row.Until, 0), Serial: row.Serial,
		}
		m.ID = MailboxIDOf(m.Public(), m.TokenHash())
		all[i] = m
	}
	slices.SortFunc(all, func(a, b Mailbox) int { return bytes.Compare(serialKey(a), serialKey(b)) })
	return all, nil
}

func serialKey(m Mailbox) []byte {
	return []byte(fmt.Sprintf("%020d", m.Serial))
}

// RenewMailbox closes the present mailbox to new mail and opens another one;
// those that were announced are void, and with them every token that anybody
// has. It is for a block: what waits in the old one is still collected.
func (k *Keys) RenewMailbox(ctx context.Context, db *store.DB, now time.Time) error {
	return k.changeMailboxes(ctx, db, func(tx *store.Tx, all []Mailbox) ([]Mailbox, error) {
		var kept []Mailbox
		last := uint64(0)
		for _, m := range all {
			last = max(last, m.Serial)
			switch {
			case !m.Until.After(now):
			case m.From.After(now):
				if err := dropMailbox(tx, m); err != nil {
					return nil, err
				}
				continue
			default:
				m.Until = now.Truncate(time.Second)
				if err := putMailbox(tx, m); err != nil {
					return nil, err
				}
			}
			kept = append(kept, m)
		}
		fresh := newMailbox(last+1, now.Truncate(time.Second))
		if err := putMailbox(tx, fresh); err != nil {
			return nil, err
		}
		return moreMailboxes(tx, append(kept, fresh), now)
	})
}

// RetireMailboxes forgets the mailboxes whose time to be collected was over
// when a round of collecting began that reached holders of each: an id ends
// only while its device is online.
func (k *Keys) RetireMailboxes(ctx context.Context, db *store.DB, began time.Time) error {
	over := func(all []Mailbox, i int) bool {
		return !all[i].Until.Add(chat.MailboxGrace).After(began) || len(all)-i > maxOwnMailboxes
	}
	if all := k.snapshot().mail; len(all) == 0 || !over(all, 0) {
		return nil
	}
	return k.changeMailboxes(ctx, db, func(tx *store.Tx, all []Mailbox) ([]Mailbox, error) {
		var kept []Mailbox
		for i, m := range all {
			if !over(all, i) {
				kept = append(kept, m)
				continue
			}
			if err := dropMailbox(tx, m); err != nil {
				return nil, err
			}
		}
		return kept, nil
	})
}

func dropMailbox(tx *store.Tx, m Mailbox) error {
	if err := tx.DeleteSecret(kindMailbox, strconv.FormatUint(m.Serial, 10)); err != nil {
		return fmt.Errorf("erasing mailbox: %w", err)
	}
	return nil
}

// changeMailboxes stores and takes over another set of mailboxes. The next
// Rotate says that there is something to publish.
func (k *Keys) changeMailboxes(ctx context.Context, db *store.DB, change func(*store.Tx, []Mailbox) ([]Mailbox, error)) error {
	var next []Mailbox
	var turn uint64
	err := db.Write(ctx, func(tx *store.Tx) error {
		turn = k.turns.Add(1)
		all, err := readMailboxes(tx)
		if err == nil {
			next, err = change(tx, all)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("changing mailboxes: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.news = true
	k.takeMailLocked(next, turn)
	return nil
}

// takeMailLocked takes over what transaction turn stored, unless a later one
// has been taken over already.
func (k *Keys) takeMailLocked(next []Mailbox, turn uint64) {
	if turn > k.taken {
		k.current.mail, k.taken = next, turn
	}
}

// entries is what the device record lists.
func entries(all []Mailbox, now time.Time) (out []*wirev1.MailboxEntry) {
	for _, m := range announced(all, now) {
		if len(out) == 1+chat.MailboxesAhead {
			break
		}
		out = append(out, &wirev1.MailboxEntry{Id: m.ID[:], From: m.From.Unix(), Until: m.Until.Unix()})
	}
	return out
}

func entriesOf(p *wirev1.DeviceRecord) (out []MailboxEntry) {
	for _, m := range p.Mailboxes {
		out = append(out, MailboxEntry{ID: chat.MailboxID(m.Id), From: time.Unix(m.From, 0), Until: time.Unix(m.Until, 0)})
	}
	return out
}
