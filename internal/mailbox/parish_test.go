package mailbox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/live"
	"parley/internal/store"
	"parley/internal/wire"
)

// parish is real holders joined by pipes, and the map of who is near.
type parish struct {
	t     testing.TB
	dir   string
	small bool

	mu      sync.Mutex
	holders []*holder
	known   time.Duration // since when everybody knows them
	lines   int           // throw-away callers made
	handled sync.WaitGroup
}

type holder struct {
	*Host
	guest  *store.Guest
	device chat.DeviceID
	down   bool
}

func newParish(t testing.TB, n int) *parish {
	w := &parish{t: t, dir: t.TempDir(), known: 2 * chat.HolderAge}
	for i := range n {
		h := w.build(i)
		w.holders = append(w.holders, h)
	}
	return w
}

// build makes a holder, the same one each time it is given the same number.
func (w *parish) build(i int) *holder {
	w.t.Helper()
	seed := sha256.Sum256([]byte(fmt.Sprint("holder ", i)))
	key := ed25519.NewKeyFromSeed(seed[:])
	h := &holder{device: identity.DeviceIDOf(key.Public().(ed25519.PublicKey))}
	var err error
	h.guest, err = store.OpenGuest(store.GuestConfig{Dir: filepath.Join(w.dir, fmt.Sprint(i)), MaxBytes: chat.HolderBytes, Relaxed: true})
	w.must(err)
	h.Host, err = NewHost(HostConfig{
		Guest: h.guest, Key: key, Device: h.device, Nearby: w, Dialer: pipeLine{w: w, self: h.device}, KeepFree: -1,
		Misbehaved: func(_ chat.DeviceID, why string) { w.t.Errorf("somebody misbehaved: %s", why) },
	})
	w.must(err)
	return h
}

func (w *parish) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *parish) end() {
	w.handled.Wait()
	for _, h := range w.holders {
		w.must(h.guest.Close())
	}
}

func (w *parish) Region(context.Context, [32]byte) (chat.Region, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := chat.Region{Small: w.small, Size: len(w.holders)}
	for _, h := range w.holders {
		r.Nodes = append(r.Nodes, h.device)
	}
	return r, nil
}

func (w *parish) Near(place [32]byte) chat.Region {
	r, _ := w.Region(context.Background(), place)
	r.Self = true
	return r
}

func (w *parish) KnownFor(chat.DeviceID) time.Duration { return w.known }

func (w *parish) Departures() *live.Value[int] { return new(live.Value[int]) }

// pipeLine is a caller of holders.
type pipeLine struct {
	w    *parish
	self chat.DeviceID
}

func (w *parish) newLine() (Line, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines++
	pub, _, _ := ed25519.GenerateKey(rand.Reader)
	return pipeLine{w, identity.DeviceIDOf(pub)}, nil
}

func (l pipeLine) Close() error { return nil }

func (l pipeLine) Open(ctx context.Context, d chat.DeviceID, protocol string) (wire.Stream, error) {
	l.w.mu.Lock()
	var to *holder
	for _, h := range l.w.holders {
		if h.device == d {
			to = h
		}
	}
	l.w.mu.Unlock()
	if to == nil || protocol != Protocol {
		return nil, chat.ErrUnreachable
	}
	if to.down {
		<-ctx.Done() // nobody says that it is gone
		return nil, fmt.Errorf("%w: %w", chat.ErrUnreachable, ctx.Err())
	}
	ours, theirs := wire.Pipe(l.self, d)
	l.w.handled.Go(func() { to.Handle(theirs) })
	return ours, nil
}

// count is the envelopes that a holder has.
func (w *parish) count(h *holder) int {
	w.t.Helper()
	var n store.GuestCount
	w.must(h.guest.Read(context.Background(), func(tx *store.GuestTx) (err error) {
		n, err = tx.Count()
		return err
	}))
	return n.Envelopes
}

// total is the envelopes that all holders have.
func (w *parish) total() (n int) {
	for _, h := range w.holders {
		n += w.count(h)
	}
	return n
}

// receiver is somebody whose mail is collected: real keys and a real store, and
// a set of blobs in place of messages.
type receiver struct {
	*Client
	w    *parish
	db   *store.DB
	keys *identity.Keys

	mu    sync.Mutex
	got   map[[32]byte]int // blob -> times handed on
	fates map[[32]byte]Fate
}

func (w *parish) join(name string) *receiver {
	w.t.Helper()
	r := &receiver{w: w, got: map[[32]byte]int{}, fates: map[[32]byte]Fate{}}
	var err error
	r.db, err = store.Open(store.Config{Dir: filepath.Join(w.dir, name), Relaxed: true})
	w.must(err)
	w.t.Cleanup(func() { _ = r.db.Close() })
	r.keys, err = identity.Load(context.Background(), r.db, time.Now())
	w.must(err)
	r.Client, err = NewClient(Config{DB: r.db, Keys: r.keys, Regions: w, NewLine: w.newLine, Receive: r.take})
	w.must(err)
	return r
}

func (r *receiver) take(_ context.Context, mail []chat.Sealed) ([]Fate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Fate, len(mail))
	for i, blob := range mail {
		hash := sha256.Sum256(blob)
		r.got[hash]++
		out[i] = Taken
		if fate, set := r.fates[hash]; set {
			out[i] = fate
		}
	}
	return out, nil
}

// box is where contacts leave mail for r now.
func (r *receiver) box() chat.Mailbox {
	m := r.keys.Announced(time.Now())[0]
	return chat.Mailbox{ID: m.ID, Key: m.Public(), Token: m.Token[:]}
}

// parcels are n letters for r; without a token from a stranger.
func (r *receiver) parcels(n int, token bool) (out []chat.Parcel) {
	box := r.box()
	if !token {
		box.Key, box.Token = nil, nil
	}
	for range n {
		blob := make(chat.Sealed, chat.BlobSizes[0])
		_, _ = rand.Read(blob)
		out = append(out, chat.Parcel{Box: box, Blob: blob, Created: time.Now(), Expires: time.Now().Add(chat.MessageLife)})
	}
	return out
}

// leave deposits and returns everything that was told.
func (r *receiver) leave(parcels []chat.Parcel) (told [][]chat.Kept) {
	r.w.t.Helper()
	r.w.must(r.Deposit(context.Background(), parcels, func(k []chat.Kept) { told = append(told, k) }))
	return told
}

func (r *receiver) collectNow() {
	r.w.t.Helper()
	if !r.round(context.Background(), true) {
		r.w.t.Fatal("the round reached nobody")
	}
}

// times is how often a blob was handed on.
func (r *receiver) times(blob chat.Sealed) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[sha256.Sum256(blob)]
}

// inParish runs a story in simulated time.
func inParish(t *testing.T, holders int, story func(w *parish)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newParish(t, holders)
		defer w.end()
		story(w)
	})
}
