package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

func (a *app) idCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "id", Short: "Your account: id, words, links and safety numbers",
		Example: `  parley id show
  parley id name "Sam"
  parley id link --hours 24
  parley id verify maya`,
		Args: a.unknownCommand,
	}
	show := &cobra.Command{
		Use: "show", Short: "Show your id, name and devices",
		Example: "  parley id show --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.withNode(cmd, a.printIdentity) },
	}
	phrase := &cobra.Command{
		Use: "phrase", Short: "Show the 24 words that bring your account back",
		Long:    "Whoever has these words is you. Write them down on paper; do not photograph or paste them.",
		Example: "  parley id phrase",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.withNode(cmd, a.printPhrase) },
	}
	name := &cobra.Command{
		Use: "name <name>", Short: "Say what others should call you",
		Example: "  parley id name \"Sam\"",
		Args:    between(1, 1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Identity.SetProfile(ctx, &apiv1.SetProfileRequest{DisplayName: proto.String(args[0])})
				if err != nil {
					return err
				}
				return a.done(res, "Others see you as %s.", cleanName(res.GetDisplayName()))
			})
		},
	}
	cmd.RunE = show.RunE
	cmd.AddCommand(show, phrase, name, a.linkCommand(), a.qrCommand(), a.verifyCommand())
	return cmd
}

func (a *app) printIdentity(ctx context.Context, c *client.Client) error {
	id, err := c.Identity.GetIdentity(ctx, &apiv1.GetIdentityRequest{})
	if err != nil {
		return err
	}
	if a.json {
		return a.print(id)
	}
	name := cleanName(id.GetDisplayName())
	if name == "" {
		name = "(none yet: parley id name <name>)"
	}
	rows := [][]cell{
		{{"Name", dim}, {name, bold}},
		{{"Account", dim}, {text: id.GetAccount()}},
		{{"Link", dim}, {text: id.GetLink()}},
		{{"This device", dim}, {text: id.GetDevice()}},
	}
	for _, d := range id.GetDevices() {
		if d != id.GetDevice() {
			rows = append(rows, []cell{{"Device", dim}, {text: d}})
		}
	}
	a.look.table(a.out, nil, rows)
	return nil
}

func (a *app) printPhrase(ctx context.Context, c *client.Client) error {
	res, err := c.Identity.GetPhrase(ctx, &apiv1.GetPhraseRequest{})
	if err != nil {
		return err
	}
	if a.json {
		return a.print(res)
	}
	if !a.outTTY {
		_, err = fmt.Fprintln(a.out, res.GetPhrase())
		return err
	}
	a.note("Whoever has these words is you. Keep them on paper; `parley restore` asks for them.")
	words := strings.Fields(res.GetPhrase())
	var rows [][]cell
	const columns = 4
	for i := 0; i < len(words); i += columns {
		var row []cell
		for j := i; j < min(i+columns, len(words)); j++ {
			row = append(row, cell{text: fmt.Sprintf("%2d %s", j+1, words[j])})
		}
		rows = append(rows, row)
	}
	a.look.table(a.out, nil, rows)
	return nil
}

func (a *app) linkCommand() *cobra.Command {
	hours, code := hours(defaultInviteHours), false
	cmd := &cobra.Command{
		Use: "link", Aliases: []string{"invite"}, Short: "Make a signed link that reaches you",
		Example: "  parley id link\n  parley id link --hours 24 --qr",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Identity.CreateInvite(ctx, &apiv1.CreateInviteRequest{ValidHours: uint32(hours)})
				if err != nil {
					return err
				}
				if a.json {
					return a.print(res)
				}
				if code {
					if err := a.printQR(res.GetLink()); err != nil {
						return err
					}
				}
				a.note("Works until %s.", a.stamp(res.GetExpires()))
				_, err = fmt.Fprintln(a.out, res.GetLink())
				return err
			})
		},
	}
	cmd.Flags().Var(&hours, "hours", "how long it works, `1–2160`: at most 90 days")
	cmd.Flags().BoolVar(&code, "qr", false, "show it as a QR code too")
	return cmd
}

const (
	defaultInviteHours = 7 * 24
	maxInviteHours     = 90 * 24 // the node grants no more
)

// hours are how long an invite works.
type hours uint32

func (h *hours) String() string { return strconv.Itoa(int(*h)) }
func (h *hours) Type() string   { return "hours" }

func (h *hours) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < 1 || n > maxInviteHours {
		return fmt.Errorf("takes whole hours from 1 to %d (90 days), not %q", maxInviteHours, s)
	}
	*h = hours(n)
	return nil
}

func (a *app) qrCommand() *cobra.Command {
	return &cobra.Command{
		Use: "qr", Short: "Show your id as a QR code",
		Example: "  parley id qr",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				id, err := c.Identity.GetIdentity(ctx, &apiv1.GetIdentityRequest{})
				if err != nil {
					return err
				}
				if a.json {
					return a.print(id)
				}
				if err := a.printQR(id.GetLink()); err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.out, id.GetLink())
				return err
			})
		},
	}
}

func (a *app) verifyCommand() *cobra.Command {
	same, undo, code := false, false, false
	cmd := &cobra.Command{
		Use: "verify <who>", Short: "Compare safety numbers with somebody",
		Long:    "Both of you see the same 60 digits when nobody stands between you. Compare them\naloud or side by side, not over Parley.",
		Example: "  parley id verify maya\n  parley id verify maya --same      the digits are the same\n  parley id verify maya --undo",
		Args:    between(1, 1, "one name or id"), ValidArgsFunction: a.completeNames,
		RunE: a.onPerson(false, func(ctx context.Context, c *client.Client, p person) error {
			if same && undo {
				return usage("--same and --undo exclude each other")
			}
			if same || undo {
				return a.markVerified(ctx, c, p, same)
			}
			res, err := c.Identity.GetSafetyNumber(ctx, &apiv1.GetSafetyNumberRequest{Account: p.account})
			if err != nil {
				return err
			}
			if a.json {
				return a.print(res)
			}
			if code {
				if err := a.printQR(res.GetDigits()); err != nil {
					return err
				}
			}
			for i, group := range groups(res.GetDigits()) {
				end := " "
				if i%4 == 3 {
					end = "\n"
				}
				fmt.Fprint(a.out, group, end)
			}
			if res.GetVerified() != nil {
				a.note("You verified %s on %s.", p.name, a.stamp(res.GetVerified()))
				return nil
			}
			if !a.inTTY || a.noInput || p.contact == nil {
				return nil
			}
			if err := a.confirm(false, "Does "+p.name+" see the same digits?"); err != nil {
				return nil //nolint:nilerr // showing them was the command; a no changes nothing
			}
			return a.markVerified(ctx, c, p, true)
		}),
	}
	cmd.Flags().BoolVar(&same, "same", false, "mark them verified: you have compared")
	cmd.Flags().BoolVar(&undo, "undo", false, "take the mark back")
	cmd.Flags().BoolVar(&code, "qr", false, "show the digits as a QR code too")
	return cmd
}

// groups cuts digits into groups of five, however the node spaced them.
func groups(digits string) []string {
	digits = strings.Join(strings.Fields(digits), "")
	var out []string
	for len(digits) > 5 {
		out, digits = append(out, digits[:5]), digits[5:]
	}
	return append(out, digits)
}

func (a *app) markVerified(ctx context.Context, c *client.Client, p person, same bool) error {
	res, err := c.People.UpdateContact(ctx, &apiv1.UpdateContactRequest{Account: p.account, Verified: proto.Bool(same)})
	if err != nil {
		return err
	}
	if same {
		return a.done(res, "%s is verified.", p.name)
	}
	return a.done(res, "%s is no longer verified.", p.name)
}
