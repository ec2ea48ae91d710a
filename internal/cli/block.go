package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/config"
)

func (a *app) blockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "block [who]", Short: "People whose words do not reach you",
		Long:    "A block is yours alone, holds at once on all their devices, and is not told to them.",
		Example: "  parley block ravi\n  parley block list\n  parley block remove ravi",
		Args:    between(0, 1, "one name or id, or a command"), ValidArgsFunction: a.completeNames,
	}
	list := &cobra.Command{
		Use: "list", Short: "List blocked accounts",
		Example: "  parley block list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, a.printBlocks)
		},
	}
	add := &cobra.Command{
		Use: "add <who>", Short: "Block somebody",
		Example: "  parley block add ravi",
		Args:    between(1, 1, "one name or id"), ValidArgsFunction: a.completeNames,
		RunE: a.onPerson(true, func(ctx context.Context, c *client.Client, p person) error {
			res, err := c.People.Block(ctx, &apiv1.BlockRequest{Account: p.account})
			if err != nil {
				return err
			}
			return a.done(res, "Blocked %s.", p.name)
		}),
	}
	remove := &cobra.Command{
		Use: "remove <who>", Short: "Lift a block",
		Example: "  parley block remove ravi",
		Args:    between(1, 1, "one name or id"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				p, err := a.findBlocked(ctx, c, args[0])
				if err != nil {
					return err
				}
				res, err := c.People.Unblock(ctx, &apiv1.UnblockRequest{Account: p.account})
				if err != nil {
					return err
				}
				return a.done(res, "%s is no longer blocked.", p.name)
			})
		},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return list.RunE(cmd, args)
		}
		err := add.RunE(cmd, args)
		if f, ok := errors.AsType[*failure](err); ok && f.code == exitNotFound {
			if near := config.Nearest(args[0], []string{"list", "add", "remove"}); near != "" {
				f.hint = "did you mean `parley block " + near + "`?"
			}
		}
		return err
	}
	cmd.AddCommand(list, add, remove)
	return cmd
}

// findBlocked also knows blocked accounts that are no contacts, by their id's
// end.
func (a *app) findBlocked(ctx context.Context, c *client.Client, who string) (person, error) {
	contacts, err := c.People.ListContacts(ctx, &apiv1.ListContactsRequest{})
	if err != nil {
		return person{}, err
	}
	blocks, err := c.People.ListBlocks(ctx, &apiv1.ListBlocksRequest{})
	if err != nil {
		return person{}, err
	}
	list := contacts.GetContacts()
	known := map[string]bool{}
	for _, k := range list {
		known[k.GetAccount()] = true
	}
	for _, account := range blocks.GetAccounts() {
		if !known[account] {
			list = append(list, &apiv1.Contact{Account: account, Blocked: true})
		}
	}
	return match(list, who, true)
}

func (a *app) printBlocks(ctx context.Context, c *client.Client) error {
	blocks, err := c.People.ListBlocks(ctx, &apiv1.ListBlocksRequest{})
	if err != nil {
		return err
	}
	if a.json {
		return a.print(blocks)
	}
	if len(blocks.GetAccounts()) == 0 {
		a.note("Nobody is blocked.")
		return nil
	}
	contacts, err := c.People.ListContacts(ctx, &apiv1.ListContactsRequest{})
	if err != nil {
		return err
	}
	called := map[string]string{}
	for _, k := range contacts.GetContacts() {
		called[k.GetAccount()] = contactName(k)
	}
	rows := make([][]cell, 0, len(blocks.GetAccounts()))
	for _, account := range blocks.GetAccounts() {
		name := called[account]
		if name == "" {
			name = "-"
		}
		rows = append(rows, []cell{{name, bold}, {account, dim}})
	}
	a.look.table(a.out, []string{"NAME", "ID"}, rows)
	return nil
}
