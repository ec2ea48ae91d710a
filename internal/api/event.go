package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// maxBatch keeps one Watch message near one HTTP/2 window.
	maxBatch = 64 << 10
)

func (s eventService) ReadState(ctx context.Context, _ *apiv1.ReadStateRequest) (*apiv1.ReadStateResponse, error) {
	c := callerOf(ctx)
	out := &apiv1.ReadStateResponse{Pulse: pulse(s.cfg.Pulse.Load())}
	return out, s.read(ctx, func(v *view) (err error) {
		out.Cursor = cursorText(v.tx.Head())
		profile, err := v.profile()
		if err != nil {
			return err
		}
		out.Account, out.DisplayName = profile.Account, profile.DisplayName
		if c.may(scopeRead) {
			if out.Conversations, _, err = v.conversations(nil); err != nil {
				return err
			}
		}
		if c.may(scopePeopleRead) {
			out.Contacts, _, err = v.contacts(nil, false)
		}
		return err
	})
}

// Watch sends what changes from a cursor on. The log is its queue: the next
// rows are read only when the reader has taken the last ones, so a slow reader
// lags and costs nothing.
func (s eventService) Watch(ctx context.Context, req *apiv1.WatchRequest, stream *connect.ServerStream[apiv1.WatchResponse]) error {
	w := watch{s: s.Server, caller: callerOf(ctx), filter: chat.Conversation(req.Conversation)}
	if err := w.begin(ctx, req); err != nil {
		return err
	}
	greeting := w.live(true)
	greeting.Greeting, greeting.Cursor = true, cursorText(w.cursor)
	if err := stream.Send(greeting); err != nil {
		return err
	}
	beat := time.NewTimer(chat.Heartbeat)
	defer beat.Stop()
	for {
		bell := s.cfg.DB.Bell()
		batch, more, err := w.next(ctx)
		if err != nil {
			return err
		}
		if batch != nil {
			if err := stream.Send(batch); err != nil {
				return err
			}
			beat.Reset(chat.Heartbeat)
		}
		if more {
			continue
		}
		select {
		case <-bell:
		case <-w.pulseBell:
		case <-w.coolingBell:
		case <-beat.C:
			if err := stream.Send(&apiv1.WatchResponse{Cursor: cursorText(w.cursor)}); err != nil {
				return err
			}
			beat.Reset(chat.Heartbeat)
		case <-s.stopped:
			return errStopping
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch is one reader of the log.
type watch struct {
	s      *Server
	caller *caller
	filter chat.Conversation // "" for all

	cursor      chat.Cursor     // the reader's whole state
	pulse       Pulse           // last sent
	cooling     map[string]bool // conversations told to wait; at most those that do
	pulseBell   <-chan struct{}
	coolingBell <-chan struct{}
}

// begin finds the place to start at.
func (w *watch) begin(ctx context.Context, req *apiv1.WatchRequest) error {
	return w.s.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if req.Conversation != "" {
			if w.filter, _, err = w.s.conversation(w.caller, tx, req.Conversation); err != nil {
				return err
			}
		}
		if req.Cursor == "" {
			w.cursor = tx.Head()
			return nil
		}
		if w.cursor, err = parseCursor(req.Cursor); err != nil {
			return err
		}
		_, _, err = tx.Follow(w.cursor, 1)
		return err
	})
}

// live is the live values that changed, or all of them; an empty message if
// none did.
func (w *watch) live(all bool) *apiv1.WatchResponse {
	out := &apiv1.WatchResponse{}
	if all || rang(w.pulseBell) {
		var p Pulse
		p, w.pulseBell = w.s.cfg.Pulse.Watch()
		if all || p != w.pulse {
			w.pulse, out.Pulse = p, pulse(p)
		}
	}
	if all || rang(w.coolingBell) {
		var until map[chat.AccountID]time.Time
		until, w.coolingBell = w.s.cfg.Courier.Cooling().Watch()
		out.Cooling = w.cools(until)
	}
	return out
}

// cools is who waits now, and with zero time who no longer does.
func (w *watch) cools(until map[chat.AccountID]time.Time) []*apiv1.Cooling {
	if !w.caller.may(scopeRead) {
		return nil
	}
	list := slices.DeleteFunc(cooling(until, time.Now()), func(c *apiv1.Cooling) bool {
		return w.filter != "" && c.Conversation != string(w.filter)
	})
	told := w.cooling
	w.cooling = map[string]bool{}
	for _, c := range list {
		w.cooling[c.Conversation] = true
	}
	for conv := range told {
		if !w.cooling[conv] {
			list = append(list, &apiv1.Cooling{Conversation: conv, RetryAfter: durationpb.New(0)})
		}
	}
	return list
}

func rang(bell <-chan struct{}) bool {
	select {
	case <-bell:
		return true
	default:
		return false
	}
}

// next is what changed since the cursor, at most one batch, and whether there
// is more. It is nil when nothing did.
func (w *watch) next(ctx context.Context) (out *apiv1.WatchResponse, more bool, err error) {
	out = w.live(false)
	if err := w.s.read(ctx, func(v *view) error {
		rows, _, err := v.tx.Follow(w.cursor, chat.WatchBatch)
		if err != nil {
			return err
		}
		more = len(rows) == chat.WatchBatch
		size := 0
		for i, row := range rows {
			event, err := w.event(v, rows, i)
			if err != nil {
				return err
			}
			at := chat.Cursor{Epoch: w.cursor.Epoch, Seq: row.Seq}
			if event != nil {
				event.Cursor = cursorText(at)
				grown := size + proto.Size(event) + eventFrame
				if grown > maxBatch && len(out.Events) > 0 {
					more = true
					return nil
				}
				size, out.Events = grown, append(out.Events, event)
			}
			w.cursor = at
		}
		return nil
	}); err != nil {
		return nil, false, fmt.Errorf("following the log: %w", err)
	}
	if len(out.Events) == 0 && out.Pulse == nil && out.Cooling == nil {
		return nil, more, nil // the heartbeat brings a cursor that moved over nothing
	}
	out.Cursor = cursorText(w.cursor)
	return out, more, nil
}

// eventFrame is the tag and length around one event.
const eventFrame = 4

// event joins a row with the state now. It is nil for rows that this reader
// does not see, and for those that a later row of the batch says again.
func (w *watch) event(v *view, rows []store.LogRow, i int) (*apiv1.Event, error) {
	row := rows[i]
	if !w.sees(row) || repeated(rows, i) {
		return nil, nil
	}
	switch row.Kind {
	case store.LogMessage, store.LogMessageChanged:
		return messageEvent(v, row)
	case store.LogConversation:
		c, err := v.tx.Conversation(row.Conversation)
		if errors.Is(err, chat.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading conversation: %w", err)
		}
		out, err := v.conversation(c)
		return &apiv1.Event{What: &apiv1.Event_ConversationChanged{ConversationChanged: out}}, err
	case store.LogContact:
		c, err := v.tx.Contact(row.Account)
		if errors.Is(err, chat.ErrNotFound) || err == nil && c.State == store.ContactNone {
			return &apiv1.Event{What: &apiv1.Event_ContactRemoved{ContactRemoved: string(row.Account)}}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading contact: %w", err)
		}
		out, err := v.contact(c)
		return &apiv1.Event{What: &apiv1.Event_ContactChanged{ContactChanged: out}}, err
	case store.LogBlock:
		return blockEvent(v, row.Account)
	case store.LogProfile:
		out, err := v.profile()
		return &apiv1.Event{What: &apiv1.Event_ProfileChanged{ProfileChanged: out}}, err
	case store.LogOutbox:
	}
	return nil, nil
}

// sees applies the reader's filter and scopes.
func (w *watch) sees(row store.LogRow) bool {
	switch row.Kind {
	case store.LogMessage, store.LogMessageChanged, store.LogConversation:
		return w.caller.may(scopeRead) && (w.filter == "" || row.Conversation == w.filter)
	case store.LogContact, store.LogBlock:
		return w.caller.may(scopePeopleRead) && (w.filter == "" || chat.PrivateConversation(row.Account) == w.filter)
	case store.LogProfile:
		return w.filter == ""
	default:
		return false
	}
}

// repeated says whether the batch tells the same again: a message that was
// added shows its changes already, and of several changes the last one counts.
func repeated(rows []store.LogRow, i int) bool {
	row := rows[i]
	same := func(o store.LogRow) bool {
		return o.Kind == row.Kind && o.Conversation == row.Conversation && o.Message == row.Message && o.Account == row.Account
	}
	if row.Kind == store.LogMessage {
		return false
	}
	if row.Kind == store.LogMessageChanged && slices.ContainsFunc(rows[:i], func(o store.LogRow) bool {
		return o.Kind == store.LogMessage && o.Message == row.Message
	}) {
		return true
	}
	return slices.ContainsFunc(rows[i+1:], same)
}

func messageEvent(v *view, row store.LogRow) (*apiv1.Event, error) {
	m, err := v.tx.Message(row.Message)
	if errors.Is(err, chat.ErrNotFound) {
		return nil, nil // a row about one that has not arrived yet
	}
	if err != nil {
		return nil, fmt.Errorf("reading message: %w", err)
	}
	if m.Kind != chat.KindText {
		return nil, nil // its effect is a row of its target
	}
	unread, err := v.unreadOf(m.Conversation)
	if err != nil {
		return nil, err
	}
	out, err := v.message(m)
	event := &apiv1.Event{What: &apiv1.Event_MessageChanged{MessageChanged: out}, Unread: unread}
	if row.Kind == store.LogMessage {
		event.What = &apiv1.Event_MessageAdded{MessageAdded: out}
	}
	return event, err
}

func blockEvent(v *view, a chat.AccountID) (*apiv1.Event, error) {
	blocks, err := v.tx.Blocks()
	if err != nil {
		return nil, fmt.Errorf("reading blocks: %w", err)
	}
	if slices.Contains(blocks, a) {
		return &apiv1.Event{What: &apiv1.Event_Blocked{Blocked: string(a)}}, nil
	}
	return &apiv1.Event{What: &apiv1.Event_Unblocked{Unblocked: string(a)}}, nil
}
