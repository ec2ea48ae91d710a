package parleytest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
)

// TestBlockDropsAndStaysSilent: after a block the connection is gone, nothing
// arrives, and the blocked side sees what it would see of a device asleep.
func TestBlockDropsAndStaysSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(t, 4, Options{})
		ana, bo := w.Node(1), w.Node(2)
		w.Befriend(1, 2)
		ana.Await(ana.Send(bo.Account(), "hello"), chat.Delivered)
		if _, err := bo.Client().People.Block(t.Context(), &apiv1.BlockRequest{Account: string(ana.Account())}); err != nil {
			t.Fatal(err)
		}
		w.until("the connection ends", time.Minute, func(context.Context) bool { return !connected(bo, ana.Device()) })
		id := ana.Send(bo.Account(), "are you there?")
		w.Pass(10 * time.Minute)
		if got := bo.Texts(ana.Account()); len(got) != 1 {
			t.Fatalf("bo reads %q of somebody blocked", got)
		}
		got, err := ana.Client().Messages.GetMessage(t.Context(), &apiv1.GetMessageRequest{Id: id})
		if err != nil {
			t.Fatal(err)
		}
		switch d := got.Message.Delivery; d { // what is told of a device asleep
		case apiv1.Delivery_DELIVERY_QUEUED, apiv1.Delivery_DELIVERY_SENT, apiv1.Delivery_DELIVERY_HELD:
		default:
			t.Fatalf("ana is told %v", d)
		}
		if connected(bo, ana.Device()) {
			t.Fatal("the blocked device is connected again")
		}
		if _, err := bo.Client().People.Unblock(t.Context(), &apiv1.UnblockRequest{Account: string(ana.Account())}); err != nil {
			t.Fatal(err)
		}
		ana.Await(id, chat.Delivered)
	})
}

func connected(n *Node, d chat.DeviceID) bool {
	for _, p := range n.Inside().Host().Peers() {
		if p.Device == d {
			return true
		}
	}
	return false
}
