package p2p

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/internal/chat"
)

// Addrs is where this host believes it can be reached, best first, without
// the /p2p part.
func (h *Host) Addrs() []string { return addrTexts(h.ownAddrs()) }

// ownAddrs are sorted by how likely and how cheaply they reach us.
func (h *Host) ownAddrs() []ma.Multiaddr {
	addrs := slices.DeleteFunc(slices.Clone(h.host.Addrs()), func(a ma.Multiaddr) bool {
		return manet.IsIPLoopback(a) && !h.cfg.Loopback
	})
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return rank(a) - rank(b) })
	return addrs
}

// rank is smaller for better addresses: public before private before
// loopback, cheap transports before costly ones, a relay after what is direct.
func rank(a ma.Multiaddr) int {
	r := transportRank(a)
	switch {
	case transportOf(a) == "relay", manet.IsPublicAddr(a):
	case manet.IsIPLoopback(a):
		r += 20
	default:
		r += 10
	}
	return r
}

func transportRank(a ma.Multiaddr) int {
	switch transportOf(a) {
	case "quic":
		return 0
	case "tcp":
		return 1
	case "relay":
		return 2
	case "webtransport":
		return 3
	case "webrtc-direct":
		return 4
	}
	return 5
}

// transportOf names how an address is dialled.
func transportOf(a ma.Multiaddr) string {
	name := "other"
	ma.ForEach(a, func(c ma.Component) bool {
		switch c.Protocol().Code {
		case ma.P_TCP:
			name = "tcp"
		case ma.P_QUIC_V1:
			name = "quic"
		case ma.P_WEBTRANSPORT:
			name = "webtransport"
		case ma.P_WEBRTC_DIRECT:
			name = "webrtc-direct"
		case ma.P_WS, ma.P_WSS:
			name = "websocket"
		case ma.P_CIRCUIT:
			name = "relay"
			return false
		}
		return true
	})
	return name
}

// PeerRecord is this host's address list, signed by its key: at most
// chat.MaxDeviceAddrs addresses and chat.MaxDeviceAddrBytes, best first.
// It fails with chat.ErrNotFound while there is no address to tell.
func (h *Host) PeerRecord() ([]byte, error) {
	addrs := h.ownAddrs()
	addrs = addrs[:min(len(addrs), chat.MaxDeviceAddrs)]
	for ; len(addrs) > 0; addrs = addrs[:len(addrs)-1] {
		rec := &peer.PeerRecord{PeerID: h.host.ID(), Addrs: addrs, Seq: peer.TimestampSeq()}
		envelope, err := record.Seal(rec, h.key)
		if err != nil {
			return nil, fmt.Errorf("signing peer record: %w", err)
		}
		b, err := envelope.Marshal()
		if err != nil {
			return nil, fmt.Errorf("encoding peer record: %w", err)
		}
		if len(b) <= chat.MaxDeviceAddrBytes {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: this host has no address yet", chat.ErrNotFound)
}

// LearnPeerRecord checks a signed peer record and keeps its addresses for
// dialing. It fails with chat.ErrInvalid for a record that its device did not
// sign, and with chat.ErrTooLarge beyond the limits of PeerRecord.
func (h *Host) LearnPeerRecord(envelope []byte) (chat.DeviceID, []string, error) {
	if len(envelope) > chat.MaxDeviceAddrBytes {
		return "", nil, fmt.Errorf("%w: peer record of %d bytes", chat.ErrTooLarge, len(envelope))
	}
	env, any, err := record.ConsumeEnvelope(envelope, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return "", nil, fmt.Errorf("%w: peer record: %w", chat.ErrInvalid, err)
	}
	rec, ok := any.(*peer.PeerRecord)
	if !ok || !rec.PeerID.MatchesPublicKey(env.PublicKey) || !isEd25519(rec.PeerID) {
		return "", nil, fmt.Errorf("%w: peer record not signed by its device", chat.ErrInvalid)
	}
	if len(rec.Addrs) > chat.MaxDeviceAddrs {
		return "", nil, fmt.Errorf("%w: peer record with %d addresses", chat.ErrTooLarge, len(rec.Addrs))
	}
	addrs := h.worthDialing(rec.PeerID, rec.Addrs)
	h.learn(rec.PeerID, addrs, chat.UnconnectedLife)
	return deviceOf(rec.PeerID), addrTexts(addrs), nil
}

// AddPeer keeps addresses of a device for dialing, as our own person or an
// invite that the device signed gave them: private networks count too. It
// fails with chat.ErrInvalid when none of them may be dialled.
func (h *Host) AddPeer(d chat.DeviceID, addrs []string, ttl time.Duration) error {
	id, err := peerOf(d)
	if err != nil {
		return err
	}
	parsed := parseAddrs(addrs)
	if len(parsed) == 0 {
		return fmt.Errorf("%w: no address can be read", chat.ErrInvalid)
	}
	parsed = slices.DeleteFunc(parsed, func(a ma.Multiaddr) bool { return !h.mayDialTold(a) })
	if len(parsed) == 0 {
		return fmt.Errorf("%w: none of these addresses may be dialled: names, ports below %d, and addresses of this machine only", chat.ErrInvalid, minPort)
	}
	parsed = parsed[:min(len(parsed), chat.PeerAddrs)]
	h.told.add(id, parsed, time.Now().Add(ttl))
	h.learn(id, parsed, ttl)
	return nil
}

func (h *Host) learn(id peer.ID, addrs []ma.Multiaddr, ttl time.Duration) {
	if id == h.host.ID() || len(addrs) == 0 {
		return
	}
	h.host.Peerstore().AddAddrs(id, addrs, ttl)
	// A failed address waits before it is dialled again; news end the wait.
	if s, ok := h.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(id)
	}
}

func portOf(a ma.Multiaddr) int {
	for _, code := range []int{ma.P_TCP, ma.P_UDP} {
		if text, err := a.ValueForProtocol(code); err == nil {
			if n, err := strconv.Atoi(text); err == nil {
				return n
			}
		}
	}
	return 0
}

func parseAddrs(texts []string) []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, text := range texts {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			continue
		}
		if bare, id := peer.SplitAddr(a); bare != nil && (id == "" || transportOf(a) != "relay") {
			a = bare
		}
		out = append(out, a)
	}
	return out
}

func addrTexts(addrs []ma.Multiaddr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}

// Remember lists the connected devices that can be dialled: what to hand to
// Config.Remembered after a restart. First come the anchors, the chat.Anchors
// that we dialled and that stood longest, then the others by age.
func (h *Host) Remember() []Peer {
	infos := anchorsFirst(h.Peers())
	var out []Peer
	for _, info := range infos {
		id, err := peerOf(info.Device)
		if err != nil || info.Relayed || len(out) == chat.MaxRemembers {
			continue
		}
		addrs := h.worthDialing(id, h.host.Peerstore().Addrs(id))
		slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return rank(a) - rank(b) })
		if info.Direction == "out" {
			addrs = slices.Insert(addrs, 0, ma.StringCast(info.Addr))
		}
		addrs = ma.Unique(addrs)
		if len(addrs) > 0 {
			out = append(out, Peer{Device: info.Device, Addrs: addrTexts(addrs[:min(len(addrs), chat.MaxDeviceAddrs)])})
		}
	}
	return out
}

// anchorsFirst reorders peers that come oldest first.
func anchorsFirst(infos []PeerInfo) []PeerInfo {
	anchors := 0
	for i, info := range infos {
		if anchors < chat.Anchors && info.Direction == "out" && !info.Relayed {
			copy(infos[anchors+1:i+1], infos[anchors:i])
			infos[anchors] = info
			anchors++
		}
	}
	return infos
}

// keepGuides gives configured peers addresses that do not age.
func (h *Host) keepGuides() {
	for _, g := range h.guide {
		h.host.Peerstore().AddAddrs(g.ID, g.Addrs, peerstore.PermanentAddrTTL)
	}
}
