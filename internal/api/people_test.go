package api_test

import (
	"crypto/ed25519"
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
	"parley/internal/identity"
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

// TestListsByPages: pages joined are the whole list, in its order, while rows
// come and go.
func TestListsByPages(t *testing.T) {
	n := newNode(t, newWorld(), "Ana")
	ctx := t.Context()
	const people = 7
	for range people {
		key, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		a := string(identity.AccountIDOf(key))
		if _, err := n.local.People.AddContact(ctx, &apiv1.AddContactRequest{Who: a}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: a, Text: "hello"}); err != nil {
			t.Fatal(err)
		}
	}
	var whole, pages []string
	all, err := n.local.Messages.ListConversations(ctx, &apiv1.ListConversationsRequest{})
	if err != nil || len(all.Conversations) != people || all.NextPageToken != "" {
		t.Fatalf("the whole list = %v, %v", all, err)
	}
	for _, c := range all.Conversations {
		whole = append(whole, c.Account)
	}
	for token := ""; ; {
		res, err := n.local.Messages.ListConversations(ctx, &apiv1.ListConversationsRequest{PageSize: 3, PageToken: token})
		if err != nil || len(res.Conversations) > 3 {
			t.Fatalf("page = %v, %v", res, err)
		}
		for _, c := range res.Conversations {
			pages = append(pages, c.Account)
		}
		if token = res.NextPageToken; token == "" {
			break
		}
	}
	if !slices.Equal(pages, whole) {
		t.Errorf("pages joined:\n%v\nthe list:\n%v", pages, whole)
	}
	first, err := n.local.People.ListContacts(ctx, &apiv1.ListContactsRequest{PageSize: 4})
	if err != nil || len(first.Contacts) != 4 {
		t.Fatalf("page = %v, %v", first, err)
	}
	// The row that the token names goes away between the pages.
	if _, err := n.local.People.RemoveContact(ctx, &apiv1.RemoveContactRequest{Account: first.Contacts[3].Account}); err != nil {
		t.Fatal(err)
	}
	rest, err := n.local.People.ListContacts(ctx, &apiv1.ListContactsRequest{PageSize: 4, PageToken: first.NextPageToken})
	if err != nil || len(rest.Contacts) != people-4 || rest.NextPageToken != "" || rest.Contacts[0].Account <= first.Contacts[3].Account {
		t.Errorf("the rest = %v, %v", rest, err)
	}
	if _, err := n.local.People.ListContacts(ctx, &apiv1.ListContactsRequest{Requests: true, PageToken: first.NextPageToken}); !isReason(err, "INVALID") {
		t.Errorf("a token of another list: %v", err)
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
