package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

// Config is what a Guard is made of.
type Config struct {
	DB *store.DB
	// Banned is told of each ban when it begins, if set: the device's open
	// connections are to be dropped. It runs on the goroutine that reported the
	// fault, without locks of ours.
	Banned func(d chat.DeviceID)
	// Blocked is told of each block after its commit, if set, on the caller's
	// goroutine.
	Blocked func(a chat.AccountID)
	Log     *slog.Logger
}

// Guard is the judge of conduct. It is safe for concurrent use.
type Guard struct {
	// Set by New, never changed.
	db      *store.DB
	banned  func(chat.DeviceID)
	blocked func(chat.AccountID)
	log     *slog.Logger

	people  atomic.Pointer[people]
	refresh atomic.Uint64 // number of the newest Refresh

	mu sync.Mutex
	// Guarded by mu.
	paces  paces // of messages, by account and device
	frames paces // of frames, by device
	firsts paces // of strangers' first contacts, by device
	faults faults
}

// people is what the store says about others. It never changes: a new one
// takes its place.
type people struct {
	refresh uint64                           // number of the Refresh that read it
	blocked map[chat.AccountID]bool          // capped at chat.MaxBlocks
	devices map[chat.DeviceID]chat.AccountID // of blocked accounts; chat.MaxDevices each
	trusted map[chat.AccountID]bool          // free of cooling; capped at chat.MaxContacts
	free    map[chat.DeviceID]bool           // devices of trusted accounts; chat.MaxDevices each
}

// readTimeout ends a read of a disk that does not answer.
const readTimeout = 30 * time.Second

// New builds a Guard that knows what the store knows.
func New(cfg Config) (*Guard, error) {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	banned := cfg.Banned
	if banned == nil {
		banned = func(chat.DeviceID) {}
	}
	blocked := cfg.Blocked
	if blocked == nil {
		blocked = func(chat.AccountID) {}
	}
	g := &Guard{db: cfg.DB, banned: banned, blocked: blocked, log: log, faults: newFaults()}
	g.paces = newPaces(chat.DMBurst, chat.DMPace)
	g.frames = newPaces(chat.DMFrameBurst, chat.DMFramePace)
	g.firsts = newPaces(chat.FirstBurst, chat.FirstPace)
	g.people.Store(new(people))
	if err := g.Refresh(context.Background()); err != nil {
		return nil, err
	}
	return g, nil
}

// Refresh reads blocks, their devices and trusted contacts anew. Block and
// Unblock do it themselves; call it when a contact's trust changed. It does not
// end with ctx: what was committed holds, even if the caller hangs up.
func (g *Guard) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	next := &people{
		refresh: g.refresh.Add(1),
		blocked: map[chat.AccountID]bool{},
		devices: map[chat.DeviceID]chat.AccountID{},
		trusted: map[chat.AccountID]bool{},
		free:    map[chat.DeviceID]bool{},
	}
	if err := g.db.Read(ctx, next.read); err != nil {
		return fmt.Errorf("reading blocks: %w", err)
	}
	for {
		now := g.people.Load()
		if now.refresh > next.refresh {
			return nil // a Refresh that began after ours saw all that ours did
		}
		if g.people.CompareAndSwap(now, next) {
			return nil
		}
	}
}

// Pinned tells that the account's manifest or a record of these devices was
// pinned: a device may belong to somebody else now. Only if that is somebody
// whom we block or trust is anything read; of strangers there may be many.
func (g *Guard) Pinned(ctx context.Context, a chat.AccountID, devices []chat.DeviceID) error {
	p := g.people.Load()
	// A Refresh under way may have read the state of before.
	concerned := g.refresh.Load() != p.refresh || p.blocked[a] || p.trusted[a] ||
		slices.ContainsFunc(devices, func(d chat.DeviceID) bool { _, blocked := p.devices[d]; return blocked || p.free[d] })
	if !concerned {
		return nil
	}
	return g.Refresh(ctx)
}

func (p *people) read(tx *store.Tx) error {
	blocks, err := tx.Blocks()
	if err != nil {
		return err
	}
	for _, a := range blocks {
		p.blocked[a] = true
		own, err := tx.ProvedDevices(a) // who is only claimed may be somebody else
		if err != nil {
			return err
		}
		for _, d := range own {
			p.devices[d] = a
		}
	}
	contacts, err := tx.Contacts()
	if err != nil {
		return err
	}
	for _, c := range contacts {
		if !c.Trusted {
			continue
		}
		p.trusted[c.Account] = true
		own, err := devicesOf(tx, c.Account)
		if err != nil {
			return err
		}
		for _, d := range own {
			p.free[d] = true
		}
	}
	return nil
}

// devicesOf is the devices of an account, as far as they are known. A manifest
// may claim a device of somebody else; the store keeps one owner of each.
func devicesOf(tx *store.Tx, a chat.AccountID) (own []chat.DeviceID, err error) {
	pin, err := tx.Pin(a)
	if errors.Is(err, chat.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, d := range pin.Devices {
		owner, err := tx.PinByDevice(d)
		if err == nil && owner.Account == a {
			own = append(own, d)
		} else if err != nil && !errors.Is(err, chat.ErrNotFound) {
			return nil, err
		}
	}
	return own, nil
}

// Allowed reports whether a device may connect: it belongs to no blocked
// account and has not kept sending what nobody could accept. It is p2p's Gate.
func (g *Guard) Allowed(d chat.DeviceID) bool {
	if g.BlockedDevice(d) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.faults.banned(d, time.Now())
}

// Blocked reports whether we blocked the account.
func (g *Guard) Blocked(a chat.AccountID) bool { return g.people.Load().blocked[a] }

// BlockedDevice reports whether a device belongs to an account that we blocked,
// as far as its devices are known.
func (g *Guard) BlockedDevice(d chat.DeviceID) bool {
	_, blocked := g.people.Load().devices[d]
	return blocked
}

// Blocks is every blocked account, sorted.
func (g *Guard) Blocks() []chat.AccountID {
	blocked := g.people.Load().blocked
	list := make([]chat.AccountID, 0, len(blocked))
	for a := range blocked {
		list = append(list, a)
	}
	slices.Sort(list)
	return list
}

// BlockedDevices is the devices of a blocked account that we know of: their
// connections are to be dropped.
func (g *Guard) BlockedDevices(a chat.AccountID) []chat.DeviceID {
	var list []chat.DeviceID
	for d, owner := range g.people.Load().devices {
		if owner == a {
			list = append(list, d)
		}
	}
	slices.Sort(list)
	return list
}

// Block refuses an account and its devices from now on; the account is never
// told. It fails with chat.ErrTooLarge at chat.MaxBlocks.
func (g *Guard) Block(ctx context.Context, a chat.AccountID) error {
	if blocked := g.people.Load().blocked; len(blocked) >= chat.MaxBlocks && !blocked[a] {
		return fmt.Errorf("blocking: %w: %d accounts are blocked", chat.ErrTooLarge, len(blocked))
	}
	err := g.db.Write(ctx, func(tx *store.Tx) error { return tx.Block(a, time.Now()) })
	if err == nil {
		err = g.Refresh(ctx)
	}
	if err != nil {
		return fmt.Errorf("blocking: %w", err)
	}
	g.blocked(a)
	return nil
}

// Unblock takes a block back. An account that is not blocked stays so.
func (g *Guard) Unblock(ctx context.Context, a chat.AccountID) error {
	err := g.db.Write(ctx, func(tx *store.Tx) error { return tx.Unblock(a) })
	if err == nil {
		err = g.Refresh(ctx)
	}
	if err != nil {
		return fmt.Errorf("unblocking: %w", err)
	}
	return nil
}
