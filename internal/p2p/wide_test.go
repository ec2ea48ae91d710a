package p2p

import (
	"testing"

	"go.uber.org/goleak"
)

// TestWideHost runs a host as on the open network (relay, hole punching,
// AutoNAT, NAT mapping), here listening on loopback only, and leaves nothing
// behind.
func TestWideHost(t *testing.T) {
	before := goleak.IgnoreCurrent()
	listen := func(c *Config) {
		c.NoPortMap = true // the search for a router leaves the machine
		c.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"}
	}
	h, err := New(Config{Key: testKey("ana"), Listen: []string{}, NoPortMap: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("closing a host that never ran: %v", err)
	}
	infra := startQuiet(t, "infra", func(c *Config) { listen(c); c.Infra = true })
	infra.Handle(echoProtocol, echo)
	var guides []string
	for _, a := range infra.host.Network().ListenAddresses() {
		guides = append(guides, a.String()+"/p2p/"+string(infra.Device()))
	}
	ana := startQuiet(t, "ana", func(c *Config) { listen(c); c.Bootstrap = guides })
	await(t, ana.Host, "joined", joined)
	if addrs := ana.Addrs(); len(addrs) != 0 {
		t.Errorf("a host on the open network tells its loopback addresses: %v", addrs)
	}
	if got, err := say(t.Context(), ana.Host, infra.Host, "hi"); err != nil || got != "hi" {
		t.Errorf("echo: %q, %v", got, err)
	}
	// Who says by its settings that it is reachable was not called back.
	await(t, infra.Host, "told that it assumes to be reachable", func(s Status) bool { return s.Reachability == "assumed" && s.DHTServer })
	if got := ana.Status().Load().Reachability; got == "public" || got == "assumed" {
		t.Errorf("a host that nobody called back is %s", got)
	}
	ana.stop()
	infra.stop()
	goleak.VerifyNone(t, before)
}
