// Command nat lets two nodes behind home routers talk: real processes in
// network namespaces of its own, with five public nodes between them. It
// prints one JSON line for each kind of router and fails when a message does
// not arrive or goes by a longer way than it must.
//
// It needs Linux and root, talks to nothing outside its namespaces, and
// removes them when it ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// patience is for joining, being told one's own address by four others,
	// and a hole punch: about 15 s on a quiet machine.
	patience = 2 * time.Minute
	// public is how many nodes stand in the open: an address counts as ours
	// when four others see it.
	public = 5
)

// routers by what they do with an outgoing packet. A cone keeps one outer port
// for each inner one, so that others can aim at it; a symmetric router takes a
// new one for each destination, and only a relay helps.
var routers = []struct{ name, masquerade, way string }{
	{"cone", "masquerade", "direct"},
	{"symmetric", "masquerade random,fully-random", "relayed"},
}

func main() {
	binary := flag.String("parley", "", "the program to run; empty: built from this source")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *binary)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nat:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	dir, err := os.MkdirTemp("", "parley-nat-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if binary == "" {
		binary = filepath.Join(dir, "parley")
		if _, err := command(ctx, "go", "build", "-o", binary, "./cmd/parley"); err != nil {
			return err
		}
	}
	for _, r := range routers {
		began := time.Now()
		way, err := meet(ctx, filepath.Join(dir, r.name), binary, r.masquerade, r.way)
		if err != nil {
			return fmt.Errorf("%s routers: %w", r.name, err)
		}
		err = json.NewEncoder(os.Stdout).Encode(map[string]any{
			"metric": "nat." + r.name, "value": time.Since(began).Seconds(), "unit": "s", "baseline": nil, "ratio": nil, "n": 1, "way": way,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// meet starts a network with two nodes behind routers, has one write to the
// other and answers by which way they are connected in the end.
func meet(ctx context.Context, dir, binary, masquerade, want string) (way string, err error) {
	net, err := newNetwork(ctx, masquerade)
	defer func() { err = errors.Join(err, net.remove()) }()
	if err != nil {
		return "", err
	}
	var nodes []*node
	defer func() {
		for _, n := range nodes {
			n.stop()
		}
	}()
	up := func(namespace string, args ...string) (*node, error) {
		n, err := start(filepath.Join(dir, namespace), binary, namespace, args...)
		if err == nil {
			nodes = append(nodes, n)
		}
		return n, err
	}
	open := []string{"--infra", "--listen", "/ip4/0.0.0.0/tcp/4001", "--listen", "/ip4/0.0.0.0/udp/4001/quic-v1"}
	guide, err := up(net.public[0], open...)
	if err != nil {
		return "", err
	}
	var who struct{ Device string }
	if err := guide.await(ctx, &who, func() bool { return who.Device != "" }, "net", "status"); err != nil {
		return "", err
	}
	join := []string{"--bootstrap", "/ip4/" + publicAddress(0) + "/tcp/4001/p2p/" + who.Device}
	for _, ns := range net.public[1:] {
		if _, err := up(ns, append(join, open...)...); err != nil {
			return "", err
		}
	}
	ana, err := up(net.homes[0], append(join, "--address", "off")...)
	if err != nil {
		return "", err
	}
	bo, err := up(net.homes[1], append(join, "--address", "off")...)
	if err != nil {
		return "", err
	}
	for _, n := range []*node{ana, bo} {
		var status struct {
			Reachability string
			Listen       []string
		}
		relayed := func() bool { return strings.Contains(strings.Join(status.Listen, " "), "p2p-circuit") }
		if err := n.await(ctx, &status, relayed, "net", "status"); err != nil {
			return "", fmt.Errorf("no relay took the node in: %w", err)
		}
	}
	var id struct{ Account, Device string }
	if err := bo.await(ctx, &id, func() bool { return id.Account != "" }, "id", "show"); err != nil {
		return "", err
	}
	if err := ana.call(ctx, nil, "send", id.Account, "hello from behind a router", "--wait", "delivered", "--wait-timeout", "90s"); err != nil {
		return "", fmt.Errorf("message not delivered: %w", err)
	}
	var list struct{ Peers []peer }
	there := func() bool {
		way = ""
		for _, p := range list.Peers {
			if p.Device == id.Device && (way == "" || !p.Relayed) {
				way = map[bool]string{true: "relayed", false: "direct"}[p.Relayed]
			}
		}
		return way == want
	}
	if err := ana.await(ctx, &list, there, "net", "peers"); err != nil {
		return "", fmt.Errorf("connected %s, want %s: %w", way, want, err)
	}
	return way, nil
}

type peer struct {
	Device  string
	Relayed bool
}
