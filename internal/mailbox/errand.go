package mailbox

import (
	"context"
	"crypto/hmac"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

const (
	// repairVisit bounds one errand: a full box over a slow line.
	repairVisit = 5 * time.Minute
	// repairPuts are under way at a time.
	repairPuts = 16
	// repairRefusals in a row end the puts to a holder: it is full.
	repairRefusals = 8
	// repairNet is who deletes that come as answers are charged to: nobody can
	// send more of them than we ask for.
	repairNet = "repair"
	// patience is how long we wait for a holder that is busy, and busyTries how
	// often in one errand's step: full holders do not hold up the others.
	patience  = 10 * time.Second
	busyPause = 100 * time.Millisecond
	busyTries = 20
)

// errand is what is to be compared with one holder.
type errand struct {
	to       chat.DeviceID
	boxes    []store.GuestBox // with their prints
	sleepers []store.GuestSleeper
	audit    [32]byte // an envelope to ask for; zero: none
	auditBox chat.MailboxID
}

// outcome is what came of it.
type outcome struct {
	answered bool
	audited  bool
	passed   bool
	restored int
}

// openLine makes a Line of our own dialer: holders know each other.
type openLine struct{ Dialer }

func (openLine) Close() error { return nil }

// visit does one errand.
func (h *Host) visit(ctx context.Context, e *errand) (o outcome) {
	ctx, cancel := context.WithTimeout(ctx, repairVisit)
	defer cancel()
	k, err := dial(ctx, openLine{h.dialer}, e.to)
	if err == nil {
		o.answered = true
		err = h.run(ctx, k, e, &o)
		k.end(err)
	}
	if err != nil {
		h.log.Debug("holder not visited", "holder", e.to.Short(), "cause", err)
	}
	return o
}

func (h *Host) run(ctx context.Context, k *call, e *errand, o *outcome) error {
	var differ []chat.MailboxID
	for part := range slices.Chunk(e.boxes, compareBoxes) {
		q := &wirev1.MailRepair{}
		for _, b := range part {
			q.Boxes = append(q.Boxes, &wirev1.MailBoxDigest{
				MailboxId: b.ID[:], Count: uint32(b.Contacts + b.Strangers), Fingerprint: b.Print,
			})
		}
		a, err := askRepair(ctx, k, q)
		if err != nil {
			return err
		}
		for _, d := range a.Boxes {
			i := slices.IndexFunc(part, func(b store.GuestBox) bool { return string(b.ID[:]) == string(d.GetMailboxId()) })
			if i >= 0 && !slices.Contains(differ, part[i].ID) {
				differ = append(differ, part[i].ID)
			}
		}
	}
	if e.audit != ([32]byte{}) && !slices.Contains(differ, e.auditBox) {
		passed, err := h.audit(ctx, k, e.audit)
		if err != nil {
			return err
		}
		o.audited, o.passed = true, passed
	}
	for _, id := range differ {
		n, err := h.restore(ctx, k, id)
		o.restored += n
		if err != nil {
			return err
		}
	}
	return h.runSleepers(ctx, k, e, o)
}

func (h *Host) runSleepers(ctx context.Context, k *call, e *errand, o *outcome) error {
	for part := range slices.Chunk(e.sleepers, compareBoxes) {
		q := &wirev1.MailRepair{}
		for _, r := range part {
			q.Sleepers = append(q.Sleepers, &wirev1.MailSleeperDigest{Key: r.Key, Seq: r.Seq})
		}
		a, err := askRepair(ctx, k, q)
		if err != nil {
			return err
		}
		for _, r := range part {
			if !slices.Contains(a.WantRecords, r.Key) {
				continue
			}
			_, err := askPatiently(ctx, k, &wirev1.MailRequest{Body: &wirev1.MailRequest_Sleeper{
				Sleeper: &wirev1.MailSleeper{Key: r.Key, Record: r.Record},
			}})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// audit asks for a proof that an envelope is kept. It passes too when we do
// not have it any more ourselves.
func (h *Host) audit(ctx context.Context, k *call, id [32]byte) (passed bool, err error) {
	nonce := random32()
	a, err := askPatiently(ctx, k, &wirev1.MailRequest{Body: &wirev1.MailRequest_Audit{
		Audit: &wirev1.MailAudit{Nonce: nonce[:], Id: id[:]},
	}})
	if err != nil {
		return false, err
	}
	var body []byte
	err = h.guest.Read(ctx, func(tx *store.GuestTx) error {
		body, err = tx.MailBody(id, time.Now().Add(h.pace.of(upkeepEvery)))
		return err
	})
	if errors.Is(err, chat.ErrNotFound) {
		return true, nil
	}
	return hmac.Equal(a.Mac, auditMAC(nonce[:], body)), err
}

// restore lists a box to a holder that has something else in it: what it lacks
// it gets, and what it knows to be deleted goes here.
func (h *Host) restore(ctx context.Context, k *call, id chat.MailboxID) (restored int, err error) {
	row, refused := int64(0), 0
	for {
		var list []store.GuestMail
		err := h.guest.Read(ctx, func(tx *store.GuestTx) error {
			box, err := tx.Box(id)
			if err == nil {
				list, err = tx.MailAfter(box, row, compareItems, time.Now())
			}
			return err
		})
		if err != nil || len(list) == 0 {
			return restored, err
		}
		row = list[len(list)-1].Row
		d := &wirev1.MailBoxDigest{MailboxId: id[:]}
		for _, m := range list {
			d.Items = append(d.Items, &wirev1.MailItem{Id: m.ID[:], ExpiryHour: m.Hour, Contact: m.Contact})
		}
		a, err := askRepair(ctx, k, &wirev1.MailRepair{Boxes: []*wirev1.MailBoxDigest{d}})
		if err != nil {
			return restored, err
		}
		for _, signed := range a.Deletes {
			if err := h.bury(ctx, repairNet, signed, time.Now()); err != nil {
				return restored, err
			}
		}
		n, full, err := h.put(ctx, k, wanted(list, a.Want), &refused)
		restored += n
		if err != nil || full {
			return restored, err
		}
	}
}

// wanted is what was asked for of a list, each once.
func wanted(list []store.GuestMail, want [][]byte) (out []store.GuestMail) {
	asked := map[string]bool{}
	for _, id := range want {
		asked[string(id)] = true
	}
	for _, m := range list {
		if asked[string(m.ID[:])] {
			out = append(out, m)
		}
	}
	return out
}

// put gives envelopes to a holder, several under way at a time. full says that
// it takes no more.
func (h *Host) put(ctx context.Context, k *call, list []store.GuestMail, refused *int) (taken int, full bool, err error) {
	for part := range slices.Chunk(list, repairPuts) {
		var bodies [][]byte
		err := h.guest.Read(ctx, func(tx *store.GuestTx) error {
			for _, m := range part {
				body, err := tx.MailBody(m.ID, time.Now())
				if err == nil {
					bodies = append(bodies, body)
				} else if !errors.Is(err, chat.ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return taken, false, err
		}
		for try := 0; len(bodies) > 0; try++ {
			n, again, err := putSome(ctx, k, bodies, refused)
			taken, bodies = taken+n, again
			if err != nil || *refused >= repairRefusals || try == busyTries {
				return taken, true, err
			}
		}
	}
	return taken, false, nil
}

// putSome writes puts and then reads their answers; those answered BUSY are
// to be put again.
func putSome(ctx context.Context, k *call, bodies [][]byte, refused *int) (taken int, again [][]byte, err error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for _, b := range bodies {
			if k.w.Queue(&wirev1.MailRequest{Body: &wirev1.MailRequest_Put{Put: b}}) != nil {
				return // the reader sees it too
			}
		}
		_ = k.w.Flush()
	})
	wait := time.Duration(0)
	for _, b := range bodies {
		a, err := k.read()
		if err != nil {
			_ = k.s.Reset() // the writer must not wait for it
			return taken, nil, err
		}
		switch a.Status {
		case wirev1.Status_STATUS_OK:
			taken, *refused = taken+1, 0
		case wirev1.Status_STATUS_BUSY:
			again, wait = append(again, b), max(wait, busyFor(a))
		default:
			*refused++
		}
	}
	if len(again) > 0 {
		err = pauseFor(ctx, wait)
	}
	return taken, again, err
}

// askPatiently asks again what was answered BUSY.
func askPatiently(ctx context.Context, k *call, q *wirev1.MailRequest) (*wirev1.MailAnswer, error) {
	for try := 0; ; try++ {
		a, err := k.ask(q)
		if err != nil || a.Status != wirev1.Status_STATUS_BUSY || try == busyTries {
			return a, err
		}
		if err := pauseFor(ctx, busyFor(a)); err != nil {
			return nil, err
		}
	}
}

func busyFor(a *wirev1.MailAnswer) time.Duration {
	return max(time.Duration(a.RetryAfterMs)*time.Millisecond, busyPause)
}

func askRepair(ctx context.Context, k *call, q *wirev1.MailRepair) (*wirev1.MailAnswer, error) {
	a, err := askPatiently(ctx, k, &wirev1.MailRequest{Body: &wirev1.MailRequest_Repair{Repair: q}})
	if err != nil {
		return nil, err
	}
	return a, check(a)
}

// pauseFor waits, unless that takes longer than our patience.
func pauseFor(ctx context.Context, d time.Duration) error {
	if d > patience {
		return chat.ErrUnreachable
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
