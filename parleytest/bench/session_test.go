package bench

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/wire"
)

// The session layer of dm without its store: what seals, frames, orders,
// drops repetitions and signs receipts for groups, with the product's own
// packages and in the product's shape, sessions and seen ids in memory.

// end is one device.
type end struct {
	seal.Identity
	key     ed25519.PrivateKey
	session *seal.Session
}

// sessions makes two ends whose session has been answered.
func sessions() (a, b *end, err error) {
	device := func(n int) (*end, *seal.DHSecret) {
		dh := seal.NewDHSecret()
		key := simKey(77, n)
		pub := key.Public().(ed25519.PublicKey)
		return &end{Identity: seal.Identity{Account: pub, Device: pub, DH: dh.Public()}, key: key}, dh
	}
	a, aDH := device(1)
	b, bDH := device(2)
	pre := seal.NewPrekey()
	spk, kem := pre.Public()
	bundle := seal.Bundle{Suite: seal.Suite, Owner: b.Identity, SignedPrekey: spk, KEM: kem, Bytes: append(spk[:], kem...)}
	var setup seal.Setup
	if a.session, setup, err = seal.Initiate(a.Identity, aDH, bundle); err != nil {
		return nil, nil, err
	}
	if b.session, err = seal.Respond(b.Identity, bDH, pre, bundle.Bytes, a.Identity, setup); err != nil {
		return nil, nil, err
	}
	for _, p := range [][2]*end{{a, b}, {b, a}, {a, b}, {b, a}} {
		var m []byte
		if p[0].session, m, err = p[0].session.Seal(time.Now(), []byte("hello"), 0); err != nil {
			return nil, nil, err
		}
		if p[1].session, _, err = p[1].session.Open(time.Now(), m); err != nil {
			return nil, nil, err
		}
	}
	return a, b, nil
}

// onWire makes a bare stream what dm speaks over.
type onWire struct{ network.Stream }

func (onWire) Remote() chat.DeviceID { return "" }

// sessionRate is acknowledged messages a second, inFlight under way.
func sessionRate(r *raw, n int) (float64, error) {
	a, b, err := sessions()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = r.talk(
		func(s network.Stream) error { return a.send(onWire{s}, b, n) },
		func(s network.Stream) error { return b.receive(onWire{s}, a, n) })
	return float64(n) / time.Since(began).Seconds(), err
}

const (
	inFlight = chat.OutboxWindow
	// receiptHold is how long a receipt waits for more to cover when one was
	// signed just before: signing and verifying costs 70 us, a message 10.
	receiptHold = 300 * time.Microsecond
)

// send seals and writes while receipts let it.
func (e *end) send(s wire.Stream, to *end, n int) error {
	f := newFlights()
	go func() { f.end(e.acknowledged(s, to, f, n)) }() // the stream's end is its own
	w := wire.NewWriter(s)
	conversation, text := string(identity.AccountIDOf(to.Account)), strings.Repeat("m", textBytes)
	var content []byte
	for i := range n {
		if f.full() { // what is queued leaves before we wait
			if err := w.Flush(); err != nil {
				return err
			}
			if err := f.wait(inFlight - 1); err != nil {
				return err
			}
		}
		var err error
		if content, err = e.content(content[:0], conversation, text, i); err != nil {
			return err
		}
		var blob []byte
		if e.session, blob, err = e.session.Seal(time.Now(), content, padded(e.session.MessageSize(len(content)))); err != nil {
			return err
		}
		f.add(chat.NewMessageID(content))
		if err := w.Queue(&wirev1.DMFrame{Body: &wirev1.DMFrame_Envelope{Envelope: &wirev1.OuterEnvelope{Version: 1, Blob: blob}}}); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.wait(0)
}

// content appends message number i as it goes into the ratchet.
func (e *end) content(b []byte, conversation, text string, i int) ([]byte, error) {
	var random [16 + 32]byte // salt, and a manifest hash
	_, _ = rand.Read(random[:16])
	return proto.MarshalOptions{}.MarshalAppend(b, &wirev1.Content{
		Version: 1, Salt: random[:16], Conversation: conversation, AccountKey: e.Account, DeviceKey: e.Device,
		ManifestHash: random[16:], Epoch: 1, Number: uint64(i + 1), Time: time.Now().UnixMilli(),
		Body: &wirev1.Content_Text_{Text: &wirev1.Content_Text{Text: text}},
	})
}

// padded is the blob that a message of n bytes travels in.
func padded(n int) int {
	for _, size := range chat.BlobSizes {
		if n <= size {
			return size
		}
	}
	return 0
}

// acknowledged verifies receipts, beside the sealing, and matches them with
// what is under way.
func (e *end) acknowledged(s wire.Stream, by *end, f *flights, n int) error {
	r := wire.NewReader(s)
	for got := 0; got < n; {
		a := new(wirev1.DMAnswer)
		if err := r.ReadFrame(a); err != nil {
			return err
		}
		payload, err := identity.OpenSigned(by.Device, seal.PurposeReceipt, a.GetReceipt())
		if err != nil {
			return err
		}
		p := new(wirev1.Receipt)
		if err := wire.Unmarshal(payload, p); err != nil {
			return err
		}
		if err := f.land(p.MessageIds); err != nil {
			return err
		}
		got += len(p.MessageIds)
	}
	return nil
}

// flights is what the sender has under way.
type flights struct {
	mu      sync.Mutex
	changed *sync.Cond
	ids     []chat.MessageID // oldest first
	ended   bool             // no more receipts
	err     error
}

func newFlights() *flights {
	f := new(flights)
	f.changed = sync.NewCond(&f.mu)
	return f
}

func (f *flights) add(id chat.MessageID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids = append(f.ids, id)
}

func (f *flights) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ids) >= inFlight
}

// wait waits until at most so many fly.
func (f *flights) wait(most int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.ids) > most && !f.ended {
		f.changed.Wait()
	}
	if len(f.ids) > most {
		return errors.Join(errors.New("void: receipts ended early"), f.err)
	}
	return nil
}

// land lets go of what a receipt names: the oldest, in their order.
func (f *flights) land(ids [][]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(ids) == 0 || len(ids) > min(len(f.ids), chat.ReceiptIDs) {
		return fmt.Errorf("void: a receipt for %d of %d messages", len(ids), len(f.ids))
	}
	for i, id := range ids {
		if chat.MessageID(id) != f.ids[i] {
			return fmt.Errorf("void: a receipt for %x, not for %x", id, f.ids[i])
		}
	}
	f.ids = append(f.ids[:0], f.ids[len(ids):]...)
	f.changed.Signal()
	return nil
}

func (f *flights) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.err = true, err
	f.changed.Signal()
}

// receive opens what the reader brings and signs receipts: at once after a
// pause, for whatever came in receiptHold or for a full group else.
func (e *end) receive(s wire.Stream, from *end, n int) error {
	groups := make(chan []*wirev1.DMFrame, 1)
	ended := make(chan error, 1)
	go func() { ended <- read(s, groups, n) }()
	in := incoming{end: e, from: from, seen: make(map[chat.MessageID]bool), w: wire.NewWriter(s)}
	hold := time.NewTimer(receiptHold)
	defer hold.Stop()
	for in.acked < n {
		select {
		case group := <-groups:
			if err := in.open(group); err != nil {
				return err
			}
		case err := <-ended:
			if err != nil {
				return err
			}
			ended = nil
		case <-hold.C:
		}
		wait := receiptHold - time.Since(in.signed)
		if len(in.ids) >= chat.ReceiptIDs || len(in.ids) > 0 && wait <= 0 {
			if err := in.sign(); err != nil {
				return err
			}
		}
		if len(in.ids) > 0 {
			hold.Reset(max(0, wait))
		}
	}
	return nil
}

// read hands on what came together.
func read(s wire.Stream, groups chan<- []*wirev1.DMFrame, n int) error {
	r := wire.NewReader(s)
	for n > 0 {
		var group []*wirev1.DMFrame
		for len(group) == 0 || n > 0 && r.Buffered() > 0 && len(group) < chat.ReceiptIDs {
			f := new(wirev1.DMFrame)
			if err := r.ReadFrame(f); err != nil {
				return err
			}
			group = append(group, f)
			n--
		}
		groups <- group
	}
	return nil
}

// incoming is what the receiver keeps.
type incoming struct {
	*end
	from   *end
	seen   map[chat.MessageID]bool
	ids    []chat.MessageID // not yet receipted
	acked  int
	signed time.Time // when the last receipt was
	w      *wire.Writer
}

// open opens, orders and drops what it has seen.
func (in *incoming) open(group []*wirev1.DMFrame) error {
	for _, f := range group {
		next, plain, err := in.session.Open(time.Now(), f.GetEnvelope().GetBlob())
		if err != nil {
			return err
		}
		in.session = next
		c := new(wirev1.Content)
		if err := wire.Unmarshal(plain, c); err != nil {
			return err
		}
		id := chat.NewMessageID(plain)
		if in.seen[id] || c.Number != uint64(len(in.seen)+1) || string(c.DeviceKey) != string(in.from.Device) {
			return fmt.Errorf("void: message %d came as number %d", c.Number, len(in.seen)+1)
		}
		in.seen[id] = true
		in.ids = append(in.ids, id)
	}
	return nil
}

// sign sends one receipt for what has none, as far as it holds.
func (in *incoming) sign() error {
	ids := in.ids[:min(len(in.ids), chat.ReceiptIDs)]
	receipt := &wirev1.Receipt{
		Version: 1, FromDevice: in.Device, ToDevice: in.from.Device, Time: time.Now().UnixMilli(),
		Outcome: wirev1.Receipt_OUTCOME_DELIVERED, MessageIds: make([][]byte, len(ids)),
	}
	for i := range ids {
		receipt.MessageIds[i] = ids[i][:]
	}
	payload, err := proto.Marshal(receipt)
	if err != nil {
		return err
	}
	signed := identity.SignedBytes(in.key, seal.PurposeReceipt, payload)
	in.acked += len(ids)
	in.ids = append(in.ids[:0], in.ids[len(ids):]...)
	in.signed = time.Now()
	return in.w.WriteFrame(&wirev1.DMAnswer{Body: &wirev1.DMAnswer_Receipt{Receipt: signed}})
}
