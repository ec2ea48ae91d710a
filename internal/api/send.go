package api

import (
	"context"
	"fmt"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/dm"
	"parley/internal/store"
)

// maxWait is how long SendMessage waits at most: a caller that wants longer
// follows the log.
const maxWait = 5 * time.Minute

func (s messageService) SendMessage(ctx context.Context, req *apiv1.SendMessageRequest) (*apiv1.SendMessageResponse, error) {
	wanted := chat.Delivery(req.WaitFor)
	switch {
	case req.WaitFor < 0 || req.WaitFor > apiv1.Delivery_DELIVERY_READ:
		return nil, invalid("wait_for", "a message cannot be waited for in this state")
	case req.Wait.AsDuration() < 0 || req.Wait.AsDuration() > maxWait:
		return nil, invalid("wait", "from 0 to %s", maxWait)
	case req.Text == "":
		return nil, invalid("text", "it is empty")
	}
	id, err := s.write(ctx, req, func(tx *store.Tx) (*chat.Message, error) {
		conv, to, err := s.conversation(callerOf(ctx), tx, req.Conversation)
		if err != nil {
			return nil, err
		}
		if err := callerOf(ctx).maySend(conv); err != nil {
			return nil, err
		}
		d := dm.Draft{To: to, Kind: chat.KindText, Text: chat.Body(req.Text)}
		if req.ReplyTo != "" {
			target, err := callerOf(ctx).targetIn(tx, conv, "reply_to", req.ReplyTo)
			if err != nil {
				return nil, err
			}
			d.Target = target.ID
		}
		return s.cfg.Courier.SendIn(tx, d)
	})
	if err != nil {
		return nil, err
	}
	reached := true
	if wanted != chat.DeliveryNone {
		if reached, err = s.await(ctx, id, wanted, req.Wait.AsDuration()); err != nil {
			return nil, err
		}
	}
	m, err := s.shown(ctx, id)
	return &apiv1.SendMessageResponse{Message: m, Reached: reached}, err
}

// write makes one message of ours, once for each request id.
func (s messageService) write(ctx context.Context, req request, fn func(tx *store.Tx) (*chat.Message, error)) (chat.MessageID, error) {
	answer, err := s.once(ctx, req, func(tx *store.Tx) ([]byte, error) {
		m, err := fn(tx)
		if err != nil {
			return nil, err
		}
		return m.ID[:], nil
	})
	if err != nil {
		return chat.MessageID{}, err
	}
	if len(answer) != len(chat.MessageID{}) {
		return chat.MessageID{}, fmt.Errorf("the stored answer has %d bytes", len(answer))
	}
	return chat.MessageID(answer), nil
}

// shown is a message as it is now; to a caller who may not read, without what
// it says.
func (s *Server) shown(ctx context.Context, id chat.MessageID) (out *apiv1.Message, err error) {
	err = s.read(ctx, func(v *view) error {
		m, err := v.tx.Message(id)
		if err != nil {
			return fmt.Errorf("reading message: %w", err)
		}
		if !callerOf(ctx).may(scopeRead) {
			out = bareMessage(m)
			return nil
		}
		out, err = v.message(m)
		return err
	})
	return out, err
}

// await follows a message until it is in the wanted state or a later one, can
// get no further, or the time is over. It says whether it got there.
func (s *Server) await(ctx context.Context, id chat.MessageID, wanted chat.Delivery, patience time.Duration) (bool, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		bell := s.cfg.DB.Bell()
		var now chat.Delivery
		err := s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
			m, err := tx.Message(id)
			if err == nil {
				now = m.Delivery
			}
			return err
		})
		if err != nil {
			return false, fmt.Errorf("waiting for a message: %w", err)
		}
		switch {
		case now >= wanted && now <= chat.Read:
			return true, nil
		case now == chat.Refused, now == chat.Expired:
			return false, nil
		}
		select {
		case <-bell:
		case <-timer.C:
			return false, nil
		case <-s.stopped:
			return false, nil // it is stored: the answer is true, only early
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// follow-ups: messages that change an earlier one.

func (s messageService) EditMessage(ctx context.Context, req *apiv1.EditMessageRequest) (*apiv1.EditMessageResponse, error) {
	if req.Text == "" {
		return nil, invalid("text", "it is empty; delete the message instead")
	}
	m, err := s.change(ctx, req, req.Id, func(target *chat.Message) (dm.Draft, error) {
		return dm.Draft{Kind: chat.KindEdit, Text: chat.Body(req.Text)}, ownText(target)
	})
	return &apiv1.EditMessageResponse{Message: m}, err
}

func (s messageService) DeleteMessage(ctx context.Context, req *apiv1.DeleteMessageRequest) (*apiv1.DeleteMessageResponse, error) {
	if req.ValidateOnly {
		return &apiv1.DeleteMessageResponse{}, s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
			target, err := callerOf(ctx).target(tx, "id", req.Id)
			if err != nil {
				return err
			}
			return ownText(target)
		})
	}
	_, err := s.change(ctx, req, req.Id, func(target *chat.Message) (dm.Draft, error) {
		return dm.Draft{Kind: chat.KindDelete}, ownText(target)
	})
	return &apiv1.DeleteMessageResponse{}, err
}

func (s messageService) React(ctx context.Context, req *apiv1.ReactRequest) (*apiv1.ReactResponse, error) {
	m, err := s.change(ctx, req, req.Id, func(target *chat.Message) (dm.Draft, error) {
		if target.Deleted {
			return dm.Draft{}, invalid("id", "that message was deleted")
		}
		return dm.Draft{Kind: chat.KindReaction, Text: chat.Body(req.Emoji)}, nil
	})
	return &apiv1.ReactResponse{Message: m}, err
}

// change writes a message about another one and returns the other as it is
// afterwards.
func (s messageService) change(ctx context.Context, req request, id string, fn func(target *chat.Message) (dm.Draft, error)) (*apiv1.Message, error) {
	answer, err := s.once(ctx, req, func(tx *store.Tx) ([]byte, error) {
		target, err := callerOf(ctx).target(tx, "id", id)
		if err != nil {
			return nil, err
		}
		d, err := fn(target)
		if err != nil {
			return nil, err
		}
		to, ok := target.Conversation.Account()
		if !ok {
			return nil, invalid("id", "that message is in no private conversation")
		}
		d.To, d.Target = to, target.ID
		if _, err := s.cfg.Courier.SendIn(tx, d); err != nil {
			return nil, err
		}
		return target.ID[:], nil
	})
	if err != nil {
		return nil, err
	}
	if len(answer) != len(chat.MessageID{}) {
		return nil, fmt.Errorf("the stored answer has %d bytes", len(answer))
	}
	return s.shown(ctx, chat.MessageID(answer))
}

// ownText refuses what only the author may change.
func ownText(m *chat.Message) error {
	switch {
	case !m.Own:
		return invalid("id", "only your own messages can be changed")
	case m.Deleted:
		return invalid("id", "that message was deleted")
	}
	return nil
}

func (s messageService) ResendMessage(ctx context.Context, req *apiv1.ResendMessageRequest) (*apiv1.ResendMessageResponse, error) {
	id, err := s.write(ctx, req, func(tx *store.Tx) (*chat.Message, error) {
		old, err := callerOf(ctx).target(tx, "id", req.Id)
		if err != nil {
			return nil, err
		}
		return s.cfg.Courier.ResendIn(tx, old.ID)
	})
	if err != nil {
		return nil, err
	}
	m, err := s.shown(ctx, id)
	return &apiv1.ResendMessageResponse{Message: m}, err
}
