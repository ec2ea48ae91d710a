package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say how the node is doing",
		Example: "  parley status\n  parley status --json | jq -r .pulse.text",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Node.GetStatus(ctx, &apiv1.GetStatusRequest{})
				if err != nil {
					return err
				}
				return a.printStatus(res)
			})
		},
	}
}

func (a *app) printStatus(s *apiv1.GetStatusResponse) error {
	if a.json {
		return a.print(s)
	}
	l := a.look
	fmt.Fprintln(a.out, l.paint(bold, cleanText(s.GetPulse().GetText())))
	if hint := s.GetPulse().GetHint(); hint != "" {
		fmt.Fprintln(a.out, cleanText(hint))
	}
	name := cleanName(s.GetDisplayName())
	if name == "" {
		name = "no name yet"
	}
	page := s.GetPage()
	if page == "" {
		page = "off"
	}
	rows := [][]cell{
		{{"You", dim}, {text: name + ", " + a.whole(s.GetAccount())}},
		{{"Device", dim}, {text: a.whole(s.GetDevice())}},
		{{"Network", dim}, {text: fmt.Sprintf("%s, %d in the routing table, reachable: %s", count(s.GetConnections(), "connection"), s.GetDhtPeers(), orDash(s.GetReachability()))}},
		{{"Waiting", dim}, {text: count(s.GetQueued(), "message") + " not delivered yet"}},
		{{"Page", dim}, {text: page}},
		{{"Data", dim}, {text: s.GetDataFolder() + ", " + size(s.GetDiskBytes())}},
		{{"Version", dim}, {text: s.GetVersion() + a.since(s)}},
	}
	for i, addr := range s.GetListen()[:min(len(s.GetListen()), shownAddresses)] {
		label := ""
		if i == 0 {
			label = "Listens"
		}
		rows = append(rows, []cell{{label, dim}, {text: addr}})
	}
	if more := len(s.GetListen()) - shownAddresses; more > 0 {
		rows = append(rows, []cell{{}, {fmt.Sprintf("and %d more: parley net status", more), dim}})
	}
	l.table(a.out, nil, rows)
	return nil
}

// shownAddresses is enough to see that the node listens, and on which port.
const shownAddresses = 2

// count is a number with its noun.
func count[N int | uint32 | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (a *app) since(s *apiv1.GetStatusResponse) string {
	if s.GetStarted() == nil {
		return ""
	}
	return ", up " + span(a.now().Sub(s.GetStarted().AsTime()))
}

// whole is an id as the reader needs it: short for eyes, whole for programs.
func (a *app) whole(id string) string {
	if a.look.tty {
		return shortID(id)
	}
	return id
}
