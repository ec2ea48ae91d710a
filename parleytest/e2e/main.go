// Command e2e runs whole Parley processes on loopback and checks the promise:
// no message is lost, none is shown twice, an author's order is kept, and
// every state is backed by a receipt, while processes die at random moments.
//
// One infra node and two ordinary nodes, joined by the infra node's address
// only; one side is driven by gRPC, the other by JSON over HTTP.
package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	apiv1 "parley/gen/parley/api/v1"
	"parley/gen/parley/api/v1/apiv1connect"
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
		build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/parley")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building parley: %w\n%s", err, out)
		}
	}
	if page {
		return runPage(ctx, bin, root, shots)
	}
	texts, err := readLines(chatDir, lines)
	if err != nil {
		return err
	}
	infra, bootstrap, err := startInfra(ctx, bin, root)
	if err != nil {
		return err
	}
	defer infra.kill()
	a := newProcess(bin, filepath.Join(root, "a"), "up", "--no-open")
	b := newProcess(bin, filepath.Join(root, "b"), "up", "--no-open")
	for _, p := range []*process{a, b} {
		p.env = append(p.env, "PARLEY_NET_BOOTSTRAP="+bootstrap)
		if err := p.start(ctx); err != nil {
			return err
		}
		defer p.kill()
	}
	if err := introduce(ctx, a, b); err != nil {
		return err
	}

	half := len(texts) / 2
	began := time.Now()
	ab := &talk{name: "a to b, gRPC", from: a, to: b, texts: texts[:half], seen: map[string]int{}, drive: func(p *process) apiv1connect.MessageServiceClient { return p.grpc.messages }}
	ba := &talk{name: "b to a, JSON over HTTP", from: b, to: a, texts: texts[half:], seen: map[string]int{}, drive: func(p *process) apiv1connect.MessageServiceClient { return p.json.messages }}
	g, live := errgroup.WithContext(ctx)
	done := make(chan struct{})
	senders, sendCtx := errgroup.WithContext(live)
	senders.Go(func() error { return ab.send(sendCtx) })
	senders.Go(func() error { return ba.send(sendCtx) })
	for _, p := range []*process{a, b} {
		senders.Go(func() error { return p.killLoop(sendCtx, kills) })
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
func startInfra(ctx context.Context, bin, root string) (*process, string, error) {
	infra := newProcess(bin, filepath.Join(root, "infra"), "up", "--infra", "--no-open")
	if err := infra.start(ctx); err != nil {
		return nil, "", err
	}
	address, err := infra.tcpAddress(ctx)
	if err != nil {
		infra.kill()
		return nil, "", err
	}
	return infra, address, nil
}

// introduce makes the two sides contacts and shows that A finds B by its bare
// id through the DHT.
func introduce(ctx context.Context, a, b *process) error {
	for _, p := range []*process{a, b} {
		id, err := p.api.identity.GetIdentity(ctx, &apiv1.GetIdentityRequest{})
		if err != nil {
			return err
		}
		p.account, p.device = id.Account, id.Device
	}
	found, err := a.findThroughDHT(ctx, b)
	if err != nil {
		return err
	}
	log.Printf("a found b by id in %s: %s", found.Took.AsDuration().Round(time.Millisecond), strings.Join(found.Addresses, " "))
	for _, pair := range [][2]*process{{a, b}, {b, a}} {
		_, err := pair[0].api.people.AddContact(ctx, &apiv1.AddContactRequest{Who: pair[1].account, Petname: filepath.Base(pair[1].dir), Trusted: true})
		if err != nil {
			return fmt.Errorf("adding a contact: %w", err)
		}
	}
	return nil
}

// readLines takes n lines: all scripts first, then everyday chat.
func readLines(dir string, n int) ([]string, error) {
	var out []string
	for _, name := range []string{"many-scripts", "ubuntu-help", "cinema-desk", "coffee-counter"} {
		f, err := os.Open(filepath.Join(dir, name+".jsonl.gz"))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		s := bufio.NewScanner(z)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			var row struct{ Text string }
			if err := json.Unmarshal(s.Bytes(), &row); err != nil {
				return nil, err
			}
			if strings.TrimSpace(row.Text) != "" && len(row.Text) <= 4<<10 {
				out = append(out, row.Text)
			}
			if len(out) == n {
				// Both halves see every script: deal them out in turn.
				return deal(out), nil
			}
		}
		if err := s.Err(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("not enough chat lines")
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
