package api_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	apiv1 "parley/gen/parley/api/v1"
)

// TestTwoPeopleTalk is the straight path through the api: invite, first words,
// answer, edit, reaction, read mark.
func TestTwoPeopleTalk(t *testing.T) {
	w := newWorld()
	ana, bo := newNode(t, w, "Ana"), newNode(t, w, "Bo")
	ctx := t.Context()

	invite, err := bo.local.Identity.CreateInvite(ctx, &apiv1.CreateInviteRequest{})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := ana.local.People.ReadInvite(ctx, &apiv1.ReadInviteRequest{Link: invite.Link})
	if err != nil || seen.Account != bo.account() || seen.DisplayName != "Bo" || !seen.Signed || seen.Known || seen.Self {
		t.Fatalf("invite = %v, %v", seen, err)
	}
	added, err := ana.local.People.AddContact(ctx, &apiv1.AddContactRequest{Who: invite.Link, Petname: "Bobby"})
	if err != nil || added.Contact.State != apiv1.ContactState_CONTACT_STATE_ADDED || added.Contact.Petname != "Bobby" {
		t.Fatalf("contact = %v, %v", added, err)
	}

	sent, err := ana.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{
		Conversation: "bobby", Text: "see you at nine", WaitFor: apiv1.Delivery_DELIVERY_DELIVERED, Wait: durationpb.New(20 * time.Second),
	})
	if err != nil || !sent.Reached || sent.Message.Delivery != apiv1.Delivery_DELIVERY_DELIVERED || sent.Message.DeliveryText != "Delivered" {
		t.Fatalf("sent = %v, %v", sent, err)
	}
	if !sent.Message.Own || sent.Message.Conversation != "people/"+bo.account() || sent.Message.AuthorName != "Ana" {
		t.Errorf("message = %v", sent.Message)
	}

	state, err := bo.local.Events.ReadState(ctx, &apiv1.ReadStateRequest{})
	if err != nil || len(state.Conversations) != 1 {
		t.Fatalf("state = %v, %v", state, err)
	}
	conv := state.Conversations[0]
	if !conv.Request || conv.Unread != 1 || conv.Account != ana.account() || conv.Last.GetText() != "see you at nine" || conv.Last.Own {
		t.Errorf("conversation = %v", conv)
	}
	if _, err := bo.local.People.AddContact(ctx, &apiv1.AddContactRequest{Who: ana.account()}); err != nil {
		t.Fatal(err)
	}
	awaitName(t, bo, state.Cursor, "Ana") // bo's node asks the network who wrote
	answer, err := bo.local.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{
		Conversation: "ana", Text: "nien is fine", ReplyTo: sent.Message.Id, WaitFor: apiv1.Delivery_DELIVERY_DELIVERED, Wait: durationpb.New(20 * time.Second),
	})
	if err != nil || !answer.Reached || answer.Message.ReplyTo != sent.Message.Id {
		t.Fatalf("answer = %v, %v", answer, err)
	}
	edited, err := bo.local.Messages.EditMessage(ctx, &apiv1.EditMessageRequest{Id: answer.Message.Id[:8], Text: "nine is fine"})
	if err != nil || edited.Message.Text != "nine is fine" || edited.Message.Edited == nil {
		t.Fatalf("edited = %v, %v", edited, err)
	}
	reacted, err := bo.local.Messages.React(ctx, &apiv1.ReactRequest{Id: sent.Message.Id, Emoji: "👍"})
	if err != nil || len(reacted.Message.Reactions) != 1 || reacted.Message.Reactions[0].Emoji != "👍" {
		t.Fatalf("reacted = %v, %v", reacted, err)
	}
	got, err := bo.local.Messages.GetMessage(ctx, &apiv1.GetMessageRequest{Id: answer.Message.Id})
	if err != nil || len(got.History) == 0 || got.History[0].Text != "nien is fine" {
		t.Errorf("history = %v, %v", got, err)
	}
	if _, err := bo.local.Messages.MarkRead(ctx, &apiv1.MarkReadRequest{Conversation: ana.account(), Message: sent.Message.Id}); err != nil {
		t.Fatal(err)
	}
	list, err := bo.local.Messages.ListConversations(ctx, &apiv1.ListConversationsRequest{})
	if err != nil || list.Conversations[0].Unread != 0 || list.Conversations[0].ReadTo != sent.Message.Id || list.Conversations[0].Request {
		t.Errorf("conversations = %v, %v", list, err)
	}
	why, err := ana.local.Messages.ExplainMessage(ctx, &apiv1.ExplainMessageRequest{Id: sent.Message.Id})
	if err != nil || len(why.Devices) != 1 || len(why.Devices[0].Receipt) == 0 || why.Devices[0].Text != "Delivered" {
		t.Errorf("why = %v, %v", why, err)
	}
	number, err := ana.local.Identity.GetSafetyNumber(ctx, &apiv1.GetSafetyNumberRequest{Account: bo.account()})
	other, err2 := bo.local.Identity.GetSafetyNumber(ctx, &apiv1.GetSafetyNumberRequest{Account: ana.account()})
	if err != nil || err2 != nil || number.Digits != other.Digits || len(number.Digits) != 71 {
		t.Errorf("safety numbers %v, %v", number, other)
	}
	if _, err := ana.local.Messages.DeleteMessage(ctx, &apiv1.DeleteMessageRequest{Id: sent.Message.Id}); err != nil {
		t.Fatal(err)
	}
	gone, err := ana.local.Messages.GetMessage(ctx, &apiv1.GetMessageRequest{Id: sent.Message.Id})
	if err != nil || !gone.Message.Deleted || gone.Message.Text != "" || len(gone.History) != 0 {
		t.Errorf("deleted = %v, %v", gone, err)
	}
}

func awaitName(t *testing.T, n *node, cursor, name string) {
	t.Helper()
	list, err := n.local.People.ListContacts(t.Context(), &apiv1.ListContactsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Contacts {
		if c.DisplayName == name {
			return
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := n.local.Events.Watch(ctx, &apiv1.WatchRequest{Cursor: cursor})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for stream.Receive() {
		for _, e := range stream.Msg().Events {
			if e.GetContactChanged().GetDisplayName() == name {
				return
			}
		}
	}
	t.Fatal(stream.Err())
}
