package p2p

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
)

// rawHost speaks bytes on libp2p streams.
func rawHost(t *testing.T, options ...libp2p.Option) host.Host {
	t.Helper()
	raw, err := libp2p.New(append([]libp2p.Option{libp2p.NoListenAddrs, libp2p.DisableMetrics()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// rawStream is a DHT stream to bo.
func rawStream(t *testing.T, raw host.Host, bo *Host) network.Stream {
	t.Helper()
	to := peer.AddrInfo{ID: bo.host.ID(), Addrs: bo.host.Addrs()}
	if err := raw.Connect(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	s, err := raw.NewStream(t.Context(), to.ID, kadProtocol)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return s
}

func prefixed(length uint64, body []byte) []byte {
	return append(binary.AppendUvarint(nil, length), body...)
}

func find(t *testing.T, key string) []byte {
	t.Helper()
	b, err := proto.Marshal(pb.NewMessage(pb.Message_FIND_NODE, []byte(key), 0))
	if err != nil {
		t.Fatal(err)
	}
	return prefixed(uint64(len(b)), b)
}

// TestRawRequests is N1 and N9 on the DHT: what no honest node sends ends the
// stream before it costs memory, and what honest nodes send does not.
func TestRawRequests(t *testing.T) {
	bo := start(t, "bo", nil)
	raw := rawHost(t)
	bomb := bytes.Repeat([]byte{0x42, 0x00}, kadRequest/2-1) // empty closerPeers
	tests := map[string][]byte{
		"four MiB announced":     prefixed(4<<20, make([]byte, 1<<10)),
		"one byte too many":      prefixed(kadRequest+1, make([]byte, kadRequest+1)),
		"endless length":         bytes.Repeat([]byte{0xff}, 16),
		"thousands of peers":     prefixed(uint64(len(bomb)), bomb),
		"no message":             prefixed(3, []byte{0xff, 0xff, 0xff}),
		"after an honest one":    append(find(t, "a"), prefixed(4<<20, nil)...),
		"half a message, closed": find(t, "a")[:2],
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			s := rawStream(t, raw, bo.Host)
			if _, err := s.Write(in); err != nil && !errors.Is(err, network.ErrReset) {
				t.Fatal(err)
			}
			if name == "half a message, closed" {
				if err := s.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.ReadAll(s); !errors.Is(err, network.ErrReset) {
				t.Errorf("got %v, want a reset", err)
			}
		})
	}
	s := rawStream(t, raw, bo.Host)
	for i := range 3 {
		request := find(t, fmt.Sprint("key", i))
		for _, b := range request { // in pieces
			if _, err := s.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if err := (&kadStream{Stream: s, limit: chat.MaxFrame}).next(); err != nil {
			t.Errorf("answer %d: %v", i, err)
		}
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(s); err != nil {
		t.Errorf("an orderly end: %v", err)
	}
}

// TestRawAnswers: a node that answers with megabytes costs a query, no memory.
func TestRawAnswers(t *testing.T) {
	raw := rawHost(t, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	ended := make(chan error, 16)
	raw.SetStreamHandler(kadProtocol, func(s network.Stream) {
		_, err := s.Write(prefixed(4<<20, nil))
		for err == nil {
			_, err = s.Write(make([]byte, 64<<10))
		}
		ended <- err
	})
	ana := start(t, "ana", nil)
	if err := raw.Connect(t.Context(), peer.AddrInfo{ID: ana.host.ID(), Addrs: ana.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := kadHost{Host: ana.host, h: ana.Host}.NewStream(ctx, raw.ID(), kadProtocol)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, chat.ErrTooLarge) {
		t.Errorf("read %v, want ErrTooLarge", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, network.ErrReset) {
			t.Errorf("the sender ended with %v, want a reset", err)
		}
	case <-ctx.Done():
		t.Error("the sender may go on")
	}
}
