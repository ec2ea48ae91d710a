package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/dm"
)

// details takes a fault apart.
func details(t *testing.T, fault *connect.Error) (info *errdetails.ErrorInfo, retry time.Duration, text string, field string) {
	t.Helper()
	for _, d := range fault.Details() {
		v, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		switch v := v.(type) {
		case *errdetails.ErrorInfo:
			info = v
		case *errdetails.RetryInfo:
			retry = v.RetryDelay.AsDuration()
		case *errdetails.LocalizedMessage:
			text = v.Message
		case *errdetails.BadRequest:
			field = v.FieldViolations[0].Field
		}
	}
	return info, retry, text, field
}

func TestEveryErrorHasItsRow(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		err    error
		code   connect.Code
		reason string
		retry  time.Duration
		field  string
		words  string
	}{
		{err: chat.ErrNotFound, code: connect.CodeNotFound, reason: "NOT_FOUND", words: "not found"},
		{err: chat.ErrInvalid, code: connect.CodeInvalidArgument, reason: "INVALID", words: "invalid"},
		{err: invalid("text", "it is %s", "empty"), code: connect.CodeInvalidArgument, reason: "INVALID", field: "text", words: "text: it is empty"},
		{err: chat.ErrTooLarge, code: connect.CodeInvalidArgument, reason: "TOO_LARGE", words: "too large"},
		{err: chat.ErrConflict, code: connect.CodeAlreadyExists, reason: "CONFLICT", words: "Nothing was changed"},
		{err: chat.ErrBlocked, code: connect.CodePermissionDenied, reason: "BLOCKED", words: "You block this person"},
		{err: chat.ErrNotJoined, code: connect.CodeFailedPrecondition, reason: "ROOM_NOT_JOINED", words: "not joined"},
		{err: &chat.WarningError{Verdict: chat.Verdict{Reason: "rude"}}, code: connect.CodeFailedPrecondition, reason: "CONTENT_WARNING", words: "rude"},
		{err: &chat.CoolingError{RetryAfter: 12 * time.Second}, code: connect.CodeResourceExhausted, reason: "COOLING_PERIOD", retry: 12 * time.Second, words: "12s"},
		{err: &busyError{after: time.Second}, code: connect.CodeResourceExhausted, reason: "RATE_LIMITED", retry: time.Second, words: "too many calls"},
		{err: chat.ErrStorageFull, code: connect.CodeResourceExhausted, reason: "STORAGE_FULL", words: "Disk full. Nothing stored is lost"},
		{err: chat.ErrUnreachable, code: connect.CodeUnavailable, reason: "UNREACHABLE", words: "unreachable"},
		{err: chat.ErrCursorExpired, code: connect.CodeOutOfRange, reason: "CURSOR_EXPIRED", words: "Read the state again"},
		{err: errUnauthenticated, code: connect.CodeUnauthenticated, reason: "UNAUTHENTICATED", words: "not logged in"},
		{err: &scopeError{need: "scope messages:read"}, code: connect.CodePermissionDenied, reason: "SCOPE", words: "messages:read"},
		{err: &ambiguousError{text: "2 people are called \"Maya\"", candidates: []string{"a", "b"}}, code: connect.CodeNotFound, reason: "AMBIGUOUS", words: "2 people are called"},
		{err: errNoPage, code: connect.CodeFailedPrecondition, reason: "NO_PAGE", words: "serves no page"},
		{err: errStopping, code: connect.CodeUnavailable, reason: "STOPPING", words: "Nothing stored is lost"},
		{err: context.Canceled, code: connect.CodeCanceled, reason: "CANCELED", words: "canceled"},
		{err: context.DeadlineExceeded, code: connect.CodeDeadlineExceeded, reason: "DEADLINE", words: "deadline"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("doing a thing: %w", c.err)} {
			fault := s.fault(t.Context(), err)
			info, retry, text, field := details(t, fault)
			if fault.Code() != c.code || info.GetReason() != c.reason || info.GetDomain() != "parley" {
				t.Errorf("%v: %s %v", err, fault.Code(), info)
			}
			if retry != c.retry || field != c.field || !strings.Contains(text, c.words) || text != fault.Message() {
				t.Errorf("%v: retry %s, field %q, text %q, message %q", err, retry, field, text, fault.Message())
			}
		}
	}
}

func TestInternalErrorsSayNothing(t *testing.T) {
	var log bytes.Buffer
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}
	fault := s.fault(t.Context(), errors.New("reading /home/ana/secret: bad sector"))
	info, _, text, _ := details(t, fault)
	ref := regexp.MustCompile(`[0-9a-f]{8}`).FindString(text)
	if fault.Code() != connect.CodeInternal || info.GetReason() != "INTERNAL" || ref == "" || strings.Contains(fault.Message()+text, "ana") {
		t.Errorf("fault = %v, %q", fault, text)
	}
	if !strings.Contains(log.String(), ref) || !strings.Contains(log.String(), "bad sector") {
		t.Errorf("the log does not explain %s: %s", ref, log.String())
	}
}

// TestEveryMethodHasARule: a method without a rule would not be served, and a
// rule without a method is a typing mistake.
func TestEveryMethodHasARule(t *testing.T) {
	count := 0
	for _, name := range serviceNames {
		file := apiv1.File_parley_api_v1_types_proto.Package()
		if !strings.HasPrefix(name, string(file)) {
			t.Errorf("%s is in another package", name)
		}
	}
	for _, methods := range [][]string{
		methodsOf(apiv1.File_parley_api_v1_node_proto), methodsOf(apiv1.File_parley_api_v1_identity_proto),
		methodsOf(apiv1.File_parley_api_v1_people_proto), methodsOf(apiv1.File_parley_api_v1_message_proto),
		methodsOf(apiv1.File_parley_api_v1_event_proto), methodsOf(apiv1.File_parley_api_v1_network_proto),
		methodsOf(apiv1.File_parley_api_v1_mail_proto), methodsOf(apiv1.File_parley_api_v1_admin_proto),
	} {
		for _, m := range methods {
			count++
			if _, ok := rules[m]; !ok {
				t.Errorf("%s has no rule", m)
			}
		}
	}
	if count != len(rules) {
		t.Errorf("%d methods, %d rules", count, len(rules))
	}
}

func TestNumbersAreThoseOfTheAPI(t *testing.T) {
	for d := chat.Queued; d <= chat.Expired; d++ {
		if want := "DELIVERY_" + strings.ToUpper(d.String()); apiv1.Delivery(d).String() != want {
			t.Errorf("%s is %s in the api", d, apiv1.Delivery(d))
		}
	}
	for r, want := range map[Result]string{OK: "RESULT_OK", Warning: "RESULT_WARNING", Problem: "RESULT_PROBLEM"} {
		if got := apiv1.Check_Result(r).String(); got != want {
			t.Errorf("%d is %s, want %s", r, got, want)
		}
	}
}

func TestDeliveryWords(t *testing.T) {
	now := time.Date(2026, 11, 22, 14, 0, 0, 0, time.Local)
	for _, c := range []struct {
		m     chat.Message
		sent  int
		until time.Time
		want  string
	}{
		{m: chat.Message{}, want: ""},
		{m: chat.Message{Delivery: chat.Queued}, want: "Waiting for someone to connect"},
		{m: chat.Message{Delivery: chat.Queued, Reason: "no_address"}, want: "No address known for Maya yet"},
		{m: chat.Message{Delivery: chat.Queued, Reason: "newer than this"}, want: "Waiting for someone to connect"},
		{m: chat.Message{Delivery: chat.Queued, Reason: "cooling"}, until: now.Add(11*time.Second + time.Millisecond), want: "Goes out in 12 s"},
		{m: chat.Message{Delivery: chat.Sent}, sent: 1, want: "Sent to 1 peer"},
		{m: chat.Message{Delivery: chat.Sent}, sent: 2, want: "Sent to 2 peers"},
		{m: chat.Message{Delivery: chat.Delivered}, want: "Delivered"},
		{m: chat.Message{Delivery: chat.Read}, want: "Read by Maya"},
		{m: chat.Message{Delivery: chat.Refused, Reason: "too_large"}, want: "Not accepted: too long (limit 4 KiB)"},
		{m: chat.Message{Delivery: chat.Refused}, want: "Not accepted"},
		{m: chat.Message{Delivery: chat.Expired, Time: chat.NewHLC(now)}, want: "Not delivered by 6 Dec. Send again?"},
		{m: chat.Message{Delivery: 99}, want: "In a state that this program does not know"},
	} {
		if got := deliveryWords(&c.m, "Maya", c.sent, c.until, now); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.m.Delivery, c.m.Reason, got, c.want)
		}
	}
}

func TestTraceWords(t *testing.T) {
	now := time.Date(2026, 11, 22, 14, 0, 0, 0, time.Local)
	steps := func(states ...chat.Delivery) (list []dm.Step) {
		for _, s := range states {
			list = append(list, dm.Step{State: s, Reason: "no_answer"})
		}
		return list
	}
	for _, c := range []struct {
		m     chat.Message
		steps []dm.Step
		until time.Time
		want  string
	}{
		{m: chat.Message{}, want: "Written by Maya, and stored here"},
		{m: chat.Message{Own: true, Delivery: chat.Delivered}, steps: steps(chat.Delivered), want: "Delivered to 1 of 1 devices"},
		{m: chat.Message{Own: true, Delivery: chat.Delivered}, steps: steps(chat.Delivered, chat.Queued), want: "Delivered to 1 of 2 devices"},
		{m: chat.Message{Own: true, Delivery: chat.Read}, steps: steps(chat.Delivered, chat.Read, chat.Queued), want: "Read on 1 of 3 devices"},
		{m: chat.Message{Own: true, Delivery: chat.Queued}, steps: steps(chat.Queued), want: "Waiting: no device of Maya answers now"},
		{m: chat.Message{Own: true, Delivery: chat.Queued, Reason: "cooling"}, steps: steps(chat.Queued), want: "Waiting because of the pace limit"},
		{m: chat.Message{Own: true, Delivery: chat.Queued, Reason: "cooling"}, steps: steps(chat.Queued), until: now.Add(5 * time.Second), want: "Goes out in 5 s"},
		{m: chat.Message{Own: true, Delivery: chat.Queued}, want: "Waiting for someone to connect"},
		{m: chat.Message{Own: true, Delivery: chat.Queued, Reason: "device_lists_differ"}, want: "Waiting: Maya signed two different device lists; nothing goes out until they sign a newer one"},
		{m: chat.Message{Own: true, Delivery: chat.Refused, Reason: "too_large"}, steps: steps(chat.Refused), want: "Not accepted: too long (limit 4 KiB)"},
		{m: chat.Message{Own: true, Delivery: chat.Expired, Time: chat.NewHLC(now)}, steps: steps(chat.Expired), want: "Not delivered by 6 Dec. Send again?"},
	} {
		if got := traceWords(&dm.Trace{Message: &c.m, Devices: c.steps}, "Maya", c.until, now); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.m.Delivery, c.m.Reason, got, c.want)
		}
	}
}

func TestPageTokensAreBound(t *testing.T) {
	s := &Server{paging: [32]byte{1}}
	token := s.pageToken("position", "ListMessages", "people/x", "false")
	if got, err := s.position(token, "ListMessages", "people/x", "false"); got != "position" || err != nil {
		t.Fatalf("own token: %q, %v", got, err)
	}
	other := &Server{paging: [32]byte{2}}
	for name, check := range map[string]func() (string, error){
		"other conversation": func() (string, error) { return s.position(token, "ListMessages", "people/y", "false") },
		"other direction":    func() (string, error) { return s.position(token, "ListMessages", "people/x", "true") },
		"parts moved":        func() (string, error) { return s.position(token, "ListMessagespeople/x", "", "false") },
		"other store":        func() (string, error) { return other.position(token, "ListMessages", "people/x", "false") },
		"changed": func() (string, error) {
			return s.position(token[:len(token)-2]+"AA", "ListMessages", "people/x", "false")
		},
		"garbage": func() (string, error) { return s.position("%%%", "ListMessages", "people/x", "false") },
		"short":   func() (string, error) { return s.position("AAAA", "ListMessages", "people/x", "false") },
	} {
		if _, err := check(); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := s.position(""); got != "" || err != nil {
		t.Errorf("no token: %q, %v", got, err)
	}
}

func TestCursorText(t *testing.T) {
	for _, c := range []chat.Cursor{{}, {Epoch: 1<<64 - 1, Seq: 1<<63 - 1}, {Epoch: 7, Seq: 250_000}} {
		if got, err := parseCursor(cursorText(c)); got != c || err != nil {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	for _, bad := range []string{"", ".", "1", "1.2.3", "x.1", "1.-1", "01.1", "1.1 ", "1 .1", "ffffffffffffffffff.1"} {
		if _, err := parseCursor(bad); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCodesEnd(t *testing.T) {
	c, now := newCodes(), time.Now()
	code := c.create(now)
	if c.use(code, now.Add(chat.LoginCode)) {
		t.Error("a code lives longer than its time")
	}
	code = c.create(now)
	if !c.use(code, now.Add(chat.LoginCode-time.Second)) || c.use(code, now) {
		t.Error("a code opens once, and only once")
	}
	first := c.create(now)
	for i := range maxCodes {
		c.create(now.Add(time.Duration(i+1) * time.Millisecond))
	}
	if len(c.open) > maxCodes || c.use(first, now) {
		t.Errorf("%d codes are open", len(c.open))
	}
}

func methodsOf(file protoreflect.FileDescriptor) (out []string) {
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		for j := range service.Methods().Len() {
			out = append(out, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
		}
	}
	return out
}
