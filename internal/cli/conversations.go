package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
)

// snippetWidth leaves room for name, time and mark on 80 columns.
const snippetWidth = 44

func (a *app) conversationsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "conversations", Aliases: []string{"ls"}, Short: "List conversations, latest first",
		Example: "  parley conversations list\n  parley conversations --json | jq '.conversations[] | select(.unread > 0)'",
		Args:    a.unknownCommand,
	}
	list := &cobra.Command{
		Use: "list", Short: "List conversations, latest first",
		Example: "  parley conversations list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Messages.ListConversations(ctx, &apiv1.ListConversationsRequest{})
				if err != nil {
					return err
				}
				return a.printConversations(res)
			})
		},
	}
	cmd.RunE = list.RunE
	cmd.AddCommand(list)
	return cmd
}

func (a *app) printConversations(res *apiv1.ListConversationsResponse) error {
	if a.json {
		return a.print(res)
	}
	if len(res.GetConversations()) == 0 {
		a.note("No conversations yet. `parley contact add <link>` adds somebody.")
		return nil
	}
	rows := make([][]cell, 0, len(res.GetConversations()))
	for _, c := range res.GetConversations() {
		name := cleanName(c.GetTitle())
		if name == "" {
			name = shortID(c.GetAccount())
		}
		rows = append(rows, []cell{
			{name, bold},
			{conversationMarks(c), yellow},
			{a.clock(c.GetLast().GetTime()), dim},
			{text: snippet(c.GetLast())},
		})
	}
	a.look.table(a.out, []string{"NAME", "NEW", "LAST", ""}, rows)
	return nil
}

func conversationMarks(c *apiv1.Conversation) string {
	var marks []string
	if n := c.GetUnread(); n > 0 {
		marks = append(marks, fmt.Sprint(n))
	}
	if c.GetRequest() {
		marks = append(marks, "asks")
	}
	if c.GetBlocked() {
		marks = append(marks, "blocked")
	}
	if c.GetDraft() != "" {
		marks = append(marks, "draft")
	}
	if len(marks) == 0 {
		return "-"
	}
	return strings.Join(marks, ", ")
}

// snippet is the beginning of a message on one line.
func snippet(m *apiv1.Message) string {
	switch {
	case m == nil:
		return ""
	case m.GetDeleted():
		return "(removed)"
	case m.GetOwn():
		return "You: " + oneLine(m.GetText(), snippetWidth-5)
	}
	return oneLine(m.GetText(), snippetWidth)
}

func (a *app) searchCommand() *cobra.Command {
	in, count := "", 20
	cmd := &cobra.Command{
		Use: "search <words>", Short: "Find messages on this node, newest first",
		Example: "  parley search tomato soup\n  parley search --in maya -n 5 nine",
		Args:    between(1, -1, "the words to find"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 1 || count > chat.MaxFindHits {
				return usage("-n is between 1 and %d, not %d", chat.MaxFindHits, count)
			}
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				req := &apiv1.SearchMessagesRequest{Query: strings.Join(args, " "), PageSize: int32(count)}
				if in != "" {
					var err error
					if req.Conversation, _, err = a.conversation(ctx, c, in); err != nil {
						return err
					}
				}
				res, err := c.Messages.SearchMessages(ctx, req)
				if err != nil {
					return err
				}
				var t titles
				if in == "" && !a.json && len(res.GetMessages()) > 0 {
					if t, err = readTitles(ctx, c); err != nil {
						return err
					}
				}
				return a.printHits(res, t)
			})
		},
	}
	cmd.Flags().StringVar(&in, "in", "", "only the conversation with this `person`")
	cmd.Flags().IntVarP(&count, "number", "n", count, "how many at most")
	_ = cmd.RegisterFlagCompletionFunc("in", a.completeNames)
	return cmd
}

func (a *app) printHits(res *apiv1.SearchMessagesResponse, t titles) error {
	if a.json {
		return a.print(res)
	}
	if len(res.GetMessages()) == 0 {
		a.note("Nothing found.")
		return nil
	}
	p := printer{a: a, titles: t}
	for _, m := range res.GetMessages() {
		p.line(m)
	}
	return nil
}
