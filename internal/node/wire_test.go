package node

import (
	"path/filepath"
	"testing"

	"parley/internal/config"
	"parley/internal/p2p"
)

// TestNetSettings: what the settings say about the network reaches it.
func TestNetSettings(t *testing.T) {
	network := func(flags map[string]string) (got p2p.Config) {
		t.Helper()
		dir := t.TempDir()
		all := map[string]string{"data.dir": dir, "api.socket": filepath.Join(dir, "s"), "api.address": "off", "net.loopback": "on"}
		for k, v := range flags {
			all[k] = v
		}
		cfg, err := config.Load(config.Options{Bare: true, Flags: all})
		if err != nil {
			t.Fatal(err)
		}
		n, err := New(t.Context(), Options{Config: cfg, Relaxed: true, Adjust: func(c *p2p.Config) { got = *c }})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if c := network(nil); c.NoRelay || c.StrictTransport || !c.Loopback || c.MDNS || c.Transports != (p2p.Transports{}) {
		t.Errorf("by default: %+v", c)
	}
	if c := network(map[string]string{"net.relay": "off"}); !c.NoRelay {
		t.Error("net.relay does nothing")
	}
	if c := network(map[string]string{"net.strict": "on"}); !c.StrictTransport {
		t.Error("net.strict does nothing")
	}
	off := map[string]string{"net.transports.quic": "off", "net.transports.webtransport": "off", "net.transports.webrtc": "off"}
	if c := network(off); c.Transports != (p2p.Transports{NoQUIC: true, NoWebTransport: true, NoWebRTC: true}) {
		t.Errorf("net.transports: %+v", c.Transports)
	}
}
