package mailbox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/live"
	"parley/internal/store"
	"parley/internal/wire"
)

// Neighbours is the part of the network around us.
type Neighbours interface {
	// Near is the region of a place in the space of the DHT, as we know it now.
	// It asks nobody.
	Near(place [32]byte) chat.Region
	// Departures counts the nodes that left our routing table.
	Departures() *live.Value[int]
}

// Dialer opens a stream to a device. It fails with an error that is
// chat.ErrUnreachable. The stream's Remote is the device asked for.
type Dialer interface {
	Open(ctx context.Context, d chat.DeviceID, protocol string) (wire.Stream, error)
}

// HostConfig is what a Host is made of. Guest, Key, Device, Nearby and Dialer
// are needed.
type HostConfig struct {
	Guest  *store.Guest
	Key    ed25519.PrivateKey // of our device: it signs receipts
	Device chat.DeviceID
	Nearby Neighbours
	Dialer Dialer
	// Net names the network at the other end of a stream; empty if unknown.
	// Unknown ones share one allowance.
	Net func(wire.Stream) string
	// Misbehaved is told of what no honest node sends.
	Misbehaved func(d chat.DeviceID, why string)
	Speed      float64 // see pace; 0: 1
	StampBits  int     // of a stranger's first envelope; 0: chat.StampBits. Others ask for theirs
	KeepFree   int     // percent of the disk; 0: chat.HolderDiskFree, negative: none
	Drop       bool    // for tests of others: sign for everything and keep nothing
	Log        *slog.Logger
}

// Host keeps others' sealed mail. It is safe for concurrent use.
type Host struct {
	// Set by NewHost, never changed.
	guest      *store.Guest
	key        ed25519.PrivateKey
	device     chat.DeviceID
	nearby     Neighbours
	dialer     Dialer
	net        func(wire.Stream) string
	misbehaved func(chat.DeviceID, string)
	pace       pace
	stampBits  int
	keepFree   int
	drop       bool
	log        *slog.Logger
	nonces     *nonces
	wake       chan struct{} // capacity 1: there are records to keep

	stats live.Value[HostStats]

	mu sync.Mutex
	// Guarded by mu.
	calls map[chat.DeviceID]time.Time // when a caller's allowance is whole; at most chat.MaxStrangers
	fresh map[string][]byte           // DHT records to look at, by key; at most maxFresh
	disk  diskState
	said  time.Time // when a failing disk was last logged

	// Owned by the repair loop.
	census census
}

// HostStats is what a Host keeps, in numbers.
type HostStats struct {
	Boxes, Envelopes, Sleepers int
	Bytes                      int64
	NoSpace                    bool          // the disk is too full for more
	Repairs                    int           // rounds since the start
	Restored                   int           // envelopes given to others in them
	Period                     time.Duration // between two rounds now
}

// NewHost builds a Host and starts nothing.
func NewHost(cfg HostConfig) (*Host, error) {
	if cfg.Guest == nil || cfg.Key == nil || cfg.Device == "" || cfg.Nearby == nil || cfg.Dialer == nil {
		return nil, errors.New("mailbox: incomplete config of a host")
	}
	h := &Host{
		guest: cfg.Guest, key: cfg.Key, device: cfg.Device, nearby: cfg.Nearby, dialer: cfg.Dialer,
		net: cfg.Net, misbehaved: cfg.Misbehaved, pace: pace(cfg.Speed),
		stampBits: cfg.StampBits, keepFree: cfg.KeepFree, drop: cfg.Drop, log: cfg.Log,
		nonces: newNonces(), wake: make(chan struct{}, 1),
		calls: map[chat.DeviceID]time.Time{}, fresh: map[string][]byte{}, census: newCensus(pace(cfg.Speed)),
	}
	if h.net == nil {
		h.net = func(wire.Stream) string { return "" }
	}
	if h.misbehaved == nil {
		h.misbehaved = func(chat.DeviceID, string) {}
	}
	if h.stampBits == 0 {
		h.stampBits = chat.StampBits
	}
	if h.keepFree == 0 {
		h.keepFree = chat.HolderDiskFree
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h, nil
}

// Stats is what is kept, renewed at each tick of the upkeep.
func (h *Host) Stats() *live.Value[HostStats] { return &h.stats }

// Run does upkeep and repair until ctx ends, and returns when both have.
func (h *Host) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { h.repairLoop(ctx) })
	h.upkeepLoop(ctx)
	return nil
}

const (
	// callsEach and callsBurst are what one device may ask of us: 20 a second
	// (N8), and at once what a full box or a long absence takes.
	callsEach  = time.Second / 20
	callsBurst = 400 * callsEach
	// callBoxes compared count as one call more: each takes a look at our
	// routing table.
	callBoxes = 8
)

// weight is how many calls a call counts as.
func weight(q *wirev1.MailRequest) int {
	r := q.GetRepair()
	return 1 + (len(r.GetBoxes())+len(r.GetSleepers()))/callBoxes
}

// admit takes so many calls of a device into account, or says when they may
// come.
func (h *Host) admit(d chat.DeviceID, calls int, now time.Time) (wait time.Duration, ok bool) {
	cost := time.Duration(calls) * callsEach
	h.mu.Lock()
	defer h.mu.Unlock()
	full, known := h.calls[d]
	if full.Before(now) || full.Sub(now) > callsBurst { // further ahead: our clock was set back
		full = now
	}
	if wait := full.Add(cost).Sub(now) - callsBurst; wait > 0 {
		return wait, false
	}
	if !known && len(h.calls) >= chat.MaxStrangers {
		for d, full := range h.calls {
			if !full.After(now) {
				delete(h.calls, d)
			}
		}
		if len(h.calls) >= chat.MaxStrangers {
			return callsEach, false // all of them are at it right now
		}
	}
	h.calls[d] = full.Add(cost)
	return 0, true
}

// diskEvery is how old our idea of the disk may be.
const diskEvery = 5 * time.Second

type diskState struct {
	asked time.Time
	low   bool
}

// diskLow reports whether the part of the disk is used up that we may fill.
func (h *Host) diskLow(now time.Time) bool {
	if h.keepFree < 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if age := now.Sub(h.disk.asked); age >= 0 && age < diskEvery {
		return h.disk.low
	}
	free, size, err := h.guest.Disk()
	if err != nil {
		h.log.Warn("disk not measured", "cause", err)
	}
	h.disk = diskState{asked: now, low: err != nil || free < size/100*uint64(h.keepFree)}
	return h.disk.low
}

func random32() (b [32]byte) {
	_, _ = rand.Read(b[:]) // never fails
	return b
}
