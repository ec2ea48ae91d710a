package cli

import (
	"slices"
	"testing"
)

func TestBestFirst(t *testing.T) {
	want := []string{
		"/ip4/203.0.113.7/tcp/4001/p2p/x",
		"/ip6/2001:db8::7/tcp/4001/p2p/x",
		"/ip4/192.168.1.7/tcp/4001/p2p/x",
		"/ip6/fe80::1/tcp/4001/p2p/x",
		"/ip4/127.0.0.1/tcp/4001/p2p/x",
		"/ip4/203.0.113.7/udp/4001/quic-v1/p2p/x",
		"/ip4/127.0.0.1/udp/4001/quic-v1/p2p/x",
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	bestFirst(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{"/tmp/a-b_c.1": "/tmp/a-b_c.1", "/tmp/my data": "'/tmp/my data'", "it's": `'it'\''s'`} {
		if got := shellWord(word); got != want {
			t.Errorf("%s is quoted as %s", word, got)
		}
	}
}
