package client

import (
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// Fault is a call's error taken apart, so that programs decide by its reason
// and not by its words.
type Fault struct {
	Code       string // Connect's, such as not_found
	Reason     string // of the closed list in docs/words.md; empty when the node did not answer
	Message    string // for people
	RetryAfter time.Duration
	Candidates []string // ids that a name may mean, with AMBIGUOUS
}

// FaultOf takes err apart, and reports false for one that no call returned.
func FaultOf(err error) (Fault, bool) {
	ce, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return Fault{}, false
	}
	f := Fault{Code: ce.Code().String(), Message: ce.Message()}
	for _, d := range ce.Details() {
		v, err := d.Value()
		if err != nil {
			continue // a detail newer than this program
		}
		switch v := v.(type) {
		case *errdetails.ErrorInfo:
			if v.GetDomain() == "parley" {
				f.Reason = v.GetReason()
				if ids := v.GetMetadata()["candidates"]; ids != "" {
					f.Candidates = strings.Split(ids, ",")
				}
			}
		case *errdetails.RetryInfo:
			f.RetryAfter = v.GetRetryDelay().AsDuration()
		}
	}
	return f, true
}
