package dm

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

// maxMailTrials bounds the sessions that are tried for a blob that names
// nobody: a header trial costs about a microsecond.
const maxMailTrials = 2000

// opening is a blob that authenticated, before anything is written. op.r has
// the session's old state, op.next the one after the blob.
type opening struct {
	r     *ratchet
	next  *seal.Session
	plain []byte
	bare  bool // without a handshake: the sender knows that we have the session
	fresh bool // r is new
	// Instead of all that, with the manifest or without: the author is blocked,
	// or the blob was not tried and may come again after wait.
	blocked bool
	wait    time.Duration
	// With a handshake: the highest manifest known of the author's account.
	manifest *identity.Manifest
	signed   []byte // as it came
	ticket   *wirev1.MailTicket
}

// boxes is our sealing keys, read once for a group.
type boxes struct {
	read    bool
	secrets []*seal.BoxSecret
}

func notFoundIsNil(err error) error {
	if errors.Is(err, chat.ErrNotFound) {
		return nil
	}
	return err
}

// open tries the sessions of the device, then the first-contact box. Every
// fault of the blob is a nil opening; errors are the store's.
func (g *group) open(blob chat.Sealed) (*opening, error) {
	devices, err := g.candidates()
	if err != nil {
		return nil, err
	}
	tries := 0
	for _, d := range devices {
		list, err := g.sessionsOf(d)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if tries++; tries > maxMailTrials {
				break
			}
			if next, plain, err := r.state.Open(g.now, blob); err == nil {
				return &opening{r: r, next: next, plain: plain, bare: true}, nil
			}
		}
	}
	return g.openBox(blob)
}

// candidates is whose sessions may open a blob: those of the device on the
// stream, or, for mail, of everybody we know.
func (g *group) candidates() ([]chat.DeviceID, error) {
	if g.from != "" {
		return []chat.DeviceID{g.from}, nil
	}
	contacts, err := g.tx.Contacts()
	if err != nil {
		return nil, err
	}
	var devices []chat.DeviceID
	for _, p := range contacts {
		pin, err := g.tx.Pin(p.Account)
		if err != nil && !errors.Is(err, chat.ErrNotFound) {
			return nil, err
		}
		if devices = append(devices, pin.Devices...); len(devices) >= maxMailTrials {
			break
		}
	}
	return devices, nil
}

func (g *group) sessionsOf(d chat.DeviceID) ([]*ratchet, error) {
	if list, ok := g.sessions[d]; ok {
		return list, nil
	}
	list, err := sessionsOf(g.tx, d)
	if err != nil {
		return nil, err
	}
	g.sessions[d] = list
	return list, nil
}

// stranger reports whether the device on the stream belongs to no contact.
func (g *group) stranger() (bool, error) {
	if g.from == "" {
		return false, nil // mail has its holders' quotas
	}
	account, known := g.c.directory.AccountOf(g.tx, g.from)
	if !known {
		return true, nil
	}
	contact, err := g.tx.Contact(account)
	return contact.State != store.ContactAdded, notFoundIsNil(err)
}

// openBox opens a first contact, or a repeated one. What is no honest first
// contact counts as a miss, whatever its box.
func (g *group) openBox(blob chat.Sealed) (*opening, error) {
	if g.misses >= maxMisses {
		g.misses++
		return nil, nil
	}
	stranger, err := g.stranger()
	if err != nil {
		return nil, err
	}
	if stranger {
		if wait, ok := g.c.guard.AdmitFirst(g.from, g.now); !ok {
			return &opening{wait: wait}, nil
		}
	}
	if !g.boxes.read {
		secrets, err := g.c.keys.BoxSecrets(g.tx)
		if err != nil {
			return nil, err
		}
		g.boxes = boxes{true, secrets}
	}
	for _, secret := range g.boxes.secrets {
		payload, err := secret.Open(blob)
		if err != nil {
			continue
		}
		first := new(wirev1.FirstContact)
		if wire.Unmarshal(payload, first) != nil {
			break
		}
		if op, err := g.openFirst(first); op != nil || err != nil {
			return op, err
		}
		break
	}
	g.misses++
	return nil, nil
}

// openFirst verifies who is speaking before it derives a key: manifest, then
// device in it, then the handshake key's certificate, then the block list.
func (g *group) openFirst(f *wirev1.FirstContact) (*opening, error) {
	if f.Version != contentVersion || f.Suite != uint32(seal.Suite) ||
		len(f.AccountKey) != ed25519.PublicKeySize || len(f.DeviceKey) != ed25519.PublicKeySize ||
		len(f.EphemeralKey) != 32 || len(f.BundleHash) != sha256.Size {
		return nil, nil
	}
	device := identity.DeviceIDOf(f.DeviceKey)
	if g.from != "" && device != g.from || device == g.c.keys.Device() {
		return nil, nil
	}
	m, err := g.manifest(f)
	if err != nil || m == nil || !m.Lists(device) {
		return nil, err
	}
	dh, err := identity.OpenDHIdentity(f.DeviceKey, f.DhIdentity, g.now)
	if err != nil {
		return nil, nil //nolint:nilerr // the blob's fault
	}
	op := &opening{manifest: m, signed: f.Manifest, ticket: f.Mailbox}
	if g.c.guard.Blocked(m.Account) {
		op.blocked = true
		return op, nil
	}
	ephemeral := [32]byte(f.EphemeralKey)
	list, err := g.sessionsOf(device)
	if err != nil {
		return nil, err
	}
	id := sessionID(ephemeral)
	for _, r := range list {
		if bytes.Equal(r.row.ID, id) {
			op.r = r
		}
	}
	if op.r != nil && op.r.about.account != m.Account {
		return nil, nil // the session speaks for another account than the manifest
	}
	if op.r == nil {
		if op.r, err = g.respond(f, device, m.Account, dh, ephemeral); err != nil || op.r == nil {
			return nil, err
		}
		op.fresh = true
	}
	next, plain, err := op.r.state.Open(g.now, f.Message)
	if err != nil {
		return nil, nil //nolint:nilerr // the blob's fault
	}
	op.next, op.plain = next, plain
	return op, nil
}

// manifest is the highest known manifest of the account that a handshake
// names, or nil if the handshake's own is not valid or contradicts a pin.
func (g *group) manifest(f *wirev1.FirstContact) (*identity.Manifest, error) {
	m, err := identity.OpenManifest(f.Manifest, g.now)
	if err != nil || !bytes.Equal(m.AccountKey, f.AccountKey) {
		return nil, nil //nolint:nilerr // the blob's fault
	}
	pin, err := g.tx.Pin(m.Account)
	switch {
	case err != nil:
		return m, notFoundIsNil(err)
	case pin.Seq < m.Seq || pin.Seq == m.Seq && pin.Hash == m.Hash:
		return m, nil
	case pin.Seq == m.Seq: // INVALID, but what the account signed is remembered
		return nil, g.c.directory.Dispute(g.tx, &identity.EquivocationError{Account: m.Account, Seq: m.Seq}, g.now)
	}
	higher, err := identity.OpenManifest(pin.Manifest, g.now)
	if err != nil {
		return nil, nil //nolint:nilerr // pinned and over: nobody is listed
	}
	return higher, nil
}

// respond makes our side of a handshake. Nothing is kept before its message
// authenticates.
func (g *group) respond(f *wirev1.FirstContact, d chat.DeviceID, a chat.AccountID, dh, ephemeral [32]byte) (*ratchet, error) {
	if a == g.c.keys.Account() {
		return nil, nil // our own other devices come with linking
	}
	id := sessionID(ephemeral)
	if _, spent, err := g.tx.Seen([32]byte(id)); err != nil || spent {
		return nil, err // the session existed and was dropped
	}
	prekey, own, bundle, err := g.c.keys.PrekeyByBundle(g.tx, [32]byte(f.BundleHash))
	if err != nil {
		return nil, notFoundIsNil(err)
	}
	self := g.c.keys.Self()
	self.DH = own.Public()
	peer := seal.Identity{Account: f.AccountKey, Device: f.DeviceKey, DH: dh}
	state, err := seal.Respond(self, own, prekey, bundle, peer, seal.Setup{
		Ephemeral: ephemeral, KEM: f.KemCiphertext, OneTimeID: f.OneTimeId, Bundle: [32]byte(f.BundleHash),
	})
	if err != nil {
		return nil, nil //nolint:nilerr // the blob's fault
	}
	// Their clock may be wrong, but not so wrong that no repair of ours is
	// ever newer.
	setup := min(f.SessionTime, g.now.Add(chat.ClockSlack).UnixMilli())
	return &ratchet{
		row:   store.SessionRow{Device: d, ID: id, Setup: max(setup, 0)},
		about: about{account: a, accountKey: slices.Clone(f.AccountKey), deviceKey: slices.Clone(f.DeviceKey)},
		state: state,
	}, nil
}

// join keeps a session that its first message proved, remembers its handshake
// as long as the prekeys live, and queues the answer that ends its repeating.
func (g *group) join(op *opening) error {
	if err := g.learn(op); err != nil {
		return err
	}
	list, err := addSession(g.tx, g.sessions[op.r.row.Device], op.r)
	if err != nil {
		return err
	}
	for r := range g.changed { // a dropped session must not come back
		if r.row.Device == op.r.row.Device && !slices.Contains(list, r) {
			delete(g.changed, r)
		}
	}
	g.sessions[op.r.row.Device] = list
	if err := g.tx.MarkSeen([32]byte(op.r.row.ID), nil, g.now.Add(identity.HandshakeLife)); err != nil {
		return err
	}
	return g.answer(op.r.about.account, op.r.row.Device)
}

// kindAnswer is, in secrets: device -> id of the answer that waits for it.
const kindAnswer = "dm-answer"

// answer queues the answer to a handshake in place of one that still waits: a
// device that shakes hands again and again, and takes nothing, has one row.
func (g *group) answer(a chat.AccountID, d chat.DeviceID) error {
	last, err := g.tx.Secret(kindAnswer, string(d))
	if err := notFoundIsNil(err); err != nil {
		return err
	}
	if len(last) == len(chat.MessageID{}) {
		if err := g.tx.OutboxDoneMessage(chat.MessageID(last), d); err != nil {
			return err
		}
	}
	p := g.c.newContent(a)
	p.Body = &wirev1.Content_Answer_{Answer: &wirev1.Content_Answer{}}
	if err := g.ticketsIn(p, a, d); err != nil {
		return err
	}
	content := encode(p)
	id := chat.NewMessageID(content)
	if err := g.tx.PutSecret(kindAnswer, string(d), id[:], g.now.Add(chat.MessageLife)); err != nil {
		return err
	}
	return g.c.queueControl(g.tx, a, d, content, g.now)
}

// learn pins the manifest that came with a handshake, by which the device named
// its account: over its own stream, or in a session that opened.
func (g *group) learn(op *opening) error {
	if op.manifest == nil {
		return nil
	}
	m, err := g.c.directory.LearnIn(g.tx, op.signed, g.now)
	if err != nil {
		var two *identity.EquivocationError
		if errors.As(err, &two) || errors.Is(err, chat.ErrInvalid) {
			return nil // it was judged before: only a race gets here
		}
		return fmt.Errorf("learning manifest: %w", err)
	}
	g.pinned = append(g.pinned, m)
	device := g.from
	if op.r != nil {
		device = op.r.row.Device
	}
	return g.tx.ProveDevice(device, m.Account)
}
