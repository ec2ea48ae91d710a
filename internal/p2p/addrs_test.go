package p2p

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
)

func identityECDSA(t *testing.T) libp2p.Option {
	t.Helper()
	key, _, err := crypto.GenerateECDSAKeyPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return libp2p.Identity(key)
}

func TestPeerRecord(t *testing.T) {
	ana := start(t, "ana", func(c *Config) { c.Transports = Transports{} })
	bo := start(t, "bo", nil)
	bo.Handle(echoProtocol, echo)
	rec, err := ana.PeerRecord()
	if err != nil {
		t.Fatal(err)
	}
	if len(rec) > chat.MaxDeviceAddrBytes {
		t.Errorf("record of %d bytes, want %d at most", len(rec), chat.MaxDeviceAddrBytes)
	}
	device, addrs, err := bo.LearnPeerRecord(rec)
	if err != nil || device != ana.Device() {
		t.Fatalf("learned %s, %v", device, err)
	}
	if len(addrs) == 0 || len(addrs) > chat.MaxDeviceAddrs || transportOf(ma.StringCast(addrs[0])) != "quic" {
		t.Errorf("learned %v, want 1 to 8 addresses, QUIC first", addrs)
	}
	// What was learned is enough to connect.
	ana.Handle(echoProtocol, echo)
	if got, err := say(t.Context(), bo.Host, ana.Host, "hi"); err != nil || got != "hi" {
		t.Errorf("echo: %q, %v", got, err)
	}
}

func TestLearnPeerRecordRefuses(t *testing.T) {
	ana := start(t, "ana", nil)
	seal := func(signer, subject string, n int) []byte {
		id, err := peerOf(testDevice(subject))
		if err != nil {
			t.Fatal(err)
		}
		rec := &peer.PeerRecord{PeerID: id, Seq: 1}
		for i := range n {
			rec.Addrs = append(rec.Addrs, ma.StringCast(fmt.Sprintf("/ip4/9.9.9.%d/tcp/4717", i)))
		}
		key, err := crypto.UnmarshalEd25519PrivateKey(testKey(signer))
		if err != nil {
			t.Fatal(err)
		}
		env, err := record.Seal(rec, key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := env.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := seal("bo", "bo", 2)
	if _, _, err := ana.LearnPeerRecord(good); err != nil {
		t.Fatalf("a good record: %v", err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if device, addrs, err := ana.LearnPeerRecord(bad); err == nil {
			t.Fatalf("byte %d flipped: learned %s %v", i, device, addrs)
		}
	}
	tests := map[string]struct {
		in   []byte
		want error
	}{
		"signed by another": {seal("mallory", "bo", 1), chat.ErrInvalid},
		"too many":          {seal("bo", "bo", chat.MaxDeviceAddrs+1), chat.ErrTooLarge},
		"too large":         {make([]byte, chat.MaxDeviceAddrBytes+1), chat.ErrTooLarge},
		"empty":             {nil, chat.ErrInvalid},
	}
	for name, tt := range tests {
		if _, _, err := ana.LearnPeerRecord(tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestWorthDialing is N7: a record from the open network cannot make us knock
// at our own machine, our router, or other people's services.
func TestWorthDialing(t *testing.T) {
	wide, err := New(Config{Key: testKey("ana"), Listen: []string{}, NoPortMap: true})
	if err != nil {
		t.Fatal(err)
	}
	defer wide.Close()
	tests := map[string]bool{
		"/ip4/9.9.9.9/udp/4717/quic-v1":              true,
		"/ip4/9.9.9.9/tcp/4717":                      true,
		"/ip6/2a00::1/udp/4717/quic-v1/webtransport": true,
		"/dns4/node.example/tcp/4717":                false,
		"/ip4/9.9.9.9/tcp/25":                        false,
		"/ip4/9.9.9.9/udp/53/quic-v1":                false,
		"/ip4/127.0.0.1/tcp/4717":                    false,
		"/ip4/127.9.9.9/tcp/4717":                    false,
		"/ip6/::1/tcp/4717":                          false,
		"/ip4/0.0.0.0/tcp/4717":                      false,
		"/ip4/169.254.1.1/tcp/4717":                  false,
		"/ip6/fe80::1/tcp/4717":                      false,
		"/ip4/224.0.0.251/udp/5353/quic-v1":          false,
		"/ip4/192.168.77.1/tcp/8080":                 false, // a network we are not on
		"/ip4/10.99.0.1/tcp/8080":                    false,
	}
	for text, want := range tests {
		got := len(wide.worthDialing("", []ma.Multiaddr{ma.StringCast(text)})) == 1
		if got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	var many []ma.Multiaddr
	for i := range 1000 {
		many = append(many, ma.StringCast(fmt.Sprintf("/ip4/9.9.%d.%d/tcp/4717", i/256, i%256)))
	}
	if got := len(wide.worthDialing("", many)); got != chat.PeerAddrs {
		t.Errorf("%d addresses kept of one peer, want %d", got, chat.PeerAddrs)
	}
}

func TestRank(t *testing.T) {
	want := []string{
		"/ip4/9.9.9.9/udp/4717/quic-v1",
		"/ip4/9.9.9.9/tcp/4717",
		"/ip4/8.8.8.8/udp/1/quic-v1/p2p/12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7/p2p-circuit",
		"/ip4/9.9.9.9/udp/4717/quic-v1/webtransport",
		"/ip4/9.9.9.9/udp/4717/webrtc-direct",
		"/ip4/192.168.1.5/udp/4717/quic-v1",
		"/ip4/127.0.0.1/udp/4717/quic-v1",
	}
	var got []ma.Multiaddr
	for _, text := range want {
		got = append(got, ma.StringCast(text))
	}
	slices.Reverse(got)
	slices.SortStableFunc(got, func(a, b ma.Multiaddr) int { return rank(a) - rank(b) })
	if texts := addrTexts(got); !slices.Equal(texts, want) {
		t.Errorf("got %v", texts)
	}
}
