package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parley/internal/chat"
)

// with calls a method with a token.
func (n *node) with(token, method, body string) *httptest.ResponseRecorder {
	n.t.Helper()
	r := httptest.NewRequestWithContext(n.t.Context(), http.MethodPost, "http://"+n.address+"/parley.api.v1."+method, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	n.server.Handler().ServeHTTP(w, r)
	return w
}

// TestWritersDoNotRead: a token that may write and not read learns nothing of
// what was said, by whom, or whom its owner knows, from any answer.
func TestWritersDoNotRead(t *testing.T) {
	w := newWorld()
	ana, bo := newNode(t, w, "ana"), newNode(t, w, "bo")
	befriend(t, ana, bo)
	theirs := ana.incoming("my bank code is 4711").ID.String()
	all, narrow, both := ana.token("messages:send"), ana.token("messages:send:people/"+bo.account()), ana.token("messages:send", "messages:read")
	nothing := chat.MessageID{1}.String()

	write := func(token, method, body string, want int) string {
		t.Helper()
		res := ana.with(token, "MessageService/"+method, body)
		if res.Code != want {
			t.Errorf("%s %s: %d %s, want %d", method, body, res.Code, res.Body, want)
		}
		if token != both && strings.Contains(res.Body.String(), "4711") {
			t.Errorf("%s tells what was said: %s", method, res.Body)
		}
		return res.Body.String()
	}
	write(all, "React", `{"id":"`+theirs+`","emoji":"x"}`, http.StatusOK)
	write(all, "React", `{"id":"`+theirs[:8]+`","emoji":"x"}`, http.StatusBadRequest)
	write(all, "DeleteMessage", `{"id":"`+theirs[:8]+`"}`, http.StatusBadRequest)
	write(all, "SendMessage", `{"conversation":"bo","text":"x"}`, http.StatusBadRequest)

	// A message of another conversation, and none at all, are the same.
	for _, c := range []struct{ method, body string }{
		{"React", `{"id":"%s","emoji":"x"}`},
		{"DeleteMessage", `{"id":"%s"}`},
		{"DeleteMessage", `{"id":"%s","validateOnly":true}`},
		{"ResendMessage", `{"id":"%s"}`},
		{"EditMessage", `{"id":"%s","text":"x"}`},
		{"SendMessage", `{"conversation":"people/` + bo.account() + `","text":"x","replyTo":"%s"}`},
		{"MarkRead", `{"conversation":"people/` + bo.account() + `","message":"%s"}`},
	} {
		foreign := write(narrow, c.method, fmt.Sprintf(c.body, theirs), http.StatusNotFound)
		if none := write(narrow, c.method, fmt.Sprintf(c.body, nothing), http.StatusNotFound); none != foreign {
			t.Errorf("%s tells whether there is a message: %s and %s", c.method, foreign, none)
		}
	}

	// What such a token wrote it can follow.
	var sent struct {
		Message struct{ ID, Delivery, Text string }
	}
	body := write(narrow, "SendMessage", `{"conversation":"people/`+bo.account()+`","text":"good morning"}`, http.StatusOK)
	if err := json.Unmarshal([]byte(body), &sent); err != nil || len(sent.Message.ID) != 64 || sent.Message.Delivery == "" {
		t.Fatalf("sent %s, %v", body, err)
	}
	body = write(all, "EditMessage", `{"id":"`+sent.Message.ID+`","text":"good evening"}`, http.StatusOK)
	if strings.Contains(body, "good") {
		t.Errorf("an answer carries text: %s", body)
	}
	if body := write(both, "React", `{"id":"`+theirs[:8]+`","emoji":"y"}`, http.StatusOK); !strings.Contains(body, "4711") {
		t.Errorf("who may read gets %s", body)
	}
}
