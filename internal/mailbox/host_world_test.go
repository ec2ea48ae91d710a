package mailbox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/live"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

// town is holders in memory: each knows all, and calls reach who is awake.
type town struct {
	t      testing.TB
	calls  sync.WaitGroup
	small  bool
	left   live.Value[int]
	mu     sync.Mutex
	hosts  map[chat.DeviceID]*Host
	blamed map[chat.DeviceID]int
}

func newTown(t testing.TB) *town {
	n := &town{t: t, hosts: map[chat.DeviceID]*Host{}, blamed: map[chat.DeviceID]int{}}
	t.Cleanup(n.calls.Wait)
	return n
}

// post is one holder's way into the town.
type post struct {
	*town
	self chat.DeviceID
}

func (p post) Departures() *live.Value[int] { return &p.left }

// Near is the twenty nearest by XOR among all that are there.
func (p post) Near(place [32]byte) chat.Region {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]chat.DeviceID, 0, len(p.hosts))
	for d := range p.hosts {
		all = append(all, d)
	}
	distance := func(d chat.DeviceID) (x [32]byte) {
		at := sha256.Sum256([]byte(d))
		for i := range x {
			x[i] = at[i] ^ place[i]
		}
		return x
	}
	slices.SortFunc(all, func(a, b chat.DeviceID) int {
		x, y := distance(a), distance(b)
		return slices.Compare(x[:], y[:])
	})
	r := chat.Region{Size: len(all), Small: p.small}
	if !p.small {
		all = all[:min(len(all), chat.RegionSize)]
	}
	for _, d := range all {
		if d == p.self {
			r.Self = true
		} else {
			r.Nodes = append(r.Nodes, d)
		}
	}
	return r
}

func (p post) Open(_ context.Context, d chat.DeviceID, protocol string) (wire.Stream, error) {
	p.mu.Lock()
	host := p.hosts[d]
	p.mu.Unlock()
	if host == nil || protocol != Protocol {
		return nil, chat.ErrUnreachable
	}
	near, far := wire.Pipe(p.self, d)
	p.calls.Go(func() { host.Handle(far) })
	return near, nil
}

func (p post) Close() error { return nil }

// host is a new holder with a file of its own.
func (n *town) host(change func(*HostConfig, *store.GuestConfig)) *Host {
	n.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	d := identity.DeviceIDOf(key.Public().(ed25519.PublicKey))
	cfg := HostConfig{
		Key: key, Device: d, Nearby: post{n, d}, Dialer: post{n, d}, StampBits: 4, KeepFree: -1,
		Misbehaved: func(d chat.DeviceID, _ string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.blamed[d]++
		},
	}
	g := store.GuestConfig{Dir: n.t.TempDir(), Relaxed: true}
	if change != nil {
		change(&cfg, &g)
	}
	if cfg.Guest, err = store.OpenGuest(g); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		n.calls.Wait()
		_ = cfg.Guest.Close() // also closed by tests that reopen
	})
	h, err := NewHost(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[d] = h
	return h
}

// caller speaks to one holder.
type caller struct {
	t testing.TB
	*call
}

func (n *town) call(h *Host, from chat.DeviceID) *caller {
	n.t.Helper()
	k, err := dial(n.t.Context(), post{n, from}, h.device)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { k.end(nil) })
	return &caller{n.t, k}
}

func (c *caller) must(q *wirev1.MailRequest) *wirev1.MailAnswer {
	c.t.Helper()
	a, err := c.ask(q)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func depositOf(e []byte) *wirev1.MailRequest {
	return &wirev1.MailRequest{Body: &wirev1.MailRequest_Deposit{Deposit: e}}
}

// owner is somebody with a mailbox.
type owner struct {
	key   ed25519.PrivateKey
	token [32]byte
	id    chat.MailboxID
}

func newOwner(t testing.TB) *owner {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{key: key, token: random32()}
	o.id = BoxID(pub, sha256.Sum256(o.token[:]))
	return o
}

func (o *owner) public() ed25519.PublicKey { return o.key.Public().(ed25519.PublicKey) }

func (o *owner) tokenHash() []byte { h := sha256.Sum256(o.token[:]); return h[:] }

// blobOf is the n-th blob of the smallest size.
func blobOf(n uint64) []byte {
	b := make([]byte, chat.BlobSizes[0])
	binary.BigEndian.PutUint64(b, n)
	return b
}

// fromContact is an envelope with the token, kept for a time.
func (o *owner) fromContact(n uint64, life time.Duration) []byte {
	return encodeEnvelope(&wirev1.OuterEnvelope{
		Version: 1, MailboxId: o.id[:], ExpiryHour: pace(1).hour(time.Now().Add(life)), MailboxKey: o.public(),
		Permit: &wirev1.OuterEnvelope_Token{Token: o.token[:]}, Blob: blobOf(n),
	})
}

// fromStranger is an envelope with a stamp of so many bits.
func (o *owner) fromStranger(t testing.TB, n uint64, bits int) []byte {
	hour, blob := pace(1).hour(time.Now().Add(48*time.Hour)), blobOf(n)
	stamp, err := Stamp(t.Context(), o.id, hour, blob, bits)
	if err != nil {
		t.Fatal(err)
	}
	return encodeEnvelope(&wirev1.OuterEnvelope{
		Version: 1, MailboxId: o.id[:], ExpiryHour: hour, Permit: &wirev1.OuterEnvelope_Stamp{Stamp: stamp}, Blob: blob,
	})
}

func (o *owner) collectRequest(h *Host, nonce, cursor []byte) *wirev1.MailRequest {
	return &wirev1.MailRequest{Body: &wirev1.MailRequest_Collect{Collect: identity.SignedBytes(o.key, seal.PurposeMailFetch, encode(&wirev1.MailCollect{
		Version: 1, MailboxKey: o.public(), TokenHash: o.tokenHash(), Cursor: cursor, Nonce: nonce, Holder: string(h.device),
	}))}}
}

func (o *owner) deleteBytes(ids ...[32]byte) []byte {
	m := &wirev1.MailDelete{Version: 1, MailboxKey: o.public(), TokenHash: o.tokenHash()}
	for _, id := range ids {
		m.Ids = append(m.Ids, id[:])
	}
	return identity.SignedBytes(o.key, seal.PurposeMailDelete, encode(m))
}

func (o *owner) deleteRequest(ids ...[32]byte) *wirev1.MailRequest {
	return &wirev1.MailRequest{Body: &wirev1.MailRequest_Delete{Delete: o.deleteBytes(ids...)}}
}

// collect is all that a holder gives the owner.
func (o *owner) collect(c *caller, h *Host) (all [][]byte) {
	c.t.Helper()
	for cursor, more := []byte(nil), true; more; {
		nonce, err := c.nonce()
		if err != nil {
			c.t.Fatal(err)
		}
		a := c.must(o.collectRequest(h, nonce, cursor))
		if a.Status != wirev1.Status_STATUS_OK {
			c.t.Fatalf("collect: %s", a.Status)
		}
		all, cursor, more = append(all, a.Envelopes...), a.Cursor, a.More
	}
	return all
}

// held is how many envelopes of a mailbox a holder has, and tombstones aside.
func held(t testing.TB, h *Host, id chat.MailboxID) (n int) {
	t.Helper()
	err := h.guest.Read(t.Context(), func(tx *store.GuestTx) error {
		b, err := tx.Box(id)
		n = b.Contacts + b.Strangers
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
