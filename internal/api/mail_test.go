package api_test

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/dm"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"

	"google.golang.org/protobuf/proto"
)

// told is mail as a node would tell of it.
type told struct {
	state api.MailState
	hosts []api.MailHost
}

func (m *told) State() api.MailState                          { return m.state }
func (m *told) Hosts(context.Context) ([]api.MailHost, error) { return m.hosts, nil }

// receipts are the signed words of n holders, with their devices.
func receipts(t *testing.T, n int) (signed [][]byte, devices []chat.DeviceID) {
	t.Helper()
	for range n {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := proto.Marshal(&wirev1.MailReceipt{Version: 1, HolderKey: pub, Expires: time.Now().Add(chat.MailLife).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		signed, devices = append(signed, identity.SignedBytes(key, seal.PurposeReceipt, raw)), append(devices, identity.DeviceIDOf(pub))
	}
	return signed, devices
}

// TestHeldIsCounted: the words of a kept message and the list behind them name
// exactly those who signed.
func TestHeldIsCounted(t *testing.T) {
	m := &told{}
	n := buildNode(t, newWorld(), "Ana", func(c *api.Config) { c.Mail = m })
	n.run(t)
	sent, err := n.local.Messages.SendMessage(t.Context(), &apiv1.SendMessageRequest{Conversation: "people/" + string(stranger), Text: "sleep well"})
	if err != nil {
		t.Fatal(err)
	}
	id, err := chat.ParseMessageID(sent.Message.Id)
	if err != nil {
		t.Fatal(err)
	}
	signed, devices := receipts(t, 14)
	const sleeper = chat.DeviceID("12D3KooWSleeper")
	for _, step := range []struct {
		state           chat.Delivery
		kept            int
		message, device string
		held            uint32
	}{
		{chat.Sent, 1, "Sent to 1 peer", "Kept by 1 so far", 0},
		{chat.Held, 14, "Kept by 14 others", "Kept by 14 others", 1},
	} {
		err := n.db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.SetDelivery(id, store.DeviceDelivery{Device: sleeper, State: step.state, At: time.Now(), Proof: dm.KeptProof(signed[:step.kept])})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		why, err := n.local.Messages.ExplainMessage(t.Context(), &apiv1.ExplainMessageRequest{Id: sent.Message.Id})
		if err != nil {
			t.Fatal(err)
		}
		if why.Message.DeliveryText != step.message || why.Summary != step.message {
			t.Errorf("%s: shown as %q and %q, want %q", step.state, why.Message.DeliveryText, why.Summary, step.message)
		}
		i := len(why.Devices) - 1
		for why.Devices[i].Device != string(sleeper) {
			i--
		}
		d := why.Devices[i]
		if d.Text != step.device || len(d.Keepers) != step.kept {
			t.Errorf("%s: the device says %q with %d keepers, want %q with %d", step.state, d.Text, len(d.Keepers), step.device, step.kept)
		}
		for k, keeper := range d.Keepers {
			if keeper.Device != string(devices[k]) || !keeper.Until.AsTime().After(time.Now()) {
				t.Errorf("%s: keeper %d is %s until %s", step.state, k, keeper.Device, keeper.Until.AsTime())
			}
		}
		status, err := n.local.Mail.GetMailStatus(t.Context(), &apiv1.GetMailStatusRequest{})
		if err != nil || status.Waiting != 1 || status.Held != step.held {
			t.Errorf("%s: status tells of %d waiting, %d held, %v", step.state, status.GetWaiting(), status.GetHeld(), err)
		}
	}
}

func TestMailStatus(t *testing.T) {
	m := &told{}
	n := buildNode(t, newWorld(), "Ana", func(c *api.Config) { c.Mail = m })
	n.run(t)
	for _, c := range []struct {
		state api.MailState
		on    bool
		text  string
		check string
	}{
		{api.MailState{Off: api.MailOff}, false, "Keeps no mail for others: switched off (mail.host); none of your messages waits", "RESULT_OK"},
		{api.MailState{Off: api.MailNoSpace}, false, "Takes no mail for others: the disk is too full; none of your messages waits", "RESULT_WARNING"},
		{api.MailState{Boxes: 1, Envelopes: 2, Bytes: 8 << 10, Asked: 3, Answered: 2}, true, "Keeps 2 envelopes in 1 box for others; none of your messages waits", "RESULT_OK"},
		{api.MailState{Asked: 3}, true, "Keeps mail for others; nothing now; none of your messages waits", "RESULT_WARNING"},
	} {
		m.state = c.state
		res, err := n.local.Mail.GetMailStatus(t.Context(), &apiv1.GetMailStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if res.Keeping.On != c.on || res.Text != c.text || res.Keeping.Bytes != uint64(c.state.Bytes) || res.Collecting.Answered != uint32(c.state.Answered) {
			t.Errorf("%+v is told as %v", c.state, res)
		}
		doctor, err := n.local.Node.Doctor(t.Context(), &apiv1.DoctorRequest{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, check := range doctor.Checks {
			if check.Name == "mail" {
				got = check.Result.String()
			}
		}
		if got != c.check {
			t.Errorf("%+v: doctor says %q, want %q", c.state, got, c.check)
		}
	}
	m.hosts = []api.MailHost{{Device: "b", FromUs: 1}, {Device: "a", FromUs: 1}, {Device: "c", ForUs: 3, Answered: true, Known: time.Hour}}
	hosts, err := n.local.Mail.ListMailHosts(t.Context(), &apiv1.ListMailHostsRequest{})
	if err != nil || len(hosts.Hosts) != 3 {
		t.Fatalf("%v, %v", hosts, err)
	}
	for i, want := range []string{"c", "a", "b"} {
		if hosts.Hosts[i].Device != want {
			t.Errorf("place %d is %s, want %s", i, hosts.Hosts[i].Device, want)
		}
	}
}
