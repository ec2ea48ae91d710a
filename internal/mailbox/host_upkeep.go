package mailbox

import (
	"context"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// upkeepEvery is one tick: expired mail is gone within it.
	upkeepEvery = time.Minute
	// tidyEvery is how often the log is written back, whatever the pace: it
	// syncs the whole file.
	tidyEvery = 30 * time.Second
	// freshWait gathers records of the DHT into one commit.
	freshWait = 2 * time.Second
	// expireRows go in one commit, so that no deposit waits long behind it.
	expireRows = 500
)

// upkeepLoop ticks until ctx ends.
func (h *Host) upkeepLoop(ctx context.Context) {
	tick := time.NewTicker(h.pace.of(upkeepEvery))
	defer tick.Stop()
	tidied := time.Now()
	for {
		err := h.upkeep(ctx, time.Now())
		if err == nil && time.Since(tidied) >= tidyEvery {
			tidied = time.Now()
			err = h.guest.Tidy(ctx)
		}
		if err != nil && ctx.Err() == nil {
			h.fault("upkeep of strangers' mail", err)
		}
		var soon <-chan time.Time
	wait:
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				break wait
			case <-soon:
				break wait
			case <-h.wake:
				if soon == nil {
					soon = time.After(freshWait)
				}
			}
		}
	}
}

// upkeep drops what has ended, keeps new records, and counts.
func (h *Host) upkeep(ctx context.Context, now time.Time) error {
	for more := true; more; {
		err := h.guest.Write(ctx, func(tx *store.GuestTx) (err error) {
			more, err = tx.Expire(now, now.Add(-chat.SleeperLife), h.day(now), expireRows)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := h.takeFresh(ctx, now); err != nil {
		return err
	}
	for more := true; more; {
		var err error
		if more, err = h.printBoxes(ctx); err != nil {
			return err
		}
	}
	return h.count(ctx, now)
}

func (h *Host) count(ctx context.Context, now time.Time) error {
	var n store.GuestCount
	room := false
	err := h.guest.Read(ctx, func(tx *store.GuestTx) (err error) {
		if n, err = tx.Count(); err != nil {
			return err
		}
		room, err = tx.Room(chat.MaxFrame, !h.diskLow(now))
		return err
	})
	if err != nil {
		return err
	}
	h.change(func(s *HostStats) {
		s.Boxes, s.Envelopes, s.Bytes, s.Sleepers, s.NoSpace = n.Boxes, n.Envelopes, n.Bytes, n.Sleepers, !room
	})
	return nil
}

func (h *Host) change(fn func(*HostStats)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats.Load()
	fn(&s)
	h.stats.Set(s)
}
