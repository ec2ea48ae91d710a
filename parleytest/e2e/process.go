package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
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
	startTimeout = 30 * time.Second // a busy box with a dirty store; ready is 1 s
	callTimeout  = 10 * time.Second // one API call of a live node
	lifeMin      = 200 * time.Millisecond
	lifeMax      = 3 * time.Second // between two kills of one process
)

// process is one parley node with a home of its own.
type process struct {
	bin, dir string
	args     []string
	env      []string
	port     int
	token    string

	api, grpc, json services
	account, device string

	mu  sync.Mutex // guards cmd
	cmd *exec.Cmd
}

type services struct {
	identity apiv1connect.IdentityServiceClient
	people   apiv1connect.PeopleServiceClient
	messages apiv1connect.MessageServiceClient
	events   apiv1connect.EventServiceClient
	network  apiv1connect.NetworkServiceClient
	node     apiv1connect.NodeServiceClient
	admin    apiv1connect.AdminServiceClient
}

func newServices(c connect.HTTPClient, url string, opts ...connect.ClientOption) services {
	return services{
		identity: apiv1connect.NewIdentityServiceClient(c, url, opts...),
		people:   apiv1connect.NewPeopleServiceClient(c, url, opts...),
		messages: apiv1connect.NewMessageServiceClient(c, url, opts...),
		events:   apiv1connect.NewEventServiceClient(c, url, opts...),
		network:  apiv1connect.NewNetworkServiceClient(c, url, opts...),
		node:     apiv1connect.NewNodeServiceClient(c, url, opts...),
		admin:    apiv1connect.NewAdminServiceClient(c, url, opts...),
	}
}

func newProcess(bin, dir string, args ...string) *process {
	p := &process{bin: bin, dir: dir, args: args, port: freePort()}
	p.env = []string{
		"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
		"XDG_RUNTIME_DIR=" + filepath.Join(dir, "run"),
		fmt.Sprintf("PARLEY_API_ADDRESS=127.0.0.1:%d", p.port),
		"PARLEY_NET_LOOPBACK=true", "PARLEY_NET_USE_BOOTSTRAP=false",
	}
	socket := filepath.Join(dir, "run", "parley", "api.sock")
	unix := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	p.api = newServices(unix, "http://parley")
	return p
}

// freePort asks the kernel for a port that is free now.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatalf("e2e: no free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs the node and returns when its API answers.
func (p *process) start(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(p.dir, "run"), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(p.dir, "out.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.bin, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if _, err := p.api.node.GetStatus(ctx, &apiv1.GetStatusRequest{}); err == nil {
			break
		} else if ctx.Err() != nil {
			tail, _ := os.ReadFile(filepath.Join(p.dir, "out.log"))
			return fmt.Errorf("%s did not come up: %w\n%s", filepath.Base(p.dir), err, tail[max(0, len(tail)-2000):])
		}
		if !pause(ctx, 20*time.Millisecond) {
			continue
		}
	}
	if p.token != "" {
		return nil
	}
	made, err := p.api.admin.CreateToken(ctx, &apiv1.CreateTokenRequest{
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
	p.grpc = newServices(&http.Client{Transport: &http.Transport{Protocols: plain}}, url, connect.WithGRPC(), bearer)
	p.json = newServices(&http.Client{Transport: &http.Transport{}}, url, connect.WithProtoJSON(), bearer)
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

// kill sends SIGKILL and waits for the end.
func (p *process) kill() {
	p.mu.Lock()
	cmd := p.cmd
	p.cmd = nil
	p.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Signal(syscall.SIGKILL) // gone already is fine
		_ = cmd.Wait()                          // "signal: killed" is what we asked for
	}
}

// killLoop ends the process n times at random moments and starts it again.
func (p *process) killLoop(ctx context.Context, n int) error {
	for i := range n {
		life := lifeMin + rand.N(lifeMax-lifeMin)
		if !pause(ctx, life) {
			return ctx.Err()
		}
		p.kill()
		if err := p.start(ctx); err != nil {
			return fmt.Errorf("after kill %d: %w", i+1, err)
		}
	}
	return nil
}

// findThroughDHT waits until the device record was found by bare id.
func (p *process) findThroughDHT(ctx context.Context, other *process) (*apiv1.FoundDevice, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var last error
	for pause(ctx, 100*time.Millisecond) {
		found, err := p.api.network.FindPeer(ctx, &apiv1.FindPeerRequest{Who: other.account})
		if err != nil {
			last = err
			continue
		}
		for _, d := range found.Devices {
			if d.Device == other.device && d.Connected && d.Source == "dht" {
				return d, nil
			}
		}
		last = errors.New(found.Text + ": " + fmt.Sprint(found.Devices))
	}
	return nil, fmt.Errorf("looking %s up by id: %w", filepath.Base(other.dir), last)
}

// tcpAddress waits until the node listens and picks its loopback TCP address,
// with the /p2p part.
func (p *process) tcpAddress(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		n, err := p.api.network.GetNetwork(ctx, &apiv1.GetNetworkRequest{})
		if err != nil {
			return "", fmt.Errorf("reading the addresses of %s: %w", filepath.Base(p.dir), err)
		}
		for _, a := range n.Listen {
			if strings.HasPrefix(a, "/ip4/127.0.0.1/tcp/") && strings.Count(a, "/") == 4 {
				return a + "/p2p/" + n.Device, nil
			}
		}
		if !pause(ctx, retryEvery) {
			return "", fmt.Errorf("%s listens on %v: no TCP address", filepath.Base(p.dir), n.Listen)
		}
	}
}

// pause waits and says whether the context is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
