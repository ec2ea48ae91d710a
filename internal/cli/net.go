package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

func (a *app) netCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "net", Short: "The network around this node",
		Example: "  parley net status\n  parley net peers\n  parley net find maya\n  parley net connect /ip4/192.0.2.1/tcp/4718/p2p/12D3KooW…",
		Args:    a.unknownCommand,
	}
	status := &cobra.Command{
		Use: "status", Short: "Show addresses, reachability and bootstrap nodes",
		Example: "  parley net status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Network.GetNetwork(ctx, &apiv1.GetNetworkRequest{})
				if err != nil {
					return err
				}
				return a.printNetwork(res)
			})
		},
	}
	peers := &cobra.Command{
		Use: "peers", Short: "List connected devices",
		Example: "  parley net peers",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Network.ListPeers(ctx, &apiv1.ListPeersRequest{})
				if err != nil {
					return err
				}
				return a.printPeers(res)
			})
		},
	}
	find := &cobra.Command{
		Use: "find <who|device>", Short: "Look somebody up as a message would",
		Example: "  parley net find maya\n  parley net find 12D3KooW…",
		Args:    between(1, 1, "one name, account id or device id"), ValidArgsFunction: a.completeNames,
		RunE: a.onPerson(true, func(ctx context.Context, c *client.Client, p person) error {
			res, err := c.Network.FindPeer(ctx, &apiv1.FindPeerRequest{Who: p.account})
			if err != nil {
				return err
			}
			return a.printFound(p, res)
		}),
	}
	connect := &cobra.Command{
		Use: "connect <multiaddress>", Short: "Connect to an address that ends in /p2p/<device>",
		Example: "  parley net connect /ip4/192.0.2.1/tcp/4718/p2p/12D3KooW…",
		Args:    between(1, 1, "one multiaddress"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !strings.HasPrefix(args[0], "/") || !strings.Contains(args[0], "/p2p/") {
				return usage("%q is not a multiaddress that ends in /p2p/<device>", args[0])
			}
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Network.ConnectPeer(ctx, &apiv1.ConnectPeerRequest{Address: args[0]})
				if err != nil {
					return err
				}
				return a.done(res, "Connected to %s.", shortID(res.GetDevice()))
			})
		},
	}
	cmd.RunE = status.RunE
	cmd.AddCommand(status, peers, find, connect)
	return cmd
}

func (a *app) printNetwork(n *apiv1.GetNetworkResponse) error {
	if a.json {
		return a.print(n)
	}
	ready := "looking for the network"
	if n.GetReady() {
		ready = "ready"
	}
	role := "asks others"
	if n.GetServer() {
		role = "keeps records for others"
	}
	rows := [][]cell{
		{{"State", dim}, {ready, bold}},
		{{"Device", dim}, {text: n.GetDevice()}},
		{{"Reachable", dim}, {text: orDash(n.GetReachability())}},
		{{"Connections", dim}, {text: fmt.Sprint(n.GetConnections())}},
		{{"Routing table", dim}, {text: fmt.Sprintf("%d, %s", n.GetDhtPeers(), role)}},
		{{"Remembered", dim}, {text: fmt.Sprint(n.GetRemembered())}},
	}
	for _, l := range n.GetListen() {
		rows = append(rows, []cell{{"Listens", dim}, {text: l}})
	}
	for _, b := range n.GetBootstrap() {
		rows = append(rows, []cell{{"Bootstrap", dim}, {text: b}})
	}
	if len(n.GetBootstrap()) == 0 {
		rows = append(rows, []cell{{"Bootstrap", dim}, {text: "none; invites, the local network and remembered peers lead to others"}})
	}
	a.look.table(a.out, nil, rows)
	return nil
}

func (a *app) printPeers(res *apiv1.ListPeersResponse) error {
	if a.json {
		return a.print(res)
	}
	if len(res.GetPeers()) == 0 {
		a.note("Nobody is connected.")
		return nil
	}
	rows := make([][]cell, 0, len(res.GetPeers()))
	for _, p := range res.GetPeers() {
		way := p.GetTransport()
		if p.GetRelayed() {
			way += ", relayed"
		}
		if p.GetInbound() {
			way += ", they dialled"
		}
		rtt := "-"
		if p.GetRtt() != nil {
			rtt = fmt.Sprintf("%d ms", p.GetRtt().AsDuration().Milliseconds())
		}
		rows = append(rows, []cell{
			{orDash(cleanName(p.GetName())), bold},
			{text: a.whole(p.GetDevice())},
			{text: orDash(way)},
			{text: rtt},
			{a.clock(p.GetSince()), dim},
		})
	}
	a.look.table(a.out, []string{"NAME", "DEVICE", "WAY", "RTT", "SINCE"}, rows)
	return nil
}

// printFound fails with 4 when no device was found at all.
func (a *app) printFound(p person, res *apiv1.FindPeerResponse) error {
	if a.json {
		if err := a.print(res); err != nil {
			return err
		}
	} else {
		for _, d := range res.GetDevices() {
			state := "connected"
			if !d.GetConnected() {
				state = "no connection: " + orDash(cleanText(d.GetFailure()))
			}
			if d.GetStale() {
				state += ", last known addresses"
			}
			fmt.Fprintf(a.out, "%s  %s (%s, %s)\n", a.look.paint(bold, d.GetDevice()), state, orDash(d.GetSource()), d.GetTook().AsDuration().Round(time.Millisecond))
			for _, addr := range d.GetAddresses() {
				fmt.Fprintln(a.out, "  "+cleanName(addr))
			}
		}
		if t := res.GetText(); t != "" && len(res.GetDevices()) > 0 {
			a.note("%s", cleanText(t))
		}
	}
	if len(res.GetDevices()) == 0 {
		f := notFound("no device of %s was found", p.name)
		if t := res.GetText(); t != "" {
			f.what = t
		}
		f.hint = "ask them for a fresh link (`parley id link`): it carries their addresses"
		return f
	}
	return nil
}
