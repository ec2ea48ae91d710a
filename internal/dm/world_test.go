package dm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/guard"
	"parley/internal/identity"
	"parley/internal/store"
	"parley/internal/wire"
)

// world is people with whole stacks, joined by pipes and a table of records in
// place of the DHT.
type world struct {
	t     testing.TB
	dir   string
	delay time.Duration // of a dial
	mail  *office       // keeps what cannot be delivered; nil: nobody does

	people []*party

	mu      sync.Mutex
	records map[string][]byte
	early   map[string][]byte // key -> what its first node answers, if it is behind
	slow    time.Duration     // from the first answer to a look-up to its last
	asks    map[string]int    // key -> look-ups
	online  map[chat.DeviceID]*party
	streams []wire.Stream // open ends, for cutting
	dials   map[chat.DeviceID]int
	breaks  func() int   // bytes until an end of a stream breaks; nil: never
	instead wire.Handler // answers in place of couriers, if set
	handled sync.WaitGroup
}

// party is one person's node.
type party struct {
	w    *world
	name string
	dir  string
	full bool // sync to disk

	db        *store.DB
	keys      *identity.Keys
	directory *identity.Directory
	guard     *guard.Guard
	*Courier

	stop context.CancelFunc
	ran  sync.WaitGroup
}

func newWorld(t testing.TB) *world {
	return &world{t: t, dir: t.TempDir(), records: map[string][]byte{}, asks: map[string]int{}, dials: map[chat.DeviceID]int{}, online: map[chat.DeviceID]*party{}}
}

func (w *world) Get(_ context.Context, key string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asks[key]++
	if v := w.records[key]; v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("%w: nobody has it", chat.ErrNotFound)
}

func (w *world) Search(ctx context.Context, key string, found func([]byte)) ([]byte, error) {
	w.mu.Lock()
	first, slow := w.early[key], w.slow
	if first == nil {
		first = w.records[key]
	}
	w.mu.Unlock()
	if first != nil {
		found(first)
	}
	if slow > 0 && !sleep(ctx, slow) {
		return nil, ctx.Err()
	}
	return w.Get(ctx, key)
}

func (w *world) asked(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asks[key]
}

func (w *world) Put(_ context.Context, key string, value []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[key] = value
	return nil
}

// join makes a person and brings them online.
func (w *world) join(name string) *party {
	p := &party{w: w, name: name, dir: filepath.Join(w.dir, name)}
	w.people = append(w.people, p)
	p.start()
	return p
}

func (p *party) must(err error) {
	p.w.t.Helper()
	if err != nil {
		p.w.t.Fatalf("%s: %v", p.name, err)
	}
}

// start opens the store and runs everything.
func (p *party) start() {
	p.w.t.Helper()
	var err error
	p.db, err = store.Open(store.Config{Dir: p.dir, Relaxed: !p.full})
	p.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	p.keys, err = identity.Load(ctx, p.db, time.Now())
	p.must(err)
	p.guard, err = guard.New(guard.Config{DB: p.db})
	p.must(err)
	p.directory = identity.NewDirectory(identity.DirectoryConfig{
		DB: p.db, Keys: p.keys, Records: p.w,
		PeerRecord: func() ([]byte, error) { return []byte("addresses of " + p.name), nil },
	})
	p.boot(ctx, cancel)
	p.ran.Go(func() {
		if err := p.directory.Run(ctx); err != nil {
			p.w.t.Errorf("%s: directory: %v", p.name, err)
		}
	})
}

func (p *party) boot(ctx context.Context, cancel context.CancelFunc) {
	var err error
	cfg := Config{
		DB: p.db, Keys: p.keys, Directory: p.directory, Guard: p.guard,
		Dialer: dialer{p.w, p.keys.Device()}, Log: p.w.log(p.name),
	}
	if p.w.mail != nil {
		cfg.Depositor = p.w.mail
	}
	p.Courier, err = New(cfg)
	p.must(err)
	p.stop = cancel
	c := p.Courier
	p.ran.Go(func() {
		if err := c.Run(ctx); err != nil {
			p.w.t.Errorf("%s: courier: %v", p.name, err)
		}
	})
	p.w.mu.Lock()
	p.w.online[p.keys.Device()] = p
	p.w.mu.Unlock()
}

func (w *world) log(name string) *slog.Logger {
	if os.Getenv("DM_LOG") == "" {
		return nil
	}
	h := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})
	return slog.New(h).With("who", name)
}

// kill ends a node without a word to anybody.
func (p *party) kill() {
	p.offline()
	p.stop()
	p.ran.Wait()
	p.w.handled.Wait()
	db := p.db
	p.db = nil
	p.must(db.Close())
}

// offline makes a node unreachable and tears all streams; it goes on running.
func (p *party) offline() {
	p.w.mu.Lock()
	delete(p.w.online, p.keys.Device())
	p.w.mu.Unlock()
	p.w.cut()
}

// back brings it online again.
func (p *party) back() {
	p.w.mu.Lock()
	p.w.online[p.keys.Device()] = p
	p.w.mu.Unlock()
}

// cut tears every open stream.
func (w *world) cut() {
	w.mu.Lock()
	streams := w.streams
	w.streams = nil
	w.mu.Unlock()
	for _, s := range streams {
		_ = s.Reset()
	}
}

// end stops everybody, so that a bubble is empty.
func (w *world) end() {
	for _, p := range w.people {
		if p.db != nil {
			p.kill()
		}
	}
}

// dialer opens pipes to whoever is online.
type dialer struct {
	w    *world
	self chat.DeviceID
}

func (d dialer) Open(ctx context.Context, to chat.DeviceID, protocol string) (wire.Stream, error) {
	if d.w.delay > 0 {
		time.Sleep(d.w.delay)
	}
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.dials[to]++
	p := d.w.online[to]
	if p == nil || d.w.online[d.self] == nil || protocol != Protocol {
		return nil, fmt.Errorf("dialing: %w", chat.ErrUnreachable)
	}
	if !p.guard.Allowed(d.self) {
		return nil, fmt.Errorf("dialing: %w", chat.ErrUnreachable)
	}
	ours, theirs := wire.Pipe(d.self, to)
	d.w.streams = append(d.w.streams, ours, theirs)
	if d.w.breaks != nil {
		ours, theirs = &frail{ours, d.w.breaks()}, &frail{theirs, d.w.breaks()}
	}
	handle := p.Courier.Handle
	if d.w.instead != nil {
		handle = d.w.instead
	}
	d.w.handled.Go(func() { handle(theirs) })
	return ours, nil
}

func (p *party) account() chat.AccountID { return p.keys.Account() }

// knows makes contacts of people, free of cooling.
func (p *party) knows(others ...*party) {
	p.w.t.Helper()
	for _, o := range others {
		p.must(p.db.Write(context.Background(), func(tx *store.Tx) error {
			return tx.PutContact(store.Contact{Account: o.account(), State: store.ContactAdded, Trusted: true})
		}))
	}
	p.must(p.guard.Refresh(context.Background()))
}

func (p *party) say(to *party, text string) *chat.Message {
	p.w.t.Helper()
	m, err := p.Send(context.Background(), Draft{To: to.account(), Text: chat.Body(text)})
	p.must(err)
	return m
}

func (p *party) message(id chat.MessageID) *chat.Message {
	p.w.t.Helper()
	var m *chat.Message
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) (err error) {
		m, err = tx.Message(id)
		return err
	}))
	return m
}

// has reports whether a message is stored.
func (p *party) has(id chat.MessageID) bool {
	err := p.db.Read(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Message(id)
		return err
	})
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		p.must(err)
	}
	return err == nil
}

// texts is the conversation with somebody in reading order.
func (p *party) texts(with *party) []string {
	p.w.t.Helper()
	var out []string
	p.must(p.db.Read(context.Background(), func(tx *store.Tx) error {
		page := store.Page{Conversation: chat.PrivateConversation(with.account()), Limit: chat.MaxPageSize}
		for {
			msgs, _, next, err := tx.Messages(page)
			if errors.Is(err, chat.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			for _, m := range msgs {
				out = append(out, string(m.Text))
			}
			if next == "" || len(msgs) == 0 {
				return nil
			}
			page.After = next
		}
	}))
	return out
}

// await passes simulated time until a message of p reaches a state.
func (p *party) await(id chat.MessageID, want chat.Delivery) {
	p.w.t.Helper()
	p.awaitWithin(id, want, time.Hour)
}

func (p *party) awaitWithin(id chat.MessageID, want chat.Delivery, limit time.Duration) {
	p.w.t.Helper()
	end := time.Now().Add(limit)
	for time.Now().Before(end) {
		if p.message(id).Delivery == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	m := p.message(id)
	p.w.t.Fatalf("%s: message is %s (%s) after %s, want %s", p.name, m.Delivery, m.Reason, limit, want)
}

// eventually passes simulated time until cond holds.
func (w *world) eventually(what string, cond func() bool) {
	w.t.Helper()
	for range 7200 {
		if cond() {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	w.t.Fatalf("never: %s", what)
}

// bubble runs a story in simulated time.
func bubble(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		story(w)
	})
}

// signs is p's DELIVERED receipt for messages of somebody.
func (p *party) signs(to *party, ids ...chat.MessageID) []byte {
	return p.signReceipt(ids, to.keys.Device(), wirev1.Receipt_OUTCOME_DELIVERED, 0, time.Now())
}

// applies takes a receipt as if it came from somebody's device.
func (p *party) applies(signed []byte, from *party) {
	p.w.t.Helper()
	p.must(p.db.Write(context.Background(), func(tx *store.Tx) error {
		return p.carried(tx, [][]byte{signed}, from.keys.Device(), time.Now(), reach)
	}))
}
