package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/config"
	"parley/internal/store"
)

// nodeFlags are shorthands for settings of a node about to start.
type nodeFlags struct {
	noOpen    bool
	verbose   bool
	loopback  bool
	address   string
	listen    []string
	bootstrap []string
}

func (n *nodeFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&n.noOpen, "no-open", false, "do not open the page now")
	f.BoolVar(&n.loopback, "loopback", false, "stay on this machine")
	f.StringVar(&n.address, "address", "", "loopback `host:port` of the page and API, or off")
	f.StringArrayVar(&n.listen, "listen", nil, "`multiaddress` to listen on (repeatable)")
	f.StringArrayVar(&n.bootstrap, "bootstrap", nil, "`multiaddress` of a node to ask first (repeatable)")
}

// apply writes what was given as settings, under --set.
func (n *nodeFlags) apply(flags map[string]string) {
	put := func(key, value string) {
		if _, set := flags[key]; !set && value != "" {
			flags[key] = value
		}
	}
	if n.loopback {
		put("net.loopback", "on")
	}
	put("api.address", n.address)
	put("net.listen", strings.Join(n.listen, ","))
	put("net.bootstrap", strings.Join(n.bootstrap, ","))
}

func (a *app) upCommand() *cobra.Command {
	infra := false
	cmd := &cobra.Command{
		Use: "up", Short: "Start the node and keep it running",
		Example: `  parley up                       start, and open the page
  parley up --no-open             start, and leave the page for later
  parley up --infra               serve the network only, on port 4001, without a page`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			open := !infra && !a.node.noOpen
			up, err := a.running(cmd.Context(), cfg)
			switch {
			case err != nil:
				return err
			case up && open:
				return a.showRunning(cmd.Context(), cfg)
			case up:
				return &failure{code: exitConflict, reason: "ALREADY_RUNNING", what: "Parley already runs here", hint: "look at it with `parley status`, or end it with `parley stop`"}
			}
			return a.startNode(cmd, cfg, infra, open)
		},
	}
	a.node.add(cmd.Flags())
	cmd.Flags().BoolVar(&infra, "infra", false, "headless node that only serves the network, on port 4001 unless --listen says else")
	cmd.Flags().BoolVarP(&a.node.verbose, "verbose", "v", false, "print every address of a node that serves the network")
	return cmd
}

// openOrStart is parley without a command: start the node, or open the page of
// the one that already runs.
func (a *app) openOrStart(cmd *cobra.Command) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	up, err := a.running(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	if up {
		return a.showRunning(cmd.Context(), cfg)
	}
	return a.startNode(cmd, cfg, false, !a.node.noOpen)
}

// showRunning opens the page of the node that is already here, or prints the
// link alone.
func (a *app) showRunning(ctx context.Context, cfg *config.Config) error {
	if a.node.noOpen {
		a.note("Parley already runs here.")
	} else {
		a.note("Parley already runs here. Opening it.")
	}
	return a.showPage(ctx, cfg.API.Socket, a.again(), !a.node.noOpen)
}

// stopTime is longer than a node needs to end in order: its stages have three
// seconds.
const stopTime = 10 * time.Second

func (a *app) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "Stop the running node in order",
		Long:    "Stop returns when the node's process has closed its data: a new one may start.",
		Example: "  parley stop",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			folder := ""
			err := a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				status, err := c.Node.GetStatus(ctx, &apiv1.GetStatusRequest{})
				if err != nil {
					return err
				}
				folder = status.GetDataFolder()
				_, err = c.Node.Stop(ctx, &apiv1.StopRequest{})
				return err
			})
			if err != nil {
				return err
			}
			if !a.json {
				a.note("Stopping…")
			}
			if err := a.awaitStop(cmd.Context(), folder); err != nil {
				return err
			}
			if a.json {
				return a.print(&apiv1.StopResponse{})
			}
			a.note("Stopped.")
			return nil
		},
	}
}

// awaitStop returns when nobody answers on the socket any more and the data
// folder is free.
func (a *app) awaitStop(ctx context.Context, folder string) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		held, err := a.running(ctx, cfg)
		if err == nil && !held {
			held, err = store.InUse(folder)
		}
		if ctx.Err() == nil && (err != nil || !held) {
			return err
		}
		select {
		case <-ctx.Done():
			if ctx.Err() == context.Canceled {
				return ctx.Err()
			}
			return &failure{code: exitOther, what: fmt.Sprintf("the node is still stopping after %s", stopTime), hint: "`parley doctor` says what it is doing; its log has more"}
		case <-tick.C:
		}
	}
}

func (a *app) demoCommand() *cobra.Command {
	n := 12
	cmd := &cobra.Command{
		Use: "demo", Short: "Start a whole small network on this machine to try",
		Long: "Demo starts real nodes on loopback, each with keys and a store of its own in a\ntemporary folder, and your own demo node among them. Everything is removed when it ends.",
		Example: `  parley demo                     12 nodes, and the page
  parley demo -n 30 --no-open`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runDemo(cmd, n, !a.node.noOpen)
		},
	}
	cmd.Flags().IntVarP(&n, "nodes", "n", n, "how many nodes")
	cmd.Flags().BoolVar(&a.node.noOpen, "no-open", false, "do not open the page now")
	return cmd
}
