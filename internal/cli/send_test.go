package cli

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
)

func TestSend(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, other+" queued\n", "send", "maya", "see", "you")
	req := b.sent[0]
	if req.GetConversation() != peoplePrefix+maya || req.GetText() != "see you" || req.GetWaitFor() != 0 || req.GetWait() != nil {
		t.Errorf("asked %v", req)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(req.GetRequestId()) {
		t.Errorf("request id %q is no random UUID", req.GetRequestId())
	}
	b.terminal = true
	b.want(exitOK, "bbbb2222 ◌ No address known for Maya yet\n", "send", "maya", "again", "--reply-to", "aaaa")
	if b.sent[1].GetReplyTo() != first {
		t.Errorf("answers %q", b.sent[1].GetReplyTo())
	}
}

func TestSendReadsThePipe(t *testing.T) {
	b := newBench(t)
	b.stdin = "FAIL x_test.go\n```\n\n"
	for _, args := range [][]string{{"send", "maya", "--code"}, {"send", "maya", "-", "--code"}} {
		b.want(exitOK, other+" queued\n", args...)
	}
	for _, s := range b.sent {
		if s.GetText() != "````\nFAIL x_test.go\n```\n````" {
			t.Errorf("sent %q", s.GetText())
		}
	}
	b.want(exitOK, other+" queued\n", "send", "maya", "--", "-5 °C")
	if b.sent[2].GetText() != "-5 °C" {
		t.Errorf("sent %q", b.sent[2].GetText())
	}
}

// TestPipeIsNeverCut: a text that is sent is the whole text.
func TestPipeIsNeverCut(t *testing.T) {
	b := newBench(t)
	full := strings.Repeat("x", chat.MaxText)
	for _, end := range []string{"", "\n", "\r\n"} {
		b.stdin = full + end
		b.want(exitOK, other+" queued\n", "send", "maya")
		if got := b.sent[len(b.sent)-1].GetText(); got != full {
			t.Errorf("of %q %d bytes were sent", end, len(got))
		}
	}
	n := len(b.sent)
	for in, want := range map[string]string{
		full + "x": "the text is longer than 4096 bytes",
		full[:4000] + strings.Repeat("\n", 200) + "the end": "what comes through the pipe is longer than 4096 bytes",
	} {
		b.stdin = in
		_, stderr, code := b.run("send", "maya")
		if code != exitUsage || len(b.sent) != n {
			t.Errorf("ended with %d, sent %d", code, len(b.sent)-n)
		}
		says(t, stderr, want)
	}
	b.stdin = full
	_, stderr, code := b.run("send", "maya", "--code")
	if code != exitUsage {
		t.Errorf("ended with %d", code)
	}
	says(t, stderr, "with its code fence")
}

func TestSendRefusesBadText(t *testing.T) {
	b := newBench(t)
	for want, args := range map[string][]string{
		"this is not text (UTF-8); nothing was sent": {"send", "maya", "\xff\xfe"},
		"the text is empty":                          {"send", "maya", "  "},
		"longer than 4096 bytes":                     {"send", "maya", strings.Repeat("x", chat.MaxText+1)},
		"--wait takes queued":                        {"send", "maya", "x", "--wait=soon"},
		"--wait takes queued, sent":                  {"send", "maya", "x", "--wait=expired"},
		"at most 5m0s, not 6m0s":                     {"send", "maya", "x", "--wait=sent", "--wait-timeout=6m"},
		"--wait and --no-wait exclude each other":    {"send", "maya", "x", "--wait=sent", "--no-wait"},
	} {
		_, stderr, code := b.run(args...)
		if code != exitUsage {
			t.Errorf("%v ends with %d", args[2:], code)
		}
		says(t, stderr, want)
	}
	b.terminal = true
	_, stderr, code := b.run("send", "maya")
	if code != exitUsage {
		t.Errorf("ended with %d", code)
	}
	says(t, stderr, "there is no text to send", "hint:")
	if len(b.sent) != 0 {
		t.Errorf("%d messages went out", len(b.sent))
	}
}

func TestSendWaits(t *testing.T) {
	b := newBench(t)
	_, stderr, code := b.run("send", "maya", "hi", "--wait=delivered", "--wait-timeout=2s")
	if code != exitNotReached {
		t.Errorf("ended with %d", code)
	}
	says(t, stderr, "not delivered in time: No address known for Maya yet", "parley why bbbb2222")
	if r := b.sent[0]; r.GetWaitFor() != apiv1.Delivery_DELIVERY_DELIVERED || r.GetWait().AsDuration() != 2*time.Second {
		t.Errorf("asked %v", r)
	}
	_, stderr, _ = b.run("send", "maya", "hi", "--wait=read")
	says(t, stderr, "read receipts are off here: this can only reach delivered")
	b.answer.Reached, b.answer.Message.Delivery = true, apiv1.Delivery_DELIVERY_DELIVERED
	b.want(exitOK, other+" delivered\n", "send", "maya", "hi", "--wait=delivered")
}

func TestSendRefused(t *testing.T) {
	b := newBench(t)
	for reason, want := range map[string]exitCode{"blocked": exitNotAllowed, "banned": exitModeration, "time_out": exitModeration} {
		b.answer.Message.Delivery, b.answer.Message.DeliveryReason = apiv1.Delivery_DELIVERY_REFUSED, reason
		b.answer.Message.DeliveryText = "Not accepted: " + reason
		stderr := b.want(want, other+" refused\n", "send", "maya", "hi")
		says(t, stderr, "parley: Not accepted: "+reason)
	}
	b.fail = fault(connect.CodeFailedPrecondition, "CONTENT_WARNING", "With default settings readers will not see this", 0)
	b.want(exitModeration, "", "send", "maya", "buy now")
	b.fail = fault(connect.CodeResourceExhausted, "STORAGE_FULL", "Disk full.", 0)
	says(t, b.want(exitOther, "", "send", "maya", "hi"), "this text was not stored and not sent", "make space")
}

// TestCoolingNoWait: nothing is sent, so a script may try again.
func TestCoolingNoWait(t *testing.T) {
	b := newBench(t)
	b.cooling = []*apiv1.Cooling{{Conversation: peoplePrefix + maya, RetryAfter: durationpb.New(12 * time.Second)}}
	_, stderr, code := b.run("send", "maya", "hi", "--no-wait", "--json")
	var said struct{ Error wrong }
	if err := json.Unmarshal([]byte(stderr), &said); err != nil || code != exitCooling || said.Error.RetryAfter != "12s" || len(b.sent) != 0 {
		t.Errorf("ended with %d: %s", code, stderr)
	}
	b.want(exitOK, other+" queued\n", "send", "ravi", "hi", "--no-wait")
	b.want(exitOK, other+" queued\n", "send", "maya", "hi")
}
