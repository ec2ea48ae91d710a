package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/dm"
	"parley/internal/store"
)

func (s messageService) GetMessage(ctx context.Context, req *apiv1.GetMessageRequest) (*apiv1.GetMessageResponse, error) {
	out := &apiv1.GetMessageResponse{}
	return out, s.read(ctx, func(v *view) error {
		m, err := message(v.tx, "id", req.Id)
		if err != nil {
			return err
		}
		if out.Message, err = v.message(m); err != nil || m.Deleted {
			return err
		}
		earlier, err := earlierTexts(v.tx, m)
		if err != nil {
			return fmt.Errorf("reading earlier texts: %w", err)
		}
		out.History, err = v.messages(earlier)
		return err
	})
}

// earlierTexts are the texts a message had before the one it has now, oldest
// first: its own, then those of its edits but the last.
func earlierTexts(tx *store.Tx, m *chat.Message) ([]chat.Message, error) {
	edits, err := tx.History(m.ID)
	if err != nil || len(edits) == 0 {
		return nil, err
	}
	first := *m
	first.EditedAt, first.Reactions = time.Time{}, nil
	if first.Text, err = tx.Original(m.ID); err != nil {
		return nil, err
	}
	return append([]chat.Message{first}, edits[:len(edits)-1]...), nil
}

func (s messageService) ListMessages(ctx context.Context, req *apiv1.ListMessagesRequest) (*apiv1.ListMessagesResponse, error) {
	size, err := pageSize(req.PageSize)
	if err != nil {
		return nil, err
	}
	out := &apiv1.ListMessagesResponse{}
	return out, s.read(ctx, func(v *view) error {
		conv, _, err := s.conversation(callerOf(ctx), v.tx, req.Conversation)
		if err != nil {
			return err
		}
		query := []string{"ListMessages", string(conv), strconv.FormatBool(req.OldestFirst)}
		position, err := s.position(req.PageToken, query...)
		if err != nil {
			return err
		}
		page := store.Page{Conversation: conv, Limit: size, Newest: !req.OldestFirst}
		if req.OldestFirst {
			page.After = position
		} else {
			page.Before = position
		}
		list, before, after, err := v.tx.Messages(page)
		if err != nil {
			return fmt.Errorf("reading messages: %w", err)
		}
		next := before
		if req.OldestFirst {
			next = after
		}
		out.NextPageToken = s.pageToken(next, query...)
		out.Messages, err = v.messages(list)
		return err
	})
}

func (s messageService) SearchMessages(ctx context.Context, req *apiv1.SearchMessagesRequest) (*apiv1.SearchMessagesResponse, error) {
	size, err := pageSize(req.PageSize)
	if err != nil {
		return nil, err
	}
	if len(req.Query) > chat.MaxText {
		return nil, invalid("query", "it is longer than any message")
	}
	out := &apiv1.SearchMessagesResponse{}
	return out, s.read(ctx, func(v *view) error {
		var conv chat.Conversation
		if req.Conversation != "" {
			var err error
			if conv, _, err = s.conversation(callerOf(ctx), v.tx, req.Conversation); err != nil {
				return err
			}
		}
		list, err := v.tx.Search(req.Query, conv, min(size, chat.MaxFindHits))
		if err != nil {
			return fmt.Errorf("searching: %w", err)
		}
		slices.SortStableFunc(list, func(a, b chat.Message) int { return cmp.Compare(b.Time, a.Time) })
		out.Messages, err = v.messages(list)
		return err
	})
}

func (s messageService) ExplainMessage(ctx context.Context, req *apiv1.ExplainMessageRequest) (*apiv1.ExplainMessageResponse, error) {
	var id chat.MessageID
	if err := s.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		id, err = messageID(tx, "id", req.Id)
		return err
	}); err != nil {
		return nil, err
	}
	trace, err := s.cfg.Courier.Why(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &apiv1.ExplainMessageResponse{}
	return out, s.read(ctx, func(v *view) error {
		if out.Message, err = v.message(trace.Message); err != nil {
			return err
		}
		to, _ := trace.Message.Conversation.Account()
		who, err := v.title(to)
		out.Summary = traceWords(trace, who, v.cooling[to], v.now)
		for _, step := range trace.Devices {
			out.Devices = append(out.Devices, &apiv1.DeviceDelivery{
				Device: string(step.Device), Delivery: apiv1.Delivery(step.State), Reason: step.Reason,
				Text: stepWords(step, trace.Message.Time, who, v.cooling[to], v.now), Time: stamp(step.At),
				Receipt: step.Proof, NextTry: stamp(step.NextTry), Attempts: uint32(step.Attempts), Keepers: keepers(step),
			})
		}
		return err
	})
}

// keepers are the hosts whose storage receipts are all the proof there is.
func keepers(step dm.Step) []*apiv1.Keeper {
	if step.State != chat.Sent && step.State != chat.Held {
		return nil
	}
	var out []*apiv1.Keeper
	for _, k := range dm.Keepers(step.Proof) {
		out = append(out, &apiv1.Keeper{Device: string(k.Device), Until: timestamppb.New(k.Until), Receipt: k.Receipt})
	}
	return out
}

func (s messageService) ListConversations(ctx context.Context, req *apiv1.ListConversationsRequest) (*apiv1.ListConversationsResponse, error) {
	out := &apiv1.ListConversationsResponse{}
	return out, s.read(ctx, func(v *view) (err error) {
		out.Conversations, out.NextPageToken, err = v.conversations(req)
		return err
	})
}

func (s messageService) MarkRead(ctx context.Context, req *apiv1.MarkReadRequest) (*apiv1.MarkReadResponse, error) {
	var conv chat.Conversation
	var upTo chat.MessageID
	if err := s.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if conv, _, err = s.conversation(callerOf(ctx), tx, req.Conversation); err != nil {
			return err
		}
		if err := callerOf(ctx).maySend(conv); err != nil {
			return err
		}
		m, err := callerOf(ctx).targetIn(tx, conv, "message", req.Message)
		if err != nil {
			return err
		}
		upTo = m.ID
		return nil
	}); err != nil {
		return nil, err
	}
	return &apiv1.MarkReadResponse{}, s.cfg.Courier.MarkRead(ctx, conv, upTo)
}

func (s messageService) SaveDraft(ctx context.Context, req *apiv1.SaveDraftRequest) (*apiv1.SaveDraftResponse, error) {
	if len(req.Text) > chat.MaxDraft {
		return nil, fmt.Errorf("%w: a draft has at most %d KiB", chat.ErrTooLarge, chat.MaxDraft>>10)
	}
	return &apiv1.SaveDraftResponse{}, s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		conv, _, err := s.conversation(callerOf(ctx), tx, req.Conversation)
		if err != nil {
			return err
		}
		if err := callerOf(ctx).maySend(conv); err != nil {
			return err
		}
		err = tx.SetDraft(conv, req.Text)
		if errors.Is(err, chat.ErrNotFound) && req.Text == "" {
			return nil // there is no conversation, so no draft either
		}
		return err
	})
}
