package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

func (a *app) watchCommand() *cobra.Command {
	cursor := ""
	cmd := &cobra.Command{
		Use: "watch [who]", Short: "Print what happens, as it happens",
		Long: "Watch prints messages, delivery states and requests as they happen. As JSON every line is\none event with its cursor; --cursor goes on after the last one seen, so that a\nscript neither loses nor repeats anything.",
		Example: `  parley watch
  parley watch maya
  parley watch --json --cursor "$LAST" | jq -r '.messageAdded.text // empty'`,
		Args: between(0, 1, "at most one name or id"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				w := watcher{a: a, c: c, out: printer{a: a}}
				req := &apiv1.WatchRequest{Cursor: cursor}
				var err error
				if len(args) == 0 && !a.json {
					if w.out.titles, err = readTitles(ctx, c); err != nil {
						return err
					}
				}
				if len(args) == 1 {
					if req.Conversation, _, err = a.conversation(ctx, c, args[0]); err != nil {
						return err
					}
				}
				return w.run(ctx, c, req)
			})
		},
	}
	cmd.Flags().StringVar(&cursor, "cursor", "", "go on after this `cursor` of an earlier event")
	return cmd
}

// watcher is one run of `parley watch`.
type watcher struct {
	a     *app
	c     *client.Client
	out   printer
	pulse string
}

func (w *watcher) run(ctx context.Context, c *client.Client, req *apiv1.WatchRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Events.Watch(ctx, req)
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		res := stream.Msg()
		for _, e := range res.GetEvents() {
			if err := w.event(ctx, e); err != nil {
				return err
			}
		}
		w.live(res)
	}
	return ended(stream.Err())
}

// ended is what the end of a stream means: the node stopped, or we did.
func ended(err error) error {
	if err == nil {
		return &failure{code: exitNotRunning, reason: "NOT_RUNNING", what: "node stopped", hint: "restart it with `parley up`"}
	}
	return err
}

// live says what is true now: talk, not data.
func (w *watcher) live(res *apiv1.WatchResponse) {
	if w.a.json {
		return
	}
	if p := res.GetPulse(); p != nil && p.GetText() != w.pulse {
		w.pulse = p.GetText()
		w.a.note("%s", w.a.look.paint(dim, cleanText(w.pulse)))
	}
	for _, cool := range res.GetCooling() {
		if d := cool.GetRetryAfter().AsDuration(); d > 0 {
			w.a.note("%s", w.a.look.paint(dim, "Goes out in "+span(d)))
		}
	}
}

func (w *watcher) event(ctx context.Context, e *apiv1.Event) error {
	if w.a.json {
		return w.a.print(e)
	}
	l := w.a.look
	say := func(format string, args ...any) error {
		_, err := fmt.Fprintf(w.a.out, format+"\n", args...)
		return err
	}
	switch what := e.GetWhat().(type) {
	case *apiv1.Event_MessageAdded:
		m := what.MessageAdded
		if w.out.titles != nil && w.out.titles[m.GetConversation()] == "" {
			if err := w.retitle(ctx); err != nil { // new since we asked
				return err
			}
		}
		w.out.line(m)
	case *apiv1.Event_MessageChanged:
		m := what.MessageChanged
		if !m.GetOwn() {
			w.out.line(m)
			return nil
		}
		return say("%s %s %s", l.paint(dim, shortMessage(m.GetId())), l.glyph(m.GetDelivery()), stateText(m.GetDelivery(), m.GetDeliveryText()))
	case *apiv1.Event_ContactChanged:
		if err := w.retitle(ctx); err != nil {
			return err
		}
		if c := what.ContactChanged; c.GetState() == apiv1.ContactState_CONTACT_STATE_REQUEST {
			return say("%s asks for contact: parley contact accept %s", contactName(c), c.GetAccount())
		}
	case *apiv1.Event_Blocked:
		return say("blocked %s", shortID(what.Blocked))
	case *apiv1.Event_Unblocked:
		return say("unblocked %s", shortID(what.Unblocked))
	}
	return nil
}

// retitle reads the names of conversations again, where they are shown.
func (w *watcher) retitle(ctx context.Context) (err error) {
	if w.out.titles != nil {
		w.out.titles, err = readTitles(ctx, w.c)
	}
	return err
}
