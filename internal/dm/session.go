package dm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
)

// ratchet is a stored session while a transaction works with it.
type ratchet struct {
	row   store.SessionRow
	about about
	state *seal.Session
}

// about is who is at the other end, and, until the session is answered, what
// repeats its handshake. It lies sealed in the session's row.
type about struct {
	account     chat.AccountID
	accountKey  []byte
	deviceKey   []byte
	sealing     []byte // the recipient's sealing key; empty: the session is given up for sending
	certificate []byte // of our handshake key at set-up
}

const aboutVersion = 1

func (a about) marshal() []byte {
	b := []byte{aboutVersion}
	for _, field := range [][]byte{[]byte(a.account), a.accountKey, a.deviceKey, a.sealing, a.certificate} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
		b = append(b, field...)
	}
	return b
}

func parseAbout(b []byte) (a about, err error) {
	if len(b) == 0 || b[0] != aboutVersion {
		return a, fmt.Errorf("%w: session row of another format", chat.ErrInvalid)
	}
	b = b[1:]
	var fields [5][]byte
	for i := range fields {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return a, fmt.Errorf("%w: session row cut short", chat.ErrInvalid)
		}
		n := int(binary.BigEndian.Uint16(b))
		fields[i], b = b[2:2+n], b[2+n:]
	}
	return about{chat.AccountID(fields[0]), fields[1], fields[2], fields[3], fields[4]}, nil
}

// sessionID is H(EK): by it a repeated handshake finds its session.
func sessionID(ephemeral [32]byte) []byte {
	h := sha256.Sum256(ephemeral[:])
	return h[:]
}

func readRatchet(row store.SessionRow) (*ratchet, error) {
	r := &ratchet{row: row}
	var err error
	if r.about, err = parseAbout(row.Extra); err != nil {
		return nil, fmt.Errorf("reading session: %w", err)
	}
	if r.state, err = seal.UnmarshalSession(row.State); err != nil {
		return nil, fmt.Errorf("reading session: %w", err)
	}
	return r, nil
}

// sessionsOf reads a device's sessions, newest set-up first.
func sessionsOf(tx *store.Tx, d chat.DeviceID) ([]*ratchet, error) {
	rows, err := tx.Sessions(d)
	if err != nil {
		return nil, fmt.Errorf("reading sessions: %w", err)
	}
	list := make([]*ratchet, len(rows))
	for i, row := range rows {
		if list[i], err = readRatchet(row); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// save stores the session as it is now, without keys whose time is over.
func (r *ratchet) save(tx *store.Tx) error {
	var err error
	if r.row.Answered && len(r.about.sealing) > 0 {
		r.about.sealing, r.about.certificate = nil, nil // no handshake to repeat
	}
	r.row.Extra = r.about.marshal()
	r.state = r.state.Expire(time.Now())
	if r.row.State, err = r.state.MarshalBinary(); err != nil {
		return fmt.Errorf("encoding session: %w", err)
	}
	if err := tx.PutSession(r.row); err != nil {
		return fmt.Errorf("storing session: %w", err)
	}
	return nil
}

// sends reports whether new messages may be sealed in r: not in a session of
// ours that was given up before its first answer.
func (r *ratchet) sends() bool {
	return r.row.Answered || !r.row.Ours || len(r.about.sealing) > 0
}

// choose is the session to send on: the newest set-up. Between two that are
// not answered the smaller id decides, which both sides know; an answered one
// never loses by its id, or a broken session could win over its repair for
// ever. Nil if there is none.
func choose(list []*ratchet) *ratchet {
	var answered, fresh *ratchet
	for _, r := range list {
		switch {
		case !r.sends():
		case r.row.Answered:
			if answered == nil || r.row.Setup > answered.row.Setup {
				answered = r
			}
		case fresh == nil || bytes.Compare(r.row.ID, fresh.row.ID) < 0:
			fresh = r
		}
	}
	if answered == nil || fresh != nil && fresh.row.Setup > answered.row.Setup {
		return fresh
	}
	return answered
}

// addSession stores a new session beside list and drops the oldest over the
// cap. It never drops the new one.
func addSession(tx *store.Tx, list []*ratchet, fresh *ratchet) ([]*ratchet, error) {
	if err := fresh.save(tx); err != nil {
		return nil, err
	}
	for len(list) >= chat.MaxSessions {
		oldest := 0
		for i, r := range list {
			if r.row.Setup < list[oldest].row.Setup {
				oldest = i
			}
		}
		if err := tx.DeleteSession(list[oldest].row.ID); err != nil {
			return nil, fmt.Errorf("dropping session: %w", err)
		}
		list = append(list[:oldest:oldest], list[oldest+1:]...)
	}
	return append(list, fresh), nil
}

// setupTime is a time for a new session that makes it the newest.
func setupTime(now time.Time, list []*ratchet) int64 {
	at := now.UnixMilli()
	for _, r := range list {
		at = max(at, r.row.Setup+1)
	}
	return at
}

// initiate makes a session with the owner of a verified record.
func (c *Courier) initiate(account chat.AccountID, rec *identity.DeviceRecord, list []*ratchet, now time.Time) (*ratchet, error) {
	state, setup, err := seal.Initiate(c.keys.Self(), c.keys.DH(), rec.Bundle)
	if err != nil {
		return nil, err
	}
	return &ratchet{
		row: store.SessionRow{Device: rec.Device, ID: sessionID(setup.Ephemeral), Setup: setupTime(now, list), Ours: true},
		about: about{
			account:     account,
			accountKey:  rec.Bundle.Owner.Account,
			deviceKey:   rec.Bundle.Owner.Device,
			sealing:     rec.SealingKey,
			certificate: c.keys.DHCertificate(),
		},
		state: state,
	}, nil
}

// seal makes content the session's next message: bare once it is answered,
// before that inside the box with its handshake. The caller stores r.
func (c *Courier) seal(r *ratchet, now time.Time, content []byte) (number uint64, blob []byte, err error) {
	setup, first := r.state.Setup()
	if !first {
		size, err := bucket(r.state.MessageSize(len(content)))
		if err != nil {
			return 0, nil, err
		}
		next, blob, err := r.state.Seal(now, content, size)
		if err != nil {
			return 0, nil, err
		}
		r.state = next
		return next.Sent(), blob, nil
	}
	next, message, err := r.state.Seal(now, content, 0)
	if err != nil {
		return 0, nil, err
	}
	self := c.keys.Self()
	payload := encode(&wirev1.FirstContact{
		Version:       contentVersion,
		Suite:         uint32(seal.Suite),
		AccountKey:    self.Account,
		DeviceKey:     self.Device,
		DhIdentity:    r.about.certificate,
		Manifest:      c.keys.ManifestBytes(),
		EphemeralKey:  setup.Ephemeral[:],
		KemCiphertext: setup.KEM,
		BundleHash:    setup.Bundle[:],
		OneTimeId:     setup.OneTimeID,
		Message:       message,
		SessionTime:   r.row.Setup,
		Mailbox:       c.presentTicket(now),
	})
	size, err := bucket(len(payload) + 1 + seal.BoxOverhead)
	if err != nil {
		return 0, nil, err
	}
	if blob, err = seal.SealBox(r.about.sealing, payload, size); err != nil {
		return 0, nil, err
	}
	r.state = next
	return next.Sent(), blob, nil
}

// bucket is the smallest blob size that holds n bytes.
func bucket(n int) (int, error) {
	for _, size := range chat.BlobSizes {
		if n <= size {
			return size, nil
		}
	}
	return 0, fmt.Errorf("%w: %d bytes to seal", chat.ErrTooLarge, n)
}

// A sealed outbox row keeps the message's number in its session before the
// blob: receipts tell by it how far the session may go on.
const numberSize = 8

func withNumber(number uint64, blob []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, numberSize+len(blob)), number), blob...)
}

func splitNumber(b []byte) (number uint64, blob []byte, err error) {
	if len(b) < numberSize {
		return 0, nil, fmt.Errorf("%w: outbox row cut short", chat.ErrInvalid)
	}
	return binary.BigEndian.Uint64(b), b[numberSize:], nil
}
