package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/marcopolo/simnet"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/live"
	"parley/internal/mailbox"
	"parley/internal/store"
	"parley/internal/wire"
	"parley/parleytest"
	"parley/parleytest/churn"
)

func benchMail(t *testing.T, s *suite) {
	benchLasting(t, s)
	benchHolder(t, s)
	benchSleeper(t, s)
}

// benchLasting is the share of mail that outlives its holders: a week with a
// median life of two hours and 30 % droppers, by parleytest/churn.
func benchLasting(t *testing.T, s *suite) {
	var out churn.Outcome
	setup := churn.Setup{
		Nodes: sized(80, 200), Boxes: sized(500, 10_000), Holders: chat.RegionSize, Life: 2 * time.Hour, Drop: 0.3,
		Period: chat.RepairEvery, Length: sized(24*time.Hour, chat.RepairHorizon), Seed: 1, AtOnce: true, Adapt: true,
	}
	s.measure(t, "mail.delivered", 1, func(int) (Line, error) {
		out = churn.Run(setup)
		return Line{Metric: "mail.delivered", Value: out.Delivered, Unit: "share", N: setup.Boxes}, nil
	})
	s.measure(t, "mail.bytes", 1, func(int) (Line, error) {
		return Paired("mail.bytes", "copies/msg", []float64{out.Early}, []float64{churn.Copies(setup)})
	})
}

// benchHolder is what a deposit costs its holder, sealed by a contact: CPU
// against one signature made and one checked, and disk against the blob.
func benchHolder(t *testing.T, s *suite) {
	h := must(newHolder(t.TempDir()))(t)
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	n := sized(512, 4096)
	key := simKey(5, 5)
	s.measure(t, "mail.cpu", 5, func(rounds int) (Line, error) {
		return Compare("mail.cpu", "us/msg", rounds, func() (float64, error) {
			batch, err := envelopes(n)
			if err != nil {
				return 0, err
			}
			return perItem(n, func() error { return h.deposit(batch) })
		}, func() (float64, error) {
			text := make([]byte, 128)
			return perItem(n, func() error {
				for range n {
					if !ed25519.Verify(key.Public().(ed25519.PublicKey), text, ed25519.Sign(key, text)) {
						return errors.New("void: a signature does not verify")
					}
				}
				return nil
			})
		})
	})
	s.measure(t, "mail.disk", 1, func(int) (Line, error) {
		size, err := h.size()
		return Line{Metric: "mail.disk", Value: float64(size) / float64(h.kept) / blobBytes, Unit: "of the blob", N: h.kept}, err
	})
}

// holder is one mailbox host without a network.
type holder struct {
	dir   string
	guest *store.Guest
	host  *mailbox.Host
	stop  func() error
	kept  int
	calls int
}

type nobody struct{ gone live.Value[int] }

func (*nobody) Near([32]byte) chat.Region      { return chat.Region{Small: true, Self: true} }
func (n *nobody) Departures() *live.Value[int] { return &n.gone }
func (*nobody) Open(context.Context, chat.DeviceID, string) (wire.Stream, error) {
	return nil, chat.ErrUnreachable
}

func newHolder(dir string) (*holder, error) {
	h := &holder{dir: dir}
	var err error
	if h.guest, err = store.OpenGuest(store.GuestConfig{Dir: dir, Log: quiet, MaxBytes: chat.HolderBytes}); err != nil {
		return nil, err
	}
	alone := &nobody{}
	h.host, err = mailbox.NewHost(mailbox.HostConfig{
		Guest: h.guest, Key: simKey(6, 6), Device: "holder", Nearby: alone, Dialer: alone,
		Net: func(s wire.Stream) string { return string(s.Remote()) }, KeepFree: -1, Log: quiet,
	})
	if err != nil {
		return nil, errors.Join(err, h.guest.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.host.Run(ctx) }()
	h.stop = func() error {
		cancel()
		return errors.Join(<-done, h.guest.Close())
	}
	return h, nil
}

// envelopes are deposits of contacts, 64 for each box.
func envelopes(n int) ([][]byte, error) {
	var out [][]byte
	var token [32]byte
	pub := make([]byte, ed25519.PublicKeySize)
	for i := range n {
		if i%64 == 0 {
			_, _ = rand.Read(token[:])
			_, _ = rand.Read(pub)
		}
		id := mailbox.BoxID(pub, sha256.Sum256(token[:]))
		blob := make([]byte, blobBytes)
		_, _ = rand.Read(blob)
		b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), id[:])
		b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(time.Now().Add(48*time.Hour).Unix())/3600)
		b = protowire.AppendBytes(protowire.AppendTag(b, 4, protowire.BytesType), pub)
		b = protowire.AppendBytes(protowire.AppendTag(b, 5, protowire.BytesType), token[:])
		out = append(out, protowire.AppendBytes(protowire.AppendTag(b, 7, protowire.BytesType), blob))
	}
	return out, nil
}

// deposit leaves envelopes over streams of 64, several at a time, as senders do.
func (h *holder) deposit(batch [][]byte) error {
	var group errgroup.Group
	group.SetLimit(8)
	for part := range slices.Chunk(batch, 64) {
		h.calls++
		from := chat.DeviceID(fmt.Sprint("sender", h.calls))
		group.Go(func() error {
			ours, theirs := wire.Pipe(from, "holder")
			var served sync.WaitGroup
			served.Go(func() { h.host.Handle(theirs) })
			defer served.Wait()
			defer ours.Reset()
			w, r := wire.NewWriter(ours), wire.NewReader(ours)
			var sent error
			served.Go(func() {
				for _, b := range part {
					sent = errors.Join(sent, w.Queue(&wirev1.MailRequest{Body: &wirev1.MailRequest_Deposit{Deposit: b}}))
				}
				sent = errors.Join(sent, w.Flush())
			})
			for range part {
				a := new(wirev1.MailAnswer)
				if err := r.ReadFrame(a); err != nil {
					return err
				}
				if len(a.Receipt) == 0 {
					return fmt.Errorf("void: a deposit was answered %s", a.Status)
				}
			}
			return nil
		})
	}
	err := group.Wait()
	h.kept += len(batch)
	return err
}

// size is the bytes on disk.
func (h *holder) size() (total int64, err error) {
	files, err := filepath.Glob(filepath.Join(h.dir, "guest*"))
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, nil
}

// sleeping is what one simulated network brought, in seconds.
type sleeping struct {
	deposits []float64 // one after the other
	collect  float64
	bytes    float64 // a message, at the sender, while depositing
}

// benchSleeper is mail through whole nodes on simulated links against as many
// values put into and got from a bare DHT of the same size.
func benchSleeper(t *testing.T, s *suite) {
	n, singles, all := sized(12, 60), 20, sized(40, 1000)
	var ours, bare []sleeping
	s.measure(t, "mail.deposit", sized(1, 3), func(rounds int) (Line, error) {
		for len(ours) < rounds {
			ours = append(ours, mailSleeper(t, n, singles, all))
			bare = append(bare, putAndGet(t, n, singles, all))
		}
		return Paired("mail.deposit", "s", each(ours, p50), each(bare, p50))
	})
	if len(ours) == 0 {
		return // filtered out, or failed above
	}
	for _, m := range []struct {
		metric string
		of     func(sleeping) float64
	}{
		{"mail.deposit/p99", p99},
		{"mail.collect", func(s sleeping) float64 { return s.collect }},
	} {
		s.measure(t, m.metric, 1, func(int) (Line, error) { return Paired(m.metric, "s", each(ours, m.of), each(bare, m.of)) })
	}
	s.measure(t, "mail.wire", 1, func(int) (Line, error) {
		blob := make([]float64, len(ours))
		for i := range blob {
			blob[i] = blobBytes
		}
		return Paired("mail.wire", "B/msg", each(ours, func(s sleeping) float64 { return s.bytes }), blob)
	})
}

func each(list []sleeping, of func(sleeping) float64) (out []float64) {
	for _, s := range list {
		out = append(out, of(s))
	}
	return out
}

func p50(s sleeping) float64 { return Median(s.deposits) }

func p99(s sleeping) float64 {
	sorted := slices.Sorted(slices.Values(s.deposits))
	return sorted[len(sorted)*99/100]
}

// mailSleeper leaves singles one at a time and the rest at once for somebody
// who is away, and wakes him.
func mailSleeper(t *testing.T, n, singles, all int) (out sleeping) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := parleytest.NewWorld(t, n, parleytest.Options{})
		ana, bo := w.Node(1), w.Node(2)
		w.Befriend(1, 2)
		ana.Await(ana.Send(bo.Account(), "hello"), chat.Delivered)
		w.Pass(2 * chat.HolderAge) // the others are known for long enough
		w.Kill(2)
		var last string
		send := func(i int) { last = ana.Send(bo.Account(), fmt.Sprintf("message %d %0180d", i, 0)) }
		send(0)
		ana.Await(last, chat.Held) // this one finds out that he is away
		for i := range singles {
			began := time.Now()
			send(i + 1)
			ana.Await(last, chat.Held)
			out.deposits = append(out.deposits, time.Since(began).Seconds())
		}
		before := ana.Bytes()
		for i := singles + 1; i < all; i++ {
			send(i)
		}
		ana.Await(last, chat.Held)
		w.Pass(time.Minute)
		out.bytes = float64(ana.Bytes()-before) / float64(all-singles-1)
		w.Kill(1)
		began := time.Now()
		w.Restart(2)
		for len(bo.Texts(ana.Account())) < all+1 {
			if time.Since(began) > 5*time.Minute {
				t.Fatalf("void: %d of %d messages came", len(bo.Texts(ana.Account())), all+1)
			}
			w.Pass(50 * time.Millisecond)
		}
		out.collect = time.Since(began).Seconds()
	})
	return out
}

// anything takes every value.
type anything struct{}

func (anything) Validate(string, []byte) error        { return nil }
func (anything) Select(string, [][]byte) (int, error) { return 0, nil }

// putAndGet puts as many values into a bare DHT on the same links, one at a
// time, and gets as many all at once, every node near them asked.
func putAndGet(t *testing.T, n, singles, all int) (out sleeping) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		wires := &simnet.Simnet{Logger: quiet, LatencyFunc: simnet.StaticLatency(50 * time.Millisecond)}
		wires.Start()
		defer wires.Close()
		values := dht.Validator(record.NamespacedValidator{"v": anything{}})
		w, err := newBareTown(n, func(i int, guide *peer.AddrInfo) (*bareHost, error) {
			return newBareDHT(simKey(8, i), simAddr(i), guide, values, libp2p.Transport(quic.NewTransport), onLinks(wires))
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(settleTime)
		for i := range all {
			began := time.Now()
			if err := w[1].dht.PutValue(t.Context(), fmt.Sprintf("/v/%d", i), make([]byte, blobBytes)); err != nil {
				t.Fatal(err)
			}
			if i < singles {
				out.deposits = append(out.deposits, time.Since(began).Seconds())
			}
		}
		began := time.Now()
		var group errgroup.Group
		for i := range all {
			group.Go(func() error {
				_, err := w[2].dht.GetValue(t.Context(), fmt.Sprintf("/v/%d", i), dht.Quorum(0))
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		out.collect = time.Since(began).Seconds()
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
	})
	return out
}
