package cli

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "parley/gen/parley/api/v1"
)

func TestMailStatus(t *testing.T) {
	b := newBench(t)
	b.mail = &apiv1.GetMailStatusResponse{
		Keeping:    &apiv1.MailKeeping{Reason: "off", Text: "Keeps no mail for others: switched off (mail.host)"},
		Collecting: &apiv1.MailCollecting{},
	}
	b.want(exitOK, `For others  Keeps no mail for others: switched off (mail.host)
From you    0 messages not delivered yet
To you      not asked for yet
`, "mail")
	b.mail = &apiv1.GetMailStatusResponse{
		Keeping:    &apiv1.MailKeeping{On: true, Text: "Keeps 2 envelopes in 1 box for others", Boxes: 1, Envelopes: 2, Bytes: 8 << 10, LimitBytes: 512 << 20, Sleepers: 1},
		Collecting: &apiv1.MailCollecting{Boxes: 4, Last: timestamppb.New(monday), Next: timestamppb.New(monday.Add(15 * time.Minute)), Asked: 20, Answered: 18, Collected: 3},
		Waiting:    2, Held: 1,
	}
	b.want(exitOK, `For others  Keeps 2 envelopes in 1 box for others
Space       8.0 KiB of 512.0 MiB
Sleepers    1 last record kept for who falls asleep
From you    2 messages not delivered yet, 1 kept by others
To you      3 envelopes, asked for at 14:02, 18 of 20 hosts answered, next at 14:17
`, "mail", "status")
	out, _, _ := b.run("mail", "status", "--json")
	says(t, out, `"envelopes":"2"`, `"held":1`, `"limitBytes":"536870912"`)
}

func TestMailHosts(t *testing.T) {
	b := newBench(t)
	b.hosts = &apiv1.ListMailHostsResponse{}
	says(t, b.want(exitOK, "", "mail", "hosts"), "Nobody keeps mail from you or for you.")
	b.hosts.Hosts = []*apiv1.MailHost{
		{Device: maya, FromUs: 3, ForUs: 1, Region: true, Known: durationpb.New(2 * time.Hour), Asked: timestamppb.New(monday), Answered: true},
		{Device: ravi, FromUs: 2, Asked: timestamppb.New(monday)},
	}
	b.want(exitOK, strings.ReplaceAll(`DEVICE!  FROM YOU  TO YOU  NEAR  KNOWN      ASKED
`+maya+`  3         1       yes   2 h 0 min  14:02
`+ravi+`  2         0       -     -          14:02, no answer
`, "!", strings.Repeat(" ", len(maya)-len("DEVICE"))), "mail", "hosts")
}

// TestWhyNamesTheKeepers: every host that signed stands in the list.
func TestWhyNamesTheKeepers(t *testing.T) {
	b := newBench(t)
	held := apiv1.Delivery_DELIVERY_HELD
	b.explained = &apiv1.ExplainMessageResponse{
		Message: &apiv1.Message{Id: other, Own: true, Delivery: held, DeliveryText: "Kept by 2 others"}, Summary: "Kept by 2 others",
		Devices: []*apiv1.DeviceDelivery{{
			Device: maya, Delivery: held, Text: "Kept by 2 others", Time: timestamppb.New(monday), Receipt: make([]byte, 400),
			Keepers: []*apiv1.Keeper{
				{Device: ravi, Until: timestamppb.New(monday), Receipt: make([]byte, 200)},
				{Device: zed, Until: timestamppb.New(monday), Receipt: make([]byte, 200)},
			},
		}},
	}
	out, _, _ := b.run("why", "bbbb")
	says(t, out, "+ Kept by 2 others", "held   2026-11-23 14:02  2 receipts", "KEPT BY", ravi+"  …MayaMay1", zed)
}
