package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

func (a *app) mailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mail", Short: "Mail for people who are asleep: who keeps what",
		Long:    "Nodes keep sealed messages for people who are not there. These commands count them;\nnobody but the receiver can read them.",
		Example: "  parley mail status\n  parley mail hosts",
		Args:    a.unknownCommand,
	}
	status := &cobra.Command{
		Use: "status", Short: "Say what is kept here for others, and how your own mail fares",
		Example: "  parley mail status\n  parley mail status --json | jq .keeping.envelopes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Mail.GetMailStatus(ctx, &apiv1.GetMailStatusRequest{})
				if err != nil {
					return err
				}
				return a.printMail(res)
			})
		},
	}
	hosts := &cobra.Command{
		Use: "hosts", Short: "List the nodes that keep your mail",
		Example: "  parley mail hosts",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Mail.ListMailHosts(ctx, &apiv1.ListMailHostsRequest{})
				if err != nil {
					return err
				}
				return a.printMailHosts(res)
			})
		},
	}
	cmd.RunE = status.RunE
	cmd.AddCommand(status, hosts)
	return cmd
}

func (a *app) printMail(s *apiv1.GetMailStatusResponse) error {
	if a.json {
		return a.print(s)
	}
	k, c := s.GetKeeping(), s.GetCollecting()
	rows := [][]cell{{{"For others", dim}, {cleanText(k.GetText()), bold}}}
	if k.GetOn() || k.GetEnvelopes() > 0 {
		rows = append(rows,
			[]cell{{"Space", dim}, {text: size(k.GetBytes()) + " of " + size(k.GetLimitBytes())}},
			[]cell{{"Sleepers", dim}, {text: count(k.GetSleepers(), "last record") + " kept for who falls asleep"}},
		)
	}
	yours := count(s.GetWaiting(), "message") + " not delivered yet"
	if s.GetWaiting() > 0 {
		yours += fmt.Sprintf(", %d kept by others", s.GetHeld())
	}
	rows = append(rows,
		[]cell{{"From you", dim}, {text: yours}},
		[]cell{{"To you", dim}, {text: a.fetched(c)}},
	)
	a.look.table(a.out, nil, rows)
	return nil
}

// fetched is how mail for this node was last asked for.
func (a *app) fetched(c *apiv1.MailCollecting) string {
	if c.GetLast() == nil {
		return "not asked for yet"
	}
	text := fmt.Sprintf("%s, asked for at %s, %d of %s answered", count(c.GetCollected(), "envelope"), a.clock(c.GetLast()), c.GetAnswered(), count(c.GetAsked(), "host"))
	if c.GetNext() != nil {
		text += ", next at " + a.clock(c.GetNext())
	}
	return text
}

func (a *app) printMailHosts(res *apiv1.ListMailHostsResponse) error {
	if a.json {
		return a.print(res)
	}
	if len(res.GetHosts()) == 0 {
		a.note("Nobody keeps mail from you or for you.")
		return nil
	}
	rows := make([][]cell, 0, len(res.GetHosts()))
	for _, h := range res.GetHosts() {
		near, asked := "-", "-"
		if h.GetRegion() {
			near = "yes"
		}
		if h.GetAsked() != nil {
			asked = a.clock(h.GetAsked())
			if !h.GetAnswered() {
				asked += ", no answer"
			}
		}
		known := "-"
		if d := h.GetKnown().AsDuration(); d > 0 {
			known = span(d)
		}
		rows = append(rows, []cell{
			{text: a.whole(h.GetDevice())},
			{text: fmt.Sprint(h.GetFromUs())},
			{text: fmt.Sprint(h.GetForUs())},
			{text: near},
			{text: known},
			{asked, dim},
		})
	}
	a.look.table(a.out, []string{"DEVICE", "FROM YOU", "TO YOU", "NEAR", "KNOWN", "ASKED"}, rows)
	return nil
}
