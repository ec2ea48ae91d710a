package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
)

func (a *app) readCommand() *cobra.Command {
	count, follow, mark := 20, false, false
	cmd := &cobra.Command{
		Use: "read <who>", Short: "Show a conversation",
		Long: "Read shows the newest messages in reading order. On a terminal it marks them as read;\nelsewhere only with --mark.",
		Example: `  parley read maya
  parley read maya -n 100 --follow
  parley read maya --json | jq -r '.messages[].text'`,
		Args: between(1, 1, "one name or id"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 || count > maxRead {
				return usage("-n is between 0 and %d, not %d", maxRead, count)
			}
			if !cmd.Flags().Changed("mark") {
				mark = a.outTTY && !a.json
			}
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				r := reader{a: a, c: c, out: printer{a: a}, mark: mark, follow: follow, shown: map[string]bool{}}
				var err error
				if r.conversation, _, err = a.conversation(ctx, c, args[0]); err != nil {
					return err
				}
				return r.run(ctx, count)
			})
		},
	}
	cmd.Flags().IntVarP(&count, "number", "n", count, "how many messages, newest last")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new messages as they come")
	cmd.Flags().BoolVar(&mark, "mark", false, "mark what is shown as read")
	return cmd
}

// maxRead bounds one look back; a program pages with the API.
const maxRead = 10_000

// reader is one run of `parley read`.
type reader struct {
	a            *app
	c            *client.Client
	conversation string
	out          printer
	mark         bool
	follow       bool
	shown        map[string]bool // ids printed before the first live event; asked only with follow
}

func (r *reader) run(ctx context.Context, count int) error {
	if !r.follow {
		list, err := r.list(ctx, count)
		if err != nil {
			return err
		}
		if r.a.json {
			return r.a.print(&apiv1.ListMessagesResponse{Messages: list})
		}
		return r.show(ctx, list)
	}
	// The greeting says that nothing after it is missed; what lies before it
	// is listed, and the overlap is shown once.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.c.Events.Watch(ctx, &apiv1.WatchRequest{Conversation: r.conversation})
	if err != nil {
		return err
	}
	defer stream.Close()
	if !stream.Receive() {
		return stream.Err()
	}
	list, err := r.list(ctx, count)
	if err != nil {
		return err
	}
	if err := r.show(ctx, list); err != nil {
		return err
	}
	for ok := true; ok; ok = stream.Receive() {
		for _, e := range stream.Msg().GetEvents() {
			if err := r.event(ctx, e); err != nil {
				return err
			}
		}
	}
	return ended(stream.Err())
}

func (r *reader) event(ctx context.Context, e *apiv1.Event) error {
	if r.a.json {
		if m := e.GetMessageAdded(); m != nil && r.shown[m.GetId()] {
			return nil
		}
		return r.a.print(e)
	}
	if m := e.GetMessageAdded(); m != nil && !r.shown[m.GetId()] {
		return r.show(ctx, []*apiv1.Message{m})
	}
	return nil
}

// list fetches the newest count messages, in reading order.
func (r *reader) list(ctx context.Context, count int) ([]*apiv1.Message, error) {
	var pages [][]*apiv1.Message
	token := ""
	for left := count; left > 0; {
		res, err := r.c.Messages.ListMessages(ctx, &apiv1.ListMessagesRequest{
			Conversation: r.conversation, PageSize: int32(min(left, chat.MaxPageSize)), PageToken: token,
		})
		if err != nil {
			return nil, err
		}
		pages = append(pages, res.GetMessages())
		left -= len(res.GetMessages())
		if token = res.GetNextPageToken(); token == "" || len(res.GetMessages()) == 0 {
			break
		}
	}
	slices.Reverse(pages)
	return slices.Concat(pages...), nil
}

// show prints messages and marks the last as read.
func (r *reader) show(ctx context.Context, list []*apiv1.Message) error {
	for _, m := range list {
		r.shown[m.GetId()] = true
		if !r.a.json {
			r.out.line(m)
		} else if err := r.a.print(&apiv1.Event{What: &apiv1.Event_MessageAdded{MessageAdded: m}}); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		if !r.follow {
			r.a.note("No messages yet.")
		}
		return nil
	}
	if !r.mark {
		return nil
	}
	_, err := r.c.Messages.MarkRead(ctx, &apiv1.MarkReadRequest{Conversation: r.conversation, Message: list[len(list)-1].GetId()})
	if err != nil {
		return fmt.Errorf("marking as read: %w", err)
	}
	return nil
}
