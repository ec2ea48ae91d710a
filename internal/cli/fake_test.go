package cli

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "parley/gen/parley/api/v1"
	"parley/gen/parley/api/v1/apiv1connect"
)

// The people and the day of these tests.
const (
	maya  = "12D3KooWMayaMayaMayaMayaMayaMayaMayaMayaMayaMayaMay1"
	ravi  = "12D3KooWRaviRaviRaviRaviRaviRaviRaviRaviRaviRaviRav2"
	zed   = "12D3KooWZedZedZedZedZedZedZedZedZedZedZedZedZedZedZ3"
	me    = "12D3KooWSelfSelfSelfSelfSelfSelfSelfSelfSelfSelfSel9"
	first = "aaaa111100000000000000000000000000000000000000000000000000000000"
	other = "bbbb222200000000000000000000000000000000000000000000000000000000"
)

var (
	monday = time.Date(2026, 11, 23, 14, 2, 0, 0, time.UTC)
	added  = apiv1.ContactState_CONTACT_STATE_ADDED
	asks   = apiv1.ContactState_CONTACT_STATE_REQUEST
)

// fake answers as a node would: the outside weather of this package.
type fake struct {
	apiv1connect.UnimplementedNodeServiceHandler
	apiv1connect.UnimplementedIdentityServiceHandler
	apiv1connect.UnimplementedPeopleServiceHandler
	apiv1connect.UnimplementedMessageServiceHandler
	apiv1connect.UnimplementedEventServiceHandler
	apiv1connect.UnimplementedNetworkServiceHandler
	apiv1connect.UnimplementedMailServiceHandler
	apiv1connect.UnimplementedAdminServiceHandler

	contacts  []*apiv1.Contact
	messages  []*apiv1.Message
	cooling   []*apiv1.Cooling
	live      []*apiv1.Event // sent after the greeting, then the stream ends
	sent      []*apiv1.SendMessageRequest
	marked    []string
	updates   []*apiv1.UpdateContactRequest
	removed   []string
	blocked   []string
	answer    *apiv1.SendMessageResponse
	fail      error // of GetStatus, SendMessage and AddContact
	status    *apiv1.GetStatusResponse
	doctor    *apiv1.DoctorResponse
	explained *apiv1.ExplainMessageResponse
	found     *apiv1.FindPeerResponse
	mail      *apiv1.GetMailStatusResponse
	hosts     *apiv1.ListMailHostsResponse
}

func (f *fake) GetStatus(context.Context, *apiv1.GetStatusRequest) (*apiv1.GetStatusResponse, error) {
	return f.status, f.fail
}

func (f *fake) Doctor(context.Context, *apiv1.DoctorRequest) (*apiv1.DoctorResponse, error) {
	return f.doctor, nil
}

func (f *fake) ListContacts(_ context.Context, r *apiv1.ListContactsRequest) (*apiv1.ListContactsResponse, error) {
	res := &apiv1.ListContactsResponse{}
	for _, c := range f.contacts {
		if (c.GetState() == asks) == r.GetRequests() {
			res.Contacts = append(res.Contacts, c)
		}
	}
	return res, nil
}

func (f *fake) UpdateContact(_ context.Context, r *apiv1.UpdateContactRequest) (*apiv1.UpdateContactResponse, error) {
	f.updates = append(f.updates, r)
	return &apiv1.UpdateContactResponse{Contact: &apiv1.Contact{Account: r.GetAccount(), Petname: r.GetPetname()}}, nil
}

func (f *fake) RemoveContact(_ context.Context, r *apiv1.RemoveContactRequest) (*apiv1.RemoveContactResponse, error) {
	if !r.GetValidateOnly() {
		f.removed = append(f.removed, r.GetAccount())
	}
	return &apiv1.RemoveContactResponse{}, nil
}

func (f *fake) AddContact(_ context.Context, r *apiv1.AddContactRequest) (*apiv1.AddContactResponse, error) {
	if f.fail != nil {
		return nil, f.fail
	}
	return &apiv1.AddContactResponse{Contact: &apiv1.Contact{Account: r.GetWho(), Petname: r.GetPetname(), State: added}}, nil
}

func (f *fake) Block(_ context.Context, r *apiv1.BlockRequest) (*apiv1.BlockResponse, error) {
	f.blocked = append(f.blocked, r.GetAccount())
	return &apiv1.BlockResponse{}, nil
}

func (f *fake) ListBlocks(context.Context, *apiv1.ListBlocksRequest) (*apiv1.ListBlocksResponse, error) {
	return &apiv1.ListBlocksResponse{Accounts: []string{zed}}, nil
}

func (f *fake) Unblock(_ context.Context, r *apiv1.UnblockRequest) (*apiv1.UnblockResponse, error) {
	f.removed = append(f.removed, r.GetAccount())
	return &apiv1.UnblockResponse{}, nil
}

func (f *fake) SendMessage(_ context.Context, r *apiv1.SendMessageRequest) (*apiv1.SendMessageResponse, error) {
	f.sent = append(f.sent, r)
	return f.answer, f.fail
}

func (f *fake) GetMessage(_ context.Context, r *apiv1.GetMessageRequest) (*apiv1.GetMessageResponse, error) {
	for _, m := range f.messages {
		if strings.HasPrefix(m.GetId(), r.GetId()) {
			return &apiv1.GetMessageResponse{Message: m}, nil
		}
	}
	return nil, fault(connect.CodeNotFound, "NOT_FOUND", "no message begins with "+r.GetId(), 0)
}

// ListMessages pages backwards, two at a time, to show that pages are joined.
func (f *fake) ListMessages(_ context.Context, r *apiv1.ListMessagesRequest) (*apiv1.ListMessagesResponse, error) {
	end := len(f.messages)
	if r.GetPageToken() != "" {
		end = int(r.GetPageToken()[0])
	}
	start := max(0, end-min(2, int(r.GetPageSize())))
	res := &apiv1.ListMessagesResponse{Messages: f.messages[start:end]}
	if start > 0 {
		res.NextPageToken = string([]byte{byte(start)})
	}
	return res, nil
}

func (f *fake) ListConversations(context.Context, *apiv1.ListConversationsRequest) (*apiv1.ListConversationsResponse, error) {
	return &apiv1.ListConversationsResponse{Conversations: []*apiv1.Conversation{
		{Name: peoplePrefix + maya, Title: "Maya", Account: maya, Unread: 2, Last: f.messages[0]},
		{Name: peoplePrefix + zed, Title: "Z\x1b[2Jed\nroot", Account: zed, Request: true},
	}}, nil
}

func (f *fake) SearchMessages(context.Context, *apiv1.SearchMessagesRequest) (*apiv1.SearchMessagesResponse, error) {
	return &apiv1.SearchMessagesResponse{Messages: f.messages[:1]}, nil
}

func (f *fake) MarkRead(_ context.Context, r *apiv1.MarkReadRequest) (*apiv1.MarkReadResponse, error) {
	f.marked = append(f.marked, r.GetMessage())
	return &apiv1.MarkReadResponse{}, nil
}

func (f *fake) ExplainMessage(context.Context, *apiv1.ExplainMessageRequest) (*apiv1.ExplainMessageResponse, error) {
	return f.explained, nil
}

func (f *fake) Watch(_ context.Context, r *apiv1.WatchRequest, s *connect.ServerStream[apiv1.WatchResponse]) error {
	err := s.Send(&apiv1.WatchResponse{Greeting: true, Cursor: r.GetCursor(), Cooling: f.cooling, Pulse: &apiv1.Pulse{Code: "NET-05", Text: "5 people, direct"}})
	for _, e := range f.live {
		err = errors.Join(err, s.Send(&apiv1.WatchResponse{Cursor: e.GetCursor(), Events: []*apiv1.Event{e}}))
	}
	return err
}

func (f *fake) FindPeer(context.Context, *apiv1.FindPeerRequest) (*apiv1.FindPeerResponse, error) {
	return f.found, nil
}

func (f *fake) GetMailStatus(context.Context, *apiv1.GetMailStatusRequest) (*apiv1.GetMailStatusResponse, error) {
	return f.mail, nil
}

func (f *fake) ListMailHosts(context.Context, *apiv1.ListMailHostsRequest) (*apiv1.ListMailHostsResponse, error) {
	return f.hosts, nil
}

func (f *fake) GetNetwork(context.Context, *apiv1.GetNetworkRequest) (*apiv1.GetNetworkResponse, error) {
	return &apiv1.GetNetworkResponse{Device: me, Ready: true, Connections: 3, DhtPeers: 7, Listen: []string{"/ip4/127.0.0.1/tcp/1"}}, nil
}

func (f *fake) ListPeers(context.Context, *apiv1.ListPeersRequest) (*apiv1.ListPeersResponse, error) {
	return &apiv1.ListPeersResponse{Peers: []*apiv1.Peer{{Device: maya, Name: "Maya", Transport: "quic", Rtt: durationpb.New(38 * time.Millisecond), Since: timestamppb.New(monday)}}}, nil
}

func (f *fake) GetIdentity(context.Context, *apiv1.GetIdentityRequest) (*apiv1.GetIdentityResponse, error) {
	return &apiv1.GetIdentityResponse{Account: me, Device: me, DisplayName: "Sam", Link: "parley:id/" + me}, nil
}

func (f *fake) GetPhrase(context.Context, *apiv1.GetPhraseRequest) (*apiv1.GetPhraseResponse, error) {
	return &apiv1.GetPhraseResponse{Phrase: strings.TrimSpace(strings.Repeat("zoo ", 24))}, nil
}

func (f *fake) GetSafetyNumber(context.Context, *apiv1.GetSafetyNumberRequest) (*apiv1.GetSafetyNumberResponse, error) {
	return &apiv1.GetSafetyNumberResponse{Digits: strings.TrimSpace(strings.Repeat("12345 ", 12))}, nil
}

func (f *fake) CreateInvite(context.Context, *apiv1.CreateInviteRequest) (*apiv1.CreateInviteResponse, error) {
	return &apiv1.CreateInviteResponse{Link: "parley:c/abc", Expires: timestamppb.New(monday)}, nil
}

func (f *fake) CreateToken(context.Context, *apiv1.CreateTokenRequest) (*apiv1.CreateTokenResponse, error) {
	return &apiv1.CreateTokenResponse{Token: "secret", Id: "5f2c", Expires: timestamppb.New(monday)}, nil
}

// fault is an error as the node's one table makes it.
func fault(code connect.Code, reason, text string, retry time.Duration) error {
	e := connect.NewError(code, errors.New(text))
	if d, err := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: reason, Domain: "parley"}); err == nil && reason != "" {
		e.AddDetail(d)
	}
	if d, err := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)}); err == nil && retry > 0 {
		e.AddDetail(d)
	}
	return e
}

// bench is a command line with a fake node behind it.
type bench struct {
	*fake
	t        *testing.T
	socket   string
	stdin    string
	terminal bool
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-cli-") // short: socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", "")
	b := &bench{t: t, socket: filepath.Join(dir, "s"), fake: &fake{
		contacts: []*apiv1.Contact{
			{Account: maya, Petname: "Maya", DisplayName: "mm", State: added, Trusted: true, Online: true},
			{Account: ravi, DisplayName: "Ravi", State: added},
			{Account: zed, DisplayName: "zed", State: asks},
		},
		messages: []*apiv1.Message{
			{Id: first, Conversation: peoplePrefix + maya, Author: maya, AuthorName: "Maya", Time: timestamppb.New(monday), Text: "hello\n15:00 You: I agree\x1b[31m"},
			{Id: other, Conversation: peoplePrefix + maya, Own: true, Author: me, Time: timestamppb.New(monday.Add(time.Minute)), Text: "see you at nine", Delivery: apiv1.Delivery_DELIVERY_DELIVERED},
		},
		answer: &apiv1.SendMessageResponse{Message: &apiv1.Message{Id: other, Own: true, Delivery: apiv1.Delivery_DELIVERY_QUEUED, DeliveryText: "No address known for Maya yet"}},
	}}
	mux := http.NewServeMux()
	mux.Handle(apiv1connect.NewNodeServiceHandler(b.fake))
	mux.Handle(apiv1connect.NewIdentityServiceHandler(b.fake))
	mux.Handle(apiv1connect.NewPeopleServiceHandler(b.fake))
	mux.Handle(apiv1connect.NewMessageServiceHandler(b.fake))
	mux.Handle(apiv1connect.NewEventServiceHandler(b.fake))
	mux.Handle(apiv1connect.NewNetworkServiceHandler(b.fake))
	mux.Handle(apiv1connect.NewMailServiceHandler(b.fake))
	mux.Handle(apiv1connect.NewAdminServiceHandler(b.fake))
	l, err := net.Listen("unix", b.socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() {
		_ = srv.Close()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	return b
}

// run executes a command line against the fake node.
func (b *bench) run(args ...string) (stdout, stderr string, code exitCode) {
	b.t.Helper()
	var out, errs bytes.Buffer
	a := &app{
		in: strings.NewReader(b.stdin), out: &out, err: &errs, inTTY: b.terminal, outTTY: b.terminal,
		look: look{tty: b.terminal, unicode: b.terminal}, loc: time.UTC, now: func() time.Time { return monday.Add(time.Hour) },
		openBrowser: func(context.Context, string) error { return errNoBrowser },
	}
	code = exitCode(a.run(b.t.Context(), append([]string{"--socket", b.socket}, args...)))
	return out.String(), errs.String(), code
}

// want runs a command line and compares what it prints.
func (b *bench) want(code exitCode, stdout string, args ...string) string {
	b.t.Helper()
	out, errs, got := b.run(args...)
	if got != code {
		b.t.Errorf("parley %s ended with %d, want %d\nstderr: %s", strings.Join(args, " "), got, code, errs)
	}
	if out != stdout {
		b.t.Errorf("parley %s printed\n%s\nwant\n%s", strings.Join(args, " "), out, stdout)
	}
	return errs
}

// says checks that text holds every part.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
}
