package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// Bounds of what strangers make us keep. The tables are rings: a row put again
// gets the newest number, and the oldest numbers fall out.
const (
	// maxSeen: a month of a node that receives 20,000 messages a day.
	maxSeen = 600_000
	// maxRecords of at most 4 KiB: 80 MB, far beyond a node's acquaintances.
	maxRecords = 20_000
	// maxAnswers: a day of calls of a busy bot.
	maxAnswers = 50_000
	// maxPins of strangers; contacts' pins are never dropped.
	maxPins = 20_000
)

// ring3 puts a row into a ring: away with its old place, in at the newest
// number, out with what is too old.
func (tx *Tx) ring3(remove string, which []any, insert string, row []any, trim string, keep int) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(remove, which...)
	if err == nil {
		err = tx.c.exec(insert, row...)
	}
	if err == nil {
		err = tx.c.exec(trim, keep)
	}
	if err != nil {
		return fmt.Errorf("keeping a row: %w", err)
	}
	return nil
}

// Record is a cached network record, however old; chat.ErrNotFound without it.
func (tx *Tx) Record(key string) (Record, error) {
	var r Record
	err := tx.c.one(func(s *sqlite3.Stmt) error {
		r = Record{
			Key: key, Value: columnBlob(s, 0), Seq: uint64(s.ColumnInt64(1)),
			Expires: columnTime(s, 2), Fetched: columnTime(s, 3),
		}
		return nil
	}, `SELECT value, seq, expires, fetched FROM records WHERE key = ?`, key)
	if err != nil {
		return Record{}, fmt.Errorf("reading a record: %w", err)
	}
	return r, nil
}

// PutRecord caches a record in place of an older one.
func (tx *Tx) PutRecord(r Record) error {
	if r.Value == nil {
		r.Value = []byte{}
	}
	return tx.ring3(
		`DELETE FROM records WHERE key = ?`, []any{r.Key},
		`INSERT INTO records (key, value, seq, expires, fetched) VALUES (?, ?, ?, ?, ?)`,
		[]any{r.Key, r.Value, r.Seq, r.Expires, r.Fetched},
		`DELETE FROM records WHERE row <= (SELECT max(row) FROM records) - ?`, maxRecords)
}

const pinColumns = `SELECT p.account, p.seq, p.hash, p.manifest FROM pins p `

func (tx *Tx) pin(where string, args ...any) (Pin, error) {
	var p Pin
	err := tx.c.one(func(s *sqlite3.Stmt) error {
		p = Pin{Account: chat.AccountID(s.ColumnText(0)), Seq: uint64(s.ColumnInt64(1)), Manifest: columnBlob(s, 3)}
		copy(p.Hash[:], s.ColumnRawBlob(2))
		return nil
	}, pinColumns+where, args...)
	if err == nil {
		err = tx.c.query(func(s *sqlite3.Stmt) error {
			p.Devices = append(p.Devices, chat.DeviceID(s.ColumnText(0)))
			return nil
		}, `SELECT device FROM pin_devices WHERE account = ? ORDER BY device`, p.Account)
	}
	if err != nil {
		return Pin{}, fmt.Errorf("reading a pin: %w", err)
	}
	return p, nil
}

// Pin is the highest manifest verified for an account; chat.ErrNotFound
// without one.
func (tx *Tx) Pin(a chat.AccountID) (Pin, error) { return tx.pin(`WHERE p.account = ?`, a) }

// PinByDevice is the pin of an account that lists the device: of several, the
// one that the device named itself, then a contact's before a stranger's, then
// the one that listed it first.
func (tx *Tx) PinByDevice(d chat.DeviceID) (Pin, error) {
	return tx.pin(`JOIN pin_devices d ON d.account = p.account LEFT JOIN contacts c ON c.account = p.account
		WHERE d.device = ? ORDER BY d.proved DESC, coalesce(c.state, 0) DESC, d.since, p.row LIMIT 1`, d)
}

// ProveDevice notes that a device itself names the account: until then a
// listing is the account's word only, and anybody may list anybody's device.
// Where the account does not list it nothing changes.
func (tx *Tx) ProveDevice(d chat.DeviceID, a chat.AccountID) error {
	if !tx.write {
		return errReadOnly
	}
	err := tx.c.exec(`UPDATE pin_devices SET proved = (account = ?2) WHERE device = ?1 AND proved <> (account = ?2)
		AND EXISTS (SELECT 1 FROM pin_devices WHERE device = ?1 AND account = ?2)`, d, a)
	if err != nil {
		return fmt.Errorf("noting a device's account: %w", err)
	}
	return nil
}

// ProvedDevices is the listed devices of an account that named it themselves.
func (tx *Tx) ProvedDevices(a chat.AccountID) ([]chat.DeviceID, error) {
	var out []chat.DeviceID
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, chat.DeviceID(s.ColumnText(0)))
		return nil
	}, `SELECT device FROM pin_devices WHERE account = ? AND proved ORDER BY device`, a)
	if err != nil {
		return nil, fmt.Errorf("reading a pin: %w", err)
	}
	return out, nil
}

// ProvedAccount is the account that a device named itself; chat.ErrNotFound
// without one.
func (tx *Tx) ProvedAccount(d chat.DeviceID) (a chat.AccountID, err error) {
	err = tx.c.one(func(s *sqlite3.Stmt) error {
		a = chat.AccountID(s.ColumnText(0))
		return nil
	}, `SELECT account FROM pin_devices WHERE device = ? AND proved LIMIT 1`, d)
	if err != nil {
		return "", fmt.Errorf("reading a pin: %w", err)
	}
	return a, nil
}

// PutPin pins a manifest. It refuses a lower number than is pinned: with
// chat.ErrInvalid, since whoever brings it rolls the account back.
func (tx *Tx) PutPin(p Pin) error {
	if !tx.write {
		return errReadOnly
	}
	old, err := tx.c.number(-1, `SELECT seq FROM pins WHERE account = ?`, p.Account)
	if err == nil && old >= 0 && uint64(old) > p.Seq {
		return fmt.Errorf("%w: manifest %d of %s is older than the pinned %d", chat.ErrInvalid, p.Seq, p.Account.Short(), old)
	}
	if err == nil {
		err = tx.c.exec(`INSERT INTO pins (account, seq, hash, manifest) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (account) DO UPDATE SET seq = ?2, hash = ?3, manifest = ?4`, p.Account, p.Seq, p.Hash[:], p.Manifest)
	}
	if err == nil {
		err = tx.pinDevices(p)
	}
	if err != nil {
		return fmt.Errorf("pinning a manifest: %w", err)
	}
	return nil
}

func (tx *Tx) pinDevices(p Pin) error {
	list := make([]string, len(p.Devices))
	for i, d := range p.Devices {
		list[i] = string(d)
		err := tx.c.exec(`INSERT INTO pin_devices (device, account, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, d, p.Account, time.Now())
		if err != nil {
			return err
		}
	}
	return tx.c.exec(`DELETE FROM pin_devices WHERE account = ?1 AND instr(?2, char(10) || device || char(10)) = 0`,
		p.Account, "\n"+strings.Join(list, "\n")+"\n")
}

// RememberPeer keeps a node to call first after a restart, the newest
// chat.MaxRemembers of them.
func (tx *Tx) RememberPeer(p RememberedPeer) error {
	return tx.ring3(
		`DELETE FROM peers WHERE device = ?`, []any{p.Device},
		`INSERT INTO peers (device, addrs, seen) VALUES (?, ?, ?)`, []any{p.Device, strings.Join(p.Addrs, "\n"), p.Seen},
		`DELETE FROM peers WHERE row <= (SELECT max(row) FROM peers) - ?`, chat.MaxRemembers)
}

// RememberedPeers lists them, the newest first.
func (tx *Tx) RememberedPeers(limit int) ([]RememberedPeer, error) {
	var out []RememberedPeer
	err := tx.c.query(func(s *sqlite3.Stmt) error {
		out = append(out, RememberedPeer{Device: chat.DeviceID(s.ColumnText(0)), Addrs: lines(s.ColumnText(1)), Seen: columnTime(s, 2)})
		return nil
	}, `SELECT device, addrs, seen FROM peers ORDER BY row DESC LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("reading remembered peers: %w", err)
	}
	return out, nil
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
