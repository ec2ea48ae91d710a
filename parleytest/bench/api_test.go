package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/gen/parley/api/v1/apiv1connect"
	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/live"
	"parley/internal/store"
)

// served is a person with the API on a Unix socket, and n messages.
type served struct {
	*person
	api  *client.Client
	from string // cursor before the first message
}

type nowhere struct{}

func (nowhere) State() api.NetworkState            { return api.NetworkState{} }
func (nowhere) Meet(chat.DeviceID, []string) error { return nil }
func (nowhere) Drop(chat.DeviceID)                 {}
func (nowhere) Find(context.Context, chat.DeviceID) (api.Lookup, error) {
	return api.Lookup{}, chat.ErrUnreachable
}

func serve(dir string, n int) (*served, error) {
	p, err := newPerson(filepath.Join(dir, "data"), true, nil)
	if err != nil {
		return nil, err
	}
	s := &served{person: p}
	cfg := api.Config{
		DB: p.db, Keys: p.keys, Directory: p.directory, Courier: p.courier, Guard: p.guard,
		Network: nowhere{}, Pulse: new(live.Value[api.Pulse]), Log: quiet, Version: "bench",
	}
	socket := filepath.Join(dir, "api.sock")
	if cfg.Socket, err = api.ListenSocket(socket, quiet); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	srv, err := api.New(cfg)
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	p.stops = append(p.stops, func() error { cancel(); return <-done })
	if s.api, err = client.Dial(ctx, client.Options{Socket: socket}); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	p.stops = append(p.stops, s.api.Close)
	state, err := s.api.Events.ReadState(ctx, &apiv1.ReadStateRequest{})
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	s.from = state.Cursor
	for i := 0; i < n && err == nil; i += 1000 {
		err = addMessages(p.db, messages(i, min(1000, n-i)))
	}
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return s, nil
}

func benchAPI(t *testing.T, s *suite) {
	n := sized(10_000, 100_000)
	sv := must(serve(t.TempDir(), n))(t)
	t.Cleanup(func() {
		if err := sv.stop(); err != nil {
			t.Error(err)
		}
	})
	bare := newBareAPI(t)
	s.measure(t, "api.stream", 5, func(rounds int) (Line, error) {
		return Compare("api.stream", "us/event", rounds,
			func() (float64, error) { return perItem(n, func() error { return sv.watch(n) }) },
			func() (float64, error) { return perItem(n, func() error { return sv.follow(n) }) })
	})
	s.measure(t, "api.unary", sized(5, 9), func(rounds int) (Line, error) { return unary(sv, bare, rounds) })
	s.measure(t, "api.event", sized(50, 500), func(rounds int) (Line, error) { return events(sv, n, rounds) })
}

// watch catches up n messages through the API.
func (s *served) watch(n int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := s.api.Events.Watch(ctx, &apiv1.WatchRequest{Cursor: s.from})
	if err != nil {
		return err
	}
	defer stream.Close()
	got := 0
	for got < n && stream.Receive() {
		for _, e := range stream.Msg().Events {
			if len(e.GetMessageAdded().GetText()) == textBytes {
				got++
			}
		}
	}
	return errors.Join(stream.Err(), undelivered(got, n))
}

// follow reads the same rows and messages inside the process, in the same
// groups.
func (s *served) follow(n int) error {
	var at chat.Cursor
	if _, err := fmt.Sscanf(strings.ReplaceAll(s.from, ".", " "), "%x %x", &at.Epoch, &at.Seq); err != nil {
		return err
	}
	got := 0
	for more := true; more; {
		err := s.db.Read(context.Background(), func(tx *store.Tx) error {
			rows, next, err := tx.Follow(at, chat.WatchBatch)
			at, more = next, len(rows) > 0
			for _, row := range rows {
				if row.Kind != store.LogMessage || err != nil {
					continue
				}
				var m *chat.Message
				if m, err = tx.Message(row.Message); err == nil && len(m.Text) == textBytes {
					got++
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return undelivered(got, n)
}

// unary is CPU of one call and its answer, caller included, against a bare
// Connect handler that answers the same message over the same kind of socket.
func unary(sv *served, bare apiv1connect.MessageServiceClient, rounds int) (Line, error) {
	const calls = 1000
	id := fmt.Sprintf("%x", message(1).ID[:])
	get := func(c apiv1connect.MessageServiceClient) func() (float64, error) {
		return func() (float64, error) {
			return perItem(calls, func() error {
				for range calls {
					got, err := c.GetMessage(context.Background(), &apiv1.GetMessageRequest{Id: id})
					if err != nil {
						return err
					}
					if err := undelivered(len(got.Message.Text), textBytes); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return Compare("api.unary", "us/call", rounds, get(sv.api.Messages), get(bare))
}

// bareAPI answers GetMessage with a message of the usual size.
type bareAPI struct {
	apiv1connect.UnimplementedMessageServiceHandler
	answer *apiv1.GetMessageResponse
}

func (b bareAPI) GetMessage(context.Context, *apiv1.GetMessageRequest) (*apiv1.GetMessageResponse, error) {
	return b.answer, nil
}

func newBareAPI(t *testing.T) apiv1connect.MessageServiceClient {
	t.Helper()
	m := message(1)
	mux := http.NewServeMux()
	// No compression, as in the product: it would dominate.
	plain := connect.WithCompressMinBytes(math.MaxInt32)
	mux.Handle(apiv1connect.NewMessageServiceHandler(bareAPI{answer: &apiv1.GetMessageResponse{Message: &apiv1.Message{
		Id: fmt.Sprintf("%x", m.ID[:]), Conversation: string(m.Conversation), Author: string(m.Author), Text: string(m.Text),
	}}}, plain))
	socket := filepath.Join(t.TempDir(), "bare.sock")
	l := must(new(net.ListenConfig).Listen(t.Context(), "unix", socket))(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: mux, Protocols: protocols, ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	transport := &http.Transport{Protocols: protocols, DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return apiv1connect.NewMessageServiceClient(&http.Client{Transport: transport}, "http://bare", connect.WithGRPC())
}

// events is the time from a commit to its event at the client.
func events(sv *served, n, rounds int) (Line, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := sv.api.Events.Watch(ctx, &apiv1.WatchRequest{})
	if err != nil {
		return Line{}, err
	}
	defer stream.Close()
	if !stream.Receive() {
		return Line{}, stream.Err()
	}
	return Absolute("api.event", "us", rounds, func() (float64, error) {
		n++
		if err := addMessages(sv.db, messages(n, 1)); err != nil {
			return 0, err
		}
		committed := time.Now()
		for stream.Receive() {
			if len(stream.Msg().Events) > 0 {
				return max(0, micros(time.Since(committed))), nil
			}
		}
		return 0, stream.Err()
	})
}
