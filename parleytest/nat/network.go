package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// network is namespaces with links between them. Its addresses in the open
// look public: nodes do not dial strangers at private ones.
type network struct {
	public []string // namespaces of nodes in the open
	homes  []string // of the two that talk
	all    []string
}

func publicAddress(i int) string { return fmt.Sprintf("11.0.%d.1", 10+i) }

// space adds a namespace.
func (n *network) space(ctx context.Context, name string) (string, error) {
	ns := fmt.Sprintf("parley%d-%s", os.Getpid(), name)
	if err := sh(ctx, "ip netns add %s", ns); err != nil {
		return "", err
	}
	n.all = append(n.all, ns)
	return ns, sh(ctx, "ip -n %s link set lo up", ns)
}

// layTable links two namespaces, and nothing else.
func (n *network) layTable(ctx context.Context) error {
	left, e1 := n.space(ctx, "left")
	right, e2 := n.space(ctx, "right")
	n.homes = []string{left, right}
	err := errors.Join(e1, e2, sh(ctx, "ip -n %s link add eth0 type veth peer name eth0 netns %s", left, right))
	for i, ns := range n.homes {
		err = errors.Join(err, sh(ctx, "ip -n %s addr add 192.168.9.%d/24 dev eth0", ns, i+1), sh(ctx, "ip -n %s link set eth0 up", ns))
	}
	return err
}

// layStreet puts public nodes and two routers on a bridge, and a home behind
// each router.
func (n *network) layStreet(ctx context.Context, masquerade string) error {
	core, err := n.space(ctx, "core")
	if err != nil {
		return err
	}
	err = errors.Join(sh(ctx, "ip -n %s link add br0 type bridge", core), sh(ctx, "ip -n %s link set br0 up", core))
	plugs := 0
	plug := func(ns, address string) error {
		plugs++
		return errors.Join(
			sh(ctx, "ip -n %s link add p%d type veth peer name eth0 netns %s", core, plugs, ns),
			sh(ctx, "ip -n %s link set p%d master br0 up", core, plugs),
			sh(ctx, "ip -n %s addr add %s/16 dev eth0", ns, address),
			sh(ctx, "ip -n %s link set eth0 up", ns))
	}
	for i := range public {
		ns, e := n.space(ctx, fmt.Sprint("public", i))
		n.public = append(n.public, ns)
		err = errors.Join(err, e, plug(ns, publicAddress(i)))
	}
	for i := range 2 {
		router, e1 := n.space(ctx, fmt.Sprint("router", i))
		home, e2 := n.space(ctx, fmt.Sprint("home", i))
		n.homes = append(n.homes, home)
		inner := fmt.Sprintf("192.168.%d", i+1)
		err = errors.Join(err, e1, e2, plug(router, fmt.Sprintf("11.0.%d.1", 101+i)),
			sh(ctx, "ip -n %s link add lan0 type veth peer name eth0 netns %s", router, home),
			sh(ctx, "ip -n %s addr add %s.1/24 dev lan0", router, inner),
			sh(ctx, "ip -n %s link set lan0 up", router),
			sh(ctx, "ip -n %s addr add %s.2/24 dev eth0", home, inner),
			sh(ctx, "ip -n %s link set eth0 up", home),
			sh(ctx, "ip -n %s route add default via %s.1", home, inner),
			sh(ctx, "ip netns exec %s sysctl -qw net.ipv4.ip_forward=1", router),
			rules(ctx, router, masquerade))
	}
	return err
}

// rules make a namespace a home router: it lets answers in and nothing else.
func rules(ctx context.Context, namespace, masquerade string) error {
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", namespace, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(`
table ip home {
	chain leaving {
		type nat hook postrouting priority srcnat;
		oifname "eth0" ` + masquerade + `
	}
	chain through {
		type filter hook forward priority filter; policy drop;
		iifname "lan0" accept
		ct state established,related accept
	}
	chain entering {
		type filter hook input priority filter;
		iifname "eth0" ct state new drop
	}
}
`)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("setting the router's rules: %w: %s", err, out)
	}
	return nil
}

// remove takes the namespaces away, with what still runs in them.
func (n *network) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, ns := range n.all {
		_, err := command(ctx, "ip", "netns", "del", ns)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func sh(ctx context.Context, format string, args ...any) error {
	words := strings.Fields(fmt.Sprintf(format, args...))
	_, err := command(ctx, words[0], words[1:]...)
	return err
}

func command(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return out, nil
}
