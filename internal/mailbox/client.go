package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/live"
	"parley/internal/store"
	"parley/internal/wire"
)

// Regions finds the nodes around a place in the space of the DHT.
type Regions interface {
	// Region asks the network. It fails when nobody answers and when ctx ends.
	Region(ctx context.Context, place [32]byte) (chat.Region, error)
	// KnownFor is how long we have known a device; 0 for a new one.
	KnownFor(d chat.DeviceID) time.Duration
}

// Line calls holders under a throw-away key, which they cannot tie to us or to
// another mailbox. It fails as a dialer does.
type Line interface {
	Open(ctx context.Context, d chat.DeviceID, protocol string) (wire.Stream, error)
	Close() error
}

// Fate is what became of mail that was handed on.
type Fate uint8

const (
	Later    Fate = iota // not tried: it comes again
	Taken                // committed, now or earlier, or refused for good: holders may drop it
	Unopened             // no key of ours opens it, yet
)

// Config is what a Client is made of. Everything but Online and Log is needed.
type Config struct {
	DB      *store.DB
	Keys    *identity.Keys
	Regions Regions
	NewLine func() (Line, error)
	// Receive takes mail, at most chat.ReceiptIDs at once, and returns after
	// the commit with a fate for each.
	Receive func(ctx context.Context, mail []chat.Sealed) ([]Fate, error)
	// Online is set whenever the network came back.
	Online *live.Value[int]
	Speed  float64 // see pace; 0: 1
	Log    *slog.Logger
}

// Client leaves mail with others and collects ours. It is safe for concurrent
// use.
type Client struct {
	// Set by NewClient, never changed.
	db      *store.DB
	keys    *identity.Keys
	regions Regions
	receive func(context.Context, []chat.Sealed) ([]Fate, error)
	online  *live.Value[int]
	pace    pace
	log     *slog.Logger
	lines   *lines
	mint    chan struct{} // capacity 1: who mines a stamp has it
	fault   func(step string)

	status live.Value[Status]

	mu sync.Mutex
	// Guarded by mu.
	holders map[chat.DeviceID]Holder // at most maxHolders, who was asked least lately goes
	near    map[[32]byte]seenRegion  // place -> the region last found around it; emptied at maxNear
}

// NewClient builds a Client and starts nothing.
func NewClient(cfg Config) (*Client, error) {
	if cfg.DB == nil || cfg.Keys == nil || cfg.Regions == nil || cfg.NewLine == nil || cfg.Receive == nil {
		return nil, errors.New("mailbox: incomplete config")
	}
	c := &Client{
		db: cfg.DB, keys: cfg.Keys, regions: cfg.Regions, receive: cfg.Receive,
		online: cfg.Online, pace: pace(cfg.Speed), log: cfg.Log,
		lines:   &lines{make: cfg.NewLine, open: map[[32]byte]*line{}},
		mint:    make(chan struct{}, 1),
		fault:   func(string) {},
		holders: map[chat.DeviceID]Holder{},
		near:    map[[32]byte]seenRegion{},
	}
	if c.online == nil {
		c.online = new(live.Value[int])
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

const (
	// collectRetry is when a round is tried again that reached nobody.
	collectRetry = 30 * time.Second
	// pastEvery: a mailbox that takes no new mail is asked in each fourth
	// round that only the clock started.
	pastEvery = 4
)

// Run collects our mail: at once, when the network comes back, and every
// chat.CollectEvery. It returns when ctx ends.
func (c *Client) Run(ctx context.Context) error {
	defer c.lines.close()
	c.keys.Collects()
	var sweeper sync.WaitGroup
	defer sweeper.Wait()
	sweeper.Go(func() { c.lines.sweep(ctx) })
	for round := 0; ; {
		_, back := c.online.Watch()
		reached := c.round(ctx, round%pastEvery == 0)
		if ctx.Err() != nil {
			return nil
		}
		wait := Jittered(c.pace.of(chat.CollectEvery), chat.CollectJitter, rand.Float64())
		if reached {
			round++
		} else {
			wait = min(wait, Jittered(c.pace.of(collectRetry), chat.CollectJitter, rand.Float64()))
		}
		c.next(time.Now().Add(wait))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-back:
			round = 0
		}
		timer.Stop()
	}
}

const (
	// regionLife is how long a region that was found serves the next deposits
	// to the same mailbox: a long text is many of them.
	regionLife = time.Minute
	maxNear    = 256
	// regionTimeout bounds finding the holders.
	regionTimeout = chat.LookupTimeout
)

type seenRegion struct {
	chat.Region
	at time.Time
}

// region finds the nodes around a place, or answers with those found less
// than life ago.
func (c *Client) region(ctx context.Context, place [32]byte, life time.Duration) (chat.Region, error) {
	c.mu.Lock()
	known, ok := c.near[place]
	c.mu.Unlock()
	if age := time.Since(known.at); ok && age < life {
		return known.Region, nil
	}
	bounded, cancel := context.WithTimeout(ctx, regionTimeout)
	defer cancel()
	found, err := c.regions.Region(bounded, place)
	if err != nil {
		return chat.Region{}, fmt.Errorf("finding holders: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.near) >= maxNear {
		clear(c.near)
	}
	c.near[place] = seenRegion{found, time.Now()}
	return found, nil
}
