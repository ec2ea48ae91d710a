package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
	"parley/internal/wire"
)

// crowdOf seats streams and notes who lost one.
type crowdOf struct {
	crowd
	lost []string
}

func (c *crowdOf) sit(at, who string) {
	id := peer.ID(who)
	c.enter(&seat{at: siteOf(id, ma.StringCast(at)), peer: id, end: func() { c.lost = append(c.lost, who) }}, chat.StreamsStrangers)
}

func TestCrowdEndsWhoHoldsMost(t *testing.T) {
	const flat, other = "/ip4/11.0.0.1/udp/4001/quic-v1", "/ip4/11.0.1.1/udp/4001/quic-v1"
	var c crowdOf
	c.sit(flat, "neighbour")
	for i := range chat.StreamsPerAddress - 1 {
		c.sit(flat, fmt.Sprint("key ", i/2)) // two streams each
	}
	if len(c.lost) != 0 {
		t.Fatalf("%q lost a stream while there was room", c.lost)
	}
	c.sit(other, "stranger")
	if len(c.lost) != 0 {
		t.Errorf("%q lost a stream to another address", c.lost)
	}
	c.sit(flat, "key 40")
	c.sit(flat, "key 41")
	if !slices.Equal(c.lost, []string{"key 0", "key 1"}) {
		t.Errorf("%q lost their streams", c.lost)
	}
	// Strangers' part full: the fullest address pays, not the newest one.
	for i := 0; len(c.seats) < chat.StreamsStrangers; i++ {
		c.sit(fmt.Sprintf("/ip4/12.0.0.%d/udp/4001/quic-v1", i/8), fmt.Sprint("other ", i))
	}
	c.lost = nil
	c.sit("/ip4/13.0.0.1/udp/4001/quic-v1", "late")
	if !slices.Equal(c.lost, []string{"key 2"}) || len(c.seats) != chat.StreamsStrangers {
		t.Errorf("%q lost their streams; %d are seated", c.lost, len(c.seats))
	}
	for len(c.seats) > 0 {
		s := c.seats[0]
		c.leave(s)
		c.leave(s) // who lost its seat leaves too
	}
}

// TestCrowdOnLoopback: the nodes of one machine are no crowd.
func TestCrowdOnLoopback(t *testing.T) {
	var c crowdOf
	for i := range 2 * chat.StreamsPerAddress {
		c.sit("/ip4/127.0.0.1/tcp/4001", fmt.Sprint(i))
	}
	if len(c.lost) != 0 {
		t.Errorf("%q lost their streams", c.lost)
	}
}

// frameEcho reads one frame, as features do, and sends its bytes back.
func frameEcho(s wire.Stream) {
	b := make([]byte, 2)
	if _, err := io.ReadFull(s, b); err != nil {
		_ = s.Reset()
		return
	}
	_, _ = s.Write(b)
	_ = s.Close()
}

// sayTwo times one exchange with frameEcho.
func sayTwo(ctx context.Context, from, to *Host) (time.Duration, error) {
	start := time.Now()
	s, err := from.Open(ctx, to.Device(), echoProtocol)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if _, err := s.Write([]byte("hi")); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(s, make([]byte, 2))
	return time.Since(start), err
}

// TestOneAddressCannotHoldAllStreams is F2: 32 keys at one address hold eight
// half-open streams each, again and again. A contact, also at that address,
// and a stranger from another one are served at once.
func TestOneAddressCannotHoldAllStreams(t *testing.T) {
	tests := []struct {
		name  string
		bytes string // what the attacker sends on each stream
		named bool   // after saying which protocol it wants
	}{
		{"half a frame", "x", true},
		{"no protocol", "\x13", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSimWorld(t, 25*time.Millisecond)
				defer w.close()
				var contact atomic.Value
				contact.Store(chat.DeviceID(""))
				bo := w.add(0, func(c *Config) { c.Known = func(d chat.DeviceID) bool { return d == contact.Load() } })
				var open atomic.Int32
				bo.Handle(echoProtocol, func(s wire.Stream) {
					open.Add(1)
					defer open.Add(-1)
					frameEcho(s)
				})
				at := func(i int) func(*Config) {
					return func(c *Config) {
						c.Listen = []string{fmt.Sprintf("/ip4/12.0.0.1/udp/%d/quic-v1", 5000+i)}
						c.Client = true
					}
				}
				friend := w.add(1, at(0)) // behind the attacker's own router
				contact.Store(friend.Device())
				stranger := w.add(2, nil)
				keys := chat.ConnsPerIPv4 - 1 // the friend has the last connection
				for i := range keys {
					w.add(10+i, at(1+i))
				}
				for _, h := range w.hosts[1:] {
					await(t, h.Host, "joined", joined)
				}
				time.Sleep(time.Minute)
				for round := range 3 {
					var held []network.Stream
					for _, mallory := range w.hosts[3:] {
						for range chat.StreamsPerProtocolPeer {
							var s network.Stream
							var err error
							if tt.named {
								s, err = mallory.host.NewStream(t.Context(), bo.host.ID(), protocol.ID(echoProtocol))
							} else {
								s, err = mallory.host.Network().NewStream(t.Context(), bo.host.ID())
							}
							if err != nil {
								continue // refused
							}
							_, _ = s.Write([]byte(tt.bytes))
							held = append(held, s)
						}
					}
					synctest.Wait()
					time.Sleep(time.Second)
					if n := open.Load(); n > chat.StreamsPerAddress {
						t.Errorf("round %d: one address holds %d streams", round, n)
					}
					for _, h := range []*runner{friend, stranger} {
						took, err := sayTwo(t.Context(), h.Host, bo.Host)
						if err != nil || took > time.Second {
							t.Errorf("round %d: %s is served after %v: %v", round, h.Device().Short(), took, err)
						}
					}
					if len(held) < keys {
						t.Errorf("round %d: the attack opened %d streams", round, len(held))
					}
				}
				t.Logf("ATTACK F2 streams_of_one_address %d %d", open.Load(), chat.StreamsPerAddress)
			})
		})
	}
}

// TestStallIsSeen: on every transport a read that runs into its deadline tells
// so, which is what wire.Stalled goes by.
func TestStallIsSeen(t *testing.T) {
	bo := start(t, "bo", func(c *Config) { c.Transports = Transports{} })
	seen := make(chan error, 1)
	bo.Handle(echoProtocol, func(s wire.Stream) {
		if err := s.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Error(err)
		}
		_, err := io.ReadFull(s, make([]byte, 2))
		seen <- err
		_ = s.Reset()
	})
	only := map[string]Transports{
		"quic":          {NoTCP: true, NoWebTransport: true, NoWebRTC: true},
		"tcp":           {NoQUIC: true, NoWebTransport: true, NoWebRTC: true},
		"webtransport":  {NoQUIC: true, NoTCP: true, NoWebRTC: true},
		"webrtc-direct": {NoQUIC: true, NoTCP: true, NoWebTransport: true},
	}
	for name, transports := range only {
		ana := start(t, "ana over "+name, func(c *Config) { c.Transports = transports })
		meet(t, ana.Host, bo.Host)
		s, err := ana.Open(t.Context(), bo.Device(), echoProtocol)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("h")); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if err := <-seen; !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: %v, want a timeout", name, err)
		}
		_ = s.Reset()
	}
}
