package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

func (a *app) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why <message>", Short: "Say where a message is, and the proof",
		Example: "  parley why 3fa90c12\n  parley why 3fa90c12 --json | jq .devices",
		Args:    between(1, 1, "the id of a message or its beginning"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				id, err := fullMessageID(ctx, c, args[0])
				if err != nil {
					return err
				}
				res, err := c.Messages.ExplainMessage(ctx, &apiv1.ExplainMessageRequest{Id: id})
				if err != nil {
					return err
				}
				return a.printWhy(res)
			})
		},
	}
}

func (a *app) printWhy(res *apiv1.ExplainMessageResponse) error {
	if a.json {
		return a.print(res)
	}
	m := res.GetMessage()
	state, summary := stateText(m.GetDelivery(), m.GetDeliveryText()), cleanText(res.GetSummary())
	if strings.Contains(strings.ToLower(summary), strings.ToLower(state)) {
		state, summary = summary, "" // it says the state and more
	}
	fmt.Fprintf(a.out, "%s %s %s\n", a.look.paint(dim, shortMessage(m.GetId())), a.look.glyph(m.GetDelivery()), a.look.paint(bold, state))
	if summary != "" {
		fmt.Fprintln(a.out, summary)
	}
	if len(res.GetDevices()) == 0 {
		return nil
	}
	rows := make([][]cell, 0, len(res.GetDevices()))
	for _, d := range res.GetDevices() {
		rows = append(rows, []cell{
			{text: shortID(d.GetDevice())},
			{text: stateWord(d.GetDelivery())},
			{text: orDash(a.stamp(d.GetTime()))},
			{text: proof(d)},
			{text: orDash(a.nextTry(d))},
			{text: orDash(cleanName(d.GetText()))},
		})
	}
	a.look.table(a.out, []string{"DEVICE", "STATE", "SINCE", "PROOF", "NEXT TRY", ""}, rows)
	a.printKeepers(res.GetDevices())
	return nil
}

// printKeepers lists the hosts that signed for a message.
func (a *app) printKeepers(devices []*apiv1.DeviceDelivery) {
	var rows [][]cell
	for _, d := range devices {
		for _, k := range d.GetKeepers() {
			rows = append(rows, []cell{
				{text: a.whole(k.GetDevice())},
				{text: shortID(d.GetDevice())},
				{text: orDash(a.stamp(k.GetUntil()))},
				{text: fmt.Sprintf("signed, %d bytes", len(k.GetReceipt()))},
			})
		}
	}
	if len(rows) > 0 {
		a.look.table(a.out, []string{"KEPT BY", "FOR", "UNTIL", "PROOF"}, rows)
	}
}

// proof says what the state rests on.
func proof(d *apiv1.DeviceDelivery) string {
	if n := len(d.GetKeepers()); n > 0 {
		return count(uint32(n), "receipt")
	}
	if n := len(d.GetReceipt()); n > 0 {
		return fmt.Sprintf("signed, %d bytes", n)
	}
	return "none"
}

func (a *app) nextTry(d *apiv1.DeviceDelivery) string {
	if d.GetNextTry() == nil {
		return ""
	}
	next := "now"
	if wait := d.GetNextTry().AsTime().Sub(a.now()); wait > 0 {
		next = "in " + span(wait)
	}
	if n := d.GetAttempts(); n > 0 {
		next += " (after " + tries(n) + ")"
	}
	return next
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func tries(n uint32) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}
