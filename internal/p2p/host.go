package p2p

import (
	"context"
	"errors"
	"time"

	"parley/internal/chat"
	"parley/internal/live"
	"parley/internal/wire"
)

// Host is one node on the network.
type Host struct{ status live.Value[Status] }

var errSoon = errors.New("p2p: not built yet")

func New(cfg Config) (*Host, error)                     { return nil, errSoon }
func (h *Host) Run(ctx context.Context) error           { return errSoon }
func (h *Host) Device() chat.DeviceID                   { return "" }
func (h *Host) Handle(protocol string, fn wire.Handler) {}
func (h *Host) Open(ctx context.Context, d chat.DeviceID, protocol string) (wire.Stream, error) {
	return nil, errSoon
}
func (h *Host) AddPeer(d chat.DeviceID, addrs []string, ttl time.Duration) error { return errSoon }
func (h *Host) LearnPeerRecord(envelope []byte) (chat.DeviceID, []string, error) {
	return "", nil, errSoon
}
func (h *Host) PeerRecord() ([]byte, error)                                      { return nil, errSoon }
func (h *Host) Addrs() []string                                                  { return nil }
func (h *Host) Get(ctx context.Context, key string) ([]byte, error)              { return nil, errSoon }
func (h *Host) Put(ctx context.Context, key string, value []byte) error          { return errSoon }
func (h *Host) Closest(ctx context.Context, key []byte) ([]chat.DeviceID, error) { return nil, errSoon }
func (h *Host) Find(ctx context.Context, d chat.DeviceID) (Lookup, error)        { return Lookup{}, errSoon }
func (h *Host) Ping(ctx context.Context, d chat.DeviceID) (time.Duration, error) { return 0, errSoon }
func (h *Host) Status() *live.Value[Status]                                      { return &h.status }
func (h *Host) Peers() []PeerInfo                                                { return nil }
func (h *Host) Remember() []Peer                                                 { return nil }
func (h *Host) Drop(d chat.DeviceID)                                             {}
