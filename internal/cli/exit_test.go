package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"

	"connectrpc.com/connect"
)

// TestExitCodes: every reason and code of the API reaches the shell as its
// number, through a real call.
func TestExitCodes(t *testing.T) {
	cases := []struct {
		code   connect.Code
		reason string
		want   exitCode
	}{
		{connect.CodeNotFound, "NOT_FOUND", 4},
		{connect.CodeNotFound, "AMBIGUOUS", 4},
		{connect.CodeInvalidArgument, "INVALID", 2},
		{connect.CodeInvalidArgument, "TOO_LARGE", 2},
		{connect.CodePermissionDenied, "BLOCKED", 5},
		{connect.CodePermissionDenied, "SCOPE", 5},
		{connect.CodeUnauthenticated, "UNAUTHENTICATED", 5},
		{connect.CodeFailedPrecondition, "ROOM_NOT_JOINED", 5},
		{connect.CodeFailedPrecondition, "CONTENT_WARNING", 9},
		{connect.CodeResourceExhausted, "COOLING_PERIOD", 6},
		{connect.CodeResourceExhausted, "STORAGE_FULL", 1},
		{connect.CodeFailedPrecondition, "NO_PAGE", 1},
		{connect.CodeResourceExhausted, "RATE_LIMITED", 1},
		{connect.CodeUnavailable, "UNREACHABLE", 1},
		{connect.CodeUnavailable, "STOPPING", 3},
		{connect.CodeOutOfRange, "CURSOR_EXPIRED", 1},
		{connect.CodeAlreadyExists, "CONFLICT", 8},
		{connect.CodeDeadlineExceeded, "DEADLINE", 1},
		{connect.CodeCanceled, "CANCELED", 130},
		{connect.CodeInternal, "INTERNAL", 1},
		{connect.CodeNotFound, "", 4},
		{connect.CodeInvalidArgument, "", 2},
		{connect.CodePermissionDenied, "", 5},
		{connect.CodeUnauthenticated, "", 5},
		{connect.CodeAlreadyExists, "", 8},
		{connect.CodeUnavailable, "", 3},
		{connect.CodeUnimplemented, "", 1},
		{connect.CodePermissionDenied, "SOMETHING_NEWER", 5},
	}
	tested := map[string]bool{}
	b := newBench(t)
	for _, c := range cases {
		tested[c.reason] = true
		b.fail = fault(c.code, c.reason, "because", 12*time.Second)
		_, stderr, code := b.run("status", "--json")
		if code != c.want {
			t.Errorf("%s %q ends with %d, want %d", c.code, c.reason, code, c.want)
		}
		var said struct{ Error wrong }
		if err := json.Unmarshal([]byte(stderr), &said); err != nil {
			t.Errorf("stderr is not one JSON object: %q", stderr)
		}
		if said.Error.Reason != c.reason || said.Error.Exit != c.want || said.Error.RetryAfter != "12s" {
			t.Errorf("%s %q is said as %+v", c.code, c.reason, said.Error)
		}
	}
	for reason := range reasonExits {
		if !tested[reason] {
			t.Errorf("reason %s has no case", reason)
		}
	}
}

// TestReasonsOfTheAPI: the API's one table and ours name the same reasons.
func TestReasonsOfTheAPI(t *testing.T) {
	src, err := os.ReadFile("../api/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?:Code\w+, |[rR]eason: )"([A-Z_]{4,})"`).FindAllSubmatch(src, -1)
	if len(found) < 10 {
		t.Fatalf("found %d reasons: has the table moved?", len(found))
	}
	for _, f := range found {
		if _, ok := reasonExits[string(f[1])]; !ok {
			t.Errorf("reason %s of the API has no exit code", f[1])
		}
	}
}

func TestNodeNotRunning(t *testing.T) {
	b := newBench(t)
	b.socket += "-none"
	for _, args := range [][]string{{"status"}, {"send", "maya", "hi"}, {"contact", "list"}, {"net", "peers"}, {"stop"}, {"doctor"}} {
		_, stderr, code := b.run(args...)
		if code != exitNotRunning {
			t.Errorf("%v ends with %d", args, code)
		}
		says(t, stderr, "parley: no node is running", "hint: start it with `parley up`")
	}
}

func TestErrorWords(t *testing.T) {
	b := newBench(t)
	b.fail = fault(connect.CodeInvalidArgument, "INVALID", "bad\x1b]0;owned\a thing", 0)
	_, stderr, _ := b.run("status")
	if stderr != "parley: bad]0;owned thing\n" {
		t.Errorf("got %q", stderr)
	}
	b.fail = fault(connect.CodeResourceExhausted, "COOLING_PERIOD", "too fast", 1500*time.Millisecond)
	_, stderr, _ = b.run("status")
	says(t, stderr, "parley: too fast\n", "retry after: 1.5 s\n", "hint: wait")
}

func TestInterrupted(t *testing.T) {
	if !interrupted(fmt.Errorf("calling: %w", context.Canceled)) || interrupted(os.ErrNotExist) {
		t.Error("only a cancelled call is an interruption")
	}
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := newApp()
	a.out, a.err = t.Output(), t.Output()
	if code := a.run(ctx, []string{"--socket", b.socket, "status"}); code != 130 {
		t.Errorf("an interrupted call ends with %d", code)
	}
}
