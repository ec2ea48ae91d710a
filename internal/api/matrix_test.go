package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/store"
)

const secretText = "the heron is in the reeds"

// session is a page's login.
type session struct{ cookie, csrf string }

// login walks the page's way in.
func (n *node) login() session {
	n.t.Helper()
	res, err := n.local.Admin.CreateLogin(n.t.Context(), &apiv1.CreateLoginRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	u, err := url.Parse(res.Url)
	if err != nil || u.Host != n.address || u.RawQuery != "" {
		n.t.Fatalf("login address %q, %v", res.Url, err)
	}
	w := n.post("/login", `{"code":"`+strings.TrimPrefix(u.Fragment, "login=")+`"}`, "http://"+n.address)
	if w.Code != http.StatusOK || len(w.Result().Cookies()) != 1 {
		n.t.Fatalf("login: %d %s", w.Code, w.Body)
	}
	var body struct{ CSRF string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.CSRF == "" {
		n.t.Fatalf("login body %s, %v", w.Body, err)
	}
	c := w.Result().Cookies()[0]
	return session{cookie: c.Name + "=" + c.Value, csrf: body.CSRF}
}

func (n *node) post(path, body, origin string) *httptest.ResponseRecorder {
	n.t.Helper()
	r := httptest.NewRequestWithContext(n.t.Context(), http.MethodPost, "http://"+n.address+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	w := httptest.NewRecorder()
	n.server.Handler().ServeHTTP(w, r)
	return w
}

// oneAnswer ends the request at the first byte of a body: streams would go on.
type oneAnswer struct {
	*httptest.ResponseRecorder
	stop context.CancelFunc
}

func (o oneAnswer) Write(b []byte) (int, error) {
	defer o.stop()
	return o.ResponseRecorder.Write(b)
}

func (o oneAnswer) Flush() {}

// effects counts what callers can change, as the log tells it from cursor on.
// How the courier fares with messages that were sent is not a caller's doing.
type effects struct {
	n     *node
	at    chat.Cursor
	count int
}

func (e *effects) now() int {
	e.n.t.Helper()
	err := e.n.db.Read(e.n.t.Context(), func(tx *store.Tx) error {
		for e.at.Epoch == 0 || e.at.Seq < tx.Head().Seq {
			e.at.Epoch = e.n.db.Epoch()
			rows, next, err := tx.Follow(e.at, chat.WatchBatch)
			if err != nil {
				return err
			}
			for _, r := range rows {
				if r.Kind != store.LogMessageChanged && r.Kind != store.LogOutbox {
					e.count++
				}
			}
			e.at = next
		}
		return nil
	})
	if err != nil {
		e.n.t.Fatal(err)
	}
	return e.count
}

// TestMatrix crosses calls with hosts, origins, credentials and content types:
// nothing is said and nothing changes unless all of them are right.
func TestMatrix(t *testing.T) {
	n := newNode(t, newWorld(), "Ana "+"Heron")
	n.incoming(secretText)
	conv := string(chat.PrivateConversation(stranger))
	page := n.login()
	full := n.token("messages:read", "messages:send", "events:read", "people:read")
	handler := n.server.Handler()
	_, port, _ := strings.Cut(n.address, ":")

	calls := []struct {
		name, verb, path, body string
		bearer                 bool // a token may, with its scope
	}{
		{"send", "POST", "MessageService/SendMessage", `{"conversation":"` + conv + `","text":"hello"}`, true},
		{"list", "POST", "MessageService/ListMessages", `{"conversation":"` + conv + `"}`, true},
		{"watch", "POST", "EventService/Watch", `{}`, true},
		{"rename", "POST", "IdentityService/SetProfile", `{"readReceipts":true}`, false},
		{"phrase", "POST", "IdentityService/GetPhrase", `{}`, false},
		{"get", "GET", "MessageService/ListMessages?connect=v1&encoding=json&message=" + url.QueryEscape(`{"conversation":"`+conv+`"}`), "", true},
		{"put", "PUT", "MessageService/SendMessage", `{"conversation":"` + conv + `","text":"hello"}`, true},
	}
	hosts := []struct {
		host string
		ok   bool
	}{
		{n.address, true},
		{"localhost:" + port, true},
		{"127.0.0.1", false},
		{"evil.example:" + port, false},
		{"127.0.0.1:1", false},
		{"", false},
	}
	origins := []struct {
		name string
		set  func(h http.Header, host string)
		own  bool // a page's
		none bool
	}{
		{"own", func(h http.Header, host string) { h.Set("Origin", "http://"+host) }, true, false},
		{"own, same-origin", func(h http.Header, host string) {
			h.Set("Origin", "http://"+host)
			h.Set("Sec-Fetch-Site", "same-origin")
		}, true, false},
		{"none", func(http.Header, string) {}, false, true},
		{"null", func(h http.Header, _ string) { h.Set("Origin", "null") }, false, false},
		{"foreign", func(h http.Header, _ string) { h.Set("Origin", "https://evil.example") }, false, false},
		{"other port", func(h http.Header, _ string) { h.Set("Origin", "http://127.0.0.1:8080") }, false, false},
		{"https", func(h http.Header, host string) { h.Set("Origin", "https://"+host) }, false, false},
		{"two", func(h http.Header, host string) { h["Origin"] = []string{"http://" + host, "https://evil.example"} }, false, false},
		{"own, cross-site", func(h http.Header, host string) {
			h.Set("Origin", "http://"+host)
			h.Set("Sec-Fetch-Site", "cross-site")
		}, false, false},
		{"own, same-site", func(h http.Header, host string) {
			h.Set("Origin", "http://"+host)
			h.Set("Sec-Fetch-Site", "same-site")
		}, false, false},
	}
	credentials := []struct {
		name         string
		set          func(h http.Header)
		page, bearer bool
	}{
		{"page", func(h http.Header) { h.Set("Cookie", page.cookie); h.Set("X-Parley-CSRF", page.csrf) }, true, false},
		{"token", func(h http.Header) { h.Set("Authorization", "Bearer "+full) }, false, true},
		{"cookie alone", func(h http.Header) { h.Set("Cookie", page.cookie) }, false, false},
		{"second secret alone", func(h http.Header) { h.Set("X-Parley-CSRF", page.csrf) }, false, false},
		{"wrong second secret", func(h http.Header) { h.Set("Cookie", page.cookie); h.Set("X-Parley-CSRF", page.csrf+"x") }, false, false},
		{"wrong token", func(h http.Header) { h.Set("Authorization", "Bearer "+full[:len(full)-1]) }, false, false},
		{"cookie as token", func(h http.Header) { h.Set("Authorization", "Bearer "+page.cookie) }, false, false},
		{"token beside page", func(h http.Header) {
			h.Set("Authorization", "Basic "+full)
			h.Set("Cookie", page.cookie)
			h.Set("X-Parley-CSRF", page.csrf)
		}, false, false},
		{"none", func(http.Header) {}, false, false},
	}
	types := []struct {
		kind string
		ok   bool
	}{
		{"application/json", true},
		{"text/plain", false},
		{"application/x-www-form-urlencoded", false},
		{"multipart/form-data; boundary=x", false},
		{"", false},
	}

	seen := &effects{n: n}
	cases, allowed := 0, 0
	for _, call := range calls {
		for _, host := range hosts {
			for _, origin := range origins {
				for _, cred := range credentials {
					for _, kind := range types {
						cases++
						right := call.verb == "POST" && host.ok && kind.ok &&
							(cred.page && origin.own || cred.bearer && call.bearer && (origin.own || origin.none))
						body := []byte(call.body)
						ctype := kind.kind
						if call.name == "watch" {
							body = append([]byte{0, 0, 0, 0, byte(len(body))}, body...)
							if ctype == "application/json" {
								ctype = "application/connect+json"
							}
						}
						ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
						r := httptest.NewRequestWithContext(ctx, call.verb, "/parley.api.v1."+call.path, bytes.NewReader(body))
						r.Host = host.host
						origin.set(r.Header, host.host)
						cred.set(r.Header)
						if ctype != "" {
							r.Header.Set("Content-Type", ctype)
						}
						before := seen.now()
						w := oneAnswer{httptest.NewRecorder(), stop}
						handler.ServeHTTP(w, r)
						stop()
						after, answer := seen.now(), w.Body.String()
						label := call.name + " | " + host.host + " | " + origin.name + " | " + cred.name + " | " + kind.kind
						for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin"} {
							if w.Header().Get(name) != value {
								t.Fatalf("%s: %s is %q", label, name, w.Header().Get(name))
							}
						}
						if w.Header().Get("Access-Control-Allow-Origin") != "" {
							t.Fatalf("%s: a CORS header", label)
						}
						if right {
							allowed++
							if (call.name == "send") != (before != after) && call.name != "rename" {
								t.Fatalf("%s: %d changes", label, after-before)
							}
							if w.Code != http.StatusOK || answer == "" {
								t.Fatalf("%s: refused with %d %s", label, w.Code, answer)
							}
							continue
						}
						if before != after {
							t.Fatalf("%s: changed the store", label)
						}
						refused := w.Code != http.StatusOK || strings.Contains(answer, `{"error":`) // a stream's end
						if !refused || strings.Contains(answer, "heron") || strings.Contains(answer, "Heron") || strings.Contains(answer, "cursor") || len(strings.Fields(answer)) > 40 {
							t.Fatalf("%s: answered %d %s", label, w.Code, answer)
						}
						if !host.ok && (w.Code != http.StatusMisdirectedRequest || answer != "") {
							t.Fatalf("%s: answered %d %q, want an empty 421", label, w.Code, answer)
						}
					}
				}
			}
		}
	}
	t.Logf("%d combinations, %d right", cases, allowed)
	if cases < 300 || allowed == 0 {
		t.Errorf("%d combinations, %d right", cases, allowed)
	}
}
