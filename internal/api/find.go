package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

func (s networkService) GetNetwork(context.Context, *apiv1.GetNetworkRequest) (*apiv1.GetNetworkResponse, error) {
	net := s.cfg.Network.State()
	return &apiv1.GetNetworkResponse{
		Device: string(s.cfg.Keys.Device()), Reachability: net.Reachability, Ready: net.Ready,
		Connections: uint32(len(net.Peers)), DhtPeers: uint32(net.DHTPeers), Listen: net.Listen,
		Bootstrap: net.Bootstrap, Remembered: uint32(net.Remembered), Server: net.Server,
	}, nil
}

func (s networkService) ListPeers(ctx context.Context, _ *apiv1.ListPeersRequest) (*apiv1.ListPeersResponse, error) {
	peers := s.cfg.Network.State().Peers
	slices.SortFunc(peers, func(a, b Peer) int { return a.Since.Compare(b.Since) })
	mayName := callerOf(ctx).may(scopePeopleRead)
	out := &apiv1.ListPeersResponse{}
	return out, s.read(ctx, func(v *view) error {
		for _, p := range peers {
			one := &apiv1.Peer{
				Device: string(p.Device), Address: p.Addr, Transport: p.Transport, Inbound: p.Inbound,
				Relayed: p.Relayed, Rtt: durationpb.New(p.RTT), Since: stamp(p.Since),
			}
			if a, ok := s.cfg.Directory.AccountOf(v.tx, p.Device); ok && mayName {
				name, err := v.name(a)
				if err != nil {
					return err
				}
				one.Account, one.Name = string(a), name
			}
			out.Peers = append(out.Peers, one)
		}
		return nil
	})
}

// findTime is for everything that one look-up asks: longer than a person
// wants to wait is of no use.
const findTime = 60 * time.Second

// FindPeer looks an account or a device up as a message would.
func (s networkService) FindPeer(ctx context.Context, req *apiv1.FindPeerRequest) (*apiv1.FindPeerResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	id, name, err := s.who(ctx, req.Who)
	if err != nil {
		return nil, err
	}
	devices, why := s.devicesOf(ctx, id)
	if len(devices) == 0 {
		// Accounts and devices look alike: perhaps it is a device.
		dev := chat.DeviceID(id)
		if _, err := s.cfg.Directory.Device(ctx, dev); err == nil || s.connected(dev) {
			devices = []chat.DeviceID{dev}
		}
	}
	if len(devices) == 0 {
		return &apiv1.FindPeerResponse{Text: fmt.Sprintf("No address known for %s yet: %s.", name, why)}, nil
	}
	out := &apiv1.FindPeerResponse{}
	reached := 0
	for _, dev := range devices {
		found := s.findDevice(ctx, dev)
		if found.Connected {
			reached++
		}
		out.Devices = append(out.Devices, found)
	}
	switch {
	case reached == len(devices) && reached == 1:
		out.Text = fmt.Sprintf("%s is connected.", name)
	case reached == 0 && len(devices) == 1:
		out.Text = fmt.Sprintf("%s does not answer: %s.", name, out.Devices[0].Failure)
	default:
		out.Text = fmt.Sprintf("%d of %d devices of %s are connected.", reached, len(devices), name)
	}
	return out, nil
}

// who is the id that a person means, and what to call it.
func (s *Server) who(ctx context.Context, text string) (id chat.AccountID, name string, err error) {
	err = s.read(ctx, func(v *view) error {
		if _, id, err = s.conversation(callerOf(ctx), v.tx, text); err != nil {
			if field := new(invalidError); errors.As(err, &field) {
				return invalid("who", "%s", field.text)
			}
			return err
		}
		name, err = v.title(id)
		return err
	})
	return id, name, err
}

// devicesOf is an account's devices, or why there are none, in words.
func (s *Server) devicesOf(ctx context.Context, a chat.AccountID) ([]chat.DeviceID, string) {
	m, err := s.cfg.Directory.Account(ctx, a)
	switch {
	case err == nil:
		return m.Devices, "the account lists no device"
	case errors.Is(err, chat.ErrNotFound):
		return nil, "nobody in the network has a record of it"
	case errors.Is(err, chat.ErrUnreachable):
		return nil, "no other node could be asked"
	case errors.Is(err, context.DeadlineExceeded):
		return nil, "the search took too long"
	}
	return nil, words(err)
}

func (s *Server) connected(d chat.DeviceID) bool {
	return slices.ContainsFunc(s.cfg.Network.State().Peers, func(p Peer) bool { return p.Device == d })
}

func (s *Server) findDevice(ctx context.Context, dev chat.DeviceID) *apiv1.FoundDevice {
	look, err := s.cfg.Network.Find(ctx, dev)
	out := &apiv1.FoundDevice{
		Device: string(dev), Addresses: look.Addrs, Source: look.Source, Connected: look.Connected,
		Took: durationpb.New(look.Took),
	}
	if err != nil && !look.Connected {
		out.Failure = words(err)
	}
	// The record of the look-up, or the last one known.
	_ = s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		record, err := tx.Record(identity.DeviceRecordKey(dev))
		if err == nil {
			out.Expires = stamp(record.Expires)
			out.Stale = time.Now().After(record.Expires)
		}
		return err
	})
	return out
}

// words is an error as the end of a sentence.
func words(err error) string {
	text := strings.TrimPrefix(err.Error(), chat.ErrUnreachable.Error()+": ")
	return strings.TrimSuffix(text, ".")
}

// ConnectPeer takes a multiaddr that ends in /p2p/<DeviceID>.
func (s networkService) ConnectPeer(ctx context.Context, req *apiv1.ConnectPeerRequest) (*apiv1.ConnectPeerResponse, error) {
	addr, id, ok := cutLast(strings.TrimSpace(req.Address), "/p2p/")
	if !ok || addr == "" {
		return nil, invalid("address", "it does not end in /p2p/ and a device id, such as /ip4/192.0.2.7/udp/4001/quic-v1/p2p/12D3Koo…")
	}
	dev, _, err := identity.ParseDeviceID(id)
	if err != nil {
		return nil, invalid("address", "%v", err)
	}
	if dev == s.cfg.Keys.Device() {
		return nil, invalid("address", "that is this device")
	}
	if err := s.cfg.Network.Meet(dev, []string{addr}); err != nil {
		return nil, invalid("address", "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	if _, err := s.cfg.Network.Find(ctx, dev); err != nil {
		return nil, err
	}
	return &apiv1.ConnectPeerResponse{Device: string(dev)}, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
