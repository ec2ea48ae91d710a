package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"parley/internal/chat"
	"parley/internal/p2p"
)

const (
	blobBytes = 1 << 10     // what a text of 200 bytes is padded to
	callers   = commitGroup // of Send at a time: what the baseline syncs at a time
)

func benchDM(t *testing.T, s *suite) {
	dir := t.TempDir()
	raw := must(newRaw(dir))(t)
	ana, bo, err := couple(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ana.stop(), bo.stop(), raw.close()); err != nil {
			t.Error(err)
		}
	})
	s.measure(t, "dm.rtt", sized(20, 300), func(rounds int) (Line, error) {
		return Compare("dm.rtt", "us", rounds, func() (float64, error) {
			began := time.Now()
			id, err := ana.send(bo, strings.Repeat("m", textBytes))
			if err == nil {
				err = ana.delivered(id)
			}
			return micros(time.Since(began)), err
		}, raw.roundTrip)
	})
	s.measure(t, "dm.rate", sized(3, 9), func(rounds int) (Line, error) {
		n := sized(2_000, 20_000)
		return Compare("dm.rate", "msg/s", rounds,
			func() (float64, error) { return sessionRate(raw, n) },
			func() (float64, error) { return raw.rate(5 * n) })
	})
	var load *durable
	loaded := func(rounds int) (err error) {
		if load == nil || len(load.ours.rate) < rounds {
			load, err = measureDurable(ana, bo, raw, rounds)
		}
		return err
	}
	of := func(metric, unit string, rows func(*durable) (ours, base []float64)) {
		s.measure(t, metric, sized(5, 9), func(rounds int) (Line, error) {
			if err := loaded(rounds); err != nil {
				return Line{}, err
			}
			ours, base := rows(load)
			return Paired(metric, unit, ours, base)
		})
	}
	of("dm.rate_durable", "msg/s", func(d *durable) ([]float64, []float64) { return d.ours.rate, d.base.rate })
	of("dm.cpu", "us/msg", func(d *durable) ([]float64, []float64) { return d.ours.cpu, d.base.cpu })
	of("dm.bytes", "B/msg", func(d *durable) ([]float64, []float64) { return d.ours.bytes, d.base.bytes })
	s.measure(t, "dm.bytes/single", sized(3, 9), func(rounds int) (Line, error) {
		return Compare("dm.bytes/single", "B/msg", rounds, func() (float64, error) {
			before := ana.bytes.Load()
			id, err := ana.send(bo, strings.Repeat("m", textBytes))
			if err == nil {
				err = ana.delivered(id)
			}
			return float64(ana.bytes.Load() - before), err
		}, func() (float64, error) { return blobBytes, nil })
	})
	s.paired(t, "dm.first_virtual", "s", func(m simulation) float64 { return m.first })
}

// couple is two people on loopback with a session, full sync on both disks.
func couple(dir string) (ana, bo *person, err error) {
	if ana, err = newPerson(filepath.Join(dir, "ana"), false, nil); err != nil {
		return nil, nil, err
	}
	if err = await(ana.host, "listening", func(s p2p.Status) bool { return len(s.Addrs) > 0 }); err == nil {
		bo, err = newPerson(filepath.Join(dir, "bo"), false, func(cfg *p2p.Config) { cfg.Bootstrap = guideTo(ana.host) })
	}
	if err != nil {
		return nil, nil, errors.Join(err, ana.stop())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ana.stop(), bo.stop())
		}
	}()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if !ana.directory.Published().Load().At.IsZero() && !bo.directory.Published().Load().At.IsZero() {
			break
		}
		if time.Now().After(end) {
			return nil, nil, errors.New("records are not published")
		}
		ana.directory.Nudge()
		bo.directory.Nudge()
	}
	if err := errors.Join(ana.knows(bo), bo.knows(ana)); err != nil {
		return nil, nil, err
	}
	// Five turns end the session's first ML-KEM step, whose fields ride on
	// every message of two chains.
	for _, p := range [][2]*person{{ana, bo}, {bo, ana}, {ana, bo}, {bo, ana}, {ana, bo}} {
		id, err := p[0].send(p[1], "hello")
		if err == nil {
			err = p[0].delivered(id)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return ana, bo, nil
}

// run is what each round of a load brought.
type run struct{ rate, cpu, bytes []float64 }

type durable struct{ ours, base run }

// measureDurable is the whole path with full sync at both ends against a raw
// stream with one fdatasync for each 64 messages at both ends.
func measureDurable(ana, bo *person, raw *raw, rounds int) (*durable, error) {
	n := sized(1024, 4096)
	var d durable
	for i := range rounds + 1 {
		ours := func() error {
			before := ana.bytes.Load()
			rate, cpu, err := loadOf(n, func() error { return ana.flood(bo, n) })
			if err == nil && i > 0 { // the first round warms up
				d.ours.add(rate, cpu, float64(ana.bytes.Load()-before)/float64(n))
			}
			return err
		}
		base := func() error {
			rate, cpu, err := loadOf(8*n, func() error { return raw.durable(8 * n) })
			if err == nil && i > 0 {
				d.base.add(rate, cpu, blobBytes)
			}
			return err
		}
		first, second := ours, base
		if i%2 == 1 {
			first, second = base, ours
		}
		if err := first(); err != nil {
			return nil, err
		}
		if err := second(); err != nil {
			return nil, err
		}
	}
	return &d, nil
}

func (r *run) add(rate, cpu, bytes float64) {
	r.rate, r.cpu, r.bytes = append(r.rate, rate), append(r.cpu, cpu), append(r.bytes, bytes)
}

// loadOf is messages a second and CPU microseconds of each.
func loadOf(n int, fn func() error) (rate, cpu float64, err error) {
	began := time.Now()
	cpu, err = perItem(n, fn)
	return float64(n) / time.Since(began).Seconds(), cpu, err
}

// flood sends n messages from several callers and waits for every receipt.
func (p *person) flood(to *person, n int) error {
	text := strings.Repeat("m", textBytes)
	ids := make([]chat.MessageID, n)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < n && errs[c] == nil; i += callers {
				ids[i], errs[c] = p.send(to, text)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i := n - 1; i >= 0; i -= callers { // one of each group: the others are there too
		if err := p.delivered(ids[i]); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return p.allDelivered(ids)
}

// raw is two bare hosts with one TCP connection under TLS, and a file each.
type raw struct {
	a, b  *bareHost
	files [2]*os.File
	serve chan func(network.Stream) error // what b does with the next stream
	done  chan error
}

func newRaw(dir string) (r *raw, err error) {
	r = &raw{serve: make(chan func(network.Stream) error, 1), done: make(chan error, 1)}
	opts := []libp2p.Option{libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(libp2ptls.ID, libp2ptls.New)}
	if r.b, err = newBare(simKey(9, 1), "/ip4/127.0.0.1/tcp/0", nil, opts...); err != nil {
		return nil, err
	}
	r.b.SetStreamHandler(echoID, func(s network.Stream) {
		err := (<-r.serve)(s)
		if err != nil {
			_ = s.Reset()
		}
		r.done <- errors.Join(err, s.Close()) // what was written still arrives
	})
	if r.a, err = newBare(simKey(9, 2), "/ip4/127.0.0.1/tcp/0", r.b.info(), opts...); err != nil {
		return nil, errors.Join(err, r.b.close())
	}
	for i := range r.files {
		if r.files[i], err = os.Create(filepath.Join(dir, fmt.Sprint("raw", i))); err != nil {
			return nil, errors.Join(err, r.a.close(), r.b.close())
		}
	}
	return r, nil
}

func (r *raw) close() error {
	return errors.Join(r.a.close(), r.b.close(), r.files[0].Close(), r.files[1].Close())
}

// talk opens one stream, runs both ends and waits for both.
func (r *raw) talk(ours, theirs func(network.Stream) error) error {
	r.serve <- theirs
	s, err := r.a.NewStream(context.Background(), r.b.ID(), echoID)
	if err != nil {
		<-r.serve
		return err
	}
	err = ours(s)
	if err != nil {
		_ = s.Reset()
		select {
		case <-r.serve: // the stream never came to the other end
			return err
		default:
		}
	}
	err = errors.Join(err, <-r.done)
	return errors.Join(err, s.Reset()) // both ends are done: no orderly goodbye to count
}

// keep appends to a file and syncs it.
func keep(f *os.File, b []byte) error {
	if _, err := f.Write(b); err != nil {
		return err
	}
	return syscall.Fdatasync(int(f.Fd()))
}

// roundTrip is one echo of a padded message, one fdatasync on either side, on
// a stream that stands. It answers the median of a few.
func (r *raw) roundTrip() (float64, error) {
	const times = 5
	var took []float64
	err := r.talk(func(s network.Stream) error {
		b := make([]byte, blobBytes)
		for range times {
			began := time.Now()
			if err := keep(r.files[0], b); err != nil {
				return err
			}
			if _, err := s.Write(b); err != nil {
				return err
			}
			if _, err := io.ReadFull(s, b); err != nil {
				return err
			}
			took = append(took, micros(time.Since(began)))
		}
		return nil
	}, func(s network.Stream) error {
		b := make([]byte, blobBytes)
		for range times {
			if _, err := io.ReadFull(s, b); err != nil {
				return err
			}
			if err := keep(r.files[1], b); err != nil {
				return err
			}
			if _, err := s.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return Median(took), nil
}

// rate is one write of 200 bytes for each message, and one answer at the end.
func (r *raw) rate(n int) (float64, error) {
	began := time.Now()
	err := r.talk(func(s network.Stream) error {
		b := make([]byte, textBytes)
		for range n {
			if _, err := s.Write(b); err != nil {
				return err
			}
		}
		_, err := io.ReadFull(s, b[:1])
		return err
	}, func(s network.Stream) error {
		if _, err := io.CopyN(io.Discard, s, int64(n)*textBytes); err != nil {
			return err
		}
		_, err := s.Write([]byte{1})
		return err
	})
	return float64(n) / time.Since(began).Seconds(), err
}

// durable is the same with one fdatasync for each 64 messages at both ends.
func (r *raw) durable(n int) error {
	group := make([]byte, commitGroup*textBytes)
	return r.talk(func(s network.Stream) error {
		for range n / commitGroup {
			if err := keep(r.files[0], group); err != nil {
				return err
			}
			for i := 0; i < len(group); i += textBytes {
				if _, err := s.Write(group[i : i+textBytes]); err != nil {
					return err
				}
			}
		}
		_, err := io.ReadFull(s, make([]byte, 1))
		return err
	}, func(s network.Stream) error {
		in := make([]byte, len(group))
		for range n / commitGroup {
			if _, err := io.ReadFull(s, in); err != nil {
				return err
			}
			if err := keep(r.files[1], in); err != nil {
				return err
			}
		}
		_, err := s.Write([]byte{1})
		return err
	})
}
