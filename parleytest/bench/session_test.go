package bench

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
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

// sessionRate is acknowledged messages a second, chat.OutboxWindow under way.
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

// content is message number i as it goes into the ratchet.
func (e *end) content(to *end, i int) ([]byte, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	return proto.Marshal(&wirev1.Content{
		Version: 1, Salt: salt, Conversation: string(identity.AccountIDOf(to.Account)), AccountKey: e.Account, DeviceKey: e.Device,
		ManifestHash: make([]byte, 32), Epoch: 1, Number: uint64(i + 1), Time: time.Now().UnixMilli(),
		Body: &wirev1.Content_Text_{Text: &wirev1.Content_Text{Text: string(make([]byte, textBytes))}},
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

// send seals and writes while receipts let it.
func (e *end) send(s wire.Stream, to *end, n int) error {
	room := make(chan struct{}, chat.OutboxWindow)
	ids := make(chan chat.MessageID, chat.OutboxWindow) // under way, in order
	acked := make(chan error, 1)
	go func() { acked <- e.acknowledged(s, to, ids, room, n) }()
	w := wire.NewWriter(s)
	for i := range n {
		select {
		case room <- struct{}{}:
		default: // what is queued leaves before we wait
			if err := w.Flush(); err != nil {
				return err
			}
			select {
			case room <- struct{}{}:
			case err := <-acked:
				return errors.Join(errors.New("void: receipts ended early"), err)
			}
		}
		b, err := e.content(to, i)
		if err != nil {
			return err
		}
		var blob []byte
		if e.session, blob, err = e.session.Seal(time.Now(), b, padded(e.session.MessageSize(len(b)))); err != nil {
			return err
		}
		ids <- chat.NewMessageID(b)
		if err := w.Queue(&wirev1.DMFrame{Body: &wirev1.DMFrame_Envelope{Envelope: &wirev1.OuterEnvelope{Version: 1, Blob: blob}}}); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return <-acked
}

// acknowledged verifies receipts and matches them with what is under way.
func (e *end) acknowledged(s wire.Stream, by *end, ids <-chan chat.MessageID, room <-chan struct{}, n int) error {
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
		for _, id := range p.MessageIds {
			if want := <-ids; chat.MessageID(id) != want {
				return fmt.Errorf("void: a receipt for %x, not for %x", id, want)
			}
			<-room
			got++
		}
	}
	return nil
}

// receive opens, orders, drops what it has seen, and signs one receipt for
// whatever came during the last.
func (e *end) receive(s wire.Stream, from *end, n int) error {
	frames := make(chan *wirev1.DMFrame, chat.ReceiptIDs)
	ended := make(chan error, 1)
	go func() {
		r := wire.NewReader(s)
		for range n {
			f := new(wirev1.DMFrame)
			if err := r.ReadFrame(f); err != nil {
				ended <- err
				return
			}
			frames <- f
		}
	}()
	w := wire.NewWriter(s)
	seen := map[chat.MessageID]bool{}
	for got := 0; got < n; {
		var group []*wirev1.DMFrame
		select {
		case f := <-frames:
			group = append(group, f)
		case err := <-ended:
			return err
		}
		for len(group) < chat.ReceiptIDs && len(frames) > 0 {
			group = append(group, <-frames)
		}
		receipt := &wirev1.Receipt{Version: 1, FromDevice: e.Device, ToDevice: from.Device, Time: time.Now().UnixMilli(), Outcome: wirev1.Receipt_OUTCOME_DELIVERED}
		for _, f := range group {
			next, plain, err := e.session.Open(time.Now(), f.GetEnvelope().GetBlob())
			if err != nil {
				return err
			}
			e.session = next
			c := new(wirev1.Content)
			if err := wire.Unmarshal(plain, c); err != nil {
				return err
			}
			id := chat.NewMessageID(plain)
			if seen[id] || c.Number != uint64(got+1) || string(c.DeviceKey) != string(from.Device) {
				return fmt.Errorf("void: message %d came as number %d", c.Number, got+1)
			}
			seen[id] = true
			got++
			receipt.MessageIds = append(receipt.MessageIds, id[:])
		}
		payload, err := proto.Marshal(receipt)
		if err != nil {
			return err
		}
		if err := w.WriteFrame(&wirev1.DMAnswer{Body: &wirev1.DMAnswer_Receipt{Receipt: identity.SignedBytes(e.key, seal.PurposeReceipt, payload)}}); err != nil {
			return err
		}
	}
	return nil
}
