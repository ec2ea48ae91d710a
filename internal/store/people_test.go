package store

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"parley/internal/chat"
)

func TestPeople(t *testing.T) {
	db := openTest(t, t.TempDir())
	at := time.UnixMilli(1_760_000_000_123)
	c := Contact{Account: ana, Petname: "Ana", DisplayName: "ana!", State: ContactAdded, Trusted: true, Verified: at, Added: at, Changed: at}
	write(t, db, func(tx *Tx) error { return tx.PutContact(c) })
	read(t, db, func(tx *Tx) error {
		got, err := tx.Contact(ana)
		if !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v", got)
		}
		if _, err := tx.Contact(bo); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("unknown contact: %v", err)
		}
		return err
	})
	write(t, db, func(tx *Tx) error {
		for i := range chat.MaxRequests {
			if err := tx.PutContact(Contact{Account: chat.AccountID(fmt.Sprint("stranger", i)), State: ContactRequest}); err != nil {
				return err
			}
		}
		if err := tx.PutContact(Contact{Account: "one more", State: ContactRequest}); !errors.Is(err, chat.ErrTooLarge) {
			t.Errorf("request over the bound: %v", err)
		}
		if err := tx.PutContact(Contact{Account: "stranger1", State: ContactRequest, DisplayName: "again"}); err != nil {
			t.Errorf("request again: %v", err)
		}
		if n, err := tx.CountRequests(); n != chat.MaxRequests || err != nil {
			t.Errorf("%d requests, %v", n, err)
		}
		if err := tx.Block(ana, at); err != nil {
			return err
		}
		return tx.Block(ana, at)
	})
	write(t, db, func(tx *Tx) error {
		if blocks, err := tx.Blocks(); len(blocks) != 1 || blocks[0] != ana {
			t.Errorf("blocks %v, %v", blocks, err)
		}
		if err := tx.Unblock(ana); err != nil {
			return err
		}
		if err := tx.SetSetting("name", "Bo"); err != nil {
			return err
		}
		return tx.DeleteContact("stranger0")
	})
	read(t, db, func(tx *Tx) error {
		name, err := tx.Setting("name")
		none, nerr := tx.Setting("none")
		blocks, berr := tx.Blocks()
		contacts, cerr := tx.Contacts()
		if name != "Bo" || none != "" || len(blocks) != 0 || len(contacts) != chat.MaxRequests {
			t.Errorf("%q %q %v %d", name, none, blocks, len(contacts))
		}
		return errors.Join(err, nerr, berr, cerr)
	})
}

func TestSecretsAndSessionsLieSealed(t *testing.T) {
	db := openTest(t, t.TempDir())
	d := deviceOf(ana, 1)
	state := bytes.Repeat([]byte("ratchet state "), 10)
	write(t, db, func(tx *Tx) error {
		for i := range chat.MaxSessions + 2 {
			s := SessionRow{Device: d, ID: []byte{byte(i)}, Setup: int64(i), Ours: i%2 == 0, Answered: true, Extra: []byte("again"), State: state}
			if err := tx.PutSession(s); err != nil {
				return err
			}
		}
		if err := tx.PutSecret("prekey", "b", []byte("two"), time.UnixMilli(5)); err != nil {
			return err
		}
		return tx.PutSecret("prekey", "a", []byte("one"), time.Time{})
	})
	read(t, db, func(tx *Tx) error {
		list, err := tx.Sessions(d)
		if err != nil {
			return err
		}
		if len(list) != chat.MaxSessions || list[0].Setup != chat.MaxSessions+1 || !bytes.Equal(list[0].State, state) || string(list[0].Extra) != "again" {
			t.Errorf("%d sessions, first %d", len(list), list[0].Setup)
		}
		if _, err := tx.SessionByID([]byte{0}); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("the oldest session stayed: %v", err)
		}
		secrets, err := tx.Secrets("prekey")
		if err == nil && (len(secrets) != 2 || string(secrets[0].Value) != "one" || !secrets[0].Expires.IsZero() || secrets[1].Expires.UnixMilli() != 5) {
			t.Errorf("secrets %v", secrets)
		}
		// Under the file layer, too, neither is readable.
		n, nerr := tx.c.number(0, `SELECT (SELECT count(*) FROM sessions WHERE instr(state, CAST('ratchet' AS BLOB))) +
			(SELECT count(*) FROM secrets WHERE instr(value, CAST('one' AS BLOB)))`)
		if n != 0 {
			t.Errorf("%d rows lie open", n)
		}
		return errors.Join(err, nerr)
	})
	// A row moved to another place does not open.
	write(t, db, func(tx *Tx) error {
		if err := tx.c.exec(`UPDATE secrets SET key = 'c' WHERE key = 'a'`); err != nil {
			return err
		}
		if _, err := tx.Secret("prekey", "c"); err == nil || errors.Is(err, chat.ErrNotFound) {
			t.Errorf("moved secret: %v", err)
		}
		return tx.DeleteSecret("prekey", "c")
	})
	write(t, db, func(tx *Tx) error { return tx.expire(time.Now()) })
	read(t, db, func(tx *Tx) error {
		if _, err := tx.Secret("prekey", "b"); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("expired secret: %v", err)
		}
		return nil
	})
}

func TestPinsOnlyRise(t *testing.T) {
	db := openTest(t, t.TempDir())
	one, two := deviceOf(ana, 1), deviceOf(ana, 2)
	write(t, db, func(tx *Tx) error {
		for _, p := range []Pin{
			{Account: cy, Seq: 1, Manifest: []byte("c"), Devices: []chat.DeviceID{one}},
			{Account: ana, Seq: 1, Manifest: []byte("a1"), Devices: []chat.DeviceID{one}},
			{Account: ana, Seq: 3, Hash: [32]byte{3}, Manifest: []byte("a3"), Devices: []chat.DeviceID{one, two}},
		} {
			if err := tx.PutPin(p); err != nil {
				return err
			}
		}
		if err := tx.PutPin(Pin{Account: ana, Seq: 2, Manifest: []byte("a2")}); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("older manifest: %v", err)
		}
		return tx.PutContact(Contact{Account: ana, State: ContactAdded})
	})
	read(t, db, func(tx *Tx) error {
		p, err := tx.Pin(ana)
		if p.Seq != 3 || string(p.Manifest) != "a3" || p.Hash != [32]byte{3} || len(p.Devices) != 2 {
			t.Errorf("pin %+v", p)
		}
		if by, err := tx.PinByDevice(one); by.Account != ana { // a contact before a stranger
			t.Errorf("by device: %s, %v", by.Account.Short(), err)
		}
		if _, err := tx.PinByDevice("nobody"); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("unknown device: %v", err)
		}
		return err
	})
	write(t, db, func(tx *Tx) error {
		return tx.PutPin(Pin{Account: ana, Seq: 4, Manifest: []byte("a4"), Devices: []chat.DeviceID{two}})
	})
	read(t, db, func(tx *Tx) error {
		by, err := tx.PinByDevice(one)
		if by.Account != cy {
			t.Errorf("a device that is listed no more still belongs to %s", by.Account.Short())
		}
		return err
	})
}

func TestRingsAreBounded(t *testing.T) {
	db := openTest(t, t.TempDir())
	write(t, db, func(tx *Tx) error {
		for i := range chat.MaxRemembers + 50 {
			p := RememberedPeer{Device: chat.DeviceID(fmt.Sprint("peer", i)), Addrs: []string{"/ip4/1.2.3.4/tcp/1", "/ip4/5.6.7.8/tcp/2"}, Seen: time.UnixMilli(int64(i + 1))}
			if err := tx.RememberPeer(p); err != nil {
				return err
			}
		}
		return tx.RememberPeer(RememberedPeer{Device: "peer60", Seen: time.UnixMilli(99)}) // again: now the newest
	})
	read(t, db, func(tx *Tx) error {
		list, err := tx.RememberedPeers(5000)
		if len(list) > chat.MaxRemembers || len(list) < chat.MaxRemembers-1 {
			t.Errorf("%d peers", len(list))
		}
		if list[0].Device != "peer60" || list[0].Addrs != nil || len(list[1].Addrs) != 2 {
			t.Errorf("first %+v", list[0])
		}
		return err
	})
}

func TestSmallThings(t *testing.T) {
	db := openTest(t, t.TempDir())
	now := time.Now()
	hash, other := [32]byte{1}, [32]byte{1, 2}
	tok := Token{Hash: hash, Name: "bot", Scopes: []string{"read", "send"}, Created: time.UnixMilli(1), Expires: time.UnixMilli(2)}
	rec := Record{Key: "/parley-device/x", Value: []byte("v"), Seq: 7, Expires: time.UnixMilli(3), Fetched: now.Truncate(time.Millisecond)}
	write(t, db, func(tx *Tx) error {
		return errors.Join(
			tx.MarkSeen(hash, []byte("receipt"), now.Add(time.Hour)),
			tx.MarkSeen(other, nil, now.Add(-time.Hour)),
			tx.PutRecord(Record{Key: rec.Key, Value: []byte("old")}), tx.PutRecord(rec),
			tx.PutRequestAnswer("id", hash, []byte("answer"), now),
			tx.PutRequestAnswer("old", hash, nil, now.Add(-2*chat.RequestIDLife)),
			tx.PutToken(tok),
		)
	})
	write(t, db, func(tx *Tx) error { return tx.expire(now) })
	read(t, db, func(tx *Tx) error {
		v, ok, err := tx.Seen(hash)
		if !ok || string(v) != "receipt" || err != nil {
			t.Errorf("seen %q %v %v", v, ok, err)
		}
		if _, ok, err := tx.Seen(other); ok || err != nil {
			t.Errorf("expired: %v %v", ok, err)
		}
		if r, err := tx.Record(rec.Key); !reflect.DeepEqual(r, rec) {
			t.Errorf("record %+v %v", r, err)
		}
		if h, a, err := tx.RequestAnswer("id"); h != hash || string(a) != "answer" || err != nil {
			t.Errorf("answer %q %v", a, err)
		}
		if _, _, err := tx.RequestAnswer("old"); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("old answer: %v", err)
		}
		if got, err := tx.Token(hash); !reflect.DeepEqual(got, tok) {
			t.Errorf("token %+v %v", got, err)
		}
		all, err := tx.Tokens()
		if len(all) != 1 {
			t.Errorf("%d tokens", len(all))
		}
		return err
	})
	write(t, db, func(tx *Tx) error { return tx.DeleteToken(hash) })
	read(t, db, func(tx *Tx) error {
		if _, err := tx.Token(hash); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("deleted token: %v", err)
		}
		return nil
	})
}

func TestWritingInsideReadFails(t *testing.T) {
	db := openTest(t, t.TempDir())
	for name, fn := range map[string]func(*Tx) error{
		"message": func(tx *Tx) error { _, err := tx.AddMessage(text(ana, 1, "x")); return err },
		"enqueue": func(tx *Tx) error { _, err := tx.Enqueue(OutboxRow{}); return err },
		"contact": func(tx *Tx) error { return tx.PutContact(Contact{Account: ana}) },
		"pin":     func(tx *Tx) error { return tx.PutPin(Pin{Account: ana}) },
		"seen":    func(tx *Tx) error { return tx.MarkSeen([32]byte{}, nil, time.Now()) },
		"secret":  func(tx *Tx) error { return tx.PutSecret("k", "k", nil, time.Time{}) },
		"tick":    func(tx *Tx) error { _, err := tx.Tick(time.Now()); return err },
		"bare":    func(tx *Tx) error { return tx.c.exec(`DELETE FROM contacts`) },
	} {
		if err := db.Read(t.Context(), fn); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

// A listing is the account's word; the device's own word counts more, and moves
// with the device.
func TestProvedDevices(t *testing.T) {
	db := openTest(t, t.TempDir())
	phone := deviceOf(ana, 1)
	proved := func(tx *Tx, want chat.AccountID) {
		t.Helper()
		a, err := tx.ProvedAccount(phone)
		if err != nil && !errors.Is(err, chat.ErrNotFound) || a != want {
			t.Errorf("proved for %q, want %q: %v", a, want, err)
		}
		for _, a := range []chat.AccountID{ana, bo} {
			if list, err := tx.ProvedDevices(a); err != nil || (len(list) == 1) != (a == want) {
				t.Errorf("devices of %s: %v %v", a, list, err)
			}
		}
	}
	write(t, db, func(tx *Tx) error {
		err := tx.PutPin(Pin{Account: bo, Seq: 1, Manifest: []byte("signed"), Devices: []chat.DeviceID{phone}})
		proved(tx, "")
		err = errors.Join(err, tx.ProveDevice(phone, ana)) // who does not list it
		proved(tx, "")
		err = errors.Join(err, tx.ProveDevice(phone, bo))
		proved(tx, bo)
		err = errors.Join(err, tx.PutPin(Pin{Account: ana, Seq: 1, Manifest: []byte("signed"), Devices: []chat.DeviceID{phone}}))
		proved(tx, bo)
		err = errors.Join(err, tx.ProveDevice(phone, ana))
		proved(tx, ana)
		err = errors.Join(err, tx.PutPin(Pin{Account: ana, Seq: 2, Manifest: []byte("signed"), Devices: []chat.DeviceID{phone, deviceOf(ana, 2)}}))
		proved(tx, ana)
		if p, perr := tx.PinByDevice(phone); perr != nil || p.Account != ana {
			t.Errorf("the device is %s's: %v", p.Account, perr)
		}
		return err
	})
}
