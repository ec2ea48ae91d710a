package api_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/store"
)

func TestNamesAreNeverGuessed(t *testing.T) {
	w := newWorld()
	n, other := newNode(t, w, "Ana"), newNode(t, w, "Bo")
	ctx := t.Context()
	send := func(to string) (*apiv1.SendMessageResponse, error) {
		return n.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: to, Text: "hello"})
	}
	for _, who := range []string{string(stranger), other.account()} {
		if _, err := n.local.People.AddContact(ctx, &apiv1.AddContactRequest{Who: who, Petname: "Maya"}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := send("maya")
	f, _ := client.FaultOf(err)
	if f.Reason != "AMBIGUOUS" || !slices.Contains(f.Candidates, string(stranger)) || !slices.Contains(f.Candidates, other.account()) {
		t.Errorf("ambiguous: %v", err)
	}
	if _, err := n.local.People.UpdateContact(ctx, &apiv1.UpdateContactRequest{Account: other.account(), Petname: proto.String("Maya K"), Verified: proto.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{
		"MAYA":                       string(stranger),
		" maya k ":                   other.account(),
		string(stranger):             string(stranger),
		"people/" + other.account():  other.account(),
		"people/" + string(stranger): string(stranger),
	} {
		if res, err := send(to); err != nil || res.Message.Conversation != "people/"+want {
			t.Errorf("%q: %v, %v", to, res, err)
		}
	}
	for to, reason := range map[string]string{
		"":                          "INVALID",
		"nobody":                    "NOT_FOUND",
		"rooms/lobby":               "NOT_FOUND",
		"#lobby":                    "NOT_FOUND",
		"people/":                   "INVALID",
		"people/maya":               "INVALID",
		string(stranger[:51]):       "INVALID",
		string(stranger[:51]) + "1": "INVALID",
	} {
		if _, err := send(to); !isReason(err, reason) {
			t.Errorf("%q: %v, want %s", to, err, reason)
		}
	}
	if _, err := n.local.Messages.GetMessage(ctx, &apiv1.GetMessageRequest{Id: "abc"}); !isReason(err, "INVALID") {
		t.Errorf("short id: %v", err)
	}
	if _, err := n.local.Messages.GetMessage(ctx, &apiv1.GetMessageRequest{Id: strings.Repeat("0", 64)}); !isReason(err, "NOT_FOUND") {
		t.Errorf("unknown id: %v", err)
	}
	// The waiting message names the person.
	list, err := n.local.Messages.ListMessages(ctx, &apiv1.ListMessagesRequest{Conversation: string(stranger)})
	if err != nil || len(list.Messages) == 0 || !strings.HasPrefix(list.Messages[0].DeliveryText, "No record of Maya") && list.Messages[0].DeliveryText != "Waiting for someone to connect" {
		t.Errorf("waiting: %v, %v", list, err)
	}
}

func TestPeople(t *testing.T) {
	w := newWorld()
	n, bo := newNode(t, w, "Ana"), newNode(t, w, "Bo")
	ctx := t.Context()
	for who, words := range map[string]string{
		"":                                   "not for Parley",
		"12D3KooWhello":                      "character 11",
		"https://example.org":                "not for Parley",
		"parley:c/AAAA":                      "",
		n.account():                          "your own account",
		"parley:id/" + n.account():           "your own account",
		"parley:id/" + string(stranger[:50]): "",
	} {
		_, err := n.local.People.AddContact(ctx, &apiv1.AddContactRequest{Who: who})
		f, _ := client.FaultOf(err)
		if f.Reason != "INVALID" || words != "" && !strings.Contains(f.Message, words) {
			t.Errorf("%q: %v", who, err)
		}
	}
	id := uuid()
	for range 2 {
		res, err := n.local.People.AddContact(ctx, &apiv1.AddContactRequest{Who: "parley:id/" + bo.account(), RequestId: id})
		if err != nil || res.Contact.Account != bo.account() {
			t.Fatalf("added %v, %v", res, err)
		}
	}
	// A stranger asks, and is declined.
	if err := n.db.Write(ctx, func(tx *store.Tx) error {
		return tx.PutContact(store.Contact{Account: stranger, State: store.ContactRequest})
	}); err != nil {
		t.Fatal(err)
	}
	asks, err := n.local.People.ListContacts(ctx, &apiv1.ListContactsRequest{Requests: true})
	if err != nil || len(asks.Contacts) != 1 || asks.Contacts[0].Account != string(stranger) {
		t.Errorf("requests = %v, %v", asks, err)
	}
	if _, err := n.local.People.RemoveContact(ctx, &apiv1.RemoveContactRequest{Account: string(stranger), ValidateOnly: true}); err != nil {
		t.Error(err)
	}
	for want := range 2 {
		_, err := n.local.People.RemoveContact(ctx, &apiv1.RemoveContactRequest{Account: string(stranger)})
		if (err != nil) != (want == 1) || err != nil && !isReason(err, "NOT_FOUND") {
			t.Errorf("removal %d: %v", want+1, err)
		}
	}
	all, err := n.local.People.ListContacts(ctx, &apiv1.ListContactsRequest{})
	if err != nil || len(all.Contacts) != 1 {
		t.Errorf("contacts = %v, %v", all, err)
	}
	if _, err := n.local.People.Block(ctx, &apiv1.BlockRequest{Account: bo.account()}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: bo.account(), Text: "x"}); !isReason(err, "BLOCKED") {
		t.Errorf("to somebody blocked: %v", err)
	}
	blocks, err := n.local.People.ListBlocks(ctx, &apiv1.ListBlocksRequest{})
	if err != nil || len(blocks.Accounts) != 1 {
		t.Errorf("blocks = %v, %v", blocks, err)
	}
	for _, name := range []string{"", "\u200b", "Admin"} {
		if _, err := n.local.Identity.SetProfile(ctx, &apiv1.SetProfileRequest{DisplayName: &name}); !isReason(err, "INVALID") {
			t.Errorf("name %q: %v", name, err)
		}
	}
	phrase, err := n.local.Identity.GetPhrase(ctx, &apiv1.GetPhraseRequest{})
	if err != nil || len(strings.Fields(phrase.Phrase)) != 24 {
		t.Errorf("phrase of %d words, %v", len(strings.Fields(phrase.GetPhrase())), err)
	}
}

func TestStatusDoctorAndNetwork(t *testing.T) {
	w := newWorld()
	n, bo := newNode(t, w, "Ana"), newNode(t, w, "Bo")
	befriend(t, n, bo)
	ctx := t.Context()
	if _, err := n.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: string(stranger), Text: "x"}); err != nil {
		t.Fatal(err)
	}
	st, err := n.local.Node.GetStatus(ctx, &apiv1.GetStatusRequest{})
	if err != nil || st.Queued != 1 || st.DisplayName != "Ana" || st.Connections != 1 || st.DiskBytes == 0 || st.Page != "http://"+n.address+"/" || st.Pulse.Code != "NET-05" {
		t.Errorf("status = %v, %v", st, err)
	}
	doc, err := n.local.Node.Doctor(ctx, &apiv1.DoctorRequest{})
	if err != nil || len(doc.Checks) < 5 {
		t.Fatalf("doctor = %v, %v", doc, err)
	}
	for _, c := range doc.Checks {
		if c.Result != apiv1.Check_RESULT_OK || c.Text == "" {
			t.Errorf("check %v", c)
		}
	}
	peers, err := n.local.Network.ListPeers(ctx, &apiv1.ListPeersRequest{})
	if err != nil || len(peers.Peers) != 1 {
		t.Errorf("peers = %v, %v", peers, err)
	}
	found, err := n.local.Network.FindPeer(ctx, &apiv1.FindPeerRequest{Who: bo.account()})
	if err != nil || len(found.Devices) != 1 || !found.Devices[0].Connected || !strings.HasSuffix(found.Text, "is connected.") {
		t.Errorf("found = %v, %v", found, err)
	}
	lost, err := n.local.Network.FindPeer(ctx, &apiv1.FindPeerRequest{Who: string(stranger)})
	if err != nil || len(lost.Devices) != 0 || !strings.Contains(lost.Text, "nobody in the network has a record of it") {
		t.Errorf("lost = %v, %v", lost, err)
	}
	for _, addr := range []string{"", "/ip4/127.0.0.1/tcp/1", "/p2p/" + string(bo.keys.Device()), "/ip4/127.0.0.1/tcp/1/p2p/12D3", "/ip4/127.0.0.1/tcp/1/p2p/" + string(n.keys.Device())} {
		if _, err := n.local.Network.ConnectPeer(ctx, &apiv1.ConnectPeerRequest{Address: addr}); !isReason(err, "INVALID") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	if _, err := n.local.Network.ConnectPeer(ctx, &apiv1.ConnectPeerRequest{Address: "/ip4/127.0.0.1/tcp/1/p2p/" + string(stranger)}); !isReason(err, "UNREACHABLE") {
		t.Errorf("nobody there: %v", err)
	}
}

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

// TestTrustHoldsAtOnce: who is added as trusted is never told to slow down.
func TestTrustHoldsAtOnce(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	if _, err := n.local.People.AddContact(t.Context(), &apiv1.AddContactRequest{Who: string(stranger), Trusted: true}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * chat.DMBurst {
		if _, ok := n.guard.AdmitDM(stranger, "device", time.Unix(1e9, 0)); !ok {
			t.Fatalf("message %d of a trusted contact was not admitted", i+1)
		}
	}
}

// TestRepeatedAddIsNoSecondAdd: a call that is repeated late does not undo what
// the owner did since.
func TestRepeatedAddIsNoSecondAdd(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	ctx := t.Context()
	req := &apiv1.AddContactRequest{Who: string(stranger), RequestId: uuid()}
	if _, err := n.local.People.AddContact(ctx, req); err != nil {
		t.Fatal(err)
	}
	if _, err := n.local.People.RemoveContact(ctx, &apiv1.RemoveContactRequest{Account: string(stranger)}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.local.People.AddContact(ctx, req); !isReason(err, "NOT_FOUND") {
		t.Errorf("the repeated call: %v", err)
	}
	if list, err := n.local.People.ListContacts(ctx, &apiv1.ListContactsRequest{}); err != nil || len(list.Contacts) != 0 {
		t.Errorf("contacts = %v, %v", list, err)
	}
}

// TestStartOnFullDisk: the api answers although it cannot keep its own key.
func TestStartOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	// A folder in the place of the reserve is a disk without room for it.
	if err := os.MkdirAll(filepath.Join(dir, "reserve", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	n := buildNode(t, newWorld(), "Ana", func(cfg *api.Config) { cfg.DB = db })
	n.run(t)
	if _, err := n.local.Messages.ListConversations(t.Context(), &apiv1.ListConversationsRequest{}); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	if _, err := n.local.Admin.CreateToken(t.Context(), &apiv1.CreateTokenRequest{Name: "bot", Scopes: []string{"messages:read"}}); !isReason(err, "STORAGE_FULL") {
		t.Errorf("writing on a full disk: %v", err)
	}
}
