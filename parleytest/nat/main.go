// Command nat lets two nodes behind home routers talk: real processes in
// network namespaces of its own, with five public nodes between them; and two
// nodes on one local network that know of nobody. It prints one JSON line for
// each case and fails when a message does not arrive or goes by another way
// than it should.
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
	report := func(name, way string, began time.Time) error {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			"metric": "nat." + name, "value": time.Since(began).Seconds(), "unit": "s", "baseline": nil, "ratio": nil, "n": 1, "way": way,
		})
	}
	for _, r := range routers {
		began := time.Now()
		s := &stage{dir: filepath.Join(dir, r.name), binary: binary}
		if err := errors.Join(s.meet(ctx, r.masquerade, r.way), s.clear()); err != nil {
			return fmt.Errorf("%s routers: %w", r.name, err)
		}
		if err := report(r.name, r.way, began); err != nil {
			return err
		}
	}
	began := time.Now()
	s := &stage{dir: filepath.Join(dir, "table"), binary: binary}
	if err := errors.Join(s.sitTogether(ctx), s.clear()); err != nil {
		return fmt.Errorf("one table: %w", err)
	}
	return report("table", "direct", began)
}

// stage is a network and the nodes on it.
type stage struct {
	dir, binary string
	net         network
	nodes       []*node
}

func (s *stage) up(namespace string, args ...string) (*node, error) {
	n, err := start(filepath.Join(s.dir, namespace), s.binary, namespace, args...)
	if err == nil {
		s.nodes = append(s.nodes, n)
	}
	return n, err
}

func (s *stage) clear() error {
	for _, n := range s.nodes {
		n.stop()
	}
	return s.net.remove()
}

// meet starts a network with two nodes behind routers, has one write to the
// other and waits until they are connected in the wanted way.
func (s *stage) meet(ctx context.Context, masquerade, want string) error {
	if err := s.net.layStreet(ctx, masquerade); err != nil {
		return err
	}
	open := []string{"--infra", "--listen", "/ip4/0.0.0.0/tcp/4001", "--listen", "/ip4/0.0.0.0/udp/4001/quic-v1"}
	guide, err := s.up(s.net.public[0], open...)
	if err != nil {
		return err
	}
	var who struct{ Device string }
	if err := guide.await(ctx, &who, func() bool { return who.Device != "" }, "net", "status"); err != nil {
		return err
	}
	join := []string{"--bootstrap", "/ip4/" + publicAddress(0) + "/tcp/4001/p2p/" + who.Device}
	for _, ns := range s.net.public[1:] {
		if _, err := s.up(ns, append(join, open...)...); err != nil {
			return err
		}
	}
	var homes [2]*node
	for i, ns := range s.net.homes {
		if homes[i], err = s.up(ns, append(join, "--address", "off")...); err != nil {
			return err
		}
	}
	for _, n := range homes {
		var status struct{ Listen []string }
		relayed := func() bool { return strings.Contains(strings.Join(status.Listen, " "), "p2p-circuit") }
		if err := n.await(ctx, &status, relayed, "net", "status"); err != nil {
			return fmt.Errorf("no relay took the node in: %w", err)
		}
	}
	return talk(ctx, homes[0], homes[1], want)
}

// sitTogether starts two nodes that know of nobody on one local network.
func (s *stage) sitTogether(ctx context.Context) error {
	if err := s.net.layTable(ctx); err != nil {
		return err
	}
	var nodes [2]*node
	var err error
	for i, ns := range s.net.homes {
		if nodes[i], err = s.up(ns, "--address", "off"); err != nil {
			return err
		}
	}
	return talk(ctx, nodes[0], nodes[1], "direct")
}

// talk has a write to b, by b's account alone, and waits for the proof and for
// the wanted way.
func talk(ctx context.Context, a, b *node, want string) error {
	var id struct{ Account, Device string }
	if err := b.await(ctx, &id, func() bool { return id.Account != "" }, "id", "show"); err != nil {
		return err
	}
	if err := a.await(ctx, &struct{}{}, func() bool { return true }, "id", "show"); err != nil {
		return err
	}
	if err := a.call(ctx, nil, "send", id.Account, "hello from behind a router", "--wait", "delivered", "--wait-timeout", "90s"); err != nil {
		return fmt.Errorf("message not delivered: %w", err)
	}
	var list struct {
		Peers []struct {
			Device  string
			Relayed bool
		}
	}
	way := "not"
	there := func() bool {
		way = "not"
		for _, p := range list.Peers {
			switch {
			case p.Device != id.Device:
			case !p.Relayed:
				way = "direct"
			case way == "not":
				way = "relayed"
			}
		}
		return way == want
	}
	if err := a.await(ctx, &list, there, "net", "peers"); err != nil {
		return fmt.Errorf("connected %s, want %s: %w", way, want, err)
	}
	return nil
}
