package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

// completeTime bounds what a press of Tab may cost: later is not help.
const completeTime = 500 * time.Millisecond

// completeNames offers the names of contacts for the first argument. It stays
// silent about every fault: a shell is waiting for words.
func (a *app) completeNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	none := cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 && cmd.Name() != "search" {
		return nil, none
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	cmd.SetContext(ctx)
	var out []string
	_ = a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
		res, err := c.People.ListContacts(ctx, &apiv1.ListContactsRequest{})
		if err != nil {
			return err
		}
		out = names(res.GetContacts(), func(s string) string { return s })
		return nil
	})
	return out, none
}
