package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/store"
)

// answerTime bounds the wait for our own API after the start: a store that
// was killed in the middle of a commit takes longest.
const answerTime = 30 * time.Second

// letGoTime is how long a node that was told to stop may hold the store after
// its socket has closed: its stages end within three seconds.
const letGoTime = 5 * time.Second

// infraPort is where a node that serves the network is found, so that what
// others wrote down stays true. Of libp2p's programs most listen there.
const infraPort = 4001

// sparePorts let a few nodes of one machine, or of its users, have a page each.
const sparePorts = 9

// pollTime is the pause between two questions to a node that is starting.
const pollTime = 20 * time.Millisecond

// startNode runs a node until the context ends. With open it shows the page.
func (a *app) startNode(cmd *cobra.Command, cfg *config.Config, infra, open bool) error {
	ctx := cmd.Context()
	opts := node.Options{Config: cfg, Infra: infra, Version: version, Log: nodeLog(a, cfg)}
	if infra {
		opts.Port = infraPort
	}
	if s, err := cfg.Setting("api.address"); err == nil && s.Origin == config.OriginDefault {
		opts.SparePorts = sparePorts
	}
	n, err := a.buildNode(ctx, opts)
	if err != nil {
		return startFailure(cfg, err)
	}
	defer a.sayStopping(ctx)()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.Run(ctx) })
	group.Go(func() error { return a.announce(ctx, cfg, n.Page(), infra, open) })
	return group.Wait()
}

// sayStopping answers Ctrl-C at once: the end in order takes seconds. The
// result takes it back.
func (a *app) sayStopping(ctx context.Context) (cancel func() bool) {
	return context.AfterFunc(ctx, func() { a.note("Stopping…") })
}

// buildNode waits a moment for a node that is just ending to let go.
func (a *app) buildNode(ctx context.Context, opts node.Options) (*node.Node, error) {
	node.Harden()
	patience := time.NewTimer(letGoTime)
	defer patience.Stop()
	for {
		n, err := node.New(ctx, opts)
		if _, locked := errors.AsType[*store.LockedError](err); !locked {
			return n, err
		}
		if up, rerr := a.running(ctx, opts.Config); up || rerr != nil {
			return nil, err // it is not ending
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-patience.C:
			return nil, err
		case <-time.After(pollTime):
		}
	}
}

// newNode builds a node for the demo: demo.go does not import package node.
func (a *app) newNode(ctx context.Context, cfg *config.Config, infra bool, log *slog.Logger) (func(context.Context) error, error) {
	node.Harden()
	n, err := node.New(ctx, node.Options{Config: cfg, Infra: infra, Version: version, Log: log})
	if err != nil {
		return nil, startFailure(cfg, err)
	}
	return n.Run, nil
}

// announce waits until the node answers and says where it is.
func (a *app) announce(ctx context.Context, cfg *config.Config, page string, infra, open bool) error {
	if err := a.awaitNode(ctx, cfg.API.Socket); err != nil {
		return err
	}
	if infra {
		a.note("Node up, serving the network. Stop it with Ctrl-C.")
		return a.printBootstrap(ctx, cfg)
	}
	if want := "http://" + cfg.API.Address + "/"; page != "" && page != want && !strings.HasSuffix(cfg.API.Address, ":0") {
		a.note("Another program uses port %s; the page is at %s this time.", cfg.API.Address[strings.LastIndex(cfg.API.Address, ":")+1:], page)
	}
	if page == "" {
		a.note("Node up, without a page. Stop it with Ctrl-C.")
		return nil
	}
	a.note("Node up: %s", page)
	if !open {
		a.note("Open it with `%s`.", a.again())
		return nil
	}
	return a.showPage(ctx, cfg.API.Socket, a.again(), true)
}

// awaitNode asks the socket until it answers.
func (a *app) awaitNode(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for {
		c, err := client.Dial(ctx, client.Options{Socket: socket})
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return fmt.Errorf("waiting for the node: %w", err)
			}
			return nil // the node's own error tells more
		case <-time.After(pollTime):
		}
	}
}

// showPage makes a single-use link and shows it; again is the command that
// makes another.
func (a *app) showPage(ctx context.Context, socket, again string, open bool) error {
	c, err := client.Dial(ctx, client.Options{Socket: socket})
	if err != nil {
		return fmt.Errorf("reaching the node: %w", err)
	}
	login, err := c.Admin.CreateLogin(ctx, &apiv1.CreateLoginRequest{})
	status := &apiv1.GetStatusResponse{}
	if err == nil { // the folder of the node, which --socket does not tell
		status, err = c.Node.GetStatus(ctx, &apiv1.GetStatusRequest{})
	}
	if err := errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("making a link to the page: %w", err)
	}
	intro := "Use this link within a minute"
	if open && a.outTTY {
		file, err := redirectFile(status.GetDataFolder(), login.GetUrl())
		if err != nil {
			return err
		}
		if a.openBrowser(ctx, file) == nil {
			a.note("Opening your browser…")
			intro = "If no browser opens, use this link within a minute"
		}
	}
	if a.json {
		return a.print(login)
	}
	a.note("%s (`%s` makes a new one):", intro, again)
	fmt.Fprintln(a.out, login.GetUrl())
	return nil
}

// again is the command line that reaches the same node once more.
func (a *app) again() string {
	line := "parley"
	for _, f := range []struct{ name, value string }{{"--config", a.configFile}, {"--data", a.data}, {"--socket", a.socket}} {
		if f.value != "" {
			line += " " + f.name + " " + shellWord(f.value)
		}
	}
	return line
}

// shellWord quotes a word where a shell would take it apart.
func shellWord(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n'\"\\$&;|<>()*?[]#~`!{}", r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// redirectFile writes a page that leads to url. The browser is given the
// file's path, because arguments of a program can be read by every user of the
// machine and the url carries a login code. The next call replaces the file;
// its code is worthless after a minute or one use.
func redirectFile(dir, url string) (string, error) {
	path := filepath.Join(dir, "open.html")
	page := `<!doctype html><meta charset="utf-8"><title>Parley</title><meta http-equiv="refresh" content="0;url=` + url + `"><a href="` + url + `">Open Parley</a>`
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		return "", fmt.Errorf("writing the link to the page: %w", err)
	}
	return path, nil
}

// printBootstrap prints the one line by which others join; with -v all the
// addresses after it.
func (a *app) printBootstrap(ctx context.Context, cfg *config.Config) error {
	c, err := client.Dial(ctx, client.Options{Socket: cfg.API.Socket})
	if err != nil {
		return fmt.Errorf("reaching the node: %w", err)
	}
	addrs, err := a.awaitAddresses(ctx, c, cfg.Net.Transports.TCP)
	if err := errors.Join(err, c.Close()); err != nil {
		return err
	}
	bestFirst(addrs)
	if a.json {
		return a.printJSON(map[string][]string{"bootstrap": addrs})
	}
	if len(cfg.Net.Listen) == 0 && !strings.Contains(addrs[0], fmt.Sprintf("/%d/", infraPort)) {
		a.note("Another program uses port %d; this node listens on another one this time.", infraPort)
	}
	a.note("Others join with:")
	fmt.Fprintln(a.out, "parley up --bootstrap "+addrs[0])
	if a.node.verbose {
		for _, addr := range addrs[1:] {
			fmt.Fprintln(a.out, addr)
		}
	}
	return nil
}

// bestFirst puts an address in front that most others can use: over TCP, which
// passes most firewalls, and public before private before this machine's.
func bestFirst(addrs []string) {
	rank := func(addr string) int {
		parts := strings.Split(addr, "/") // "", ip4, 192.0.2.1, tcp, 4001, …
		r := 0
		if len(parts) < 6 || parts[3] != "tcp" {
			r += 8
		}
		if len(parts) < 3 {
			return r
		}
		ip, err := netip.ParseAddr(parts[2])
		switch {
		case err != nil: // a name
		case ip.IsLoopback():
			r += 6
		case ip.IsLinkLocalUnicast():
			r += 4
		case ip.IsPrivate():
			r += 2
		}
		if err == nil && ip.Is6() {
			r++
		}
		return r
	}
	slices.SortStableFunc(addrs, func(x, y string) int { return rank(x) - rank(y) })
}

// settleTime is the most that a node needs from its first address to all.
const settleTime = 2 * time.Second

// awaitAddresses are the node's addresses with its id, as soon as it listens;
// with tcp, as soon as it listens there too.
func (a *app) awaitAddresses(ctx context.Context, c *client.Client, tcp bool) ([]string, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for {
		net, err := c.Network.GetNetwork(ctx, &apiv1.GetNetworkRequest{})
		if err != nil {
			return nil, fmt.Errorf("reading the node's addresses: %w", err)
		}
		settled := !tcp || time.Since(began) > settleTime ||
			slices.ContainsFunc(net.Listen, func(addr string) bool { return strings.Contains(addr, "/tcp/") })
		if len(net.Listen) > 0 && settled {
			out := make([]string, len(net.Listen))
			for i, addr := range net.Listen {
				out[i] = addr + "/p2p/" + net.Device
			}
			return out, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the node to listen: %w", context.Cause(ctx))
		case <-time.After(pollTime):
		}
	}
}

// restoreAccount puts the account of a phrase into an empty data folder.
func (a *app) restoreAccount(ctx context.Context, cfg *config.Config, phrase string) error {
	if err := node.Restore(ctx, cfg, phrase); err != nil {
		return startFailure(cfg, err)
	}
	return nil
}

// startFailure says in words why a node cannot start, and that nothing is lost.
func startFailure(cfg *config.Config, err error) error {
	f := &failure{code: exitOther, what: err.Error(), err: err}
	if locked, ok := errors.AsType[*store.LockedError](err); ok {
		f.code, f.reason = exitConflict, "ALREADY_RUNNING"
		f.what = "the data folder " + cfg.Data.Dir + " is in use" + ofProcess(locked.PID) + "; nothing was changed"
		f.hint = "use the node that runs (`parley status`), or another folder with --data"
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok && strings.HasPrefix(path.Path, cfg.Data.Dir) {
		f.what = fmt.Sprintf("the data folder %s cannot be used: %v", cfg.Data.Dir, path.Err)
		f.hint = "make the folder yours (chown, chmod 700), or choose another with --data"
	}
	if newer, ok := errors.AsType[*store.NewerError](err); ok {
		f.what = fmt.Sprintf("the data folder was written by a newer Parley (format %d, this one knows %d); nothing was changed", newer.Found, newer.Known)
		f.hint = "update Parley, or use another folder with --data"
	}
	if errors.Is(err, store.ErrKey) {
		f.what = "the messages in " + cfg.Data.Dir + " cannot be read: " + err.Error() + "; nothing was changed"
		f.hint = "put back the file master.key that belongs to this folder, or use another folder with --data"
	}
	if port, ok := errors.AsType[*node.PortError](err); ok {
		f.code, f.reason = exitConflict, "PORT_IN_USE"
		f.what = "another program uses " + port.Address + ". Nothing is lost; the page opens here when the port is free"
		f.hint = "free the port, or choose another with --address 127.0.0.1:4718, or any free one with --address 127.0.0.1:0"
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, chat.ErrStorageFull) {
		f.what = "the disk is full; nothing that was stored is lost"
		f.hint = "free some space in " + cfg.Data.Dir + " and start again"
	}
	return f
}

func ofProcess(pid int) string {
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf(" by process %d", pid)
}

// nodeLog is the node's talk about itself, on stderr.
func nodeLog(a *app, cfg *config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		level = slog.LevelWarn // config has checked the word
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.err, opts))
	}
	return slog.New(slog.NewTextHandler(a.err, opts))
}
