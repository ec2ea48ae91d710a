package p2p

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"parley/internal/chat"
)

// names looks up what the settings name and nothing else: a stranger's address
// makes us ask no name server, where the question would tell on us (N7).
type names struct {
	inner   network.MultiaddrDNSResolver
	allowed map[string]bool
}

func newNames(guides []peer.AddrInfo, inner network.MultiaddrDNSResolver) *names {
	n := &names{inner: inner, allowed: make(map[string]bool)}
	for _, g := range guides {
		for _, a := range g.Addrs {
			if name := nameOf(a); name != "" {
				n.allowed[name] = true
			}
		}
	}
	return n
}

// ResolveDNSAddr follows a list of addresses that a name holds down to
// addresses: a name in the list is the choice of whom the settings trust.
func (n *names) ResolveDNSAddr(ctx context.Context, p peer.ID, a ma.Multiaddr, depth, limit int) ([]ma.Multiaddr, error) {
	if err := n.check(a); err != nil {
		return nil, err
	}
	found, err := n.inner.ResolveDNSAddr(ctx, p, a, depth, limit)
	if err != nil {
		return nil, err
	}
	var out []ma.Multiaddr
	for _, f := range found {
		if !hasName(f) {
			out = append(out, f)
			continue
		}
		next, err := n.inner.ResolveDNSComponent(ctx, f, limit-len(out))
		if err != nil {
			continue // others in the list may do
		}
		out = append(out, next...)
	}
	return out[:min(len(out), limit)], nil
}

// ResolveDNSComponent looks one configured name up.
func (n *names) ResolveDNSComponent(ctx context.Context, a ma.Multiaddr, limit int) ([]ma.Multiaddr, error) {
	if err := n.check(a); err != nil {
		return nil, err
	}
	return n.inner.ResolveDNSComponent(ctx, a, limit)
}

func (n *names) check(a ma.Multiaddr) error {
	if !n.allowed[nameOf(a)] {
		return fmt.Errorf("%w: %q is in nobody's settings here", chat.ErrInvalid, nameOf(a))
	}
	return nil
}
