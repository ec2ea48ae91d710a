package dm

import (
	"context"
	"slices"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// dialTimeout bounds finding and calling a device: several addresses and a
	// look-up fit.
	dialTimeout = time.Minute
	// ackTimeout is how long a stream may owe an answer: a commit on a slow
	// disk behind a slow line fits many times.
	ackTimeout = 30 * time.Second
	// keepOpen is how long an idle stream is kept; the other side ends it
	// chat.IdleTimeout after its last frame, so ours must be shorter.
	keepOpen = chat.IdleTimeout - 10*time.Second
	// owedAfter is when a message that was written to a stream is said to wait
	// for its receipt. The receipt mostly comes first, and saves the commit.
	owedAfter = time.Second
	// busyLeast and busyWindow: after BUSY a short train goes each half
	// second, since each blob over the pace is carried in vain.
	busyLeast  = 500 * time.Millisecond
	busyWindow = 8
)

// worker hands what waits to one device. One at most runs for each device.
type worker struct {
	// Set by newWorker, never changed.
	c       *Courier
	account chat.AccountID
	device  chat.DeviceID
	reads   chan []byte   // READ receipts for the open stream
	moved   chan struct{} // capacity 1: answers changed what follows

	unread [][]byte // owned by the worker: READ receipts that the stream did not take
	ahead  *call    // the same: a stream being opened, if any

	mu sync.Mutex
	// Guarded by mu.
	streaming bool
	flying    map[int64]*flight // outbox row -> written and not answered; at most chat.OutboxWindow
	written   int               // blobs
	after     int64             // all rows up to this one fly or are answered
	window    int               // how many may fly
	busy      time.Time         // nothing is written before
	broken    []byte            // session of a blob that did not open there
	turned    bool              // the device said no in another way
	progress  bool              // a receipt came
	heard     time.Time         // last answer
	reached   map[string]uint64 // session -> highest number that arrived
	stored    map[string]uint64 // the same, as the session row has it
}

// flight is a row on the stream.
type flight struct {
	row    store.OutboxRow // without content and blob
	number uint64
	hash   [32]byte
	at     time.Time
	owed   bool // waitNoReceipt is written
}

// result is what came of a worker's run.
type result struct {
	reason   string    // why it stopped; "" when nothing waits any more
	until    time.Time // not before
	progress bool      // a receipt came
	silent   bool      // the device is there and answers nothing
	broken   []byte    // a session in which the device opens nothing
}

func newWorker(c *Courier, a chat.AccountID, d chat.DeviceID) *worker {
	return &worker{
		c: c, account: a, device: d,
		reads:   make(chan []byte, 16),
		moved:   make(chan struct{}, 1),
		flying:  map[int64]*flight{},
		window:  chat.OutboxWindow,
		reached: map[string]uint64{},
		stored:  map[string]uint64{},
	}
}

// run seals, dials and talks until nothing waits or something fails.
func (w *worker) run(ctx context.Context) result {
	defer w.hangUp()
	if gone, err := w.c.reroute(ctx, w.account, w.device); err != nil || gone {
		if err != nil {
			w.c.log.Debug("device list not read", "cause", err)
			return result{reason: waitUnreachable}
		}
		return result{}
	}
	w.c.doubtList(w.account, [32]byte{}, time.Now()) // beside the running session
	rows, reason, err := w.next(ctx)
	if err != nil {
		w.c.log.Debug("outbox not read", "device", w.device.Short(), "cause", err)
		return result{reason: waitUnreachable}
	}
	if len(rows) == 0 {
		if reason == waitSenderLead {
			return result{reason: reason, broken: w.leading(ctx)}
		}
		return result{reason: reason}
	}
	late := time.AfterFunc(mailAfter, func() { w.c.isAway(w.account, w.device) })
	s, err := w.open(ctx)
	late.Stop()
	if err != nil {
		w.c.log.Debug("device not reached", "device", w.device.Short(), "cause", err)
		return result{reason: reasonOf(err)}
	}
	if s.Remote() != w.device {
		_ = s.Reset()
		return result{reason: waitUnreachable}
	}
	return w.converse(ctx, s, rows)
}

// next is the sealed rows that may be written now, oldest first. A reason says
// why there are not more of them.
func (w *worker) next(ctx context.Context) (rows []store.OutboxRow, reason string, err error) {
	free, flying, after := w.room()
	if free <= 0 {
		return nil, "", nil
	}
	err = w.c.db.Read(ctx, func(tx *store.Tx) error {
		all, err := tx.OutboxAfter(w.device, after, len(flying)+free)
		if err != nil {
			return err
		}
		for _, row := range all {
			if row.Account == w.account && !slices.Contains(flying, row.ID) && len(rows) < free {
				rows = append(rows, row)
			}
		}
		if len(rows) > 0 {
			reason, err = w.held(tx)
		}
		return err
	})
	if err != nil || reason != "" {
		return nil, reason, err
	}
	return w.prepare(ctx, rows)
}

// held is why nothing may go to the device now, session or not: its account
// contradicts itself, or does not list it any more.
func (w *worker) held(tx *store.Tx) (reason string, err error) {
	switch disputed, err := w.c.directory.Disputed(tx, w.account); {
	case err != nil:
		return "", err
	case disputed:
		return waitListsDiffer, nil
	}
	switch listed, err := w.c.listed(tx, w.account, w.device); {
	case err != nil:
		return "", err
	case !listed:
		return waitDevicesChanged, nil
	}
	return "", nil
}

// room is how many rows more may fly, which of those behind row after do, and
// that no row up to after waits for anything but its answer. Rows answered
// since are still among the flying or gone from the outbox, so none is written
// twice.
func (w *worker) room() (free int, flying []int64, after int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.busy) {
		return 0, nil, 0
	}
	for id := range w.flying {
		if id > w.after {
			flying = append(flying, id)
		}
	}
	return w.window - len(w.flying), flying, w.after
}

// prepare seals the rows that are not sealed, making a session if there is
// none. It returns the rows before the first that cannot go.
func (w *worker) prepare(ctx context.Context, rows []store.OutboxRow) ([]store.OutboxRow, string, error) {
	if !slices.ContainsFunc(rows, unsealed) {
		return rows, "", nil
	}
	sealed, reason, err := w.seal(ctx, rows, nil)
	if err != nil || reason != waitNoBundle {
		return sealed, reason, err
	}
	w.openAhead(ctx)
	rec, reason := w.c.record(ctx, w.account, w.device, false)
	if reason != "" {
		return sealed, reason, ctx.Err()
	}
	return w.seal(ctx, rows, rec)
}

func unsealed(row store.OutboxRow) bool { return row.Blob == nil }

// reroute takes what waits for a device that its account no longer lists back
// to the account. gone says that nothing is left for the device.
func (c *Courier) reroute(ctx context.Context, a chat.AccountID, d chat.DeviceID) (gone bool, err error) {
	listed := true
	err = c.db.Read(ctx, func(tx *store.Tx) error {
		listed, err = c.listed(tx, a, d)
		return err
	})
	if err != nil || listed {
		return false, err
	}
	err = c.db.Write(ctx, func(tx *store.Tx) error {
		if listed, err = c.listed(tx, a, d); err != nil || listed {
			return err
		}
		rows, err := tx.Outbox(d, -1)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.Account != a {
				continue
			}
			if err := tx.OutboxDone(row.ID); err != nil {
				return err
			}
			if row.Control {
				continue
			}
			row.Device = ""
			if _, err := tx.Enqueue(row); err != nil {
				return err
			}
			if err := setWait(tx, row.Message, waitDevicesChanged); err != nil {
				return err
			}
		}
		return nil
	})
	return err == nil && !listed, err
}
