package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// nobody is a network without anyone: the echoes wait in the outbox.
type nobody struct{}

func (nobody) Get(context.Context, string) ([]byte, error) { return nil, chat.ErrUnreachable }
func (nobody) Put(context.Context, string, []byte) error   { return chat.ErrUnreachable }
func (nobody) Open(context.Context, chat.DeviceID, string) (wire.Stream, error) {
	return nil, chat.ErrUnreachable
}
func (nobody) State() api.NetworkState            { return api.NetworkState{} }
func (nobody) Meet(chat.DeviceID, []string) error { return nil }

func (nobody) Drop(chat.DeviceID) {}
func (nobody) Find(context.Context, chat.DeviceID) (api.Lookup, error) {
	return api.Lookup{}, chat.ErrUnreachable
}

const friend = chat.AccountID("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN")

// node is a real node without a network, and the address of its api.
func node(t *testing.T) (*store.DB, *client.Client, string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	db, err := store.Open(store.Config{Dir: filepath.Join(dir, "data"), Relaxed: true})
	must(err)
	t.Cleanup(func() { must(db.Close()) })
	cfg := api.Config{DB: db, Network: nobody{}, Pulse: new(live.Value[api.Pulse]), Page: http.NotFoundHandler()}
	cfg.Keys, err = identity.Load(t.Context(), db, time.Now())
	must(err)
	cfg.Guard, err = guard.New(guard.Config{DB: db})
	must(err)
	cfg.Directory = identity.NewDirectory(identity.DirectoryConfig{DB: db, Keys: cfg.Keys, Records: nobody{}})
	cfg.Courier, err = dm.New(dm.Config{DB: db, Keys: cfg.Keys, Directory: cfg.Directory, Guard: cfg.Guard, Dialer: nobody{}})
	must(err)
	socket := filepath.Join(dir, "run", "api.sock")
	cfg.Socket, err = api.ListenSocket(socket, nil)
	must(err)
	cfg.TCP, err = api.ListenTCP("127.0.0.1:0")
	must(err)
	server, err := api.New(cfg)
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return server.Run(ctx) })
	t.Cleanup(func() { stop(); must(group.Wait()) })
	c, err := client.Dial(t.Context(), client.Options{Socket: socket})
	must(err)
	t.Cleanup(func() { must(c.Close()) })
	return db, c, cfg.TCP[0].Addr().String()
}

// says stores a message of the friend, as the node's entrance would.
func says(t *testing.T, db *store.DB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			now, err := tx.Tick(time.Now())
			if err != nil {
				return err
			}
			content := fmt.Appendf(nil, "%d %s", now, text)
			_, err = tx.AddMessage(&chat.Message{
				ID: chat.NewMessageID(content), Conversation: chat.PrivateConversation(friend), Author: friend, Device: "device",
				Epoch: 1, Number: uint64(now), Time: now, Kind: chat.KindText, Text: chat.Body(text), Content: content, Received: time.Now(),
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEcho builds the bot, runs it, kills it in the middle, says more while it
// is away, and starts it again: every message has one echo, in order.
func TestEcho(t *testing.T) {
	db, c, address := node(t)
	dir := t.TempDir()
	bot, tokenFile, cursorFile := filepath.Join(dir, "echobot"), filepath.Join(dir, "token"), filepath.Join(dir, "cursor")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bot, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	token, err := c.Admin.CreateToken(t.Context(), &apiv1.CreateTokenRequest{
		Name: "echobot", Scopes: []string{"events:read", "messages:read", "messages:send:people/" + string(friend)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tokenFile, []byte(token.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := c.Events.ReadState(t.Context(), &apiv1.ReadStateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cursorFile, []byte(state.Cursor), 0o600); err != nil {
		t.Fatal(err)
	}

	var want []string
	for i := range 150 { // more than the burst of one caller: it must wait its turn
		want = append(want, fmt.Sprint(i))
	}
	echoes := make(chan string, 2*len(want))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var listen errgroup.Group
	listen.Go(func() error {
		err := c.Follow(ctx, state.Cursor, func(e *apiv1.Event) error {
			if m := e.GetMessageAdded(); m.GetOwn() {
				echoes <- m.Text
			}
			return nil
		})
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
	})
	start := func() (stop func()) {
		var said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), bot, address, tokenFile, cursorFile)
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = cmd.Process.Kill()
			if err := cmd.Wait(); err == nil || said.Len() > 0 {
				t.Errorf("the bot ended by itself: %v %s", err, said.String())
			}
		}
	}
	var got []string
	await := func(n int) {
		t.Helper()
		for len(got) < n {
			select {
			case e := <-echoes:
				got = append(got, e)
			case <-ctx.Done():
				t.Fatalf("%d echoes, want %d", len(got), n)
			}
		}
	}
	stop := start()
	says(t, db, want[:50]...)
	await(20)
	stop() // in the middle of its work
	says(t, db, want[50:]...)
	stop = start()
	await(len(want))
	stop()
	cancel()
	if err := listen.Wait(); err != nil {
		t.Fatal(err)
	}
	for len(echoes) > 0 {
		got = append(got, <-echoes)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("echoes %v", got)
	}
}
