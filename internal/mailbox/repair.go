package mailbox

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// repairPage boxes or records are compared with all their regions before
	// the next are read: a full holder has more than fit in memory at once.
	repairPage = 500
	// repairCalls holders are visited at a time.
	repairCalls = 4
	// repairRest lies between two repairs, however many leave.
	repairRest = time.Minute
	// firstRepair is when a holder that just came first compares: its
	// neighbours know it by then.
	firstRepair = 2 * time.Minute
)

// repairLoop compares with the other holders until ctx ends: at the period
// that their lives call for, and at once when several leave.
func (h *Host) repairLoop(ctx context.Context) {
	wait, left := h.pace.of(firstRepair), h.nearby.Departures().Load()
	for h.waitRepair(ctx, Jittered(wait, chat.RepairJitter, rand.Float64()), left) {
		left = h.nearby.Departures().Load()
		restored, err := h.repair(ctx)
		if err != nil && ctx.Err() == nil {
			h.fault("mail not compared with other holders", err)
		}
		wait = h.census.period(time.Now())
		h.change(func(s *HostStats) { s.Repairs, s.Restored, s.Period = s.Repairs+1, s.Restored+restored, wait })
	}
}

// waitRepair waits for the next repair, and is false when ctx ends. left is
// how many had left our routing table at the last one.
func (h *Host) waitRepair(ctx context.Context, wait time.Duration, left int) bool {
	due := time.NewTimer(wait)
	defer due.Stop()
	rest := time.NewTimer(h.pace.of(repairRest))
	defer rest.Stop()
	rested := false
	for {
		now, changed := h.nearby.Departures().Watch()
		if rested && RepairNow(now-left) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-due.C:
			return true
		case <-rest.C:
			rested = true
		case <-changed:
		}
	}
}

// repair compares all that we hold with everybody who should hold it too.
func (h *Host) repair(ctx context.Context) (restored int, err error) {
	for more := true; more; {
		if more, err = h.printBoxes(ctx); err != nil {
			return 0, err
		}
	}
	for after, more := (chat.MailboxID{}), true; more && err == nil; {
		var boxes []store.GuestBox
		err = h.guest.Read(ctx, func(tx *store.GuestTx) (err error) {
			boxes, err = tx.Boxes(after, repairPage)
			return err
		})
		if err != nil || len(boxes) == 0 {
			break
		}
		after, more = boxes[len(boxes)-1].ID, len(boxes) == repairPage
		n, rerr := h.visitAll(ctx, boxes, nil)
		restored, err = restored+n, rerr
	}
	for after, more := "", true; more && err == nil; {
		var list []store.GuestSleeper
		err = h.guest.Read(ctx, func(tx *store.GuestTx) (err error) {
			list, err = tx.Sleepers(after, repairPage)
			return err
		})
		if err != nil || len(list) == 0 {
			break
		}
		after, more = list[len(list)-1].Key, len(list) == repairPage
		_, err = h.visitAll(ctx, nil, list)
	}
	return restored, err
}

// visitAll compares a page with the holders of each part of it.
func (h *Host) visitAll(ctx context.Context, boxes []store.GuestBox, sleepers []store.GuestSleeper) (restored int, err error) {
	errands := map[chat.DeviceID]*errand{}
	to := func(place [32]byte) (list []*errand) {
		for _, d := range Holders(h.nearby.Near(place)) {
			if d == h.device {
				continue
			}
			if errands[d] == nil {
				errands[d] = &errand{to: d}
			}
			list = append(list, errands[d])
		}
		return list
	}
	for _, b := range boxes {
		if b.Print == nil {
			b.Print = make([]byte, printSize) // changed just now: it differs
		}
		for _, e := range to(Place(b.ID)) {
			e.boxes = append(e.boxes, b)
		}
	}
	for _, r := range sleepers {
		for _, e := range to(SleeperPlace(r.Key)) {
			e.sleepers = append(e.sleepers, r)
		}
	}
	list := make([]*errand, 0, len(errands))
	for _, e := range errands {
		list = append(list, e)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	outcomes := make([]outcome, len(list))
	var wg sync.WaitGroup
	slots := make(chan struct{}, repairCalls)
	now := time.Now()
	for i, e := range list {
		if h.census.lies(e.to, now) {
			e.boxes = nil
		}
		if err := h.pickAudit(ctx, e); err != nil {
			return 0, err
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			outcomes[i] = h.visit(ctx, e)
		})
	}
	wg.Wait()
	for i, o := range outcomes {
		h.census.met(list[i].to, o.answered, time.Now())
		if o.audited {
			h.census.audited(list[i].to, o.passed, time.Now())
		}
		restored += o.restored
	}
	return restored, ctx.Err()
}

// pickAudit chooses an envelope that a holder should have too.
func (h *Host) pickAudit(ctx context.Context, e *errand) error {
	if len(e.boxes) == 0 {
		return nil
	}
	b := e.boxes[rand.IntN(len(e.boxes))]
	return h.guest.Read(ctx, func(tx *store.GuestTx) error {
		ids, err := tx.MailIDs(b)
		if err == nil && len(ids) > 0 {
			e.audit, e.auditBox = ids[rand.IntN(len(ids))], b.ID
		}
		return err
	})
}
