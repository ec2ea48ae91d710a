package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley/client"
)

// failure is an error of the command line itself, in words for a person.
type failure struct {
	code       exitCode
	what, hint string
	reason     string // for machines, optional
	candidates []string
	retryAfter time.Duration
	err        error
}

func (f *failure) Error() string { return f.what }
func (f *failure) Unwrap() error { return f.err }

func usage(format string, args ...any) *failure {
	return &failure{code: exitUsage, reason: "USAGE", what: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *failure {
	return &failure{code: exitNotFound, reason: "NOT_FOUND", what: fmt.Sprintf(format, args...)}
}

// whoFailure says in one sentence what is wrong with a link or id.
func whoFailure(who string, err error) error {
	e, ok := client.FaultOf(err)
	if !ok || e.Reason != "INVALID" {
		return err
	}
	cause := lastCause(e.Message)
	if !strings.Contains(e.Message, "invalid ") {
		return &failure{code: exitUsage, reason: e.Reason, err: err, what: cause} // they are not who can be added
	}
	return &failure{
		code: exitUsage, reason: e.Reason, err: err,
		what: fmt.Sprintf("%q is neither a link nor an id: %s", oneLine(who, maxWho), cause),
		hint: "copy it again, whole: a link begins with parley:c/, an id with 12D3KooW",
	}
}

// maxWho shows the beginning of a link and all of an id.
const maxWho = 60

// lastCause drops the chain of those who passed an error on: "who: invalid
// account id: it does not spell a key" says its last part.
func lastCause(text string) string {
	parts := strings.Split(text, ": ")
	first := 0
	for i, p := range parts {
		if strings.HasPrefix(p, "invalid ") || i == 0 && !strings.Contains(p, " ") {
			first = i + 1
		}
	}
	if first == len(parts) {
		first--
	}
	return strings.Join(parts[first:], ": ")
}

func notRunning(socket string) *failure {
	return &failure{code: exitNotRunning, reason: "NOT_RUNNING", what: "no node is running (nobody answers at " + socket + ")", hint: "start it with `parley up`"}
}

// sendFailure says what a full disk means for the text in hand.
func sendFailure(err error) error {
	if e, ok := client.FaultOf(err); ok && e.Reason == "STORAGE_FULL" {
		return &failure{code: reasonExits[e.Reason], reason: e.Reason, what: "the disk is full: this text was not stored and not sent", hint: reasonHints[e.Reason], err: err}
	}
	return err
}

// wrong is how an error is said, in words or as JSON.
type wrong struct {
	Message    string   `json:"message"`
	Hint       string   `json:"hint,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Code       string   `json:"code,omitempty"` // of the API call
	Exit       exitCode `json:"exit"`
	Candidates []string `json:"candidates,omitempty"`
	RetryAfter string   `json:"retryAfter,omitempty"` // as proto JSON: "12s"
}

// maxLine holds a name and an id.
const maxLine = 200

func explain(err error) wrong {
	w := wrong{Message: err.Error(), Exit: exitOf(err)}
	var retry time.Duration
	if f, ok := errors.AsType[*failure](err); ok {
		w.Message, w.Hint, w.Reason, w.Candidates, retry = f.what, f.hint, f.reason, f.candidates, f.retryAfter
	} else if e, ok := client.FaultOf(err); ok {
		w.Message, w.Reason, w.Code, w.Candidates, retry = e.Message, e.Reason, e.Code, e.Candidates, e.RetryAfter
		w.Hint = reasonHints[e.Reason]
		if w.Exit == exitNotRunning && e.Reason == "" {
			w.Message, w.Hint = "node stopped", "restart it with `parley up`"
		}
	}
	w.Message, w.Hint = cleanText(w.Message), cleanText(w.Hint)
	for i, c := range w.Candidates {
		w.Candidates[i] = oneLine(c, maxLine)
	}
	if retry > 0 {
		w.RetryAfter = fmt.Sprintf("%gs", retry.Round(time.Millisecond).Seconds())
	}
	return w
}

// report says what went wrong on stderr and returns the exit code.
func (a *app) report(err error) exitCode {
	w := explain(err)
	if a.json {
		_ = json.NewEncoder(a.err).Encode(struct {
			Error wrong `json:"error"`
		}{w}) // nothing is left to tell when stderr is gone
		return w.Exit
	}
	fmt.Fprintf(a.err, "parley: %s\n", w.Message)
	for _, c := range w.Candidates {
		fmt.Fprintf(a.err, "  %s\n", c)
	}
	if w.RetryAfter != "" {
		fmt.Fprintf(a.err, "retry after: %s\n", strings.TrimSuffix(w.RetryAfter, "s")+" s")
	}
	if w.Hint != "" {
		fmt.Fprintf(a.err, "hint: %s\n", w.Hint)
	}
	return w.Exit
}
