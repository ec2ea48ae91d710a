package dm

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"parley/internal/chat"
	"parley/internal/guard"
	"parley/internal/identity"
	"parley/internal/live"
	"parley/internal/store"
	"parley/internal/wire"
)

// Protocol is the id of the streams that Handle serves.
const Protocol = "/parley/dm/1"

// Dialer opens a stream to a device: over a connection that is there, else
// over one it makes. It fails with an error that is chat.ErrUnreachable, whose
// Code() string, if it has one, is the closed reason. The stream's Remote is
// the device asked for, proven by the transport.
type Dialer interface {
	Open(ctx context.Context, d chat.DeviceID, protocol string) (wire.Stream, error)
}

// Config is what a Courier is made of. Everything but Depositor and Log is
// needed.
type Config struct {
	DB        *store.DB
	Keys      *identity.Keys
	Directory *identity.Directory
	Guard     *guard.Guard
	Dialer    Dialer
	Depositor Depositor // nil: nothing is left with others
	Log       *slog.Logger
}

// Courier sends and receives private messages. It is safe for concurrent use.
type Courier struct {
	// Set by New, never changed.
	db        *store.DB
	keys      *identity.Keys
	directory *identity.Directory
	guard     *guard.Guard
	dialer    Dialer
	log       *slog.Logger
	again     chan struct{} // capacity 1: Run looks at the outbox again
	depositor Depositor     // may be nil
	mails     chan struct{} // capacity 1: the mail loop looks again

	cooling live.Value[map[chat.AccountID]time.Time]

	mu sync.Mutex
	// Guarded by mu.
	crowded  bool                         // somebody waits for a worker's place
	workers  map[chat.DeviceID]*worker    // running; at most maxWorkers
	called   map[chat.DeviceID]*call      // for workers to come, for aheadLife; at most maxWorkers with them
	resolves map[chat.AccountID]bool      // running look-ups; at most maxResolves
	doubts   map[chat.AccountID]*doubt    // lists to confirm and lately confirmed; at most maxDoubts
	waits    map[chat.DeviceID]*wait      // why a device is not tried now; devices in our outbox only
	unknown  map[chat.AccountID]*wait     // the same for accounts whose devices are unknown
	away     map[chat.DeviceID]*absence   // whose mail goes to others; devices in our outbox only
	mailing  int                          // deposits under way; at most maxMails
	resent   map[chat.MessageID]time.Time // when a receipt last went by mail; at most maxResent
}

// New builds a Courier and starts nothing.
func New(cfg Config) (*Courier, error) {
	if cfg.DB == nil || cfg.Keys == nil || cfg.Directory == nil || cfg.Guard == nil || cfg.Dialer == nil {
		return nil, errors.New("dm: incomplete config")
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Courier{
		db:        cfg.DB,
		keys:      cfg.Keys,
		directory: cfg.Directory,
		guard:     cfg.Guard,
		dialer:    cfg.Dialer,
		log:       log,
		again:     make(chan struct{}, 1),
		depositor: cfg.Depositor,
		mails:     make(chan struct{}, 1),
		workers:   map[chat.DeviceID]*worker{},
		called:    map[chat.DeviceID]*call{},
		resolves:  map[chat.AccountID]bool{},
		doubts:    map[chat.AccountID]*doubt{},
		waits:     map[chat.DeviceID]*wait{},
		unknown:   map[chat.AccountID]*wait{},
		away:      map[chat.DeviceID]*absence{},
		resent:    map[chat.MessageID]time.Time{},
	}, nil
}

// Cooling is who makes us wait, and until when. The map is never written to
// after it was set.
func (c *Courier) Cooling() *live.Value[map[chat.AccountID]time.Time] { return &c.cooling }
