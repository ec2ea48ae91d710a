package identity

import (
	"cmp"
	"context"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
	"parley/internal/store"
)

const (
	// prekeyTurn and boxTurn bound how much one stolen private half opens.
	prekeyTurn = 24 * time.Hour
	boxTurn    = 7 * 24 * time.Hour
	// HandshakeLife is how long a handshake can be answered: until the private
	// halves of its prekeys are erased.
	HandshakeLife = prekeyTurn + chat.PrekeyLife
	// dhTurn leaves any bundle's two weeks inside its certificate.
	dhTurn = dhIdentityLife - 2*chat.BundleLife
	// maxBundles is 29 days of daily pairs and a few from clock jumps.
	maxBundles = 32
	// maxBoxes is 29 days of weekly keys and a few from clock jumps.
	maxBoxes = 8
	// secretFormat leads every row that this file writes.
	secretFormat = 1
)

// rotating is the keys that take turns. A value never changes.
type rotating struct {
	dh     dhKey
	bundle ownBundle
	box    boxKey
	mail   []Mailbox // oldest first
}

type dhKey struct {
	secret      *seal.DHSecret
	certificate []byte // signed by the device
	from        time.Time
}

type ownBundle struct {
	bytes       []byte // signed
	seq         uint64
	from, until time.Time
}

type boxKey struct {
	secret *seal.BoxSecret
	from   time.Time
	serial uint64
}

// Rows as they lie sealed in the store.
type (
	dhRow struct {
		Format              int
		Secret, Certificate []byte
		From                int64
	}
	prekeyRow struct {
		Format             int
		Prekey, DH, Bundle []byte
		Seq                uint64
		From, Until        int64
	}
	boxRow struct {
		Format int
		Secret []byte
		From   int64
		Serial uint64
	}
)

// Rotate makes the keys that came due and renews the manifest. It reports
// whether what we publish has changed. Private halves whose time is over are
// erased by a call collectTime after that, or after the start.
func (k *Keys) Rotate(ctx context.Context, db *store.DB, now time.Time) (bool, error) {
	old, manifest, news := k.turning()
	renew := manifest.NotAfter.Before(now.Add(renewManifest))
	if !old.due(now) && !renew {
		return news, k.eraseDue(ctx, db, now)
	}
	next := old
	var turn uint64
	err := db.Write(ctx, func(tx *store.Tx) error {
		var err error
		turn = k.turns.Add(1)
		if old.mail, err = readMailboxes(tx); err != nil { // a block may have changed them
			return err
		}
		if next, err = k.rotate(tx, old, now); err != nil {
			return err
		}
		if renew {
			if manifest, err = k.writeManifest(tx, manifest, 0, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("rotating keys: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.takeMailLocked(next.mail, turn)
	next.mail = k.current.mail
	k.current, k.manifest, k.erase = next, manifest, now.Add(collectTime)
	return true, nil
}

func (r rotating) due(now time.Time) bool {
	return turn(r.dh.from, dhTurn, now) || turn(r.bundle.from, prekeyTurn, now) || turn(r.box.from, boxTurn, now) || mailDue(r.mail, now)
}

// turning is the keys as a rotation finds them, and whether others than it
// changed what we publish since the last one.
func (k *Keys) turning() (rotating, *Manifest, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	news := k.news
	k.news = false
	return k.current, k.manifest, news
}

// turn reports whether a key in use since from has served its time. A key
// from the future (the clock was set back) would be refused by everybody.
func turn(from time.Time, every time.Duration, now time.Time) bool {
	return now.Sub(from) >= every || from.Sub(now) > chat.ClockSlack
}

// rotate makes what is missing in r or due. A missing key has no beginning,
// so it is due.
func (k *Keys) rotate(tx *store.Tx, r rotating, now time.Time) (next rotating, err error) {
	if turn(r.dh.from, dhTurn, now) {
		if r.dh, err = k.newDH(tx, now); err != nil {
			return r, err
		}
		r.bundle.from = time.Time{} // a bundle names its handshake key
	}
	if turn(r.bundle.from, prekeyTurn, now) {
		if r.bundle, err = k.newBundle(tx, r, now); err != nil {
			return r, err
		}
	}
	if turn(r.box.from, boxTurn, now) {
		if r.box, err = newBox(tx, r.box, now); err != nil {
			return r, err
		}
	}
	if mailDue(r.mail, now) {
		if r.mail, err = moreMailboxes(tx, r.mail, now); err != nil {
			return r, err
		}
	}
	return r, nil
}

// readRotating is what the store has; what it has not stays zero.
func readRotating(tx *store.Tx) (r rotating, err error) {
	if r.dh, err = readDH(tx); err != nil {
		return r, err
	}
	if r.bundle, err = readBundle(tx); err != nil {
		return r, err
	}
	if r.box, err = readBox(tx); err != nil {
		return r, err
	}
	r.mail, err = readMailboxes(tx)
	return r, err
}

func (k *Keys) newDH(tx *store.Tx, now time.Time) (dhKey, error) {
	d := dhKey{secret: seal.NewDHSecret(), from: now}
	d.certificate = signDHIdentity(k.device, d.secret.Public(), now)
	row := dhRow{Secret: private(d.secret), Certificate: d.certificate, From: now.Unix()}
	return d, putRow(tx, kindDH, rowCurrent, &row, &row.Format)
}

func readDH(tx *store.Tx) (dhKey, error) {
	var row dhRow
	b, err := tx.Secret(kindDH, rowCurrent)
	if errors.Is(err, chat.ErrNotFound) {
		return dhKey{}, nil
	}
	if err == nil {
		err = readRow(b, &row, &row.Format)
	}
	d := dhKey{secret: new(seal.DHSecret), certificate: row.Certificate, from: time.Unix(row.From, 0)}
	if err == nil {
		err = d.secret.UnmarshalBinary(row.Secret)
	}
	if err != nil {
		return dhKey{}, fmt.Errorf("reading handshake key: %w", err)
	}
	return d, nil
}

// newBundle makes the day's prekey pair. Its private halves outlive the last
// day it is published by chat.PrekeyLife.
func (k *Keys) newBundle(tx *store.Tx, r rotating, now time.Time) (ownBundle, error) {
	pair := seal.NewPrekey()
	signed, kem := pair.Public()
	b := ownBundle{seq: nextSeq(r.bundle.seq, now), from: now, until: now.Add(chat.BundleLife)}
	b.bytes = SignedBytes(k.device, seal.PurposeBundle, encode(&wirev1.Bundle{
		Version:      recordVersion,
		Suite:        uint32(seal.Suite),
		AccountKey:   k.AccountKey(),
		DeviceKey:    k.devicePublic(),
		DhIdentity:   r.dh.certificate,
		SignedPrekey: signed[:],
		KemPrekey:    kem,
		Seq:          b.seq,
		From:         b.from.Unix(),
		Until:        b.until.Unix(),
	}))
	row := prekeyRow{
		Prekey: private(pair), DH: private(r.dh.secret), Bundle: b.bytes,
		Seq: b.seq, From: b.from.Unix(), Until: b.until.Unix(),
	}
	hash := bundleHash(b.bytes)
	return b, putRow(tx, kindPrekey, hex.EncodeToString(hash[:]), &row, &row.Format)
}

// readBundle is the newest stored bundle, or none.
func readBundle(tx *store.Tx) (ownBundle, error) {
	all, err := tx.Secrets(kindPrekey)
	if err != nil {
		return ownBundle{}, fmt.Errorf("reading prekeys: %w", err)
	}
	var newest ownBundle
	for _, s := range all {
		var row prekeyRow
		if err := readRow(s.Value, &row, &row.Format); err != nil {
			return ownBundle{}, fmt.Errorf("reading prekeys: %w", err)
		}
		if row.Seq > newest.seq {
			newest = ownBundle{bytes: row.Bundle, seq: row.Seq, from: time.Unix(row.From, 0), until: time.Unix(row.Until, 0)}
		}
	}
	return newest, nil
}

// PrekeyByBundle finds the private halves of a bundle that a first message
// names: its prekeys, and the handshake key that it was published with. It
// fails with chat.ErrNotFound when they are erased or never were.
func (k *Keys) PrekeyByBundle(tx *store.Tx, hash [32]byte) (*seal.PrekeySecret, *seal.DHSecret, []byte, error) {
	var row prekeyRow
	pair, dh := new(seal.PrekeySecret), new(seal.DHSecret)
	b, err := tx.Secret(kindPrekey, hex.EncodeToString(hash[:]))
	if err == nil {
		err = readRow(b, &row, &row.Format)
	}
	if err == nil {
		err = pair.UnmarshalBinary(row.Prekey)
	}
	if err == nil {
		err = dh.UnmarshalBinary(row.DH)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("finding prekey: %w", err)
	}
	return pair, dh, row.Bundle, nil
}

func newBox(tx *store.Tx, last boxKey, now time.Time) (boxKey, error) {
	x := boxKey{secret: seal.NewBoxSecret(), from: now, serial: last.serial + 1}
	row := boxRow{Secret: private(x.secret), From: now.Unix(), Serial: x.serial}
	return x, putRow(tx, kindBox, strconv.FormatUint(x.serial, 10), &row, &row.Format)
}

// readBox is the newest stored sealing key, or none.
func readBox(tx *store.Tx) (boxKey, error) {
	rows, err := boxRows(tx)
	if err != nil || len(rows) == 0 {
		return boxKey{}, err
	}
	secret := new(seal.BoxSecret)
	if err := secret.UnmarshalBinary(rows[0].Secret); err != nil {
		return boxKey{}, fmt.Errorf("reading sealing keys: %w", err)
	}
	return boxKey{secret: secret, from: time.Unix(rows[0].From, 0), serial: rows[0].Serial}, nil
}

// boxRows is the stored sealing keys, newest first.
func boxRows(tx *store.Tx) ([]boxRow, error) {
	all, err := tx.Secrets(kindBox)
	if err != nil {
		return nil, fmt.Errorf("reading sealing keys: %w", err)
	}
	rows := make([]boxRow, len(all))
	for i, s := range all {
		if err := readRow(s.Value, &rows[i], &rows[i].Format); err != nil {
			return nil, fmt.Errorf("reading sealing keys: %w", err)
		}
	}
	slices.SortFunc(rows, func(a, b boxRow) int { return cmp.Compare(b.Serial, a.Serial) })
	return rows, nil
}

// BoxSecrets is every sealing key that a first message may still be sealed
// to, newest first. Expanded keys are remembered: a stranger's blob may have
// to be tried with all of them.
func (k *Keys) BoxSecrets(tx *store.Tx) ([]*seal.BoxSecret, error) {
	rows, err := boxRows(tx)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	expanded := make(map[uint64]*seal.BoxSecret, len(rows))
	secrets := make([]*seal.BoxSecret, len(rows))
	for i, row := range rows {
		s := k.boxes[row.Serial]
		if s == nil {
			s = new(seal.BoxSecret)
			if err := s.UnmarshalBinary(row.Secret); err != nil {
				return nil, fmt.Errorf("reading sealing keys: %w", err)
			}
		}
		expanded[row.Serial], secrets[i] = s, s
	}
	k.boxes = expanded
	return secrets, nil
}

// putRow keeps a row until erase: the store, which would look at the clock
// alone, is told no end.
func putRow[T any](tx *store.Tx, kind, key string, row *T, format *int) error {
	*format = secretFormat
	b, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("encoding %s key: %w", kind, err)
	}
	if err := tx.PutSecret(kind, key, b, time.Time{}); err != nil {
		return fmt.Errorf("storing %s key: %w", kind, err)
	}
	return nil
}

// readRow refuses rows of a newer program: they may mean something else.
func readRow[T any](b []byte, row *T, format *int) error {
	if err := json.Unmarshal(b, row); err != nil {
		return fmt.Errorf("%w: undecodable key row", chat.ErrInvalid)
	}
	if *format < 1 || *format > secretFormat {
		return fmt.Errorf("%w: key row of format %d, newest known is %d", chat.ErrInvalid, *format, secretFormat)
	}
	return nil
}

// private is the bytes of a secret on their way into a sealed row.
func private(s encoding.BinaryMarshaler) []byte {
	b, err := s.MarshalBinary()
	if err != nil {
		panic("identity: encoding a secret: " + err.Error())
	}
	return b
}
