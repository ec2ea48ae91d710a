package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/p2p"
	"parley/parleytest"
)

// links20 is how many connections an idle node has.
const links20 = 20

func benchNode(t *testing.T, s *suite) {
	dir := t.TempDir()
	parley, bare := filepath.Join(dir, "parley"), filepath.Join(dir, "bare")
	for bin, pkg := range map[string]string{parley: "parley/cmd/parley", bare: "parley/parleytest/bench/testdata/bare"} {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("building %s: %v\n%s", pkg, err, out)
		}
	}
	s.measure(t, "node.size", 1, func(int) (Line, error) {
		return Compare("node.size", "B", 1,
			func() (float64, error) { return sizePer(parley, 1) },
			func() (float64, error) { return sizePer(bare, 1) })
	})
	home := filepath.Join(dir, "home")
	if err := fillHome(home, sized(20_000, 100_000)); err != nil {
		t.Fatal(err)
	}
	var walls []float64
	s.measure(t, "node.start", 5, func(rounds int) (Line, error) {
		return Compare("node.start", "us", rounds, func() (float64, error) {
			began := time.Now()
			p, err := startParley(parley, home)
			if err != nil {
				return 0, err
			}
			walls = append(walls, micros(time.Since(began))/1e3)
			return p.end()
		}, func() (float64, error) {
			p, err := startBare(bare)
			if err != nil {
				return 0, err
			}
			return p.end()
		})
	})
	s.measure(t, "node.ready", 5, func(int) (Line, error) {
		if len(walls) == 0 {
			return Line{}, errors.New("node.start did not run")
		}
		return Line{Metric: "node.ready", Value: Median(walls), Unit: "ms", N: len(walls)}, nil
	})
	idle(t, s, parley, bare, home)
	s.measure(t, "node.idle_bytes", 1, func(rounds int) (Line, error) { return idleBytes(t), nil })
}

// fillHome is a folder with n messages, indexed.
func fillHome(home string, n int) error {
	db, err := openStore(filepath.Join(home, "data"), true)
	if err != nil {
		return err
	}
	for i := 0; i < n && err == nil; i += 1000 {
		list := messages(i, 1000)
		if i+1000 >= n {
			list[999] = written(i+999, rareWord+" ends the run")
		}
		err = addMessages(db.DB, list)
	}
	return errors.Join(err, db.indexed(rareWord), db.stop())
}

// process is a node outside.
type process struct {
	cmd  *exec.Cmd
	in   io.Closer
	addr string // where others meet it, with its id
}

// startParley returns as soon as the API answers a call.
func startParley(bin, home string) (*process, error) {
	socket := filepath.Join(home, "run", "api.sock")
	cmd := exec.Command(bin, "up", "--no-open")
	cmd.Env = []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
		"PARLEY_DATA_DIR=" + filepath.Join(home, "data"), "PARLEY_API_SOCKET=" + socket, "PARLEY_API_ADDRESS=127.0.0.1:0",
		"PARLEY_NET_LOOPBACK=on", "PARLEY_NET_LISTEN=/ip4/127.0.0.1/tcp/0", "PARLEY_NET_USE_BOOTSTRAP=off",
	}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		c, err := client.Dial(ctx, client.Options{Socket: socket})
		if err == nil {
			var s *apiv1.GetStatusResponse
			s, err = c.Node.GetStatus(ctx, &apiv1.GetStatusRequest{})
			if err = errors.Join(err, c.Close()); err == nil {
				if len(s.Listen) > 0 {
					p.addr = s.Listen[0] + "/p2p/" + s.Device
				}
				return p, nil
			}
		}
		if ctx.Err() != nil {
			_, kerr := p.end()
			return nil, fmt.Errorf("parley does not answer: %w\n%s", errors.Join(err, kerr), said.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// startBare returns when the bare node said its address.
func startBare(bin string) (*process, error) {
	cmd := exec.Command(bin)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	p := &process{cmd: cmd, in: in, addr: strings.TrimSpace(line)}
	if err != nil {
		_, kerr := p.end()
		return nil, fmt.Errorf("bare node: %w", errors.Join(err, kerr))
	}
	return p, nil
}

// end kills the process and answers the CPU microseconds it used.
func (p *process) end() (float64, error) {
	if err := p.cmd.Process.Kill(); err != nil {
		return 0, err
	}
	err := p.cmd.Wait()
	if _, killed := errors.AsType[*exec.ExitError](err); err != nil && !killed {
		return 0, err
	}
	u := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3, nil
}

// cpu is the time that the threads of a living process have run.
func (p *process) cpu() (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("reading the threads of a process: %d, %w", len(tasks), err)
	}
	var total time.Duration
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		var ran int64
		if _, err := fmt.Sscan(string(b), &ran); err != nil {
			return 0, err
		}
		total += time.Duration(ran)
	}
	return total, nil
}

// rss is the memory of a living process, in bytes.
func (p *process) rss() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	var kib float64
	_, err = fmt.Sscan(rest, &kib)
	return kib * 1024, err
}

// idle is memory and CPU of both nodes with 20 connections each, side by side.
func idle(t *testing.T, s *suite, parley, bare, home string) {
	t.Helper()
	var ours, base run // cpu: cores; bytes: RSS
	watched := func(rounds int) error {
		if len(ours.cpu) >= rounds {
			return nil
		}
		ours, base = run{}, run{}
		p, err := startParley(parley, home)
		if err != nil {
			return err
		}
		q, err := startBare(bare)
		if err == nil {
			err = befriended(t.TempDir(), p, q, func() error {
				time.Sleep(sized(5*time.Second, 30*time.Second)) // joining ends
				for range rounds {
					if err := observe(p, q, &ours, &base); err != nil {
						return err
					}
				}
				return nil
			})
			_, qerr := q.end()
			err = errors.Join(err, qerr)
		}
		_, perr := p.end()
		return errors.Join(err, perr)
	}
	s.measure(t, "node.rss", sized(3, 5), func(rounds int) (Line, error) {
		if err := watched(rounds); err != nil {
			return Line{}, err
		}
		return Paired("node.rss", "B", ours.bytes, base.bytes)
	})
	s.measure(t, "node.idle", sized(3, 5), func(rounds int) (Line, error) {
		if err := watched(rounds); err != nil {
			return Line{}, err
		}
		return Paired("node.idle", "cores", ours.cpu, base.cpu)
	})
}

// observe adds one window of idleness.
func observe(p, q *process, ours, base *run) error {
	window := sized(4*time.Second, 10*time.Second)
	before, err := p.cpu()
	beforeQ, errQ := q.cpu()
	if err := errors.Join(err, errQ); err != nil {
		return err
	}
	time.Sleep(window)
	after, err := p.cpu()
	afterQ, errQ := q.cpu()
	rss, rerr := p.rss()
	rssQ, rerrQ := q.rss()
	ours.add(0, (after-before).Seconds()/window.Seconds(), rss)
	base.add(0, (afterQ-beforeQ).Seconds()/window.Seconds(), rssQ)
	return errors.Join(err, errQ, rerr, rerrQ)
}

// befriended runs fn while each process has 20 connections: nodes of its own
// kind, in this process.
func befriended(dir string, p, q *process, fn func() error) error {
	at, err := ma.NewMultiaddr(q.addr)
	if err != nil {
		return err
	}
	guide, err := peer.AddrInfoFromP2pAddr(at)
	if err != nil {
		return err
	}
	bare, err := newBareTown(links20, func(i int, _ *peer.AddrInfo) (*bareHost, error) {
		return newBare(simKey(5, i), "/ip4/127.0.0.1/tcp/0", guide, libp2p.Transport(tcp.NewTCPTransport))
	})
	if err != nil {
		return err
	}
	ours, err := newTown(dir, 6, links20, 0, func(_ int, cfg *p2p.Config) {
		cfg.Loopback, cfg.Listen, cfg.Bootstrap = true, []string{"/ip4/127.0.0.1/tcp/0"}, []string{p.addr}
	})
	if err != nil {
		return errors.Join(err, bare.stop())
	}
	connected := 0
	for _, h := range ours.hosts {
		for _, other := range h.Peers() {
			if strings.HasSuffix(p.addr, string(other.Device)) {
				connected++
			}
		}
	}
	err = undelivered(connected, links20)
	if err == nil {
		err = fn()
	}
	return errors.Join(err, ours.stop(), bare.stop())
}

// idleBytes is bytes a second of a whole node with 20 connections, QUIC
// included, in simulated time.
func idleBytes(t *testing.T) (line Line) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := parleytest.NewWorld(t, sized(links20/2, links20)+1, parleytest.Options{})
		w.Pass(10 * time.Minute)                     // publications to new peers end
		window := sized(30*time.Minute, 2*time.Hour) // the table is refreshed in it
		before := make([]int64, w.Len())
		for i := range before {
			before[i] = w.Node(i).Bytes()
		}
		w.Pass(window)
		var rates []float64
		for i := range before {
			rates = append(rates, float64(w.Node(i).Bytes()-before[i])/window.Seconds())
		}
		line = Line{Metric: "node.idle_bytes", Value: Median(rates), Unit: "B/s", N: len(rates)}
	})
	return line
}
