package p2p

import (
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/internal/chat"
)

// siteLimits is the library's resource manager with one bound more: it counts
// streams for each peer and for all, and peers are free to be made. Here one
// address holds a part of the incoming streams, and of those that have not
// said what they want. People we know are free of it.
type siteLimits struct {
	network.ResourceManager
	h *Host

	mu    sync.Mutex
	sites map[site]siteStreams // with at least one stream: as many as there are
}

type siteStreams struct{ open, unnamed int }

// OpenStream fails with network.ErrResourceLimitExceeded.
func (l *siteLimits) OpenStream(p peer.ID, dir network.Direction) (network.StreamManagementScope, error) {
	scope, err := l.ResourceManager.OpenStream(p, dir)
	if err != nil || dir == network.DirOutbound {
		return scope, err
	}
	at, ok := l.siteOf(p)
	if !ok || l.h.familiar(p) {
		return scope, nil
	}
	if !l.open(at) {
		scope.Done()
		return nil, fmt.Errorf("%w: streams of one address", network.ErrResourceLimitExceeded)
	}
	return &siteScope{StreamManagementScope: scope, limits: l, at: at}, nil
}

// siteOf is false for what is not counted: loopback, our own machine.
func (l *siteLimits) siteOf(p peer.ID) (site, bool) {
	select {
	case <-l.h.built:
	default: // nobody calls before New is done
		return site{}, false
	}
	for _, c := range l.h.host.Network().ConnsToPeer(p) {
		return siteOf(p, c.RemoteMultiaddr()), !manet.IsIPLoopback(c.RemoteMultiaddr())
	}
	return site{}, false // its connection ends just now
}

func (l *siteLimits) open(at site) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.sites[at]
	if n.open >= chat.StreamsPerSite || n.unnamed >= chat.StreamsUnnamed {
		return false
	}
	l.sites[at] = siteStreams{n.open + 1, n.unnamed + 1}
	return true
}

func (l *siteLimits) change(at site, open, unnamed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.sites[at]
	n.open, n.unnamed = n.open+open, n.unnamed+unnamed
	if n.open <= 0 {
		delete(l.sites, at)
		return
	}
	l.sites[at] = n
}

// siteScope tells its site's count what becomes of the stream.
type siteScope struct {
	network.StreamManagementScope
	limits      *siteLimits
	at          site
	named, done sync.Once
}

func (s *siteScope) SetProtocol(id protocol.ID) error {
	err := s.StreamManagementScope.SetProtocol(id)
	if err == nil {
		s.named.Do(func() { s.limits.change(s.at, 0, -1) })
	}
	return err
}

func (s *siteScope) Done() {
	s.StreamManagementScope.Done()
	s.done.Do(func() {
		s.named.Do(func() { s.limits.change(s.at, 0, -1) })
		s.limits.change(s.at, -1, 0)
	})
}
