package cli

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

func TestIdentity(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "Name         Sam\nAccount      "+me+"\nLink         parley:id/"+me+"\nThis device  "+me+"\n", "id")
	b.want(exitOK, strings.TrimSpace(strings.Repeat("zoo ", 24))+"\n", "id", "phrase")
	b.want(exitOK, strings.Repeat("12345 12345 12345 12345\n", 3), "id", "verify", "maya")
	stderr := b.want(exitOK, "parley:c/abc\n", "id", "link")
	says(t, stderr, "Works until 2026-11-23 14:02")
	b.terminal = true
	out, _, _ := b.run("id", "phrase")
	says(t, out, " 1 zoo   2 zoo   3 zoo   4 zoo\n", "24 zoo")
}

func TestVerifyMarks(t *testing.T) {
	b := newBench(t)
	b.terminal, b.stdin = true, "y\n"
	b.run("id", "verify", "maya")
	b.stdin = "n\n"
	b.run("id", "verify", "maya")
	b.run("id", "verify", "maya", "--no-input")
	b.run("id", "verify", "maya", "--undo")
	if len(b.updates) != 2 || !b.updates[0].GetVerified() || b.updates[1].GetVerified() {
		t.Errorf("marked %v", b.updates)
	}
}

func TestContactRemoveAsks(t *testing.T) {
	b := newBench(t)
	if stderr := b.want(exitUsage, "", "contact", "remove", "ravi"); !strings.Contains(stderr, "--yes") {
		t.Errorf("says %q", stderr)
	}
	b.want(exitOK, "", "contact", "remove", "ravi", "--dry-run")
	b.terminal, b.stdin = true, "\n"
	b.want(exitOther, "", "contact", "remove", "ravi")
	if len(b.removed) != 0 {
		t.Fatalf("removed %v without a yes", b.removed)
	}
	b.stdin = "yes\n"
	b.want(exitOK, "", "contact", "remove", "ravi")
	b.want(exitOK, "", "contact", "remove", "zed", "--yes")
	b.want(exitOK, "", "block", "remove", zed[len(zed)-8:])
	if strings.Join(b.removed, ",") != ravi+","+zed+","+zed {
		t.Errorf("removed %v", b.removed)
	}
}

func TestContactChanges(t *testing.T) {
	b := newBench(t)
	says(t, b.want(exitOK, "", "contact", "trust", "ravi"), "Ravi is trusted")
	says(t, b.want(exitOK, "", "contact", "rename", "ravi", "rav"), "Ravi is now called rav.")
	says(t, b.want(exitOK, "", "contact", "add", "parley:c/xyz", "Lee"), "Added Lee")
	if !b.updates[0].GetTrusted() || b.updates[1].Petname == nil || b.updates[1].Trusted != nil {
		t.Errorf("asked %v", b.updates)
	}
}

func TestToken(t *testing.T) {
	b := newBench(t)
	says(t, b.want(exitOK, "secret\n", "token", "create", "bot", "--scope", "messages:read,messages:send"), "Shown once")
	says(t, b.want(exitUsage, "", "token", "create", "bot"), "--scope")
}

func TestCall(t *testing.T) {
	b := newBench(t)
	out, _, code := b.run("api", "call", "IdentityService/GetIdentity")
	if code != exitOK || !strings.HasPrefix(out, `{"account":"`+me) {
		t.Errorf("%d: %s", code, out)
	}
	out, _, code = b.run("api", "call", "parley.api.v1.MessageService/ListMessages", `{"conversation":"x","pageSize":1}`)
	if code != exitOK || !strings.Contains(out, "see you at nine") || strings.Contains(out, "hello") {
		t.Errorf("%d: %s", code, out)
	}
	out, _, code = b.run("api", "call", "EventService/Watch")
	if code != exitNotRunning || !strings.Contains(out, `"greeting":true`) {
		t.Errorf("%d: %s", code, out)
	}
	says(t, b.want(exitNotFound, "", "api", "call", "IdentityService/GetIdentiti"), "did you mean parley.api.v1.IdentityService/GetIdentity?")
	says(t, b.want(exitUsage, "", "api", "call", "IdentityService/GetIdentity", "{"), "not proto JSON")
	out, _, _ = b.run("api", "list")
	if strings.Count(out, "\n") < 30 {
		t.Errorf("lists %s", out)
	}
}

// TestQRLines: reading the half blocks back gives the code.
func TestQRLines(t *testing.T) {
	code, err := qr.Encode("parley:id/"+me, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	lines := qrLines(code.Size, code.Black, true)
	for y := range code.Size {
		row := []rune(lines[(y+quietZone)/2])
		for x := range code.Size {
			r := row[x+quietZone]
			ink := r == '█' || r == '▀' && (y+quietZone)%2 == 0 || r == '▄' && (y+quietZone)%2 == 1
			if ink != code.Black(x, y) {
				t.Fatalf("module %d,%d is wrong", x, y)
			}
		}
	}
	ascii := qrLines(code.Size, code.Black, false)
	if len(ascii) != code.Size+2*quietZone || strings.ContainsFunc(strings.Join(ascii, ""), func(r rune) bool { return r > 0x7e }) {
		t.Errorf("%d lines", len(ascii))
	}
}
