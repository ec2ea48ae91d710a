package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "parley/gen/parley/api/v1"
)

func TestRead(t *testing.T) {
	b := newBench(t)
	const plain = `aaaa1111 2026-11-23 14:02 < Maya: hello
         15:00 You: I agree[31m
bbbb2222 2026-11-23 14:03 * You: see you at nine
`
	b.want(exitOK, plain, "read", "maya")
	if len(b.marked) != 0 {
		t.Error("a pipe must not mark as read")
	}
	b.want(exitOK, plain, "read", "maya", "--mark")
	b.terminal = true
	b.want(exitOK, `-- Mon 23 Nov 2026 --
aaaa1111 14:02   Maya: hello
         15:00 You: I agree[31m
bbbb2222 14:03 ● You: see you at nine
`, "read", "maya")
	if strings.Join(b.marked, ",") != other+","+other {
		t.Errorf("marked %v", b.marked)
	}
}

func TestReadJoinsPages(t *testing.T) {
	b := newBench(t)
	b.messages = nil
	for i, text := range []string{"a", "b", "c", "d", "e"} {
		b.messages = append(b.messages, &apiv1.Message{Id: strings.Repeat(text, 64), AuthorName: "Maya", Text: text, Time: timestamppb.New(monday.Add(time.Duration(i) * time.Minute))})
	}
	for n, want := range map[string]string{"5": "abcde", "9": "abcde", "4": "bcde", "3": "cde", "1": "e", "0": ""} {
		out, _, _ := b.run("read", "maya", "-n", n)
		got := ""
		for line := range strings.Lines(out) {
			got += strings.TrimSpace(line)[len(strings.TrimSpace(line))-1:]
		}
		if got != want {
			t.Errorf("-n %s shows %q, want %q", n, got, want)
		}
	}
}

// TestReadFollows: what is listed and also comes live is shown once; the end
// of the stream is the end of the node.
func TestReadFollows(t *testing.T) {
	b := newBench(t)
	third := &apiv1.Message{Id: strings.Repeat("c", 64), AuthorName: "Maya", Time: timestamppb.New(monday.Add(2 * time.Minute)), Text: "late"}
	for i, m := range []*apiv1.Message{b.messages[1], third} {
		b.live = append(b.live, &apiv1.Event{Cursor: string(rune('1' + i)), What: &apiv1.Event_MessageAdded{MessageAdded: m}})
	}
	stderr := b.want(exitNotRunning, "bbbb2222 2026-11-23 14:03 * You: see you at nine\ncccccccc 2026-11-23 14:04 < Maya: late\n", "read", "maya", "-n", "1", "--follow")
	says(t, stderr, "node stopped", "restart it with `parley up`")
	out, _, _ := b.run("read", "maya", "-n", "1", "--follow", "--json")
	var texts []string
	for line := range strings.Lines(out) {
		var e struct {
			MessageAdded struct{ Text string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		texts = append(texts, e.MessageAdded.Text)
	}
	if strings.Join(texts, ",") != "see you at nine,late" {
		t.Errorf("got %v", texts)
	}
}

func TestWatch(t *testing.T) {
	b := newBench(t)
	b.cooling = []*apiv1.Cooling{{Conversation: peoplePrefix + maya, RetryAfter: durationpb.New(12 * time.Second)}}
	changed := &apiv1.Message{Id: other, Own: true, Delivery: apiv1.Delivery_DELIVERY_READ, DeliveryText: "Read by Maya"}
	b.live = []*apiv1.Event{
		{Cursor: "1", What: &apiv1.Event_MessageAdded{MessageAdded: b.messages[1]}},
		{Cursor: "2", What: &apiv1.Event_MessageChanged{MessageChanged: changed}},
		{Cursor: "3", What: &apiv1.Event_ContactChanged{ContactChanged: b.contacts[2]}},
		{Cursor: "4"}, // newer than this program
	}
	stderr := b.want(exitNotRunning, "bbbb2222 2026-11-23 14:03 * to Maya You: see you at nine\nbbbb2222 = Read by Maya\nzed asks for contact: parley contact accept "+zed+"\n", "watch")
	says(t, stderr, "5 people, direct", "Goes out in 12 s")
	out, stderr, _ := b.run("watch", "--json")
	if strings.Count(out, "\n") != 4 || !strings.HasPrefix(out, `{"cursor":"1","messageAdded":{`) || strings.Contains(stderr, "people") {
		t.Errorf("got %s%s", out, stderr)
	}
}

func TestLists(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, `NAME         NEW   LAST
Maya         2     14:02  hello 15:00 You: I agree[31m
Z[2Jed root  asks
`, "conversations")
	b.want(exitOK, "NAME  STATE               ID\nMaya  connected, trusted  "+maya+"\nRavi  -                   "+ravi+"\n", "contact")
	b.want(exitOK, "NAME  STATE             ID\nzed   asks for contact  "+zed+"\n", "contact", "list", "--requests")
	b.want(exitOK, "NAME  ID\n-     "+zed+"\n", "block")
	b.want(exitOK, "NAME  DEVICE                                                WAY   RTT    SINCE\nMaya  "+maya+"  quic  38 ms  14:02\n", "net", "peers")
	b.want(exitOK, "aaaa1111 2026-11-23 14:02 < Maya: hello\n         15:00 You: I agree[31m\n", "search", "hello")
}

func TestStatus(t *testing.T) {
	b := newBench(t)
	b.status = &apiv1.GetStatusResponse{
		Version: "1.0", Account: me, Device: me, DisplayName: "Sam", Pulse: &apiv1.Pulse{Text: "5 of 7 people, direct"},
		Started: timestamppb.New(monday), Page: "http://127.0.0.1:4717", Connections: 5, DhtPeers: 41, Reachability: "private", DataFolder: "/d", DiskBytes: 3 << 20, KeyInFile: true,
	}
	b.terminal = true
	stderr := b.want(exitOK, `5 of 7 people, direct
You      Sam, …SelfSel9
Device   …SelfSel9
Network  5 connections, 41 in the routing table, reachable: private
Waiting  0 messages not delivered yet
Page     http://127.0.0.1:4717
Data     /d, 3.0 MiB
Version  1.0, up 1 h 0 min
`, "status")
	if stderr != "" {
		t.Errorf("status says %q: the doctor warns", stderr)
	}
	b.status.Connections, b.status.Queued, b.status.Listen = 1, 1, []string{"/a", "/b", "/c", "/d"}
	out, _, _ := b.run("status")
	says(t, out, "1 connection,", "1 message not delivered yet", "and 2 more: parley net status")
	if strings.Contains(out, "/c") {
		t.Errorf("status lists a third address:\n%s", out)
	}
	b.status.Connections, b.status.Queued = 5, 0
	out, _, _ = b.run("status", "--json")
	says(t, out, `"connections":5`, `"queued":0`, `"diskBytes":"3145728"`)
}

// TestJSONIsSafeAndOneLine: even JSON holds nothing a terminal acts on, and
// says the same after decoding.
func TestJSONIsSafeAndOneLine(t *testing.T) {
	b := newBench(t)
	b.messages[0].Text = "a\u202eb\u009b31m\n\u2028é"
	out, _, _ := b.run("read", "maya", "--json")
	if strings.Count(out, "\n") != 1 || !plain(out) {
		t.Errorf("got %q", out)
	}
	var res struct{ Messages []struct{ Text string } }
	if err := json.Unmarshal([]byte(out), &res); err != nil || res.Messages[0].Text != b.messages[0].Text {
		t.Errorf("decodes to %q, %v", res.Messages, err)
	}
}

func TestWhy(t *testing.T) {
	b := newBench(t)
	b.explained = &apiv1.ExplainMessageResponse{
		Message: b.messages[1], Summary: "One of two devices has it.",
		Devices: []*apiv1.DeviceDelivery{
			{Device: maya, Delivery: apiv1.Delivery_DELIVERY_DELIVERED, Time: timestamppb.New(monday), Receipt: make([]byte, 70)},
			{Device: ravi, Delivery: apiv1.Delivery_DELIVERY_QUEUED, NextTry: timestamppb.New(monday.Add(time.Hour + 12*time.Second)), Attempts: 3, Text: "none of its addresses answers"},
		},
	}
	b.want(exitOK, `bbbb2222 * Delivered
One of two devices has it.
DEVICE     STATE      SINCE             PROOF             NEXT TRY
…MayaMay1  delivered  2026-11-23 14:02  signed, 70 bytes  -                        -
…RaviRav2  queued     -                 none              in 12 s (after 3 tries)  none of its addresses answers
`, "why", "bbbb")
	b.want(exitNotFound, "", "why", "ffff")
}

func TestDoctor(t *testing.T) {
	b := newBench(t)
	b.doctor = &apiv1.DoctorResponse{Checks: []*apiv1.Check{
		{Name: "port", Result: apiv1.Check_RESULT_OK, Text: "4717"},
		{Name: "clock", Result: apiv1.Check_RESULT_PROBLEM, Text: "9 min off", Fix: "set it"},
	}}
	stderr := b.want(exitOther, "ok       port   4717\nproblem  clock  9 min off\n                fix: set it\n", "doctor")
	says(t, stderr, "1 of 2 checks found a problem")
}

func TestNetFind(t *testing.T) {
	b := newBench(t)
	b.found = &apiv1.FindPeerResponse{Text: "nobody has a record of Maya"}
	_, stderr, code := b.run("net", "find", "maya")
	if code != exitNotFound {
		t.Errorf("ended with %d", code)
	}
	says(t, stderr, "nobody has a record of Maya", "parley id link")
	b.found = &apiv1.FindPeerResponse{Devices: []*apiv1.FoundDevice{{Device: maya, Addresses: []string{"/ip4/127.0.0.1/tcp/1"}, Source: "dht", Failure: "refused", Took: durationpb.New(20 * time.Millisecond)}}}
	b.want(exitOK, maya+"  no connection: refused (dht, 20ms)\n  /ip4/127.0.0.1/tcp/1\n", "net", "find", "maya")
}

func TestGlyphs(t *testing.T) {
	for d := range apiv1.Delivery_name {
		word := stateWord(apiv1.Delivery(d))
		g, ok := glyphs[apiv1.Delivery(d)]
		if d != 0 && (!ok || g.unicode == "" || len(g.ascii) != 1 || g.words == "") {
			t.Errorf("%s has no glyph", word)
		}
	}
	if newer := apiv1.Delivery(99); stateWord(newer) != "state-99" && stateWord(newer) != "99" || (look{}).glyph(newer) != "." {
		t.Errorf("a newer state is %q", stateWord(newer))
	}
}

func TestLook(t *testing.T) {
	for _, c := range []struct {
		env            map[string]string
		tty            bool
		color, unicode bool
	}{
		{map[string]string{"LANG": "en_US.UTF-8"}, true, true, true},
		{map[string]string{"LANG": "en_US.UTF-8"}, false, false, false},
		{map[string]string{"LANG": "C", "LC_ALL": ""}, true, true, false},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, true, true, false},
		{map[string]string{"NO_COLOR": "1", "CLICOLOR_FORCE": "1", "LANG": "C.utf8"}, true, false, true},
		{map[string]string{"CLICOLOR_FORCE": "1", "LANG": "C"}, false, true, false},
		{map[string]string{"CLICOLOR_FORCE": "0", "LANG": "C"}, false, false, false},
		{map[string]string{"TERM": "dumb", "LANG": "C"}, true, false, false},
	} {
		l := newLook(c.tty, func(k string) string { return c.env[k] })
		if l.color != c.color || l.unicode != c.unicode {
			t.Errorf("%v on a terminal %v: %+v", c.env, c.tty, l)
		}
	}
	if got := (look{color: true}).paint(bold, "x"); got != "\x1b[1mx\x1b[0m" {
		t.Errorf("painted %q", got)
	}
}
