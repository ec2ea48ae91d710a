package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"parley/client"
	"parley/internal/config"
)

// app is one run of the program: its streams, its terminal and the flags that
// every command has.
type app struct {
	// Set by newApp or a test, never changed.
	in          io.Reader
	out, err    io.Writer
	inTTY       bool
	outTTY      bool
	look        look
	loc         *time.Location
	now         func() time.Time
	openBrowser func(ctx context.Context, file string) error

	// Flags of every command.
	json       bool
	quiet      bool
	noInput    bool
	configFile string
	data       string
	socket     string
	set        []string
	node       nodeFlags
}

func newApp() *app {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		inTTY: term.IsTerminal(int(os.Stdin.Fd())), outTTY: term.IsTerminal(int(os.Stdout.Fd())),
		loc: time.Local, now: time.Now, openBrowser: openBrowser,
	}
	a.look = newLook(a.outTTY, os.Getenv)
	return a
}

// run executes one command line.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return int(exitOK)
	}
	// Flags may not have been read when the fault lies in them.
	a.json = a.json || slices.Contains(args, "--json")
	if ctx.Err() != nil && interrupted(err) {
		return int(exitInterrupted)
	}
	return int(a.report(err))
}

// settings reads the configuration under this command's flags.
func (a *app) settings() (*config.Config, error) {
	flags := map[string]string{}
	for _, pair := range a.set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usage("--set takes KEY=VALUE, not %q", pair)
		}
		flags[strings.TrimSpace(name)] = value
	}
	a.node.apply(flags)
	if a.data != "" {
		flags["data.dir"] = a.data
	}
	if a.socket != "" {
		flags["api.socket"] = a.socket
	}
	cfg, err := config.Load(config.Options{File: a.configFile, Flags: flags})
	if err != nil {
		return nil, settingsFailure(err)
	}
	return cfg, nil
}

// settingsFailure gathers what is wrong with the settings into one message.
func settingsFailure(err error) error {
	f := &failure{code: exitUsage, reason: "CONFIG", err: err}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // the join is the outermost error
	if !ok {
		f.what = err.Error()
	} else if all := joined.Unwrap(); len(all) == 1 {
		f.what = all[0].Error()
	} else {
		f.what = fmt.Sprintf("%d settings are wrong:", len(all))
		for _, e := range all {
			f.what += "\n  " + e.Error()
		}
	}
	if fault, ok := errors.AsType[*config.Fault](err); ok {
		f.hint = fault.Hint
	}
	return f
}

// running reports whether a node answers on the socket.
func (a *app) running(ctx context.Context, cfg *config.Config) (bool, error) {
	if err := cfg.CheckSocketFolder(); err != nil {
		return false, folderFailure(cfg, err)
	}
	knock, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(knock, "unix", cfg.API.Socket)
	if ctx.Err() != nil {
		return false, errors.Join(ctx.Err(), closeIf(conn))
	}
	if errors.Is(err, fs.ErrPermission) {
		return false, &failure{code: exitNotAllowed, what: "the socket " + cfg.API.Socket + " belongs to another user", hint: "run this as the user that runs the node"}
	}
	if err != nil {
		return false, nil
	}
	return true, conn.Close()
}

// folderFailure speaks of the folder that was chosen: the socket lies in the
// data folder unless it is told apart.
func folderFailure(cfg *config.Config, err error) *failure {
	f := &failure{code: exitNotAllowed, what: err.Error(), err: err}
	f.hint = "make the folder yours alone (chmod 700), or choose another with --socket"
	if filepath.Dir(cfg.API.Socket) == cfg.Data.Dir {
		f.what = strings.Replace(f.what, "socket folder", "data folder", 1)
		f.hint = strings.Replace(f.hint, "--socket", "--data", 1)
	}
	if strings.HasSuffix(f.what, "is not a folder") {
		f.hint = "move the file away" + f.hint[strings.Index(f.hint, ", or"):]
	}
	return f
}

func closeIf(conn net.Conn) error {
	if conn == nil {
		return nil
	}
	return conn.Close()
}

// knockTime bounds the first connection: a local socket answers in less than
// a millisecond or not at all.
const knockTime = 2 * time.Second

// withNode calls fn with the running node.
func (a *app) withNode(cmd *cobra.Command, fn func(ctx context.Context, c *client.Client) error) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	up, err := a.running(ctx, cfg)
	if err != nil {
		return err
	}
	if !up {
		return notRunning(cfg.API.Socket)
	}
	c, err := client.Dial(ctx, client.Options{Socket: cfg.API.Socket})
	if err != nil {
		return fmt.Errorf("reaching the node: %w", err)
	}
	err = fn(ctx, c)
	return errors.Join(err, c.Close())
}

// note says something that is not data.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// maxWords bounds what is read at a prompt or from a pipe as one answer.
const maxWords = 64 << 10

// ask reads one line at a prompt. Without a terminal, or with --no-input, it
// fails: nobody is there to answer.
func (a *app) ask(question string) (string, error) {
	if !a.inTTY || a.noInput {
		return "", usage("%s needs an answer, and nobody is at a terminal", strings.TrimSpace(question))
	}
	fmt.Fprint(a.err, question)
	return readLine(a.in)
}

// readLine reads up to a line end, byte by byte so that what follows stays.
func readLine(r io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxWords {
		n, err := r.Read(one)
		if n == 1 && one[0] == '\n' {
			break
		}
		line = append(line, one[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("reading the answer: %w", err)
		}
	}
	return strings.TrimSpace(string(line)), nil
}

// confirm asks before something that cannot be taken back. Scripts say --yes.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !a.inTTY || a.noInput {
		return &failure{code: exitUsage, what: question + " needs a yes", hint: "add --yes, or --dry-run to see what would happen"}
	}
	answer, err := a.ask(question + " [y/N] ")
	if err != nil {
		return err
	}
	if l := strings.ToLower(answer); l != "y" && l != "yes" {
		return &failure{code: exitOther, what: "nothing was changed"}
	}
	return nil
}
