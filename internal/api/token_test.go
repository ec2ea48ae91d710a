package api_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/store"
)

func TestTokens(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	ctx := t.Context()
	for _, bad := range [][]string{nil, {"everything"}, {"page"}, {"messages:send:"}, {"messages:send:people/x"}} {
		if _, err := n.local.Admin.CreateToken(ctx, &apiv1.CreateTokenRequest{Name: "bot", Scopes: bad}); !isReason(err, "INVALID") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, hours := range []uint32{8761, 9000, 5_124_096, math.MaxUint32} {
		if _, err := n.local.Admin.CreateToken(ctx, &apiv1.CreateTokenRequest{Name: "bot", Scopes: []string{"messages:read"}, ValidHours: hours}); !isReason(err, "INVALID") {
			t.Errorf("%d hours: %v", hours, err)
		}
	}
	made, err := n.local.Admin.CreateToken(ctx, &apiv1.CreateTokenRequest{Name: "bot", Scopes: []string{"messages:send:people/" + string(stranger)}})
	if err != nil {
		t.Fatal(err)
	}
	bot, err := client.Dial(ctx, client.Options{Address: n.address, Token: made.Token})
	if err != nil {
		t.Fatal(err)
	}
	defer bot.Close()
	if _, err := bot.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: string(stranger), Text: "x"}); err != nil {
		t.Errorf("to its one conversation: %v", err)
	}
	m := n.incoming("hello")
	for name, call := range map[string]func() error{
		"to another": func() error {
			_, err := bot.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: n.account(), Text: "x"})
			return err
		},
		"reading": func() error {
			_, err := bot.Messages.GetMessage(ctx, &apiv1.GetMessageRequest{Id: m.ID.String()})
			return err
		},
		"the phrase": func() error { _, err := bot.Identity.GetPhrase(ctx, &apiv1.GetPhraseRequest{}); return err },
		"stopping":   func() error { _, err := bot.Node.Stop(ctx, &apiv1.StopRequest{}); return err },
		"more tokens": func() error {
			_, err := bot.Admin.CreateToken(ctx, &apiv1.CreateTokenRequest{Name: "x", Scopes: []string{"messages:read"}})
			return err
		},
	} {
		if err := call(); !isReason(err, "SCOPE") {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := n.local.Admin.ListTokens(ctx, &apiv1.ListTokensRequest{})
	if err != nil || len(list.Tokens) != 1 || list.Tokens[0].Id != made.Id || list.Tokens[0].Name != "bot" {
		t.Errorf("tokens = %v, %v", list, err)
	}
	if err := n.db.Read(ctx, func(tx *store.Tx) error {
		tokens, err := tx.Tokens()
		if len(tokens) != 1 || strings.Contains(string(tokens[0].Hash[:]), made.Token) {
			t.Errorf("stored %v", tokens)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.local.Admin.DeleteToken(ctx, &apiv1.DeleteTokenRequest{Id: made.Id[:6]}); err != nil {
		t.Fatal(err)
	}
	if _, err := bot.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: string(stranger), Text: "x"}); !isReason(err, "UNAUTHENTICATED") {
		t.Errorf("after its end: %v", err)
	}
	if _, err := n.local.Admin.DeleteToken(ctx, &apiv1.DeleteTokenRequest{Id: made.Id}); !isReason(err, "NOT_FOUND") {
		t.Errorf("a second end: %v", err)
	}
}

// TestTokensLeaveRoomForLogins: apps and browsers have a number each.
func TestTokensLeaveRoomForLogins(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	for range chat.MaxTokens {
		n.token("messages:read")
	}
	if _, err := n.local.Admin.CreateToken(t.Context(), &apiv1.CreateTokenRequest{Name: "x", Scopes: []string{"messages:read"}}); !isReason(err, "INVALID") {
		t.Errorf("a token too many: %v", err)
	}
	const logins = 3
	for i := range logins {
		created, err := n.local.Admin.CreateLogin(t.Context(), &apiv1.CreateLoginRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, code, _ := strings.Cut(created.Url, "#login=")
		w := n.post("/login", `{"code":"`+code+`"}`, "http://"+n.address)
		if w.Code != http.StatusOK {
			t.Fatalf("login %d: %d", i+1, w.Code)
		}
	}
	list, err := n.local.Admin.ListTokens(t.Context(), &apiv1.ListTokensRequest{})
	if err != nil || len(list.Tokens) != chat.MaxTokens+logins {
		t.Errorf("%d tokens and logins are kept, %v", len(list.GetTokens()), err)
	}
}

// TestLogin: the cookie's marks, and each way in that must stay shut.
func TestLogin(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	created, err := n.local.Admin.CreateLogin(t.Context(), &apiv1.CreateLoginRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(created.Url, "#login=")
	own, body := "http://"+n.address, `{"code":"`+code+`"}`
	for name, w := range map[string]*httptest.ResponseRecorder{
		"foreign origin": n.post("/login", body, "https://evil.example"),
		"no origin":      n.post("/login", body, ""),
		"wrong code":     n.post("/login", `{"code":"x"}`, own),
		"no JSON":        n.post("/login", "code="+code, own),
	} {
		if w.Code == http.StatusOK || w.Body.Len() > 0 || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	w := n.post("/login", body, own)
	if w.Code != http.StatusOK {
		t.Fatalf("login: %d", w.Code)
	}
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || len(c.Value) < 43 {
		t.Errorf("cookie = %v", c)
	}
	if w := n.post("/login", body, own); w.Code != http.StatusUnauthorized {
		t.Errorf("the code opens twice: %d", w.Code)
	}
	page := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, own+"/", nil)
	n.server.Handler().ServeHTTP(page, r)
	csp := page.Header().Get("Content-Security-Policy")
	if page.Code != http.StatusOK || page.Body.String() != "the page" || !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'") {
		t.Errorf("page: %d %v", page.Code, page.Header())
	}
	if strings.Contains(n.logs.String(), code) || strings.Contains(n.logs.String(), c.Value) {
		t.Error("a secret is in the log")
	}
}
