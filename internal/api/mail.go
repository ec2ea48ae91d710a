package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
)

// Mail is what the API tells of mail for people who are asleep: counts, never
// contents. Node adapts mailbox to it.
type Mail interface {
	// State is how mail fares now. It does not block.
	State() MailState
	// Hosts is who keeps our mail, each device once. It reads the store and
	// asks nobody.
	Hosts(ctx context.Context) ([]MailHost, error)
}

// MailState is what this node keeps for others, and how its own mail is
// fetched.
type MailState struct {
	Off        string // closed code: why nothing is kept for others; empty: it is on
	Boxes      int
	Envelopes  int
	Bytes      int64
	LimitBytes int64
	Sleepers   int // records of devices that no longer publish

	OwnBoxes        int // mailbox ids that may still get mail
	Collected       int // envelopes since the node started
	LastRound       time.Time
	NextRound       time.Time
	Asked, Answered int // hosts, in the last round
}

// MailHost is a device that keeps our mail.
type MailHost struct {
	Device   chat.DeviceID
	Known    time.Duration // since we first met it
	Region   bool          // one of those nearest to our mailbox now
	FromUs   int           // envelopes of unfinished messages that it signed for
	ForUs    int           // envelopes that it gave us, since the node started
	Asked    time.Time
	Answered bool
}

// The reasons why a node keeps nothing for others.
const (
	MailOff         = "off"         // mail.host
	MailUnreachable = "unreachable" // others cannot call this node
	MailLooking     = "looking"     // whether they can is not known yet
	MailNoSpace     = "no_space"    // the disk is too full
)

// mailOffWords say why nothing is kept for others, by reason code.
var mailOffWords = map[string]string{
	MailOff:         "Keeps no mail for others: switched off (mail.host)",
	MailUnreachable: "Keeps no mail for others: they cannot call this node",
	MailLooking:     "Keeps no mail for others yet: whether they can call this node is not known",
	MailNoSpace:     "Takes no mail for others: the disk is too full",
}

func (s *Server) mail() MailState {
	if s.cfg.Mail == nil {
		return MailState{Off: MailOff}
	}
	return s.cfg.Mail.State()
}

// keepingWords is what is kept for others, in one sentence.
func (m MailState) keepingWords() string {
	if words, off := mailOffWords[m.Off]; off {
		return words
	}
	if m.Off != "" {
		return "Keeps no mail for others: " + m.Off
	}
	if m.Envelopes == 0 {
		return "Keeps mail for others; nothing now"
	}
	return fmt.Sprintf("Keeps %s in %s for others", plural(m.Envelopes, "envelope", "envelopes"), plural(m.Boxes, "box", "boxes"))
}

// ownWords is where our own messages are that nobody confirmed yet.
func ownWords(waiting, held int) string {
	switch {
	case waiting == 0:
		return "none of your messages waits"
	case held == 0:
		return plural(waiting, "message of yours waits", "messages of yours wait")
	case held == waiting:
		return plural(held, "message of yours is kept by others", "messages of yours are kept by others")
	}
	return fmt.Sprintf("%d of %d waiting messages of yours are kept by others", held, waiting)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (s mailService) GetMailStatus(ctx context.Context, _ *apiv1.GetMailStatusRequest) (*apiv1.GetMailStatusResponse, error) {
	m := s.mail()
	out := &apiv1.GetMailStatusResponse{
		Keeping: &apiv1.MailKeeping{
			On: m.Off == "", Reason: m.Off, Text: m.keepingWords(), Boxes: uint64(m.Boxes), Envelopes: uint64(m.Envelopes),
			Bytes: uint64(m.Bytes), LimitBytes: uint64(m.LimitBytes), Sleepers: uint64(m.Sleepers),
		},
		Collecting: &apiv1.MailCollecting{
			Boxes: uint32(m.OwnBoxes), Last: stamp(m.LastRound), Next: stamp(m.NextRound),
			Asked: uint32(m.Asked), Answered: uint32(m.Answered), Collected: uint64(m.Collected),
		},
	}
	return out, s.read(ctx, func(v *view) error {
		waiting, err := v.tx.Unfinished()
		if err != nil {
			return fmt.Errorf("counting messages: %w", err)
		}
		held, err := v.tx.UnfinishedHeld()
		if err != nil {
			return fmt.Errorf("counting messages: %w", err)
		}
		out.Waiting, out.Held = uint32(waiting), uint32(held)
		out.Text = out.Keeping.Text + "; " + ownWords(waiting, held)
		return nil
	})
}

func (s mailService) ListMailHosts(ctx context.Context, _ *apiv1.ListMailHostsRequest) (*apiv1.ListMailHostsResponse, error) {
	out := &apiv1.ListMailHostsResponse{}
	if s.cfg.Mail == nil {
		return out, nil
	}
	hosts, err := s.cfg.Mail.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(hosts, func(a, b MailHost) int {
		return cmp.Or(cmp.Compare(b.FromUs+b.ForUs, a.FromUs+a.ForUs), cmp.Compare(a.Device, b.Device))
	})
	for _, h := range hosts {
		out.Hosts = append(out.Hosts, &apiv1.MailHost{
			Device: string(h.Device), Known: durationpb.New(h.Known), Region: h.Region,
			FromUs: uint32(h.FromUs), ForUs: uint32(h.ForUs), Asked: stamp(h.Asked), Answered: h.Answered,
		})
	}
	return out, nil
}

// checkMail says what doctor finds: a node that keeps nothing for others is no
// fault, mail that cannot be fetched is one.
func (s nodeService) checkMail() Check {
	if s.cfg.Mail == nil {
		return Check{}
	}
	m := s.mail()
	switch {
	case m.Off == MailNoSpace:
		return Check{"mail", Warning, m.keepingWords(), "free some space, or make mail.size smaller"}
	case m.Asked > 0 && m.Answered == 0:
		return Check{"mail", Warning, fmt.Sprintf("none of %s answered when mail was fetched", plural(m.Asked, "host", "hosts")), "wait for the network; it is tried again by itself"}
	}
	return Check{"mail", OK, m.keepingWords(), ""}
}
