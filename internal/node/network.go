package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/api"
	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/p2p"
	"parley/internal/wire"
)

// inviteAddrLife is how long an address told by a person is tried: as long as
// an invite lasts by default.
const inviteAddrLife = 7 * 24 * time.Hour

// dialer opens streams for dm: by what is known, else by the device record.
type dialer struct{ n *Node }

func (d dialer) Open(ctx context.Context, dev chat.DeviceID, protocol string) (wire.Stream, error) {
	s, err := d.n.host.Open(ctx, dev, protocol)
	un, ok := errors.AsType[*p2p.UnreachableError](err)
	if !ok {
		return s, err
	}
	var tried uint64
	type lookUp = func(context.Context, chat.DeviceID) (*identity.DeviceRecord, error)
	read := []lookUp{d.n.directory.Refresh} // the addresses we had are worth nothing now
	if un.Reason == p2p.NoAddress {
		// The first record that comes is called at once; the newest of all only
		// if that is another one.
		read = []lookUp{d.n.directory.Callable, d.n.directory.Device}
	}
	for _, read := range read {
		record, rerr := read(ctx, dev)
		if rerr != nil {
			return nil, err // says more about the device than our look-up does
		}
		if record.Seq <= tried {
			break
		}
		tried = record.Seq
		if _, rerr := d.n.learn(record); rerr != nil {
			return nil, fmt.Errorf("%w: %w", err, rerr)
		}
		if s, err = d.n.host.Open(ctx, dev, protocol); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// learn gives the addresses of a device record to the host and returns them.
func (n *Node) learn(record *identity.DeviceRecord) ([]string, error) {
	who, addrs, err := n.host.LearnPeerRecord(record.PeerRecord)
	if err != nil {
		return nil, fmt.Errorf("reading the addresses of %s: %w", record.Device.Short(), err)
	}
	if who != record.Device {
		return nil, fmt.Errorf("%w: the record of %s names the addresses of %s", chat.ErrInvalid, record.Device.Short(), who.Short())
	}
	return addrs, nil
}

// network is the api's view of p2p.
type network struct{ n *Node }

func (v network) State() api.NetworkState {
	s := v.n.host.Status().Load()
	out := api.NetworkState{
		Ready: s.Ready, Alone: s.Alone, Reachability: s.Reachability, Server: s.DHTServer,
		DHTPeers: s.DHTPeers, Remembered: len(v.n.host.Remember()),
		Listen: v.n.host.Addrs(), Bootstrap: v.n.opts.Config.BootstrapPeers(),
	}
	for _, p := range v.n.host.Peers() {
		out.Peers = append(out.Peers, api.Peer{
			Device: p.Device, Addr: p.Addr, Transport: p.Transport, Inbound: p.Direction == "in",
			Relayed: p.Relayed, RTT: p.RTT, Since: p.Since,
		})
	}
	return out
}

// Meet also calls the device, in the background: a new contact is reached, and
// its record read from itself, before the first message wants to go.
func (v network) Meet(d chat.DeviceID, addrs []string) error {
	if err := v.n.host.AddPeer(d, addrs, inviteAddrLife); err != nil {
		return err
	}
	select {
	case v.n.meet <- d:
	default: // many at once: the first message calls
	}
	return nil
}

func (v network) Drop(d chat.DeviceID) { v.n.host.Drop(d) }

// meetTimeout bounds one call of a new acquaintance.
const meetTimeout = time.Minute

// greetNew calls devices that people told us about, one after the other.
func (n *Node) greetNew(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-n.meet:
			call, cancel := context.WithTimeout(ctx, meetTimeout)
			if _, err := n.host.Ping(call, d); err != nil {
				n.log.Debug("new acquaintance not reached", "device", d.Short(), "cause", err)
			}
			cancel()
		}
	}
}

func (v network) Find(ctx context.Context, d chat.DeviceID) (api.Lookup, error) {
	began := time.Now()
	out := api.Lookup{Source: "connected"}
	done := func(err error) (api.Lookup, error) {
		out.Took = time.Since(began)
		return out, err
	}
	for _, p := range v.n.host.Peers() {
		if p.Device == d {
			out.Connected = true
			out.Addrs = append(out.Addrs, p.Addr)
		}
	}
	// A look-up was asked for: the record is read from the network even when we
	// are connected, so that the answer says where the device wants to be found.
	record, lerr := v.n.directory.Refresh(ctx, d)
	if lerr == nil {
		var addrs []string
		if addrs, lerr = v.n.learn(record); lerr == nil {
			out.Addrs, out.Source = addrs, "dht"
		}
	}
	if out.Connected {
		return done(nil)
	}
	_, err := v.n.host.Ping(ctx, d)
	out.Connected = err == nil
	var un *p2p.UnreachableError
	if errors.As(err, &un) && un.Reason == p2p.NoAddress && lerr != nil {
		err = fmt.Errorf("%w: %w", err, lerr)
	}
	return done(err)
}
