package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"parley/internal/chat"
)

const errorDomain = "parley"

// Own errors of the API, beside those of chat.
var (
	errUnauthenticated = errors.New("not logged in: the token or login is missing, wrong or over")
	errNoPage          = errors.New("this node serves no page: it was started without one")
	errStopping        = errors.New("the node is stopping")
)

// row is one line of the error table. Text, if there is one, is what a person
// reads; else the error's own words are.
type row struct {
	err    error
	code   connect.Code
	reason string
	text   string
}

// table is the whole translation of errors, first match first. Reasons are a
// closed list, shared with the page's texts and the exit codes.
var table = []row{
	{chat.ErrNotFound, connect.CodeNotFound, "NOT_FOUND", ""},
	{chat.ErrTooLarge, connect.CodeInvalidArgument, "TOO_LARGE", ""},
	{chat.ErrInvalid, connect.CodeInvalidArgument, "INVALID", ""},
	{chat.ErrConflict, connect.CodeAlreadyExists, "CONFLICT", "This request id was used for something else. Nothing was changed."},
	{chat.ErrBlocked, connect.CodePermissionDenied, "BLOCKED", "You block this person. Unblock them to write."},
	{chat.ErrNotJoined, connect.CodeFailedPrecondition, "ROOM_NOT_JOINED", ""},
	{chat.ErrStorageFull, connect.CodeResourceExhausted, "STORAGE_FULL", "Disk full. Nothing stored is lost; you can read, not write, until there is space."},
	{chat.ErrUnreachable, connect.CodeUnavailable, "UNREACHABLE", ""},
	{chat.ErrCursorExpired, connect.CodeOutOfRange, "CURSOR_EXPIRED", "Too much has changed since. Read the state again; nothing is lost."},
	{errUnauthenticated, connect.CodeUnauthenticated, "UNAUTHENTICATED", ""},
	{errNoPage, connect.CodeFailedPrecondition, "NO_PAGE", ""},
	{errStopping, connect.CodeUnavailable, "STOPPING", "The node is stopping. Nothing stored is lost."},
	{context.Canceled, connect.CodeCanceled, "CANCELED", ""},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded, "DEADLINE", ""},
}

// find is the row of an error, and false for one without meaning outside.
func find(err error) (row, bool) {
	var warning *chat.WarningError
	var cooling *chat.CoolingError
	var busy *busyError
	var scope *scopeError
	var several *ambiguousError
	switch {
	case errors.As(err, &cooling):
		return row{code: connect.CodeResourceExhausted, reason: "COOLING_PERIOD"}, true
	case errors.As(err, &busy):
		return row{code: connect.CodeResourceExhausted, reason: "RATE_LIMITED"}, true
	case errors.As(err, &warning):
		return row{code: connect.CodeFailedPrecondition, reason: "CONTENT_WARNING"}, true
	case errors.As(err, &scope):
		return row{code: connect.CodePermissionDenied, reason: "SCOPE"}, true
	case errors.As(err, &several):
		return row{code: connect.CodeNotFound, reason: "AMBIGUOUS"}, true
	}
	for _, r := range table {
		if errors.Is(err, r.err) {
			return r, true
		}
	}
	return row{}, false
}

// fault turns any error into the API's. What has no meaning outside becomes a
// reference into the log.
func (s *Server) fault(ctx context.Context, err error) *connect.Error {
	if done := new(connect.Error); errors.As(err, &done) {
		return done // connect's own, such as a message that does not parse
	}
	r, ok := find(err)
	if !ok {
		return s.internal(ctx, err)
	}
	text := r.text
	if text == "" {
		text = sentence(err)
	}
	fault := connect.NewError(r.code, errors.New(text))
	info := &errdetails.ErrorInfo{Reason: r.reason, Domain: errorDomain}
	if several := new(ambiguousError); errors.As(err, &several) {
		info.Metadata = map[string]string{"candidates": strings.Join(several.candidates, ",")}
	}
	detail(fault, info)
	detail(fault, &errdetails.LocalizedMessage{Locale: "en", Message: text})
	if after, ok := retryAfter(err); ok {
		detail(fault, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	}
	if field := new(invalidError); errors.As(err, &field) {
		detail(fault, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{
			Field: field.field, Description: field.text, Reason: r.reason,
		}}})
	}
	return fault
}

// retryAfter is when the same call may succeed.
func retryAfter(err error) (time.Duration, bool) {
	var cooling *chat.CoolingError
	var busy *busyError
	switch {
	case errors.As(err, &cooling):
		return cooling.RetryAfter, true
	case errors.As(err, &busy):
		return busy.after, true
	}
	return 0, false
}

// sentence is an error's own words.
func sentence(err error) string {
	if field := new(invalidError); errors.As(err, &field) {
		return field.Error()
	}
	return err.Error()
}

// internal hides an error behind a reference that stands beside it in the log.
func (s *Server) internal(ctx context.Context, err error) *connect.Error {
	reference := make([]byte, 4)
	_, _ = rand.Read(reference)
	ref := hex.EncodeToString(reference)
	s.log.ErrorContext(ctx, "internal error", "reference", ref, "err", err)
	text := fmt.Sprintf("Something went wrong inside the node. The log has it under %s.", ref)
	fault := connect.NewError(connect.CodeInternal, errors.New(text))
	detail(fault, &errdetails.ErrorInfo{Reason: "INTERNAL", Domain: errorDomain, Metadata: map[string]string{"reference": ref}})
	detail(fault, &errdetails.LocalizedMessage{Locale: "en", Message: text})
	return fault
}

func detail(fault *connect.Error, m proto.Message) {
	d, err := connect.NewErrorDetail(m)
	if err != nil {
		panic("api: error details are known messages: " + err.Error())
	}
	fault.AddDetail(d)
}

// recovered turns a panic of one call into an internal error of that call.
func (s *Server) recovered(ctx context.Context, spec connect.Spec, _ http.Header, value any) error {
	return fmt.Errorf("panic in %s: %v\n%s", spec.Procedure, value, debug.Stack())
}

// faults translates what services return.
type faults struct{ s *Server }

func (f faults) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, f.s.fault(ctx, err)
		}
		return res, nil
	}
}

func (f faults) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (f faults) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := next(ctx, conn); err != nil {
			return f.s.fault(ctx, err)
		}
		return nil
	}
}
