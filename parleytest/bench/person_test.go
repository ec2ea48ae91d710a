package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/chat"
	"parley/internal/dm"
	"parley/internal/guard"
	"parley/internal/identity"
	"parley/internal/p2p"
	"parley/internal/store"
	"parley/internal/wire"
)

// quiet keeps nodes from talking; PARLEY_BENCH_LOG=1 lets them.
var quiet = func() *slog.Logger {
	if os.Getenv("PARLEY_BENCH_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}()

// person is a node without faces: what a message passes through.
type person struct {
	db        *store.DB
	keys      *identity.Keys
	guard     *guard.Guard
	host      *p2p.Host
	directory *identity.Directory
	courier   *dm.Courier
	bytes     atomic.Int64 // on streams of dm that we opened, both ways

	stops []func() error // in the order to stop
}

// newPerson opens a store in dir and runs everything on it. adjust changes
// the network, whose default is TCP with TLS on loopback.
func newPerson(dir string, relaxed bool, adjust func(*p2p.Config)) (p *person, err error) {
	p = &person{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	ctx := context.Background()
	if p.db, err = store.Open(store.Config{Dir: dir, Relaxed: relaxed}); err != nil {
		return p, err
	}
	p.stops = append(p.stops, p.db.Close)
	if p.keys, err = identity.Load(ctx, p.db, time.Now()); err != nil {
		return p, err
	}
	if p.guard, err = guard.New(guard.Config{DB: p.db}); err != nil {
		return p, err
	}
	cfg := p2p.Config{
		Key: p.keys.DeviceKey(), Loopback: true, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Gate: p.guard, Log: quiet,
		Namespaces: namespaces(),
	}
	if adjust != nil {
		adjust(&cfg)
	}
	if p.host, err = p2p.New(cfg); err != nil {
		return p, err
	}
	p.directory = identity.NewDirectory(identity.DirectoryConfig{
		DB: p.db, Keys: p.keys, Records: p.host, PeerRecord: p.host.PeerRecord,
		Pinned: func(a chat.AccountID, devices []chat.DeviceID) { _ = p.guard.Pinned(context.Background(), a, devices) }, Log: quiet,
	})
	p.courier, err = dm.New(dm.Config{
		DB: p.db, Keys: p.keys, Directory: p.directory, Guard: p.guard, Dialer: dialer{p}, Log: quiet,
	})
	if err != nil {
		return p, errors.Join(err, p.host.Close())
	}
	p.host.Handle(dm.Protocol, p.courier.Handle)
	for _, run := range []func(context.Context) error{p.db.Run, p.host.Run, p.directory.Run, p.courier.Run} {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		stop := func() error {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}
		p.stops = append(p.stops, stop)
	}
	return p, nil
}

// namespaces are the product's records.
func namespaces() []p2p.Namespace {
	return []p2p.Namespace{
		{
			Name:     identity.DeviceNamespace,
			Validate: func(key string, v []byte) error { return identity.ValidateDeviceRecord(key, v, time.Now()) },
			Select:   identity.SelectDeviceRecord,
		},
		{
			Name:     identity.AccountNamespace,
			Validate: func(key string, v []byte) error { return identity.ValidateAccountRecord(key, v, time.Now()) },
			Select:   identity.SelectAccountRecord,
		},
	}
}

// stop ends everything, last started first.
func (p *person) stop() error {
	var errs []error
	for i := len(p.stops) - 1; i >= 0; i-- {
		errs = append(errs, p.stops[i]())
	}
	p.stops = nil
	return errors.Join(errs...)
}

func (p *person) account() chat.AccountID { return p.keys.Account() }

// knows makes a contact, free of cooling.
func (p *person) knows(others ...*person) error {
	for _, o := range others {
		err := p.db.Write(context.Background(), func(tx *store.Tx) error {
			return tx.PutContact(store.Contact{Account: o.account(), State: store.ContactAdded, Trusted: true})
		})
		if err != nil {
			return err
		}
	}
	return p.guard.Refresh(context.Background())
}

func (p *person) send(to *person, text string) (chat.MessageID, error) {
	m, err := p.courier.Send(context.Background(), dm.Draft{To: to.account(), Text: chat.Body(text)})
	if err != nil {
		return chat.MessageID{}, err
	}
	return m.ID, nil
}

// deliverLimit is far beyond any honest delivery.
const deliverLimit = 2 * time.Minute

// delivered waits by the bell until a message is DELIVERED.
func (p *person) delivered(id chat.MessageID) error {
	limit := time.NewTimer(deliverLimit)
	defer limit.Stop()
	for {
		bell := p.db.Bell()
		var m *chat.Message
		err := p.db.Read(context.Background(), func(tx *store.Tx) (err error) {
			m, err = tx.Message(id)
			return err
		})
		if err != nil {
			return err
		}
		switch m.Delivery {
		case chat.Delivered, chat.Read:
			return nil
		case chat.Expired, chat.Refused:
			return fmt.Errorf("void: the message is %s", m.Delivery)
		}
		select {
		case <-bell:
		case <-limit.C:
			return fmt.Errorf("void: the message is %s (%s) after %s", m.Delivery, m.Reason, deliverLimit)
		}
	}
}

// allDelivered looks at many messages in one snapshot, and waits for the few
// that are not there yet.
func (p *person) allDelivered(ids []chat.MessageID) error {
	var late []chat.MessageID
	err := p.db.Read(context.Background(), func(tx *store.Tx) error {
		for _, id := range ids {
			m, err := tx.Message(id)
			if err != nil {
				return err
			}
			if m.Delivery != chat.Delivered {
				late = append(late, id)
			}
		}
		return nil
	})
	for _, id := range late {
		err = errors.Join(err, p.delivered(id))
	}
	return err
}

// dialer is what node gives to dm: what is known, else the device's record.
type dialer struct{ p *person }

func (d dialer) Open(ctx context.Context, dev chat.DeviceID, protocol string) (wire.Stream, error) {
	s, err := d.p.host.Open(ctx, dev, protocol)
	if un, ok := errors.AsType[*p2p.UnreachableError](err); ok {
		read := d.p.directory.Refresh
		if un.Reason == p2p.NoAddress {
			read = d.p.directory.Callable
		}
		record, rerr := read(ctx, dev)
		if rerr != nil {
			return nil, err
		}
		if _, _, rerr := d.p.host.LearnPeerRecord(record.PeerRecord); rerr != nil {
			return nil, errors.Join(err, rerr)
		}
		s, err = d.p.host.Open(ctx, dev, protocol)
	}
	if err != nil {
		return nil, err
	}
	return &counted{s, &d.p.bytes}, nil
}

// counted counts the bytes of a stream, both ways.
type counted struct {
	wire.Stream
	n *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Stream.Read(b)
	c.n.Add(int64(n))
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Stream.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// guideTo is how others meet a host.
func guideTo(h *p2p.Host) []string {
	var out []string
	for _, a := range h.Addrs() {
		out = append(out, a+"/p2p/"+string(h.Device()))
	}
	return out
}

// await waits for a host's state.
func await(h *p2p.Host, what string, cond func(p2p.Status) bool) error {
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for {
		s, changed := h.Status().Watch()
		if cond(s) {
			return nil
		}
		select {
		case <-changed:
		case <-limit.C:
			return fmt.Errorf("%s is not %s: %+v", h.Device().Short(), what, s)
		}
	}
}

// closers ends things together.
func closers(list ...func() error) error {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for _, stop := range list {
		wg.Go(func() {
			err := stop()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
