package p2p

import (
	"crypto/ed25519"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p"

	"parley/internal/chat"
)

// Gate says which devices may be connected. It is asked for every connection
// in both directions, from many goroutines, and must not block.
type Gate interface {
	Allowed(d chat.DeviceID) bool
}

// Namespace is one kind of DHT record: keys begin with "/<Name>/".
type Namespace struct {
	Name string
	// Validate refuses a value that no honest node stores. It is pure but for
	// the clock and is called from many goroutines.
	Validate func(key string, value []byte) error
	// Select is the index of the best of several valid values.
	Select func(key string, values [][]byte) (int, error)
}

// Peer is a device and where it was last seen, as multiaddress texts without
// the /p2p part.
type Peer struct {
	Device chat.DeviceID
	Addrs  []string
}

// Transports switches ways to connect off. TCP with TLS alone carries all of
// Parley.
type Transports struct {
	NoTCP          bool
	NoQUIC         bool
	NoWebTransport bool
	NoWebRTC       bool
}

// Config is all a Host needs. Key is required; everything else has a default.
type Config struct {
	Key ed25519.PrivateKey
	// Listen are multiaddresses; nil means every transport on Port of all
	// interfaces (of loopback only, with Loopback). An empty list that is not
	// nil listens nowhere.
	Listen []string
	// Port is for TCP and UDP alike; 0 takes free ones, which then differ
	// after each start, so that others have to look us up again.
	Port       int
	Transports Transports
	// Bootstrap are multiaddresses with a /p2p part, asked after Remembered.
	Bootstrap   []string
	NoBootstrap bool
	// Remembered are dialled before Bootstrap, in the order of Remember.
	Remembered []Peer
	// Infra nodes serve the DHT and relay without waiting to learn that they
	// are publicly reachable.
	Infra bool
	// Loopback keeps to this machine: no mDNS, no NAT mapping, no relay, DHT
	// server at once, and loopback addresses in the peer record.
	Loopback bool
	// NoPortMap keeps from asking the router for an open port (UPnP, NAT-PMP).
	NoPortMap bool
	// NoRelay neither uses relays and hole punching nor relays for others.
	NoRelay bool
	// MDNS finds peers on the local network.
	MDNS bool
	// StrictTransport refuses Noise, and with it WebTransport and
	// WebRTC-direct: every connection then has a post-quantum key exchange.
	StrictTransport bool
	// Gate is asked for every connection; nil lets everybody in.
	Gate Gate
	// Known are devices whose streams strangers must not crowd out: our own
	// and those of contacts. Who we dialled is not among them, because
	// strangers choose whom a walk through the DHT dials. It is asked for every
	// incoming stream, from many goroutines. Nil knows nobody.
	Known      func(d chat.DeviceID) bool
	Namespaces []Namespace
	Log        *slog.Logger
	// Client keeps out of the DHT's servers: for devices with little power.
	Client bool
	// Simulated is for hosts on simulated links in a synctest bubble: QUIC on
	// the addresses of Listen and no identify address discovery, which stalls
	// a bubble. Options then carries the links. Who listens nowhere counts as
	// private, everybody else as public.
	Simulated bool
	Options   []libp2p.Option
}

// Status is what a Host knows of its own place in the network.
type Status struct {
	// Ready: connected and the routing table refreshed once, or Alone.
	Ready bool
	// Alone: nobody answered so far; the host keeps trying.
	Alone bool
	// Reachability is "unknown", "private", "public" when others dialled us
	// back, or "assumed" when our settings say public and nobody confirmed it.
	Reachability string
	DHTServer    bool // others may ask us
	Peers        int  // connected devices
	Relayed      int  // of these, through a relay
	DHTPeers     int  // in the routing table
	Records      int  // DHT records kept for others
	Addrs        []string
}

// PeerInfo is one connected device.
type PeerInfo struct {
	Device    chat.DeviceID
	Addr      string
	Transport string // "quic", "tcp", "webtransport", "webrtc-direct", "websocket"
	Direction string // "in" or "out"
	RTT       time.Duration
	Since     time.Time
	Relayed   bool
	Protocols []string // of open streams
	Agent     string
}

// Lookup is the answer of Find.
type Lookup struct {
	Addrs []string
	Hops  int // longest chain of referrals that led to an answer
	Asked int // peers asked
	Took  time.Duration
}
