package api_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/dm"
	"parley/internal/store"
)

// TestWatchResumes: while writers write, a reader that is cut off again and
// again sees every message once, in the order of the log.
func TestWatchResumes(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	state, err := n.local.Events.ReadState(t.Context(), &apiv1.ReadStateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 4, 60
	var wrote sync.WaitGroup
	for w := range writers {
		wrote.Go(func() {
			for i := range each {
				d := dm.Draft{To: stranger, Text: chat.Body(fmt.Sprintf("%d %d", w, i))}
				if _, err := n.courier.Send(t.Context(), d); err != nil {
					t.Errorf("sending: %v", err)
				}
			}
		})
	}
	var got []string
	cursor, streams := state.Cursor, 0
	for len(got) < writers*each {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		stream, err := n.local.Events.Watch(ctx, &apiv1.WatchRequest{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		streams++
		patience := 1 + rand.IntN(4)
		for range patience {
			if !stream.Receive() {
				t.Fatalf("stream ended: %v", stream.Err())
			}
			msg := stream.Msg()
			if len(msg.Events) > chat.WatchBatch || proto.Size(msg) > 80<<10 {
				t.Fatalf("a message of %d events and %d bytes", len(msg.Events), proto.Size(msg))
			}
			for _, e := range msg.Events {
				if m := e.GetMessageAdded(); m != nil {
					got = append(got, m.Id)
				}
			}
			cursor = msg.Cursor
			if len(got) >= writers*each {
				break
			}
		}
		cancel()
		_ = stream.Close()
	}
	wrote.Wait()
	var want []string
	if err := n.db.Read(t.Context(), func(tx *store.Tx) error {
		at := chat.Cursor{Epoch: tx.Head().Epoch}
		for {
			rows, next, err := tx.Follow(at, 500)
			if err != nil || len(rows) == 0 {
				return err
			}
			for _, r := range rows {
				if r.Kind == store.LogMessage {
					want = append(want, r.Message.String())
				}
			}
			at = next
		}
	}); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("read %d messages in %d streams, the log has %d: a gap, a repeat or another order", len(got), streams, len(want))
	}
	if streams < 2 {
		t.Error("the reader was never cut off")
	}
}

// TestWatchSlowReader: a reader that takes nothing holds nobody up, and finds
// everything when it reads on.
func TestWatchSlowReader(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	stream, err := n.local.Events.Watch(t.Context(), &apiv1.WatchRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	if g := stream.Msg(); !g.Greeting || g.Cursor == "" || g.Pulse.GetCode() != "NET-05" {
		t.Fatalf("greeting = %v", g)
	}
	const count = 600
	long := strings.Repeat("x", 4000)
	began := time.Now()
	for i := range count {
		n.incoming(fmt.Sprintf("%d %s", i, long))
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("writing took %s", took)
	}
	next := 0
	for next < count {
		if !stream.Receive() {
			t.Fatalf("stream ended at %d: %v", next, stream.Err())
		}
		for _, e := range stream.Msg().Events {
			m := e.GetMessageAdded()
			if m == nil {
				continue
			}
			if !strings.HasPrefix(m.Text, fmt.Sprintf("%d x", next)) {
				t.Fatalf("message %d begins with %.8q", next, m.Text)
			}
			next++
		}
	}
	_ = stream.Close()
}

// TestWatchCoalesces: of many changes of one message in a batch, the reader
// gets the last state once.
func TestWatchCoalesces(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	m := n.incoming("one")
	cursor := n.cursor()
	for i := range 20 {
		if err := n.db.Write(t.Context(), func(tx *store.Tx) error {
			return tx.AppendLog(store.LogMessageChanged, m.Conversation, m.ID, "")
		}); err != nil {
			t.Fatal(i, err)
		}
	}
	n.incoming("two")
	stream, err := n.local.Events.Watch(t.Context(), &apiv1.WatchRequest{Cursor: cursor})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	changed := 0
	for stream.Receive() {
		for _, e := range stream.Msg().Events {
			if e.GetMessageChanged() != nil {
				changed++
			}
			if e.GetMessageAdded() != nil {
				if changed != 1 {
					t.Errorf("%d changes", changed)
				}
				return
			}
		}
	}
	t.Fatal(stream.Err())
}

// TestUnreadComesWithMessages: a reader need not count.
func TestUnreadComesWithMessages(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	stream, err := n.local.Events.Watch(t.Context(), &apiv1.WatchRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	defer stream.Close()
	await := func(what string, want uint32, ok func(*apiv1.Event) bool) {
		t.Helper()
		for stream.Receive() {
			for _, e := range stream.Msg().Events {
				if ok(e) {
					if e.Unread != want {
						t.Errorf("%s: %d unread, want %d", what, e.Unread, want)
					}
					return
				}
			}
		}
		t.Fatalf("%s: %v", what, stream.Err())
	}
	var last *chat.Message
	for i := range uint32(3) {
		last = n.incoming("hello")
		await("added", i+1, func(e *apiv1.Event) bool { return e.GetMessageAdded().GetId() == last.ID.String() })
	}
	if _, err := n.local.Messages.MarkRead(t.Context(), &apiv1.MarkReadRequest{Conversation: string(stranger), Message: last.ID.String()}); err != nil {
		t.Fatal(err)
	}
	sent, err := n.local.Messages.SendMessage(t.Context(), &apiv1.SendMessageRequest{Conversation: string(stranger), Text: "hello you"})
	if err != nil {
		t.Fatal(err)
	}
	await("after reading", 0, func(e *apiv1.Event) bool { return e.GetMessageAdded().GetId() == sent.Message.Id })
}

func (n *node) cursor() string {
	n.t.Helper()
	state, err := n.local.Events.ReadState(n.t.Context(), &apiv1.ReadStateRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	return state.Cursor
}

func TestWatchLiveValuesFiltersAndEvents(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	stream, err := n.local.Events.Watch(t.Context(), &apiv1.WatchRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	defer stream.Close()
	ctx := t.Context()
	await := func(what string, ok func(*apiv1.WatchResponse) bool) {
		t.Helper()
		for stream.Receive() {
			if ok(stream.Msg()) {
				return
			}
		}
		t.Fatalf("%s: %v", what, stream.Err())
	}
	event := func(ok func(*apiv1.Event) bool) func(*apiv1.WatchResponse) bool {
		return func(r *apiv1.WatchResponse) bool {
			for _, e := range r.Events {
				if ok(e) {
					return true
				}
			}
			return false
		}
	}
	n.pulse.Set(api.Pulse{Code: "NET-02", Text: "Offline. You can read and write; messages go out later."})
	await("pulse", func(r *apiv1.WatchResponse) bool { return r.Pulse.GetCode() == "NET-02" })
	if _, err := n.local.Identity.SetProfile(ctx, &apiv1.SetProfileRequest{DisplayName: proto.String("Ana Two")}); err != nil {
		t.Fatal(err)
	}
	await("profile", event(func(e *apiv1.Event) bool { return e.GetProfileChanged().GetDisplayName() == "Ana Two" }))
	if _, err := n.local.People.AddContact(ctx, &apiv1.AddContactRequest{Who: string(stranger), Petname: "Sten"}); err != nil {
		t.Fatal(err)
	}
	await("contact", event(func(e *apiv1.Event) bool { return e.GetContactChanged().GetPetname() == "Sten" }))
	if _, err := n.local.People.Block(ctx, &apiv1.BlockRequest{Account: string(stranger)}); err != nil {
		t.Fatal(err)
	}
	await("block", event(func(e *apiv1.Event) bool { return e.GetBlocked() == string(stranger) }))
	if _, err := n.local.People.Unblock(ctx, &apiv1.UnblockRequest{Account: string(stranger)}); err != nil {
		t.Fatal(err)
	}
	await("unblock", event(func(e *apiv1.Event) bool { return e.GetUnblocked() == string(stranger) }))
	if _, err := n.local.Messages.SaveDraft(ctx, &apiv1.SaveDraftRequest{Conversation: "sten", Text: "half a"}); err != nil {
		t.Fatal(err)
	}
	await("draft", event(func(e *apiv1.Event) bool { return e.GetConversationChanged().GetDraft() == "half a" }))
	if _, err := n.local.People.RemoveContact(ctx, &apiv1.RemoveContactRequest{Account: string(stranger)}); err != nil {
		t.Fatal(err)
	}
	await("removed", event(func(e *apiv1.Event) bool { return e.GetContactRemoved() == string(stranger) }))

	// A token sees what its scopes name, and a filter its conversation.
	reader, err := client.Dial(ctx, client.Options{Address: n.address, Token: n.token("events:read", "messages:read")})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	state, err := reader.Events.ReadState(ctx, &apiv1.ReadStateRequest{})
	if err != nil || len(state.Contacts) != 0 || len(state.Conversations) == 0 {
		t.Errorf("state = %v, %v", state, err)
	}
	narrow, err := reader.Events.Watch(ctx, &apiv1.WatchRequest{Conversation: "people/" + n.account()})
	if err != nil || !narrow.Receive() {
		t.Fatal(err, narrow.Err())
	}
	defer narrow.Close()
	n.incoming("for another conversation")
	if _, err := n.local.People.AddContact(ctx, &apiv1.AddContactRequest{Who: string(stranger)}); err != nil {
		t.Fatal(err)
	}
	n.pulse.Set(api.Pulse{Code: "NET-01", Text: "Starting your node…"})
	for narrow.Receive() {
		if len(narrow.Msg().Events) > 0 {
			t.Errorf("a filtered reader got %v", narrow.Msg().Events)
		}
		if narrow.Msg().Pulse.GetCode() == "NET-01" {
			return
		}
	}
	t.Fatal(narrow.Err())
}

func TestWatchRefusesForeignCursors(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	epoch, _, _ := strings.Cut(n.cursor(), ".")
	for cursor, reason := range map[string]string{
		"1.0":              "CURSOR_EXPIRED",
		epoch + ".7ffffff": "CURSOR_EXPIRED", // ahead of us: a restored copy
		"yesterday":        "INVALID",
	} {
		stream, err := n.local.Events.Watch(t.Context(), &apiv1.WatchRequest{Cursor: cursor})
		if err == nil {
			for stream.Receive() {
				t.Errorf("%s: got %v", cursor, stream.Msg())
			}
			err = stream.Err()
		}
		if f, ok := client.FaultOf(err); !ok || f.Reason != reason {
			t.Errorf("%s: %v, want %s", cursor, err, reason)
		}
	}
}

// TestFollowReconnects cuts the client's connection again and again.
func TestFollowReconnects(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	cursor := n.cursor()
	var mu sync.Mutex
	var conns []net.Conn
	c, err := client.Dial(t.Context(), client.Options{DialContext: func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", n.socket)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return conn, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const count, each = 50, 10
	write := func(from int) {
		for i := range each {
			n.incoming(fmt.Sprint(from + i))
		}
	}
	write(0)
	next, done := 0, errors.New("done")
	err = c.Follow(t.Context(), cursor, func(e *apiv1.Event) error {
		if e.GetMessageAdded() == nil {
			return nil
		}
		if e.GetMessageAdded().Text != fmt.Sprint(next) {
			return fmt.Errorf("got %q, want %d", e.GetMessageAdded().Text, next)
		}
		if next++; next == count {
			return done
		}
		if next%each == 0 {
			mu.Lock()
			_ = conns[len(conns)-1].Close()
			mu.Unlock()
			write(next)
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
	if len(conns) < 3 {
		t.Errorf("%d connections: it was never cut off", len(conns))
	}
	if err := c.Follow(t.Context(), "1.0", nil); !isReason(err, "CURSOR_EXPIRED") {
		t.Errorf("foreign cursor: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Follow(ctx, cursor, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by its context: %v", err)
	}
}

func isReason(err error, reason string) bool {
	f, ok := client.FaultOf(err)
	return ok && f.Reason == reason
}
