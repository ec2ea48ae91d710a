package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
)

// wideHost is a host as on the open network that never runs.
func wideHost(t *testing.T, change func(*Config)) *Host {
	t.Helper()
	cfg := Config{Key: testKey("ana"), Listen: []string{}, NoPortMap: true}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func testPeer(t *testing.T, name string) peer.ID {
	t.Helper()
	id, err := peerOf(testDevice(name))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// oddAddrs are dialled on nobody's word but the settings'.
var oddAddrs = []string{
	"/ip4/9.9.9.9/tcp/25",
	"/ip4/9.9.9.9/udp/53/quic-v1",
	"/ip4/127.0.0.1/tcp/4717",
	"/ip6/::1/tcp/4717",
	"/ip6/::ffff:127.0.0.1/tcp/4717",
	"/ip6/64:ff9b::7f00:1/tcp/4717",
	"/ip4/0.0.0.0/tcp/4717",
	"/ip4/169.254.1.1/tcp/4717",
	"/ip6/fe80::1/tcp/4717",
	"/ip6zone/eth0/ip6/fe80::1/tcp/4717",
	"/ip4/224.0.0.251/udp/5353/quic-v1",
	"/ip6/ff02::1/udp/5353/quic-v1",
	"/dns4/node.example/tcp/4717",
	"/dnsaddr/node.example",
	"/dns/node.example/udp/4717/quic-v1/webtransport",
	"/dns4/node.example/tcp/4717/p2p/12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7/p2p-circuit",
	"/unix/tmp/socket",
}

// TestGateDials is N7 at the last moment: whatever way an address came, the
// gate refuses it.
func TestGateDials(t *testing.T) {
	h := wideHost(t, nil)
	bo := testPeer(t, "bo")
	for _, text := range append(oddAddrs, "/ip4/192.168.77.1/tcp/8080", "/ip6/fd00::1/tcp/8080", "/ip4/100.64.0.1/tcp/8080") {
		if h.gate.InterceptAddrDial(bo, ma.StringCast(text)) {
			t.Errorf("%s is dialled", text)
		}
	}
	for _, text := range []string{
		"/ip4/9.9.9.9/udp/4717/quic-v1", "/ip6/2a00::1/tcp/4717",
		"/p2p/12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7/p2p-circuit",
	} {
		if !h.gate.InterceptAddrDial(bo, ma.StringCast(text)) {
			t.Errorf("%s is not dialled", text)
		}
	}
}

// TestInviteAddrs: an invite from a friend on a private network counts, and
// reaches nothing else of that network or of this machine.
func TestInviteAddrs(t *testing.T) {
	h := wideHost(t, nil)
	friend, other := testPeer(t, "friend"), testPeer(t, "other")
	const lan = "/ip4/192.168.77.5/tcp/4717"
	if err := h.AddPeer(deviceOf(friend), append(slices.Clone(oddAddrs), lan), time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := addrTexts(h.host.Peerstore().Addrs(friend)); !slices.Equal(got, []string{lan}) {
		t.Errorf("kept %v, want %s only", got, lan)
	}
	for text, want := range map[string]bool{lan: true, "/ip4/192.168.77.5/tcp/8080": false, "/ip4/192.168.77.1/tcp/4717": false} {
		if got := h.mayDial(friend, ma.StringCast(text)); got != want {
			t.Errorf("%s of the friend: %v, want %v", text, got, want)
		}
	}
	if h.mayDial(other, ma.StringCast(lan)) {
		t.Error("the invite's address is dialled for another device")
	}
	if err := h.AddPeer(deviceOf(other), oddAddrs, time.Hour); !errors.Is(err, chat.ErrInvalid) {
		t.Errorf("nothing but odd addresses: %v, want ErrInvalid", err)
	}
	if got := h.host.Peerstore().Addrs(other); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
	loop := wideHost(t, func(c *Config) { c.Loopback = true })
	for text, want := range map[string]bool{"/ip4/127.0.0.1/tcp/4717": true, lan: false, "/ip4/9.9.9.9/tcp/4717": false} {
		if got := loop.mayDial(friend, ma.StringCast(text)); got != want {
			t.Errorf("%s on loopback: %v, want %v", text, got, want)
		}
	}
}

func TestToldStaysBounded(t *testing.T) {
	var x told
	addr := []ma.Multiaddr{ma.StringCast("/ip4/10.0.0.1/tcp/4717")}
	start := time.Now()
	for i := range 2 * chat.MaxStrangers {
		x.add(peer.ID(fmt.Sprint(i)), addr, start.Add(time.Hour+time.Duration(i)*time.Second))
	}
	if len(x.peers) > chat.MaxStrangers {
		t.Errorf("%d devices are kept, want %d at most", len(x.peers), chat.MaxStrangers)
	}
	if !x.has(peer.ID(fmt.Sprint(2*chat.MaxStrangers-1)), addr[0]) {
		t.Error("the newest is gone")
	}
	x.add("old", addr, start.Add(-time.Second))
	if x.has("old", addr[0]) {
		t.Error("an address counts after its time")
	}
}

// nameServer answers what it is told and notes what it is asked.
type nameServer struct {
	asked   []string
	answers map[string][]string
}

func (n *nameServer) find(a ma.Multiaddr) ([]ma.Multiaddr, error) {
	n.asked = append(n.asked, nameOf(a))
	var out []ma.Multiaddr
	for _, text := range n.answers[nameOf(a)] {
		out = append(out, ma.StringCast(text))
	}
	return out, nil
}

func (n *nameServer) ResolveDNSAddr(_ context.Context, _ peer.ID, a ma.Multiaddr, _, _ int) ([]ma.Multiaddr, error) {
	return n.find(a)
}

func (n *nameServer) ResolveDNSComponent(_ context.Context, a ma.Multiaddr, _ int) ([]ma.Multiaddr, error) {
	return n.find(a)
}

// TestNames: only names in the settings are looked up, and their answers are
// judged like any address.
func TestNames(t *testing.T) {
	infra, mallory := testPeer(t, "infra"), testPeer(t, "mallory")
	h := wideHost(t, func(c *Config) {
		c.Bootstrap = []string{"/dnsaddr/boot.example/p2p/" + infra.String(), "/dns4/boot2.example/tcp/443/p2p/" + infra.String()}
	})
	server := &nameServer{answers: map[string][]string{
		"boot.example":  {"/ip4/9.9.9.1/tcp/443", "/dns4/inner.example/tcp/4717"},
		"inner.example": {"/ip4/9.9.9.2/tcp/4717", "/ip4/192.168.77.1/tcp/4717"},
		"boot2.example": {"/ip4/9.9.9.3/tcp/443"},
		"evil.example":  {"/ip4/9.9.9.4/tcp/4717"},
	}}
	n := newNames(h.guide, server)
	for _, text := range []string{"/dnsaddr/evil.example", "/dnsaddr/inner.example"} {
		if got, err := n.ResolveDNSAddr(t.Context(), mallory, ma.StringCast(text), 4, 100); err == nil {
			t.Errorf("%s is looked up: %v", text, got)
		}
	}
	if got, err := n.ResolveDNSComponent(t.Context(), ma.StringCast("/dns4/evil.example/tcp/4717"), 100); err == nil {
		t.Errorf("a stranger's name is looked up: %v", got)
	}
	if len(server.asked) != 0 {
		t.Fatalf("the name server was asked for %v", server.asked)
	}
	list, err := n.ResolveDNSAddr(t.Context(), infra, ma.StringCast("/dnsaddr/boot.example"), 4, 100)
	if err != nil || len(list) != 3 {
		t.Fatalf("the bootstrap name holds %v, %v, want three addresses", list, err)
	}
	for i, want := range []bool{true, true, false} {
		if got := h.gate.InterceptAddrDial(infra, list[i]); got != want {
			t.Errorf("%s of the bootstrap node: %v, want %v", list[i], got, want)
		}
	}
	if h.gate.InterceptAddrDial(mallory, list[0]) {
		t.Error("the low port counts for a stranger")
	}
	one, err := n.ResolveDNSComponent(t.Context(), ma.StringCast("/dns4/boot2.example/tcp/443"), 100)
	if err != nil || len(one) != 1 || !h.mayDial(infra, one[0]) {
		t.Errorf("the second bootstrap name: %v, %v", one, err)
	}
}

// TestDialPace is N7: two hundred devices said to live at one IP make us knock
// a few times a minute, and do not keep us from a device we want.
func TestDialPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialPace()
		at := func(ip string, port int) ma.Multiaddr {
			return ma.StringCast(fmt.Sprintf("/ip4/%s/tcp/%d", ip, port))
		}
		knocks := 0
		start := time.Now()
		for i := range 200 {
			if d.take(peer.ID(fmt.Sprint(i)), at("9.9.9.9", 4717), time.Now()) {
				knocks++
			}
			time.Sleep(time.Second)
		}
		limit := chat.DialBurst + int(time.Since(start)/time.Minute+1)*chat.DialsPerIP
		if knocks > limit || knocks < chat.DialBurst {
			t.Errorf("%d knocks at one IP, want %d at most", knocks, limit)
		}
		t.Logf("ATTACK N7 dials_per_target %d %d", knocks, limit)

		ports := 0
		for port := range 100 {
			if d.take("scan", at("9.9.9.8", 2000+port), time.Now()) {
				ports++
			}
		}
		if ports != dialPorts {
			t.Errorf("%d ports of one target at once, want %d", ports, dialPorts)
		}
		done := d.want("friend")
		if !d.take("friend", at("9.9.9.9", 4717), time.Now()) {
			t.Error("strangers used up the allowance of a friend's device")
		}
		done()
		if len(d.asked) != 0 {
			t.Error("the wish outlives its dial")
		}

		// Who answers may be dialled as often as we like.
		for i := range 100 {
			if !d.take("honest", at("9.9.9.7", 4717), time.Now()) {
				t.Fatalf("dial %d of a device that answers is refused", i)
			}
			d.answered("honest", at("9.9.9.7", 4717))
			time.Sleep(2 * time.Second)
		}
		for i := range 3 * chat.MaxStrangers {
			d.take("many", at(fmt.Sprintf("9.%d.%d.1", i/256, i%256), 4717), time.Now())
		}
		if len(d.turns) > chat.MaxStrangers || len(d.unasked.full) > chat.MaxStrangers {
			t.Errorf("%d turns and %d targets are remembered", len(d.turns), len(d.unasked.full))
		}
	})
}
