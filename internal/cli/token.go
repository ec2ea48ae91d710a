package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Keys for programs that use your node",
		Example: `  parley token create echobot --scope messages:read,messages:send,events:read > token
  parley token list
  parley token delete 5f2c`,
		Args: a.unknownCommand,
	}
	list := &cobra.Command{
		Use: "list", Short: "List tokens; their secrets are not kept",
		Example: "  parley token list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Admin.ListTokens(ctx, &apiv1.ListTokensRequest{})
				if err != nil {
					return err
				}
				return a.printTokens(res)
			})
		},
	}
	remove := &cobra.Command{
		Use: "delete <id>", Short: "End a token at once",
		Example: "  parley token delete 5f2c",
		Args:    between(1, 1, "the id of one token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Admin.DeleteToken(ctx, &apiv1.DeleteTokenRequest{Id: args[0]})
				if err != nil {
					return err
				}
				return a.done(res, "The token is dead.")
			})
		},
	}
	cmd.RunE = list.RunE
	cmd.AddCommand(list, a.tokenCreateCommand(), remove)
	return cmd
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var scopes []string
	hours := uint32(0)
	cmd := &cobra.Command{
		Use: "create <name>", Short: "Make a token; it is shown once",
		Long: "Scopes: messages:read, messages:send, people:read, people:write, network:read,\nevents:read. messages:send:people/<account> narrows one to a person.",
		Example: `  parley token create echobot --scope messages:read,messages:send,events:read > token
  parley token create dashboard --scope network:read --hours 24`,
		Args: between(1, 1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(scopes) == 0 {
				f := usage("a token needs at least one --scope")
				f.hint = "`parley token create --help` lists them"
				return f
			}
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Admin.CreateToken(ctx, &apiv1.CreateTokenRequest{Name: args[0], Scopes: scopes, ValidHours: hours})
				if err != nil {
					return err
				}
				if a.json {
					return a.print(res)
				}
				a.note("Shown once; works until %s.", a.stamp(res.GetExpires()))
				_, err = fmt.Fprintln(a.out, res.GetToken())
				return err
			})
		},
	}
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "what it may do (repeatable, or commas between)")
	cmd.Flags().Uint32Var(&hours, "hours", 0, "how long it works; 30 days unless told, at most a year")
	return cmd
}

func (a *app) printTokens(res *apiv1.ListTokensResponse) error {
	if a.json {
		return a.print(res)
	}
	if len(res.GetTokens()) == 0 {
		a.note("No tokens.")
		return nil
	}
	rows := make([][]cell, 0, len(res.GetTokens()))
	for _, t := range res.GetTokens() {
		rows = append(rows, []cell{{cleanName(t.GetName()), bold}, {text: t.GetId()}, {text: a.stamp(t.GetExpires())}, {text: strings.Join(t.GetScopes(), " ")}})
	}
	a.look.table(a.out, []string{"NAME", "ID", "UNTIL", "SCOPES"}, rows)
	return nil
}
