package dm

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

func textContent(text string) *wirev1.Content {
	return &wirev1.Content{
		Version: contentVersion, Salt: make([]byte, saltSize), Conversation: "12D3Koo", AccountKey: make([]byte, 32),
		DeviceKey: make([]byte, 32), ManifestHash: make([]byte, 32), Epoch: 1, Number: 1, Time: 1,
		Body: &wirev1.Content_Text_{Text: &wirev1.Content_Text{Text: text}},
	}
}

func TestParseContent(t *testing.T) {
	id := make([]byte, 32)
	id[0] = 1
	with := func(change func(*wirev1.Content)) *wirev1.Content {
		p := textContent("hello")
		change(p)
		return p
	}
	for name, c := range map[string]struct {
		p       *wirev1.Content
		refusal wirev1.Receipt_Refusal
		ok      bool
		kind    chat.Kind
	}{
		"text":         {textContent("hello"), 0, true, chat.KindText},
		"longest text": {textContent(strings.Repeat("x", chat.MaxText)), 0, true, chat.KindText},
		"too long":     {textContent(strings.Repeat("x", chat.MaxText+1)), wirev1.Receipt_REFUSAL_TOO_LARGE, true, chat.KindText},
		"blank":        {textContent("  "), wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT, true, chat.KindText},
		"newer":        {with(func(p *wirev1.Content) { p.Version = 2 }), wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT, true, 0},
		"no version":   {with(func(p *wirev1.Content) { p.Version = 0 }), wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT, false, 0},
		"no body":      {with(func(p *wirev1.Content) { p.Body = nil }), wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT, true, 0},
		"no salt":      {with(func(p *wirev1.Content) { p.Salt = nil }), 0, false, 0},
		"no number":    {with(func(p *wirev1.Content) { p.Number = 0 }), 0, false, 0},
		"before time":  {with(func(p *wirev1.Content) { p.Time = -1 }), 0, false, 0},
		"short ref":    {with(func(p *wirev1.Content) { p.Refs = [][]byte{{1}} }), 0, false, 0},
		"five refs":    {with(func(p *wirev1.Content) { p.Refs = [][]byte{id, id, id, id, id} }), 0, false, 0},
		"four refs":    {with(func(p *wirev1.Content) { p.Refs = [][]byte{id, id, id, id} }), 0, true, chat.KindText},
		"edit": {with(func(p *wirev1.Content) {
			p.Body = &wirev1.Content_Edit_{Edit: &wirev1.Content_Edit{Target: id, Text: "x"}}
		}), 0, true, chat.KindEdit},
		"edit of nothing": {with(func(p *wirev1.Content) {
			p.Body = &wirev1.Content_Edit_{Edit: &wirev1.Content_Edit{Text: "x"}}
		}), wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT, true, chat.KindEdit},
		"short target": {with(func(p *wirev1.Content) {
			p.Body = &wirev1.Content_Delete_{Delete: &wirev1.Content_Delete{Target: id[:31]}}
		}), 0, false, 0},
		"answer": {with(func(p *wirev1.Content) { p.Body = &wirev1.Content_Answer_{} }), 0, true, 0},
		"many receipts": {with(func(p *wirev1.Content) {
			p.Body = &wirev1.Content_Receipts_{Receipts: &wirev1.Content_Receipts{Receipts: make([][]byte, maxCarried+1)}}
		}), 0, false, 0},
	} {
		got, refusal, ok := parseContent(encode(c.p))
		if ok != c.ok || ok && (refusal != c.refusal || got.kind != c.kind) {
			t.Errorf("%s: ok %v, refusal %v, %+v", name, ok, refusal, got)
		}
	}
}

func TestHasLink(t *testing.T) {
	for text, want := range map[string]bool{
		"see https://example.test":   true,
		"www.example.test":           true,
		"go to example.com now":      true,
		"t.me/joinus":                true,
		"parley:c/abcdef":            true,
		"MAILTO:a@b":                 true,
		"hello, I am Ana. Remember?": false,
		"it was 3.50 and 12:30":      false,
		"one sentence.Another one":   false,
		"да. нет…":                   false,
	} {
		if hasLink(chat.Body(text)) != want {
			t.Errorf("%q: link %v, want %v", text, !want, want)
		}
	}
}

func TestChooseSession(t *testing.T) {
	s := func(id byte, setup int64, ours, answered bool) *ratchet {
		return &ratchet{row: store.SessionRow{ID: []byte{id}, Setup: setup, Ours: ours, Answered: answered}, about: about{sealing: []byte{1}}}
	}
	given := s(1, 9, true, false)
	given.about.sealing = nil
	for name, c := range map[string]struct {
		list []*ratchet
		want byte // 0: none
	}{
		"none":                          {nil, 0},
		"one":                           {[]*ratchet{s(5, 1, true, false)}, 5},
		"two unanswered":                {[]*ratchet{s(5, 9, true, false), s(3, 1, false, false)}, 3},
		"answered and older unanswered": {[]*ratchet{s(5, 9, true, true), s(3, 1, false, false)}, 5},
		"a repair":                      {[]*ratchet{s(1, 5, true, true), s(9, 6, true, false)}, 9},
		"two answered":                  {[]*ratchet{s(1, 5, true, true), s(9, 6, false, true)}, 9},
		"given up":                      {[]*ratchet{given, s(9, 6, true, true)}, 9},
		"only given up":                 {[]*ratchet{given}, 0},
	} {
		for range 2 {
			got := choose(c.list)
			if got == nil && c.want != 0 || got != nil && got.row.ID[0] != c.want {
				t.Errorf("%s: chose %+v, want %d", name, got, c.want)
			}
			slices.Reverse(c.list)
		}
	}
}

func TestSessionRowForms(t *testing.T) {
	a := about{"12D3Koo", []byte{1}, []byte{2, 3}, nil, []byte{4}}
	b := a.marshal()
	got, err := parseAbout(b)
	if err != nil || got.account != a.account || !bytes.Equal(got.deviceKey, a.deviceKey) || !bytes.Equal(got.marshal(), b) {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range b {
		if _, err := parseAbout(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for a row", n, len(b))
		}
	}
	b[0]++
	if _, err := parseAbout(b); err == nil {
		t.Error("a row of another format is read")
	}
	if _, _, err := splitNumber(make([]byte, 7)); err == nil {
		t.Error("a short outbox row is read")
	}
}

func TestOutcomeAgain(t *testing.T) {
	o := Outcome{Blob: [32]byte{1}, Answer: Refused, Message: chat.MessageID{2}, To: "device", Reason: "too_large"}
	value := o.remember()
	fresh := Outcome{Blob: o.Blob}
	if got := fresh.again(value, "device"); got != o {
		t.Errorf("for its device: %+v", got)
	}
	if got := fresh.again(value, ""); got != o {
		t.Errorf("for mail: %+v", got)
	}
	if got := fresh.again(value, "other"); got != (Outcome{Blob: o.Blob, Answer: Invalid}) {
		t.Errorf("for another device: %+v", got)
	}
	for n := range len(value) - len(o.Reason) {
		if got := fresh.again(value[:n], "device"); got.Answer != Invalid {
			t.Errorf("%d bytes: %+v", n, got)
		}
	}
}

func TestBackoffGrowsToItsEnd(t *testing.T) {
	for n := range 100 {
		d, base := backoff(n), lastRetry
		if n < 10 {
			base = min(base, firstRetry<<n)
		}
		if d < base*3/4 || d > base*5/4 {
			t.Errorf("attempt %d waits %s around %s", n, d, base)
		}
	}
	w, now := &wait{}, time.Unix(1000, 0)
	w.failed(waitCooling, true, now, now.Add(time.Hour))
	if !w.next.Equal(now.Add(time.Hour)) || w.attempts != 1 {
		t.Errorf("%+v", w)
	}
}

// FuzzContent: no bytes panic, and what is kept holds the limits.
func FuzzContent(f *testing.F) {
	f.Add(encode(textContent("hello")))
	f.Add(encode(&wirev1.Content{Version: 1, Body: &wirev1.Content_Answer_{}}))
	f.Add([]byte{0x5a, 0x02, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, refusal, ok := parseContent(b)
		if !ok {
			return
		}
		if c.id != chat.NewMessageID(b) || !bytes.Equal(c.bytes, b) {
			t.Fatal("the id is not the hash of the bytes as received")
		}
		if refusal != 0 {
			return
		}
		if len(c.text) > chat.MaxText || len(c.wire.Refs) > maxRefs || c.kind > chat.KindReaction {
			t.Fatalf("beyond the limits: %+v", c)
		}
		if c.kind != 0 && checkText(c.kind, c.text, c.target) != nil {
			t.Fatal("kept a text that we would not send")
		}
	})
}

// FuzzReceipt: no bytes panic, and nothing verifies by chance.
func FuzzReceipt(f *testing.F) {
	w := newWorld(f)
	ana, bo := w.join("ana"), w.join("bo")
	good := bo.signs(ana, chat.MessageID{1})
	f.Add(good)
	f.Add([]byte{})
	f.Cleanup(w.end)
	from, now := bo.keys.Device(), time.Now()
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ana.openReceipt(b, from, now)
		if err == nil && (len(r.ids) == 0 || !bytes.Equal(b, good)) {
			t.Fatalf("forged: %x", b)
		}
	})
}
