package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/config"
)

const (
	minDemoNodes = 4  // one to meet at and three that talk
	maxDemoNodes = 64 // about 25 MB each: a laptop carries this many
)

// runDemo starts n nodes and the user's own on loopback, everything in a
// temporary folder that is removed at the end.
func (a *app) runDemo(cmd *cobra.Command, n int, open bool) (err error) {
	if n < minDemoNodes || n > maxDemoNodes {
		return usage("a demo has between %d and %d nodes, not %d", minDemoNodes, maxDemoNodes, n)
	}
	sweepDemos(os.TempDir(), a.now())
	root, err := os.MkdirTemp("", demoPrefix)
	if err != nil {
		return fmt.Errorf("making a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	lines, err := demoLines()
	if err != nil {
		return err
	}
	defer a.sayStopping(cmd.Context())()
	group, ctx := errgroup.WithContext(cmd.Context())
	d := &demo{app: a, root: root, group: group}
	group.Go(func() error {
		a.note("Starting %d nodes on this machine…", n)
		if err := d.startAll(ctx, n); err != nil {
			return err
		}
		return d.play(ctx, lines, open)
	})
	err = group.Wait()
	if cmd.Context().Err() != nil {
		a.note("Demo over; its folder is removed.")
		return nil
	}
	return err
}

// demo is a small network in one process.
type demo struct {
	app   *app
	root  string
	group *errgroup.Group
	join  string // address of the node that the others meet at
	nodes []*demoNode
	you   *demoNode
}

type demoNode struct {
	cfg     *config.Config
	api     *client.Client
	account string
}

func (d *demo) startAll(ctx context.Context, n int) error {
	for i := range n {
		node, err := d.start(ctx, strconv.Itoa(i), "", i == 0)
		if err != nil {
			return fmt.Errorf("starting node %d: %w", i+1, err)
		}
		d.nodes = append(d.nodes, node)
		if i > 0 {
			continue
		}
		addrs, err := d.app.awaitAddresses(ctx, node.api, false)
		if err != nil {
			return err
		}
		d.join = addrs[0]
	}
	you, err := d.start(ctx, "you", demoAddress(), false)
	if err != nil {
		return fmt.Errorf("starting your node: %w", err)
	}
	d.you = you
	return nil
}

// demoAddress is the page's usual address, or any free port when a node of
// yours already has it.
func demoAddress() string {
	usual := net.JoinHostPort("127.0.0.1", strconv.Itoa(chat.DefaultPort))
	for _, addr := range []string{usual, "127.0.0.1:0"} {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
		if err != nil {
			continue
		}
		addr = l.Addr().String()
		if l.Close() == nil {
			return addr
		}
	}
	return usual // taken: the start says so
}

// start runs one node of the demo in the demo's group and waits for its API.
func (d *demo) start(ctx context.Context, name, address string, infra bool) (*demoNode, error) {
	dir := filepath.Join(d.root, name)
	// Bare: the demo does not depend on this user's settings.
	cfg, err := config.Load(config.Options{Bare: true, Flags: map[string]string{
		"data.dir": dir, "api.socket": filepath.Join(dir, "s"), "api.address": address,
		"net.loopback": "on", "net.mdns": "off", "net.use_bootstrap": "off", "net.bootstrap": d.join, "net.listen": "",
		"net.transports.quic": "on", "net.transports.tcp": "on", "net.transports.webtransport": "off", "net.transports.webrtc": "off",
	}})
	if err != nil {
		return nil, err
	}
	run, err := d.app.newNode(ctx, cfg, infra, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	d.group.Go(func() error { return run(ctx) })
	if err := d.app.awaitNode(ctx, cfg.API.Socket); err != nil {
		return nil, err
	}
	node := &demoNode{cfg: cfg}
	if node.api, err = client.Dial(ctx, client.Options{Socket: cfg.API.Socket}); err != nil {
		return nil, fmt.Errorf("reaching a node: %w", err)
	}
	id, err := node.api.Identity.GetIdentity(ctx, &apiv1.GetIdentityRequest{})
	if err != nil {
		return nil, fmt.Errorf("reading a node's id: %w", err)
	}
	node.account = id.Account
	return node, nil
}
