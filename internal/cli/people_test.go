package cli

import (
	"errors"
	"strings"
	"testing"

	apiv1 "parley/gen/parley/api/v1"
)

func TestMatch(t *testing.T) {
	list := []*apiv1.Contact{
		{Account: maya, Petname: "Maya", DisplayName: "sunny", State: added},
		{Account: ravi, DisplayName: "Ravi", State: added},
		{Account: zed, DisplayName: "Ravi", State: asks},
		{Account: me, Petname: "lee", State: added},
		{Account: me + "x", Petname: "LEE", State: added},
		{Account: me + "y", Petname: "Lee", State: added},
	}
	for _, c := range []struct {
		who      string
		requests bool
		want     string
	}{
		{"Maya", false, maya},
		{" maya ", false, maya},
		{maya, false, maya},
		{"parley:id/" + maya, false, maya},
		{"people/" + maya, false, maya},
		{maya[len(maya)-8:], false, maya},
		{"…" + maya[len(maya)-8:], false, maya},
		{"ravi", false, ravi},
		{"lee", false, me}, // the exact spelling wins
		{"12D3KooWstrangerstrangerstrangerstrangerstranger", false, "12D3KooWstrangerstrangerstrangerstrangerstranger"},
	} {
		p, err := match(list, c.who, c.requests)
		if err != nil || p.account != c.want {
			t.Errorf("match(%q) = %s, %v; want %s", c.who, p.account, err, c.want)
		}
	}
	for _, c := range []struct {
		who        string
		requests   bool
		code       exitCode
		candidates int
	}{
		{"ravi", true, exitNotFound, 2},   // a stranger took the name: not guessed
		{"lEe", false, exitNotFound, 3},   // no spelling is exact
		{"sunny", false, exitNotFound, 0}, // our own name for Maya hides hers
		{"may", false, exitNotFound, 0},   // a beginning is a guess
		{"", false, exitUsage, 0},
		{maya[len(maya)-4:], false, exitNotFound, 0}, // too short to be sure
	} {
		_, err := match(list, c.who, c.requests)
		f, ok := errors.AsType[*failure](err)
		if !ok || f.code != c.code || len(f.candidates) != c.candidates {
			t.Errorf("match(%q) = %+v", c.who, err)
		}
	}
}

func TestAmbiguousNameIsNotGuessed(t *testing.T) {
	b := newBench(t)
	b.contacts = append(b.contacts, &apiv1.Contact{Account: me, DisplayName: "Ravi", State: added})
	_, stderr, code := b.run("send", "ravi", "hi")
	if code != exitNotFound || len(b.sent) != 0 {
		t.Errorf("ended with %d, sent %d", code, len(b.sent))
	}
	says(t, stderr, `several people are called "ravi"`, ravi, me, "hint:")
}

func TestUnknownNameSuggests(t *testing.T) {
	b := newBench(t)
	_, stderr, code := b.run("read", "mayq")
	if code != exitNotFound {
		t.Errorf("ended with %d", code)
	}
	says(t, stderr, `nobody called "mayq"`, `did you mean "maya"?`)
}

// TestStrangerKeepsNoName: somebody who only asks for contact is not written
// to by the name they gave themselves, but can be accepted by it.
func TestStrangerKeepsNoName(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.run("id", "verify", "zed"); code != exitNotFound {
		t.Errorf("verify found the stranger: %d", code)
	}
	stderr := b.want(exitOK, "", "contact", "accept", "zed")
	says(t, stderr, "Accepted zed.")
}

func TestCompletionOffersContacts(t *testing.T) {
	b := newBench(t)
	b.contacts[0].Petname = "Ma\x1b[1mya\tx\nrm"
	out, _, code := b.run("__complete", "send", "")
	if code != exitOK || !strings.HasPrefix(out, "Ma[1mya x rm\nRavi\n:") {
		t.Errorf("got %q, %d", out, code)
	}
	b.socket += "-none"
	if out, _, code = b.run("__complete", "send", ""); code != exitOK || out != ":4\n" {
		t.Errorf("without a node: %q, %d", out, code)
	}
}
