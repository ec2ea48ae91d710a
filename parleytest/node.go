package parleytest

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/config"
	"parley/internal/node"
)

// Simulated time that honest networks need, with a wide margin: a test that
// waits longer has found a fault.
const (
	readyLimit = 2 * time.Minute
	awaitLimit = 5 * time.Minute
)

// Node is one node of a World.
type Node struct {
	// Set when the World is made, never changed.
	w     *World
	index int
	dir   string
	ip    string

	// Known from the first start on.
	account chat.AccountID
	device  chat.DeviceID

	// Of the present run; nil when stopped.
	node   *node.Node
	api    *client.Client
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Account is the node's account.
func (n *Node) Account() chat.AccountID { return n.account }

// Device is the node's device.
func (n *Node) Device() chat.DeviceID { return n.device }

// Client speaks the real API over an in-memory connection.
func (n *Node) Client() *client.Client { return n.api }

// Bytes is what the node's packets carried so far, both ways, QUIC included
// and UDP and IP not.
func (n *Node) Bytes() int64 {
	var total int64
	n.w.wires.set(func() { total = n.w.wires.sent[n.ip] })
	return total
}

// Inside is the running node itself, for what the API does not say.
func (n *Node) Inside() *node.Node { return n.node }

func (n *Node) start() {
	t := n.w.t
	t.Helper()
	cfg := &config.Config{Data: config.Data{Dir: n.dir}}
	local := newPipeListener()
	made, err := node.New(t.Context(), node.Options{
		Config: cfg, Version: "test", Log: quiet, Local: local, Adjust: n.w.adjust(n), Relaxed: true,
	})
	if err != nil {
		t.Fatalf("building node %d: %v", n.index, err)
	}
	n.node = made
	n.account, n.device = made.Keys().Account(), made.Keys().Device()
	// The test's own context ends before cleanups run, and a node must stop in
	// order: it has a context of its own.
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.wg.Go(func() {
		if err := made.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("running node %d: %v", n.index, err)
		}
	})
	n.api, err = client.Dial(t.Context(), client.Options{DialContext: local.Dial})
	if err != nil {
		t.Fatalf("reaching node %d: %v", n.index, err)
	}
}

func (n *Node) stop() {
	if n.cancel == nil {
		return
	}
	_ = n.api.Close() // the node's end closes it too
	n.cancel()
	n.wg.Wait()
	n.cancel, n.api, n.node = nil, nil, nil
}

func (n *Node) awaitReady() {
	n.w.t.Helper()
	n.w.until("ready", readyLimit, func(context.Context) bool {
		s := n.node.Host().Status().Load()
		return s.Ready && (n.w.opts.Lonely || n.w.Len() == 1 || s.Peers > 0)
	})
}

// Befriend makes two nodes each other's contacts.
func (w *World) Befriend(i, j int) {
	w.t.Helper()
	for _, p := range [][2]*Node{{w.nodes[i], w.nodes[j]}, {w.nodes[j], w.nodes[i]}} {
		_, err := p[0].api.People.AddContact(w.t.Context(), &apiv1.AddContactRequest{Who: string(p[1].account)})
		if err != nil {
			w.t.Fatalf("node %d adds node %d: %v", p[0].index, p[1].index, err)
		}
	}
}

// Send writes a private message and returns its id.
func (n *Node) Send(to chat.AccountID, text string) string {
	n.w.t.Helper()
	sent, err := n.api.Messages.SendMessage(n.w.t.Context(), &apiv1.SendMessageRequest{
		Conversation: string(chat.PrivateConversation(to)), Text: text,
	})
	if err != nil {
		n.w.t.Fatalf("node %d sends %q: %v", n.index, text, err)
	}
	return sent.Message.Id
}

// Await waits until a message of this node reached a state or passed it.
func (n *Node) Await(id string, want chat.Delivery) {
	n.w.t.Helper()
	var last apiv1.Delivery
	n.w.until("message "+id[:8]+" "+want.String(), awaitLimit, func(ctx context.Context) bool {
		got, err := n.api.Messages.GetMessage(ctx, &apiv1.GetMessageRequest{Id: id})
		if err != nil {
			return false
		}
		last = got.Message.Delivery
		return chat.Delivery(last).Advance(want) == chat.Delivery(last)
	})
}

// Texts are the texts of the conversation with an account, in reading order.
func (n *Node) Texts(with chat.AccountID) []string {
	n.w.t.Helper()
	var out []string
	req := &apiv1.ListMessagesRequest{Conversation: string(chat.PrivateConversation(with)), OldestFirst: true, PageSize: 500}
	for {
		page, err := n.api.Messages.ListMessages(n.w.t.Context(), req)
		if err != nil {
			n.w.t.Fatalf("node %d reads: %v", n.index, err)
		}
		for _, m := range page.Messages {
			out = append(out, m.Text)
		}
		if page.NextPageToken == "" {
			return out
		}
		req.PageToken = page.NextPageToken
	}
}

// pipeListener hands out in-memory connections, which a bubble can wait on.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Dial connects to whoever accepts.
func (l *pipeListener) Dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// AwaitText waits until a text of the conversation with an account is there.
func (n *Node) AwaitText(with chat.AccountID, text string, limit time.Duration) {
	n.w.t.Helper()
	n.w.until("text "+text, limit, func(context.Context) bool { return slices.Contains(n.Texts(with), text) })
}
