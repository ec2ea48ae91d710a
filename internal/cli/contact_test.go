package cli

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	apiv1 "parley/gen/parley/api/v1"
)

func TestAddLooksForBareIDs(t *testing.T) {
	b := newBench(t)
	b.found = &apiv1.FindPeerResponse{}
	const unseen = "nobody is found under this id yet"
	says(t, b.want(exitOK, "", "contact", "add", ravi, "--name", "Ravi"), "Added Ravi", unseen)
	for _, args := range [][]string{{"contact", "add", ravi, "--no-wait"}, {"contact", "add", "parley:c/abc", "ravi"}} {
		if stderr := b.want(exitOK, "", args...); strings.Contains(stderr, unseen) {
			t.Errorf("%v says %q", args, stderr)
		}
	}
	b.found.Devices = []*apiv1.FoundDevice{{Device: ravi}}
	if stderr := b.want(exitOK, "", "contact", "add", ravi); strings.Contains(stderr, unseen) {
		t.Errorf("found, and says %q", stderr)
	}
	b.want(exitUsage, "", "contact", "add", ravi, "one", "--name", "two")
}

func TestRemoveSaysWhatStillGoesOut(t *testing.T) {
	b := newBench(t)
	says(t, b.want(exitOK, "", "contact", "remove", "maya", "--yes"), "Forgot Maya. The messages stay.")
	b.messages[1].Delivery = apiv1.Delivery_DELIVERY_QUEUED
	says(t, b.want(exitOK, "", "contact", "remove", "maya", "--yes"), "The messages stay, and one that waits still goes out.")
	b.messages = append(b.messages, b.messages[1])
	says(t, b.want(exitOK, "", "contact", "remove", "maya", "--dry-run"), "keep the messages, and 2 that wait still go out.")
}

func TestBlockWithoutAdd(t *testing.T) {
	b := newBench(t)
	says(t, b.want(exitOK, "", "block", "ravi"), "Blocked Ravi.")
	if len(b.blocked) != 1 || b.blocked[0] != ravi {
		t.Errorf("blocked %v", b.blocked)
	}
	says(t, b.want(exitNotFound, "", "block", "lst"), "did you mean `parley block list`?")
}

func TestWhoFailure(t *testing.T) {
	for text, want := range map[string]string{
		"who: invalid invite: invalid account id: it does not spell a key": `"parley:c/x" is neither a link nor an id: it does not spell a key`,
		"who: that is your own account":                                    "that is your own account",
	} {
		b := newBench(t)
		b.fail = fault(connect.CodeInvalidArgument, "INVALID", text, 0)
		_, stderr, code := b.run("contact", "add", "parley:c/x")
		if line, _, _ := strings.Cut(stderr, "\n"); code != exitUsage || line != "parley: "+want {
			t.Errorf("%q is said as %q (%d)", text, stderr, code)
		}
	}
}
