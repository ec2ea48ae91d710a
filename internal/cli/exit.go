package cli

import (
	"context"
	"errors"

	"parley/client"
)

// exitCode is what a script sees. The numbers never change.
type exitCode int

const (
	exitOK          exitCode = 0
	exitOther       exitCode = 1
	exitUsage       exitCode = 2
	exitNotRunning  exitCode = 3
	exitNotFound    exitCode = 4 // and ambiguous names
	exitNotAllowed  exitCode = 5
	exitCooling     exitCode = 6 // under --no-wait
	exitNotReached  exitCode = 7 // queued, not in the wanted state in time
	exitConflict    exitCode = 8
	exitModeration  exitCode = 9 // ban, time-out or an unconfirmed warning
	exitInterrupted exitCode = 130
)

// reasonExits maps the closed reasons of the API to exit codes.
var reasonExits = map[string]exitCode{
	"NOT_FOUND":       exitNotFound,
	"AMBIGUOUS":       exitNotFound,
	"INVALID":         exitUsage,
	"TOO_LARGE":       exitUsage,
	"BLOCKED":         exitNotAllowed,
	"ROOM_NOT_JOINED": exitNotAllowed,
	"CONTENT_WARNING": exitModeration,
	"COOLING_PERIOD":  exitCooling,
	"STORAGE_FULL":    exitOther,
	"UNREACHABLE":     exitOther,
	"CURSOR_EXPIRED":  exitOther,
	"CONFLICT":        exitConflict,
	"UNAUTHENTICATED": exitNotAllowed,
	"SCOPE":           exitNotAllowed,
	"STOPPING":        exitNotRunning,
	"NO_PAGE":         exitOther,
	"RATE_LIMITED":    exitOther,
	"DEADLINE":        exitOther,
	"INTERNAL":        exitOther,
	"CANCELED":        exitInterrupted,
}

// codeExits decides where no reason we know came with the error: an older or
// newer node, or a fault on the way to it.
var codeExits = map[string]exitCode{
	"not_found":         exitNotFound,
	"invalid_argument":  exitUsage,
	"permission_denied": exitNotAllowed,
	"unauthenticated":   exitNotAllowed,
	"already_exists":    exitConflict,
	"aborted":           exitConflict,
	"unavailable":       exitNotRunning,
}

// refusalExits tells the refusals of a message apart: a room's ban or time-out
// is moderation, the rest is not allowed.
var refusalExits = map[string]exitCode{
	"banned":   exitModeration,
	"time_out": exitModeration,
}

// reasonHints say what to do now, where the API's own words do not.
var reasonHints = map[string]string{
	"NOT_FOUND":       "`parley contact list` and `parley conversations` show whom this node knows",
	"TOO_LARGE":       "send it in parts of at most 4 KiB",
	"BLOCKED":         "`parley block remove` lifts your block",
	"CONTENT_WARNING": "edit the text and send it again",
	"STORAGE_FULL":    "make space on the disk; nothing stored is lost",
	"UNREACHABLE":     "`parley net find` shows what was tried",
	"NO_PAGE":         "the node was started without its page: see `parley config explain api.page`",
	"CURSOR_EXPIRED":  "start again without --cursor",
	"COOLING_PERIOD":  "wait, or send without --no-wait: the message goes out by itself",
}

func exitOf(err error) exitCode {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	if e, ok := client.FaultOf(err); ok {
		if code, ok := reasonExits[e.Reason]; ok {
			return code
		}
		if code, ok := codeExits[e.Code]; ok {
			return code
		}
	}
	return exitOther
}

// interrupted reports whether err is what a cancelled call returns.
func interrupted(err error) bool {
	if e, ok := client.FaultOf(err); ok && e.Code == "canceled" {
		return true
	}
	return errors.Is(err, context.Canceled)
}
