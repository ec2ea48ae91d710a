package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/dm"
	"parley/internal/store"
)

// view turns our words into the API's inside one transaction, with what it
// has read about people so far.
type view struct {
	s      *Server
	tx     *store.Tx
	now    time.Time
	people map[chat.AccountID]store.Contact // as read; at most the people of one answer

	unread map[chat.Conversation]uint32 // as read; at most the conversations of one answer

	cooling   map[chat.AccountID]time.Time
	connected map[chat.DeviceID]bool // made at first use
}

func (s *Server) view(tx *store.Tx) *view {
	return &view{
		s: s, tx: tx, now: time.Now(), people: map[chat.AccountID]store.Contact{}, unread: map[chat.Conversation]uint32{},
		cooling: s.cfg.Courier.Cooling().Load(),
	}
}

// person is an account's contact row, or an empty one.
func (v *view) person(a chat.AccountID) (store.Contact, error) {
	if c, ok := v.people[a]; ok {
		return c, nil
	}
	c, err := v.tx.Contact(a)
	if errors.Is(err, chat.ErrNotFound) {
		c, err = store.Contact{Account: a}, nil
	}
	if err != nil {
		return c, fmt.Errorf("reading contact: %w", err)
	}
	v.people[a] = c
	return c, nil
}

// name is what an account is called here: petname, else display name.
func (v *view) name(a chat.AccountID) (string, error) {
	if a == v.s.cfg.Keys.Account() {
		return v.tx.Setting(chat.SettingDisplayName)
	}
	c, err := v.person(a)
	if c.Petname != "" {
		return c.Petname, err
	}
	return c.DisplayName, err
}

// title is name, or the end of the id when there is none.
func (v *view) title(a chat.AccountID) (string, error) {
	name, err := v.name(a)
	if name == "" {
		name = a.Short()
	}
	return name, err
}

func (v *view) message(m *chat.Message) (*apiv1.Message, error) {
	name, err := v.name(m.Author)
	if err != nil {
		return nil, err
	}
	out := &apiv1.Message{
		Id:           m.ID.String(),
		Conversation: string(m.Conversation),
		Author:       string(m.Author),
		AuthorName:   name,
		Device:       string(m.Device),
		Own:          m.Own,
		Time:         timestamppb.New(m.Time.Time()),
		Received:     stamp(m.Received),
		Edited:       stamp(m.EditedAt),
		Deleted:      m.Deleted,
		Reactions:    reactions(m.Reactions),
	}
	if !m.Deleted {
		out.Text = string(m.Text)
	}
	if !m.Target.IsZero() {
		out.ReplyTo = m.Target.String()
	}
	if !m.Own {
		return out, nil
	}
	out.Delivery = apiv1.Delivery(m.Delivery)
	out.DeliveryReason = m.Reason
	out.DeliveryText, err = v.deliveryText(m)
	return out, err
}

// bareMessage is what who wrote about a message may know of it.
func bareMessage(m *chat.Message) *apiv1.Message {
	out := &apiv1.Message{Id: m.ID.String(), Conversation: string(m.Conversation), Own: m.Own}
	if m.Own {
		out.Time, out.Delivery, out.DeliveryReason = timestamppb.New(m.Time.Time()), apiv1.Delivery(m.Delivery), m.Reason
	}
	return out
}

// deliveryText reads only what the state's sentence needs.
func (v *view) deliveryText(m *chat.Message) (string, error) {
	var who string
	var count int
	to, _ := m.Conversation.Account()
	switch m.Delivery {
	case chat.Queued, chat.Read:
		var err error
		if who, err = v.title(to); err != nil {
			return "", err
		}
	case chat.Sent, chat.Held:
		devices, err := v.tx.Deliveries(m.ID)
		if err != nil {
			return "", fmt.Errorf("reading deliveries: %w", err)
		}
		steps := make([]dm.Step, 0, len(devices))
		for _, d := range devices {
			steps = append(steps, dm.Step{State: d.State, Proof: d.Proof})
		}
		count = handedTo(m.Delivery, steps)
	}
	return deliveryWords(m, who, count, v.cooling[to], v.now), nil
}

func (v *view) messages(list []chat.Message) ([]*apiv1.Message, error) {
	out := make([]*apiv1.Message, 0, len(list))
	for i := range list {
		m, err := v.message(&list[i])
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (v *view) conversation(c store.Conversation) (*apiv1.Conversation, error) {
	a, _ := c.Key.Account()
	title, err := v.title(a)
	if err != nil {
		return nil, err
	}
	out := &apiv1.Conversation{
		Name: string(c.Key), Title: title, Account: string(a), Unread: uint32(c.Unread),
		Draft: c.Draft, Request: c.Request, Blocked: v.s.cfg.Guard.Blocked(a),
	}
	if !c.ReadTo.IsZero() {
		out.ReadTo = c.ReadTo.String()
	}
	if c.Last != nil {
		out.Last, err = v.message(c.Last)
	}
	return out, err
}

// unreadOf is how many messages of a conversation are unread.
func (v *view) unreadOf(conv chat.Conversation) (uint32, error) {
	if n, ok := v.unread[conv]; ok {
		return n, nil
	}
	c, err := v.tx.Conversation(conv)
	if err != nil {
		return 0, fmt.Errorf("reading conversation: %w", err)
	}
	v.unread[conv] = uint32(c.Unread)
	return v.unread[conv], nil
}

// conversations is one page of the list, the latest first.
func (v *view) conversations(p paged) (out []*apiv1.Conversation, next string, err error) {
	list, err := v.tx.Conversations()
	if err != nil {
		return nil, "", fmt.Errorf("reading conversations: %w", err)
	}
	list, next, err = pageOf(v.s, p, list, func(c store.Conversation) string {
		var last chat.HLC
		if c.Last != nil {
			last = c.Last.Time
		}
		return fmt.Sprintf("%016x %s", ^uint64(last), c.Key)
	}, "ListConversations")
	for _, c := range list {
		one, err := v.conversation(c)
		if err != nil {
			return nil, "", err
		}
		out = append(out, one)
	}
	return out, next, err
}

func (v *view) contact(c store.Contact) (*apiv1.Contact, error) {
	out := &apiv1.Contact{
		Account: string(c.Account), Petname: c.Petname, DisplayName: c.DisplayName,
		State: apiv1.ContactState(c.State), Trusted: c.Trusted,
		Verified: stamp(c.Verified), Added: stamp(c.Added), Blocked: v.s.cfg.Guard.Blocked(c.Account),
	}
	pin, err := v.tx.Pin(c.Account)
	if errors.Is(err, chat.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading devices of a contact: %w", err)
	}
	for _, d := range pin.Devices {
		out.Devices = append(out.Devices, string(d))
		out.Online = out.Online || v.online(d)
	}
	return out, nil
}

func (v *view) online(d chat.DeviceID) bool {
	if v.connected == nil {
		peers := v.s.cfg.Network.State().Peers
		v.connected = make(map[chat.DeviceID]bool, len(peers))
		for _, p := range peers {
			v.connected[p.Device] = true
		}
	}
	return v.connected[d]
}

// contacts is one page of contacts and requests, or of the requests alone.
func (v *view) contacts(p paged, requestsOnly bool) (out []*apiv1.Contact, next string, err error) {
	list, err := v.tx.Contacts()
	if err != nil {
		return nil, "", fmt.Errorf("reading contacts: %w", err)
	}
	list = slices.DeleteFunc(list, func(c store.Contact) bool {
		return c.State == store.ContactNone || requestsOnly && c.State != store.ContactRequest
	})
	list, next, err = pageOf(v.s, p, list, func(c store.Contact) string { return string(c.Account) },
		"ListContacts", strconv.FormatBool(requestsOnly))
	for _, c := range list {
		one, err := v.contact(c)
		if err != nil {
			return nil, "", err
		}
		out = append(out, one)
	}
	return out, next, err
}

func (v *view) profile() (*apiv1.Profile, error) {
	name, err := v.tx.Setting(chat.SettingDisplayName)
	if err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	receipts, err := v.tx.Setting(chat.SettingReadReceipts)
	if err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	return &apiv1.Profile{
		Account: string(v.s.cfg.Keys.Account()), DisplayName: name, ReadReceipts: receipts == chat.SettingOn,
	}, nil
}

// reactions groups by emoji, in the order of first use.
func reactions(list []chat.Reaction) []*apiv1.Reaction {
	var out []*apiv1.Reaction
	for _, r := range list {
		i := slices.IndexFunc(out, func(o *apiv1.Reaction) bool { return o.Emoji == r.Emoji })
		if i < 0 {
			i, out = len(out), append(out, &apiv1.Reaction{Emoji: r.Emoji})
		}
		out[i].Accounts = append(out[i].Accounts, string(r.Author))
	}
	return out
}

func pulse(p Pulse) *apiv1.Pulse { return &apiv1.Pulse{Code: p.Code, Text: p.Text, Hint: p.Hint} }

// cooling is everybody who waits now, sorted.
func cooling(until map[chat.AccountID]time.Time, now time.Time) []*apiv1.Cooling {
	var out []*apiv1.Cooling
	for a, end := range until {
		if left := end.Sub(now); left > 0 {
			out = append(out, &apiv1.Cooling{
				Conversation: string(chat.PrivateConversation(a)), RetryAfter: durationpb.New(left),
			})
		}
	}
	slices.SortFunc(out, func(a, b *apiv1.Cooling) int {
		return strings.Compare(a.Conversation, b.Conversation)
	})
	return out
}

// stamp leaves a time out that was never set.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
