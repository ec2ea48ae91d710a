package p2p

import (
	"fmt"
	"strings"

	"parley/internal/chat"
)

// Reason says in one closed word why a device was not reached.
type Reason string

const (
	NoAddress  Reason = "no_address"  // nobody told us where it is
	NoAnswer   Reason = "no_answer"   // its addresses were tried, none answered
	Refused    Reason = "refused"     // something answers there, but not this device
	NoProtocol Reason = "no_protocol" // connected, but it does not speak the protocol
	TimedOut   Reason = "timed_out"   // our time ended first
	CutOff     Reason = "cut_off"     // connected, then the stream failed
	LimitOurs  Reason = "limit"       // our own limits are reached
	Blocked    Reason = "blocked"     // our own gate refuses it
)

var reasonWords = map[Reason]string{
	NoAddress:  "no known address",
	NoAnswer:   "none of its addresses answers",
	Refused:    "its addresses belong to another device or refuse us",
	NoProtocol: "it is connected but does not speak this protocol",
	TimedOut:   "it did not answer in time",
	CutOff:     "the connection broke",
	LimitOurs:  "this node has reached its own connection limits",
	Blocked:    "it is blocked here",
}

// UnreachableError says why Open failed. It is chat.ErrUnreachable.
type UnreachableError struct {
	Device chat.DeviceID
	Reason Reason
	Tried  []string // addresses
	Err    error    // for logs
}

func (e *UnreachableError) Error() string {
	s := fmt.Sprintf("unreachable: %s", reasonWords[e.Reason])
	if len(e.Tried) > 0 {
		s += " (tried " + strings.Join(e.Tried, ", ") + ")"
	}
	return s
}

// Code is the closed reason for machines.
func (e *UnreachableError) Code() string { return string(e.Reason) }

// Unwrap makes errors.Is(err, chat.ErrUnreachable) true.
func (e *UnreachableError) Unwrap() []error {
	if e.Err == nil {
		return []error{chat.ErrUnreachable}
	}
	return []error{chat.ErrUnreachable, e.Err}
}
