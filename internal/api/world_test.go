package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/dm"
	"parley/internal/guard"
	"parley/internal/identity"
	"parley/internal/live"
	"parley/internal/store"
	"parley/internal/wire"
)

// world is the weather between nodes: a DHT of one map, and pipes for wires.
type world struct {
	mu     sync.Mutex
	values map[string][]byte
	nodes  map[chat.DeviceID]*node
}

func newWorld() *world {
	return &world{values: map[string][]byte{}, nodes: map[chat.DeviceID]*node{}}
}

func (w *world) Get(_ context.Context, key string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.values[key]; v != nil {
		return v, nil
	}
	return nil, chat.ErrNotFound
}

func (w *world) Put(_ context.Context, key string, value []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values[key] = value
	return nil
}

func (w *world) node(d chat.DeviceID) *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[d]
}

// node is everything below the api and the api itself, for one person.
type node struct {
	t       *testing.T
	world   *world
	dir     string
	db      *store.DB
	keys    *identity.Keys
	courier *dm.Courier
	guard   *guard.Guard
	pulse   live.Value[api.Pulse]
	logs    safeBuffer
	server  *api.Server
	socket  string
	address string // of the page
	local   *client.Client
	pipes   sync.WaitGroup
	streams []wire.Stream // of pipes, guarded by world.mu
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newNode builds a node and runs it until the test ends.
func newNode(t *testing.T, w *world, name string) *node {
	t.Helper()
	n := buildNode(t, w, name, nil)
	n.run(t)
	return n
}

func buildNode(t *testing.T, w *world, name string, adjust func(*api.Config)) *node {
	t.Helper()
	n := &node{t: t, world: w, dir: t.TempDir()}
	log := slog.New(slog.NewTextHandler(&n.logs, nil))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	n.db, err = store.Open(store.Config{Dir: filepath.Join(n.dir, "data"), Log: log, Relaxed: true})
	must(err)
	t.Cleanup(func() { must(n.db.Close()) })
	n.keys, err = identity.Load(t.Context(), n.db, time.Now())
	must(err)
	must(n.db.Write(t.Context(), func(tx *store.Tx) error { return tx.SetSetting(chat.SettingDisplayName, name) }))
	n.guard, err = guard.New(guard.Config{DB: n.db, Log: log})
	must(err)
	directory := identity.NewDirectory(identity.DirectoryConfig{
		DB: n.db, Keys: n.keys, Records: w, Log: log,
		PeerRecord: func() ([]byte, error) { return []byte("peer record"), nil },
	})
	n.courier, err = dm.New(dm.Config{DB: n.db, Keys: n.keys, Directory: directory, Guard: n.guard, Dialer: n, Log: log})
	must(err)
	n.pulse.Set(api.Pulse{Code: "NET-05", Text: "Connected to 1 node"})

	n.socket = filepath.Join(n.dir, "run", "api.sock")
	cfg := api.Config{
		DB: n.db, Keys: n.keys, Directory: directory, Courier: n.courier, Guard: n.guard,
		Network: network{n}, Pulse: &n.pulse, Log: log, Version: "test", DataFolder: filepath.Join(n.dir, "data"),
		Page: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the page")) }),
	}
	cfg.Socket, err = api.ListenSocket(n.socket, log)
	must(err)
	cfg.TCP, err = api.ListenTCP("127.0.0.1:0")
	must(err)
	n.address = cfg.TCP[0].Addr().String()
	if adjust != nil {
		adjust(&cfg)
	}
	n.server, err = api.New(cfg)
	must(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[n.keys.Device()] = n

	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return n.db.Run(ctx) })
	group.Go(func() error { return directory.Run(ctx) })
	group.Go(func() error { return n.courier.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		w.mu.Lock()
		for _, s := range n.streams {
			_ = s.Reset()
		}
		w.mu.Unlock()
		if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s stopped: %v", name, err)
		}
		n.pipes.Wait()
	})
	return n
}

// run serves the api until the test ends and dials it.
func (n *node) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.server.Run(ctx) }()
	t.Cleanup(func() {
		if n.local != nil {
			_ = n.local.Close()
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("api stopped: %v", err)
		}
	})
	var err error
	if n.local, err = client.Dial(t.Context(), client.Options{Socket: n.socket}); err != nil {
		t.Fatal(err)
	}
}

func (n *node) account() string { return string(n.keys.Account()) }

// Open is the courier's dialer.
func (n *node) Open(_ context.Context, d chat.DeviceID, _ string) (wire.Stream, error) {
	other := n.world.node(d)
	if other == nil {
		return nil, chat.ErrUnreachable
	}
	ours, theirs := wire.Pipe(n.keys.Device(), d)
	n.world.mu.Lock()
	other.streams = append(other.streams, theirs)
	n.world.mu.Unlock()
	other.pipes.Go(func() { other.courier.Handle(theirs) })
	return ours, nil
}

// network is the api's view of the world.
type network struct{ n *node }

func (v network) State() api.NetworkState {
	out := api.NetworkState{Ready: true, Reachability: "public", DHTPeers: 3, Listen: []string{"/ip4/192.0.2.7/tcp/4001"}}
	v.n.world.mu.Lock()
	defer v.n.world.mu.Unlock()
	for d := range v.n.world.nodes {
		if d != v.n.keys.Device() {
			out.Peers = append(out.Peers, api.Peer{Device: d, Addr: "/memory/1", Transport: "memory", Since: time.Now()})
		}
	}
	return out
}

func (v network) Meet(chat.DeviceID, []string) error { return nil }

func (v network) Drop(chat.DeviceID) {}

func (v network) Find(_ context.Context, d chat.DeviceID) (api.Lookup, error) {
	if v.n.world.node(d) == nil {
		return api.Lookup{}, errors.Join(chat.ErrUnreachable, errors.New("nobody answers"))
	}
	return api.Lookup{Source: "dht", Connected: true, Addrs: []string{"/memory/1"}}, nil
}

// token makes a bearer token with scopes.
func (n *node) token(scopes ...string) string {
	n.t.Helper()
	res, err := n.local.Admin.CreateToken(n.t.Context(), &apiv1.CreateTokenRequest{Name: "test", Scopes: scopes})
	if err != nil {
		n.t.Fatal(err)
	}
	return res.Token
}

// befriend makes two nodes contacts of each other.
func befriend(t *testing.T, a, b *node) {
	t.Helper()
	for _, pair := range [][2]*node{{a, b}, {b, a}} {
		if _, err := pair[0].local.People.AddContact(t.Context(), &apiv1.AddContactRequest{Who: pair[1].account(), Trusted: true}); err != nil {
			t.Fatal(err)
		}
	}
}

// incoming stores a message of somebody else, as Receive would.
func (n *node) incoming(text string) *chat.Message {
	n.t.Helper()
	var m chat.Message
	if err := n.db.Write(n.t.Context(), func(tx *store.Tx) error {
		now, err := tx.Tick(time.Now())
		if err != nil {
			return err
		}
		m = chat.Message{
			Conversation: chat.PrivateConversation(stranger), Author: stranger, Device: "device", Epoch: 1, Number: uint64(now),
			Time: now, Kind: chat.KindText, Text: chat.Body(text), Content: []byte(text + now.Time().String()), Received: time.Now(),
		}
		m.Content = append(m.Content, byte(now), byte(now>>8))
		m.ID = chat.NewMessageID(m.Content)
		_, err = tx.AddMessage(&m)
		return err
	}); err != nil {
		n.t.Fatal(err)
	}
	return &m
}

// stranger is a well-formed account that no node has.
const stranger = chat.AccountID("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN")
