package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/config"
	"parley/internal/dm"
	"parley/internal/mailbox"
	"parley/internal/store"
	"parley/internal/wire"
)

// buildMail builds both sides of the mailbox: what we keep for others, and,
// but for a node that nobody writes to, what others keep for us.
func (n *Node) buildMail() (err error) {
	cfg := n.opts.Config.Mail
	speed := float64(max(cfg.Speed, 1))
	if cfg.Host != config.MailOff {
		n.guest, err = store.OpenGuest(store.GuestConfig{
			Dir: n.opts.Config.Data.Dir, Log: n.log, MaxBytes: cfg.Size, Relaxed: n.opts.Relaxed,
		})
		if err != nil {
			return fmt.Errorf("opening others' mail: %w", err)
		}
		keeper, err := mailbox.NewHost(mailbox.HostConfig{
			Guest: n.guest, Key: n.keys.DeviceKey(), Device: n.keys.Device(), Nearby: n.host, Dialer: dialer{n},
			Net: n.host.RemoteNet, Misbehaved: n.guard.Misbehaved, Speed: speed, Drop: cfg.Drop, Log: n.log,
		})
		if err != nil {
			return err
		}
		n.keeper.Store(keeper)
		n.host.Handle(mailbox.Protocol, n.keepMail)
	}
	if n.opts.Infra {
		return nil
	}
	n.mail, err = mailbox.NewClient(mailbox.Config{
		DB: n.db, Keys: n.keys, Regions: n.host, NewLine: n.newLine, Receive: n.receiveMail,
		Online: &n.online, Speed: speed, Log: n.log,
	})
	return err
}

// keepMail serves others' mail while we do that at all.
func (n *Node) keepMail(s wire.Stream) {
	if n.mailOff() != "" {
		_ = s.Reset()
		return
	}
	n.keeper.Load().Handle(s)
}

// mailOff is why we keep nothing for others: a closed code, or nothing.
func (n *Node) mailOff() string {
	if n.keeper.Load() == nil {
		return api.MailOff
	}
	status := n.host.Status().Load()
	switch {
	case n.opts.Config.Mail.Host == config.MailOn, status.DHTServer:
		return ""
	case status.Reachability == "private":
		return api.MailUnreachable
	default:
		return api.MailLooking
	}
}

// noteRecord gives a record that the DHT found valid to whoever keeps the last
// ones of sleepers.
func (n *Node) noteRecord(key string, record []byte, err error) error {
	if keeper := n.keeper.Load(); err == nil && keeper != nil {
		keeper.Keep(key, record)
	}
	return err
}

func (n *Node) newLine() (mailbox.Line, error) {
	guest, err := n.host.NewGuest()
	if err != nil {
		return nil, err
	}
	return guest, nil
}

// fates is what mail is to its collector, by what it was to dm.
var fates = map[dm.Answer]mailbox.Fate{
	dm.Silence: mailbox.Taken, dm.Received: mailbox.Taken, dm.Refused: mailbox.Taken,
	dm.Busy: mailbox.Later, dm.Invalid: mailbox.Unopened,
}

// receiveMail is dm's entrance for mail.
func (n *Node) receiveMail(ctx context.Context, mail []chat.Sealed) ([]mailbox.Fate, error) {
	outcomes, err := n.courier.Receive(ctx, "", mail)
	out := make([]mailbox.Fate, len(outcomes))
	for i, o := range outcomes {
		out[i] = fates[o.Answer]
	}
	return out, err
}

// runKeeper and runMail are stages that some nodes have nothing to do in.
func (n *Node) runKeeper(ctx context.Context) error {
	if keeper := n.keeper.Load(); keeper != nil {
		return keeper.Run(ctx)
	}
	<-ctx.Done()
	return nil
}

func (n *Node) runMail(ctx context.Context) error {
	if n.mail != nil {
		return n.mail.Run(ctx)
	}
	<-ctx.Done()
	return nil
}

// blocked voids every ticket to our mailbox that the blocked one may have.
func (n *Node) blocked(chat.AccountID) {
	if err := n.keys.RenewMailbox(n.stopped, n.db, time.Now()); err != nil {
		if n.stopped.Err() == nil {
			n.log.Warn("mailbox not renewed after a block", "err", err)
		}
		return
	}
	n.directory.Nudge()
}

// mailView is the api's view of the mailbox.
type mailView struct{ n *Node }

func (v mailView) State() api.MailState {
	out := api.MailState{Off: v.n.mailOff(), LimitBytes: v.n.opts.Config.Mail.Size}
	if keeper := v.n.keeper.Load(); keeper != nil {
		s := keeper.Stats().Load()
		out.Boxes, out.Envelopes, out.Bytes, out.Sleepers = s.Boxes, s.Envelopes, s.Bytes, s.Sleepers
		if out.Off == "" && s.NoSpace {
			out.Off = api.MailNoSpace
		}
	}
	if v.n.mail != nil {
		s := v.n.mail.Status().Load()
		out.OwnBoxes, out.Collected, out.LastRound, out.NextRound = s.Boxes, s.Collected, s.Last, s.Next
		out.Asked, out.Answered = s.Asked, s.Answered
	}
	return out
}

// maxCounted bounds the deposits whose receipts are counted for a list.
const maxCounted = 2000

func (v mailView) Hosts(ctx context.Context) ([]api.MailHost, error) {
	hosts := map[chat.DeviceID]*api.MailHost{}
	host := func(d chat.DeviceID) *api.MailHost {
		if hosts[d] == nil {
			hosts[d] = &api.MailHost{Device: d, Known: v.n.host.KnownFor(d)}
		}
		return hosts[d]
	}
	if v.n.mail != nil {
		for d, h := range v.n.mail.Holders() {
			out := host(d)
			out.Region, out.ForUs, out.Asked, out.Answered = h.Region, h.ForUs, h.Asked, h.Answered
		}
	}
	err := v.n.db.Read(ctx, func(tx *store.Tx) error {
		deposits, err := tx.Deposits(maxCounted)
		for _, d := range deposits {
			for _, k := range dm.Keepers(d.Receipts) {
				host(k.Device).FromUs++
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading who keeps our mail: %w", err)
	}
	out := make([]api.MailHost, 0, len(hosts))
	for _, h := range hosts {
		out = append(out, *h)
	}
	return out, nil
}

// closeGuest closes the file of others' mail.
func (n *Node) closeGuest() error {
	if n.guest == nil {
		return nil
	}
	if err := n.guest.Close(); err != nil {
		return errors.Join(errors.New("closing others' mail"), err)
	}
	return nil
}
