package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
)

// maxWait is what the API grants one call.
const maxWait = 5 * time.Minute

type sendFlags struct {
	wait      string
	timeout   time.Duration
	noWait    bool
	replyTo   string
	requestID string
	code      bool
}

func (a *app) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use: "send <who> [text|-]", Short: "Send a message",
		Long: "Send stores the message and answers; the node delivers it when it can. With --wait\nit stays until a state is proven, and ends with 7 if that takes too long. The text is\nread from a pipe when there is none.",
		Example: `  parley send maya "see you at nine"
  make test 2>&1 | parley send maya --code
  parley send maya --wait=delivered --wait-timeout=1m -- "-5 °C here"`,
		Args: between(1, -1, "a name or id, and a text"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error { return a.send(cmd, f, args) },
	}
	cmd.Flags().StringVar(&f.wait, "wait", "", "wait for a `state`: queued, sent, held, delivered or read")
	cmd.Flags().DurationVar(&f.timeout, "wait-timeout", 30*time.Second, "how long to wait, at most 5m")
	cmd.Flags().BoolVar(&f.noWait, "no-wait", false, "do not send while messages to them are cooling: end with 6")
	cmd.Flags().StringVar(&f.replyTo, "reply-to", "", "`message` this answers, by the beginning of its id")
	cmd.Flags().StringVar(&f.requestID, "request-id", "", "`UUID` that makes a repeated call send once")
	cmd.Flags().BoolVar(&f.code, "code", false, "send the text as a code block")
	_ = cmd.RegisterFlagCompletionFunc("wait", cobra.FixedCompletions([]string{"queued", "sent", "held", "delivered", "read"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) send(cmd *cobra.Command, f sendFlags, args []string) error {
	want, err := f.state()
	if err != nil {
		return err
	}
	text, err := a.sendText(args[1:], f.code)
	if err != nil {
		return err
	}
	return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
		conversation, p, err := a.conversation(ctx, c, args[0])
		if err != nil {
			return err
		}
		if f.noWait {
			if err := refuseCooling(ctx, c, conversation, p); err != nil {
				return err
			}
		}
		req := &apiv1.SendMessageRequest{Conversation: conversation, Text: text, RequestId: f.requestID, WaitFor: want}
		if req.RequestId == "" {
			req.RequestId = newRequestID()
		}
		if want != apiv1.Delivery_DELIVERY_UNSPECIFIED {
			req.Wait = durationpb.New(f.timeout)
		}
		if f.replyTo != "" {
			if req.ReplyTo, err = fullMessageID(ctx, c, f.replyTo); err != nil {
				return err
			}
		}
		if want == apiv1.Delivery_DELIVERY_READ {
			if err := a.warnReceipts(ctx, c); err != nil {
				return err
			}
		}
		res, err := c.Messages.SendMessage(ctx, req)
		if err != nil {
			return sendFailure(err)
		}
		return a.sent(res, want)
	})
}

// warnReceipts says at once what waiting would show at the end: nobody tells a
// person who does not tell either.
func (a *app) warnReceipts(ctx context.Context, c *client.Client) error {
	id, err := c.Identity.GetIdentity(ctx, &apiv1.GetIdentityRequest{})
	if err == nil && !id.GetReadReceipts() {
		a.note("read receipts are off here: this can only reach delivered")
	}
	return err
}

// state is what --wait asks for.
func (f sendFlags) state() (apiv1.Delivery, error) {
	if f.timeout <= 0 || f.timeout > maxWait {
		return 0, usage("--wait-timeout is more than nothing and at most %s, not %s", maxWait, f.timeout)
	}
	if f.wait != "" && f.noWait {
		return 0, usage("--wait and --no-wait exclude each other")
	}
	if f.wait == "" {
		return apiv1.Delivery_DELIVERY_UNSPECIFIED, nil
	}
	d, err := chat.ParseDelivery(f.wait)
	if err != nil || d > chat.Read {
		return 0, usage("--wait takes queued, sent, held, delivered or read, not %q", f.wait)
	}
	return apiv1.Delivery(d), nil
}

// sendText is the rest of the arguments, or what a pipe brings.
func (a *app) sendText(words []string, code bool) (string, error) {
	text := strings.Join(words, " ")
	if len(words) == 0 || len(words) == 1 && words[0] == "-" {
		if len(words) == 0 && a.inTTY {
			f := usage("there is no text to send")
			f.hint = "`parley send maya \"hello\"`, or - to type it and end with Ctrl-D"
			return "", f
		}
		const most = chat.MaxText + len("\r\n") // the end of the last line is not sent
		raw, err := io.ReadAll(io.LimitReader(a.in, int64(most)+1))
		if err != nil {
			return "", fmt.Errorf("reading the text: %w", err)
		}
		if len(raw) > most {
			return "", tooLong("what comes through the pipe is")
		}
		text = strings.TrimRight(string(raw), "\r\n")
	}
	if !utf8.ValidString(text) {
		return "", usage("this is not text (UTF-8); nothing was sent")
	}
	if strings.TrimSpace(text) == "" {
		return "", usage("the text is empty")
	}
	if len(text) > chat.MaxText {
		return "", tooLong("the text is")
	}
	if code {
		if text = fence(text); len(text) > chat.MaxText {
			return "", tooLong("the text with its code fence is")
		}
	}
	return text, nil
}

func tooLong(what string) error {
	return &failure{code: exitUsage, reason: "TOO_LARGE", what: fmt.Sprintf("%s longer than %d bytes", what, chat.MaxText), hint: reasonHints["TOO_LARGE"]}
}

// fence marks a text as code, with a fence longer than any inside it.
func fence(text string) string {
	mark := "```"
	for strings.Contains(text, mark) {
		mark += "`"
	}
	return mark + "\n" + text + "\n" + mark
}

// refuseCooling asks for the live countdown before anything is stored, so that
// a script that tries again later sends once.
func refuseCooling(ctx context.Context, c *client.Client, conversation string, p person) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Events.Watch(ctx, &apiv1.WatchRequest{Conversation: conversation})
	if err != nil {
		return err
	}
	defer stream.Close()
	if !stream.Receive() {
		return stream.Err()
	}
	for _, cool := range stream.Msg().GetCooling() {
		after := cool.GetRetryAfter().AsDuration()
		if cool.GetConversation() == conversation && after > 0 {
			return &failure{code: exitCooling, reason: "COOLING_PERIOD", retryAfter: after, what: "messages to " + p.name + " are cooling; nothing was sent", hint: reasonHints["COOLING_PERIOD"]}
		}
	}
	return nil
}

// sent prints what became of the message and chooses the exit code.
func (a *app) sent(res *apiv1.SendMessageResponse, want apiv1.Delivery) error {
	m := res.GetMessage()
	if a.json {
		if err := a.print(res); err != nil {
			return err
		}
	} else if a.look.tty {
		fmt.Fprintf(a.out, "%s %s %s\n", a.look.paint(dim, shortMessage(m.GetId())), a.look.glyph(m.GetDelivery()), stateText(m.GetDelivery(), m.GetDeliveryText()))
	} else {
		fmt.Fprintf(a.out, "%s %s\n", m.GetId(), stateWord(m.GetDelivery()))
	}
	said := stateText(m.GetDelivery(), m.GetDeliveryText())
	switch {
	case m.GetDelivery() == apiv1.Delivery_DELIVERY_REFUSED:
		code, ok := refusalExits[m.GetDeliveryReason()]
		if !ok {
			code = exitNotAllowed
		}
		return &failure{code: code, reason: "REFUSED", what: said, hint: "`parley why " + shortMessage(m.GetId()) + "` says who decided"}
	case want != apiv1.Delivery_DELIVERY_UNSPECIFIED && !res.GetReached():
		return &failure{code: exitNotReached, reason: "NOT_REACHED", what: fmt.Sprintf("not %s in time: %s", stateWord(want), said), hint: "the node goes on trying; `parley why " + shortMessage(m.GetId()) + "` shows how far it is"}
	}
	return nil
}

// newRequestID is a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// fullMessageID completes the beginning of an id.
func fullMessageID(ctx context.Context, c *client.Client, id string) (string, error) {
	if _, err := chat.ParseMessageID(id); err == nil {
		return id, nil
	}
	res, err := c.Messages.GetMessage(ctx, &apiv1.GetMessageRequest{Id: id})
	if err != nil {
		return "", err
	}
	return res.GetMessage().GetId(), nil
}
