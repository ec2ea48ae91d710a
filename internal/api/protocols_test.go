package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/gen/parley/api/v1/apiv1connect"
	"parley/internal/api"
)

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// TestThreeProtocolsOnePort: gRPC by another library, gRPC-Web, and JSON over
// plain HTTP/1.1 on the page's port.
func TestThreeProtocolsOnePort(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	n.incoming("hello")
	token := n.token("messages:read", "events:read")
	conv := "people/" + string(stranger)

	t.Run("gRPC", func(t *testing.T) {
		conn, err := grpc.NewClient(n.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		out := new(apiv1.ListMessagesResponse)
		if err := conn.Invoke(ctx, apiv1connect.MessageServiceListMessagesProcedure, &apiv1.ListMessagesRequest{Conversation: conv}, out); err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) != 1 || out.Messages[0].Text != "hello" {
			t.Errorf("messages = %v", out)
		}
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, apiv1connect.EventServiceWatchProcedure)
		if err != nil {
			t.Fatal(err)
		}
		greeting := new(apiv1.WatchResponse)
		if err := stream.SendMsg(&apiv1.WatchRequest{}); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(greeting); err != nil || !greeting.Greeting {
			t.Errorf("greeting = %v, %v", greeting, err)
		}
	})
	t.Run("gRPC-Web", func(t *testing.T) {
		c := apiv1connect.NewMessageServiceClient(http.DefaultClient, "http://"+n.address, connect.WithGRPCWeb(), connect.WithInterceptors(header("Authorization", "Bearer "+token)))
		out, err := c.ListMessages(t.Context(), &apiv1.ListMessagesRequest{Conversation: conv})
		if err != nil || len(out.Messages) != 1 {
			t.Errorf("messages = %v, %v", out, err)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.address+apiv1connect.MessageServiceListMessagesProcedure, strings.NewReader(`{"conversation":"`+conv+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body struct{ Messages []struct{ Text string } }
		if err := json.NewDecoder(res.Body).Decode(&body); err != nil || len(body.Messages) != 1 || body.Messages[0].Text != "hello" || res.ProtoMajor != 1 {
			t.Errorf("%s %d: %v, %v", res.Proto, res.StatusCode, body, err)
		}
	})
}

func header(name, value string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set(name, value)
			return next(ctx, req)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	ctx, id := t.Context(), uuid()
	req := &apiv1.SendMessageRequest{Conversation: "people/" + string(stranger), Text: "once", RequestId: id}
	first, err := n.local.Messages.SendMessage(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []*apiv1.SendMessageRequest{
		req,
		{Conversation: req.Conversation, Text: "once", RequestId: strings.ToUpper(id), WaitFor: apiv1.Delivery_DELIVERY_QUEUED},
	} {
		res, err := n.local.Messages.SendMessage(ctx, again)
		if err != nil || res.Message.Id != first.Message.Id {
			t.Errorf("again: %v, %v", res, err)
		}
	}
	for _, other := range []*apiv1.SendMessageRequest{
		{Conversation: req.Conversation, Text: "twice", RequestId: id},
		{Conversation: "people/" + n.account(), Text: "once", RequestId: id},
	} {
		if _, err := n.local.Messages.SendMessage(ctx, other); !isReason(err, "CONFLICT") {
			t.Errorf("other body: %v", err)
		}
	}
	if _, err := n.local.Messages.React(ctx, &apiv1.ReactRequest{Id: first.Message.Id, Emoji: "x", RequestId: id}); !isReason(err, "CONFLICT") {
		t.Errorf("other method: %v", err)
	}
	if _, err := n.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: req.Conversation, Text: "x", RequestId: "7"}); !isReason(err, "INVALID") {
		t.Errorf("no UUID: %v", err)
	}
	// A failed request leaves nothing behind, so its id can be used.
	late := uuid()
	if _, err := n.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: "nobody", Text: "x", RequestId: late}); !isReason(err, "NOT_FOUND") {
		t.Errorf("unknown name: %v", err)
	}
	if _, err := n.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: req.Conversation, Text: "x", RequestId: late}); err != nil {
		t.Errorf("after a failure: %v", err)
	}
	// Another caller's ids are its own.
	bot, err := client.Dial(ctx, client.Options{Address: n.address, Token: n.token("messages:send")})
	if err != nil {
		t.Fatal(err)
	}
	defer bot.Close()
	res, err := bot.Messages.SendMessage(ctx, req)
	if err != nil || res.Message.Id == first.Message.Id {
		t.Errorf("another caller: %v, %v", res, err)
	}
	list, err := n.local.Messages.ListMessages(ctx, &apiv1.ListMessagesRequest{Conversation: req.Conversation})
	if err != nil || len(list.Messages) != 3 {
		t.Errorf("%d messages, want 3: %v", len(list.GetMessages()), err)
	}
}

func TestPages(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	const count = 25
	for i := range count {
		n.incoming(fmt.Sprint(i))
	}
	conv := "people/" + string(stranger)
	for _, oldest := range []bool{false, true} {
		var got []string
		token := ""
		for pages := 0; ; pages++ {
			res, err := n.local.Messages.ListMessages(t.Context(), &apiv1.ListMessagesRequest{Conversation: conv, PageSize: 10, PageToken: token, OldestFirst: oldest})
			if err != nil {
				t.Fatal(err)
			}
			var page []string
			for _, m := range res.Messages {
				page = append(page, m.Text)
			}
			if oldest {
				got = append(got, page...)
			} else {
				got = append(page, got...)
			}
			if token = res.NextPageToken; token == "" {
				break
			}
			if pages > count {
				t.Fatal("the pages never end")
			}
			other := &apiv1.ListMessagesRequest{Conversation: "people/" + n.account(), PageToken: token, OldestFirst: oldest}
			if _, err := n.local.Messages.ListMessages(t.Context(), other); !isReason(err, "INVALID") {
				t.Errorf("token of another conversation: %v", err)
			}
		}
		for i := range got {
			if got[i] != fmt.Sprint(i) {
				t.Fatalf("oldest first %v: %v", oldest, got)
			}
		}
		if len(got) != count {
			t.Errorf("oldest first %v: %d messages", oldest, len(got))
		}
	}
	tick, end := time.NewTicker(20*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for found := false; !found; { // the index follows in groups
		res, err := n.local.Messages.SearchMessages(t.Context(), &apiv1.SearchMessagesRequest{Query: "24", Conversation: conv})
		if err != nil {
			t.Fatal(err)
		}
		found = len(res.Messages) == 1 && res.Messages[0].Text == "24"
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("found %v", res)
		}
	}
	if _, err := n.local.Messages.ListMessages(t.Context(), &apiv1.ListMessagesRequest{Conversation: conv, PageSize: -1}); !isReason(err, "INVALID") {
		t.Errorf("negative page: %v", err)
	}
}

func TestLimits(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	ctx := t.Context()
	dial := func(scopes ...string) *client.Client {
		c, err := client.Dial(ctx, client.Options{Address: n.address, Token: n.token(scopes...)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	t.Run("pace", func(t *testing.T) {
		c := dial("messages:read")
		var err error
		calls := 0
		for ; err == nil && calls < 1000; calls++ {
			_, err = c.Messages.ListConversations(ctx, &apiv1.ListConversationsRequest{})
		}
		f, _ := client.FaultOf(err)
		if f.Reason != "RATE_LIMITED" || f.RetryAfter <= 0 || f.RetryAfter > time.Second || calls < 100 {
			t.Errorf("after %d calls: %+v", calls, f)
		}
		err = client.Retry(ctx, func(ctx context.Context) error {
			_, err := c.Messages.ListConversations(ctx, &apiv1.ListConversationsRequest{})
			return err
		})
		if err != nil {
			t.Errorf("after waiting: %v", err)
		}
	})
	t.Run("places", func(t *testing.T) {
		token := n.token("events:read")
		var clients [2]*client.Client // one connection has no more streams than places
		for i := range clients {
			var err error
			if clients[i], err = client.Dial(ctx, client.Options{Address: n.address, Token: token}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = clients[i].Close() })
		}
		var err error
		streams := 0
		for ; err == nil && streams < 100; streams++ {
			stream, watchErr := clients[streams%2].Events.Watch(ctx, &apiv1.WatchRequest{})
			if err = watchErr; err == nil {
				stream.Receive()
				err = stream.Err()
			}
			t.Cleanup(func() { _ = stream.Close() })
		}
		if !isReason(err, "RATE_LIMITED") || streams != 65 {
			t.Errorf("the %dth stream: %v", streams, err)
		}
		// Others are not held up.
		if _, err := dial("messages:read").Messages.ListConversations(ctx, &apiv1.ListConversationsRequest{}); err != nil {
			t.Errorf("another caller: %v", err)
		}
	})
	t.Run("body", func(t *testing.T) {
		req := &apiv1.SendMessageRequest{Conversation: n.account(), Text: strings.Repeat("x", 1<<20)}
		if _, err := n.local.Messages.SendMessage(ctx, req); !isReason(err, "TOO_LARGE") {
			t.Errorf("a mebibyte: %v", err)
		}
		req.Text = strings.Repeat("x", 5000)
		if _, err := n.local.Messages.SendMessage(ctx, req); !isReason(err, "TOO_LARGE") {
			t.Errorf("5,000 bytes of text: %v", err)
		}
	})
	t.Run("slow header", func(t *testing.T) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /login HTTP/1.1\r\nHost: "); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		began := time.Now()
		answer, err := io.ReadAll(conn)
		if took := time.Since(began); err != nil || took > 10*time.Second || bytes.Contains(answer, []byte("200")) {
			t.Errorf("after %s: %q, %v", took, answer, err)
		}
	})
}

func TestSocket(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	for path, mode := range map[string]os.FileMode{n.socket: 0o600, filepath.Dir(n.socket): 0o700} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if _, err := api.ListenSocket(n.socket, nil); err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("a second listener: %v", err)
	}
	stale := filepath.Join(t.TempDir(), "run", "api.sock")
	l, err := api.ListenSocket(stale, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = left.Close()
	if l, err = api.ListenSocket(stale, nil); err != nil {
		t.Errorf("after a crash: %v", err)
	} else {
		_ = l.Close()
	}
	if err := os.WriteFile(stale, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ListenSocket(stale, nil); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("in place of a file: %v", err)
	}
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:4717", ":4717", "127.0.0.1"} {
		if ls, err := api.ListenTCP("127.0.0.1:0", addr); err == nil {
			t.Errorf("%s is served: %v", addr, ls)
		}
	}
}

// TestRoutes: health and reflection answer on the socket only.
func TestRoutes(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	over := func(h http.Handler, path string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = n.address
		r.Header.Set("Content-Type", "application/json")
		w := &status{header: http.Header{}}
		h.ServeHTTP(w, r)
		return w.code
	}
	for path, want := range map[string]int{
		"/grpc.health.v1.Health/Check":         200,
		"/debug/pprof/":                        404,
		"/metrics":                             404,
		"/parley.api.v1.NodeService/Nothing":   404,
		"/parley.api.v1.NodeService/GetStatus": 200,
		"/":                                    404,
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      505, // a bidirectional stream needs HTTP/2
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": 404,
	} {
		if got := over(n.server.LocalHandler(), path); got != want {
			t.Errorf("socket %s: %d, want %d", path, got, want)
		}
	}
	tcp := buildNode(t, newWorld(), "Bo", func(c *api.Config) { c.Page = nil })
	tcp.run(t)
	n = tcp
	for _, path := range []string{
		"/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/debug/pprof/", "/", "/index.html",
	} {
		if got := over(n.server.Handler(), path); got != 404 {
			t.Errorf("port %s: %d", path, got)
		}
	}
	if _, err := n.local.Admin.CreateLogin(t.Context(), &apiv1.CreateLoginRequest{}); !isReason(err, "NO_PAGE") {
		t.Errorf("login without a page: %v", err)
	}
}

type status struct {
	header http.Header
	code   int
}

func (s *status) Header() http.Header { return s.header }
func (s *status) Write(b []byte) (int, error) {
	if s.code == 0 {
		s.code = 200
	}
	return len(b), nil
}

func (s *status) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
}
