// Command e2e runs whole Parley processes on loopback and checks the promise:
// no message is lost, none is shown twice, an author's order is kept, and
// every state is backed by a receipt, while processes die at random moments.
//
// One infra node and two ordinary nodes, joined by the infra node's address
// only; one side is driven by gRPC, the other by JSON over HTTP.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	apiv1 "parley/gen/parley/api/v1"
	"parley/gen/parley/api/v1/apiv1connect"
	"parley/parleytest/process"
)

// The whole run ends in this time or is a failure: the longest seen is a
// fifth of it.
const deadline = 20 * time.Minute

func main() {
	log.SetFlags(log.Ltime)
	var (
		lines = flag.Int("lines", 5000, "chat lines, in both directions together")
		kills = flag.Int("kills", 20, "SIGKILLs of each side")
		bin   = flag.String("bin", "", "parley binary; empty: build it")
		chat  = flag.String("chat", "internal/cli/demochat", "folder with chat lines")
		keep  = flag.Bool("keep", false, "keep the data folders")
		page  = flag.Bool("page", false, "let Chromium drive the pages of two nodes instead")
		shots = flag.String("shots", "", "folder for the page's screenshots")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	if err := run(ctx, *lines, *kills, *bin, *chat, *keep, *page, *shots); err != nil {
		log.Fatalf("e2e: FAIL: %v", err)
	}
}

func run(ctx context.Context, lines, kills int, bin, chatDir string, keep, page bool, shots string) error {
	root, err := os.MkdirTemp("", "parley-e2e-")
	if err != nil {
		return err
	}
	if keep {
		log.Printf("data in %s", root)
	} else {
		defer os.RemoveAll(root)
	}
	if bin == "" {
		bin = filepath.Join(root, "parley")
		if err := process.Build(ctx, bin); err != nil {
			return err
		}
	}
	if page {
		return runPage(ctx, bin, root, shots)
	}
	texts, err := process.Lines(chatDir, lines, func(string) bool { return true })
	if err != nil {
		return err
	}
	texts = deal(texts)
	infra, bootstrap, err := startInfra(ctx, bin, root)
	if err != nil {
		return err
	}
	defer infra.Kill()
	var sides []*process.Process
	for _, name := range []string{"a", "b"} {
		p, err := newSide(bin, filepath.Join(root, name), bootstrap)
		if err != nil {
			return err
		}
		if err := p.Start(ctx); err != nil {
			return err
		}
		defer p.Kill()
		sides = append(sides, p)
	}
	a, b := sides[0], sides[1]
	if err := introduce(ctx, a, b); err != nil {
		return err
	}

	half := len(texts) / 2
	began := time.Now()
	ab := &talk{name: "a to b, gRPC", from: a, to: b, texts: texts[:half], seen: map[string]int{}, drive: func(p *process.Process) apiv1connect.MessageServiceClient { return p.GRPC.Messages }}
	ba := &talk{name: "b to a, JSON over HTTP", from: b, to: a, texts: texts[half:], seen: map[string]int{}, drive: func(p *process.Process) apiv1connect.MessageServiceClient { return p.JSON.Messages }}
	g, live := errgroup.WithContext(ctx)
	done := make(chan struct{})
	senders, sendCtx := errgroup.WithContext(live)
	senders.Go(func() error { return ab.send(sendCtx) })
	senders.Go(func() error { return ba.send(sendCtx) })
	for _, p := range sides {
		senders.Go(func() error { return killLoop(sendCtx, p, kills) })
	}
	g.Go(func() error { defer close(done); return senders.Wait() })
	g.Go(func() error { return ab.watch(live, done) })
	g.Go(func() error { return ba.watch(live, done) })
	if err := g.Wait(); err != nil {
		return err
	}
	for _, t := range []*talk{ab, ba} {
		if err := t.check(ctx); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	log.Printf("e2e: PASS: %d lines in both directions, %d kills of each side, 0 lost, 0 shown twice, order kept, every DELIVERED proven, %s",
		len(texts), kills, time.Since(began).Round(time.Second))
	fmt.Printf("{\"metric\":\"e2e.lines\",\"value\":%d,\"unit\":\"messages\",\"baseline\":null,\"ratio\":null,\"n\":%d}\n", len(texts), 2*kills)
	return nil
}

// startInfra runs the node that the others meet at, and returns its address.
func startInfra(ctx context.Context, bin, root string) (*process.Process, string, error) {
	infra, err := process.New(bin, filepath.Join(root, "infra"), "up", "--infra", "--no-open")
	if err != nil {
		return nil, "", err
	}
	if err := infra.Start(ctx); err != nil {
		return nil, "", err
	}
	address, err := infra.TCPAddress(ctx)
	if err != nil {
		infra.Kill()
		return nil, "", err
	}
	return infra, address, nil
}

// newSide is an ordinary node that knows the infra node only.
func newSide(bin, dir, bootstrap string) (*process.Process, error) {
	p, err := process.New(bin, dir, "up", "--no-open")
	if err == nil {
		p.Env = append(p.Env, "PARLEY_NET_BOOTSTRAP="+bootstrap)
	}
	return p, err
}

// introduce makes the two sides contacts and shows that A finds B by its bare
// id through the DHT.
func introduce(ctx context.Context, a, b *process.Process) error {
	for _, p := range []*process.Process{a, b} {
		if err := p.Identify(ctx); err != nil {
			return err
		}
	}
	found, err := findThroughDHT(ctx, a, b)
	if err != nil {
		return err
	}
	log.Printf("a found b by id in %s: %s", found.Took.AsDuration().Round(time.Millisecond), strings.Join(found.Addresses, " "))
	for _, pair := range [][2]*process.Process{{a, b}, {b, a}} {
		_, err := pair[0].API.People.AddContact(ctx, &apiv1.AddContactRequest{Who: pair[1].Account, Petname: pair[1].Name(), Trusted: true})
		if err != nil {
			return fmt.Errorf("adding a contact: %w", err)
		}
	}
	return nil
}

func deal(in []string) []string {
	var even, odd []string
	for i, s := range in {
		if i%2 == 0 {
			even = append(even, s)
		} else {
			odd = append(odd, s)
		}
	}
	return append(even, odd...)
}
