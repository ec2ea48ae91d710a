package api

import (
	"context"
	"time"

	"parley/internal/chat"
)

// Network is what the API needs of the network. Node adapts p2p to it.
type Network interface {
	// State is the network as it is now. It does not block.
	State() NetworkState
	// Meet remembers where a device is said to be. A call follows in the
	// background, if at all.
	// Addresses are multiaddresses without the /p2p part. It fails with
	// chat.ErrInvalid when none of them may be dialled.
	Meet(d chat.DeviceID, addrs []string) error
	// Drop closes the connections to a device. A block keeps it from coming back.
	Drop(d chat.DeviceID)
	// Find connects to a device as a message would: known addresses first,
	// then the DHT. It fails with chat.ErrUnreachable and the reason in words;
	// the Lookup tells what was found even then.
	Find(ctx context.Context, d chat.DeviceID) (Lookup, error)
}

// NetworkState is what the node knows of its place in the network.
type NetworkState struct {
	Ready        bool // the routing table was refreshed once
	Alone        bool // nobody has answered so far
	Reachability string
	Server       bool // keeps records for others
	DHTPeers     int
	Remembered   int
	Listen       []string
	Bootstrap    []string
	Peers        []Peer
}

// Peer is one connected device.
type Peer struct {
	Device           chat.DeviceID
	Addr, Transport  string
	Inbound, Relayed bool
	RTT              time.Duration
	Since            time.Time
}

// Lookup tells how a device was looked for.
type Lookup struct {
	Addrs     []string
	Source    string // "connected", "cache", "dht" or "invite"
	Connected bool
	Took      time.Duration
}

// Result of a Check.
type Result uint8

// The numbers are those of the API.
const (
	OK      Result = 1
	Warning Result = 2
	Problem Result = 3
)

// Check is one line of Doctor: what was found and what to do about it.
type Check struct {
	Name      string
	Result    Result
	Text, Fix string
}
