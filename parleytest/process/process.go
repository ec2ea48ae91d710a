package process

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"connectrpc.com/connect"

	apiv1 "parley/gen/parley/api/v1"
	"parley/gen/parley/api/v1/apiv1connect"
)

const (
	startTimeout = 60 * time.Second // a busy box with a dirty store; ready is 1 s
	retryEvery   = 50 * time.Millisecond
	shownTail    = 2000 // bytes of a node's last words in an error
)

// Process is one parley node with a home of its own. Start and Kill are safe
// for concurrent use with each other and with calls.
type Process struct {
	// Set by New; the owner may add to Args and Env before the first Start.
	Bin, Dir string
	Args     []string
	Env      []string
	// API is the socket with full rights. GRPC and JSON go over TCP with a
	// token; they are there after the first Start, unless the node is Quiet.
	API, GRPC, JSON Services
	// Account and Device are there after Identify.
	Account, Device string

	quiet bool // no TCP address, no page
	port  int
	token string

	mu    sync.Mutex // guards cmd
	cmd   *exec.Cmd
	waits sync.WaitGroup // for the end of what was started
}

// Services are the clients of one way to a node.
type Services struct {
	Identity apiv1connect.IdentityServiceClient
	People   apiv1connect.PeopleServiceClient
	Messages apiv1connect.MessageServiceClient
	Events   apiv1connect.EventServiceClient
	Network  apiv1connect.NetworkServiceClient
	Node     apiv1connect.NodeServiceClient
	Mail     apiv1connect.MailServiceClient
	Admin    apiv1connect.AdminServiceClient
}

func newServices(c connect.HTTPClient, url string, opts ...connect.ClientOption) Services {
	return Services{
		Identity: apiv1connect.NewIdentityServiceClient(c, url, opts...),
		People:   apiv1connect.NewPeopleServiceClient(c, url, opts...),
		Messages: apiv1connect.NewMessageServiceClient(c, url, opts...),
		Events:   apiv1connect.NewEventServiceClient(c, url, opts...),
		Network:  apiv1connect.NewNetworkServiceClient(c, url, opts...),
		Node:     apiv1connect.NewNodeServiceClient(c, url, opts...),
		Mail:     apiv1connect.NewMailServiceClient(c, url, opts...),
		Admin:    apiv1connect.NewAdminServiceClient(c, url, opts...),
	}
}

// Build makes the binary once for all nodes of a run.
func Build(ctx context.Context, to string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", to, "./cmd/parley")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building parley: %w\n%s", err, out)
	}
	return nil
}

// New names a node that is not started yet, on loopback only.
func New(bin, dir string, args ...string) (*Process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := NewQuiet(bin, dir, args...)
	p.quiet, p.port = false, port
	p.Env = append(p.Env, fmt.Sprintf("PARLEY_API_ADDRESS=127.0.0.1:%d", port))
	return p, nil
}

// NewQuiet is New for a node that has its socket only.
func NewQuiet(bin, dir string, args ...string) *Process {
	p := &Process{Bin: bin, Dir: dir, Args: args, quiet: true}
	p.Env = []string{
		"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
		"XDG_RUNTIME_DIR=" + filepath.Join(dir, "run"),
		"PARLEY_NET_LOOPBACK=true", "PARLEY_NET_USE_BOOTSTRAP=false",
	}
	socket := filepath.Join(dir, "run", "parley", "api.sock")
	unix := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	p.API = newServices(unix, "http://parley")
	return p
}

// freePort asks the kernel for a port that is free now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Name is the folder's own.
func (p *Process) Name() string { return filepath.Base(p.Dir) }

// Start runs the node and returns when its API answers.
func (p *Process) Start(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(p.Dir, "run"), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(p.Dir, "out.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	env := p.Env
	if p.quiet {
		env = append(env[:len(env):len(env)], "PARLEY_API_ADDRESS=off")
	}
	cmd := exec.Command(p.Bin, p.Args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.waits.Go(func() {
		_ = cmd.Wait() // "signal: killed" is what we ask for
		close(ended)
	})
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		_, err := p.API.Node.GetStatus(ctx, &apiv1.GetStatusRequest{})
		if err == nil {
			break
		}
		select {
		case <-time.After(retryEvery):
			continue
		case <-ended:
		case <-ctx.Done():
		}
		tail, _ := os.ReadFile(filepath.Join(p.Dir, "out.log"))
		return fmt.Errorf("%s did not come up: %w\n%s", p.Name(), err, tail[max(0, len(tail)-shownTail):])
	}
	if p.quiet || p.token != "" {
		return nil
	}
	return p.makeToken(ctx)
}

func (p *Process) makeToken(ctx context.Context) error {
	made, err := p.API.Admin.CreateToken(ctx, &apiv1.CreateTokenRequest{
		Name: "e2e", Scopes: []string{"messages:read", "messages:send", "people:read", "events:read", "network:read"},
	})
	if err != nil {
		return fmt.Errorf("making a token: %w", err)
	}
	p.token = made.Token
	url := fmt.Sprintf("http://127.0.0.1:%d", p.port)
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	bearer := connect.WithInterceptors(bearer(p.token))
	p.GRPC = newServices(&http.Client{Transport: &http.Transport{Protocols: plain}}, url, connect.WithGRPC(), bearer)
	p.JSON = newServices(&http.Client{Transport: &http.Transport{}}, url, connect.WithProtoJSON(), bearer)
	return nil
}

// bearer puts the token on every call, streams included.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		r.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, r)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, s connect.Spec) connect.StreamingClientConn {
		c := next(ctx, s)
		c.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return c
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// Kill sends SIGKILL to what Start started and waits for its end.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Stop asks the node to end in order and waits for its end.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

func (p *Process) end(sig syscall.Signal) {
	p.mu.Lock()
	cmd := p.cmd
	p.cmd = nil
	p.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Signal(sig) // gone already is fine
		p.waits.Wait()
	}
}

// Running reports whether Start was called after the last end.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil
}

// Identify asks the running node who it is.
func (p *Process) Identify(ctx context.Context) error {
	id, err := p.API.Identity.GetIdentity(ctx, &apiv1.GetIdentityRequest{})
	if err != nil {
		return fmt.Errorf("asking %s who it is: %w", p.Name(), err)
	}
	p.Account, p.Device = id.Account, id.Device
	return nil
}

// TCPAddress waits until the node listens and picks its loopback TCP address,
// with the /p2p part.
func (p *Process) TCPAddress(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		n, err := p.API.Network.GetNetwork(ctx, &apiv1.GetNetworkRequest{})
		if err != nil {
			return "", fmt.Errorf("reading the addresses of %s: %w", p.Name(), err)
		}
		for _, a := range n.Listen {
			if strings.HasPrefix(a, "/ip4/127.0.0.1/tcp/") && strings.Count(a, "/") == 4 {
				return a + "/p2p/" + n.Device, nil
			}
		}
		if !Pause(ctx, retryEvery) {
			return "", fmt.Errorf("%s listens on %v: no TCP address", p.Name(), n.Listen)
		}
	}
}

// Shell is a command line that runs the node's program in its environment.
func (p *Process) Shell(args ...string) string {
	words := []string{"env", "-i"}
	for _, e := range p.Env {
		words = append(words, Quote(e))
	}
	words = append(words, Quote(p.Bin))
	return strings.Join(append(words, args...), " ")
}

// Quote makes one word of a shell out of any text.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Pause waits and says whether the context is still alive.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
