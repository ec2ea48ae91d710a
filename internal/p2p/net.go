package p2p

import (
	"net/netip"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// netOf is the network of an address: its first v4 or v6 bits. It is false
// for names.
func netOf(a ma.Multiaddr, v4, v6 int) (netip.Prefix, bool) {
	raw, err := manet.ToIP(a)
	if err != nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.Prefix{}, false
	}
	ip = ip.Unmap()
	bits := v4
	if ip.Is6() {
		bits = v6
	}
	prefix, err := ip.Prefix(bits)
	return prefix, err == nil
}

// local reports whether diversity and pace per network make no sense: the
// address is private, loopback or a name.
func local(a ma.Multiaddr) bool {
	raw, err := manet.ToIP(a)
	return err != nil || raw.IsLoopback() || raw.IsPrivate() || raw.IsLinkLocalUnicast()
}

// paces is one token bucket for each key of a crowd of strangers, at most
// limit of them: when full, idle ones go first, then any.
type paces[K comparable] struct {
	every time.Duration // one token
	burst int
	limit int

	mu   sync.Mutex
	full map[K]time.Time // key -> when its bucket is full again
}

func newPaces[K comparable](every time.Duration, burst, limit int) *paces[K] {
	return &paces[K]{every: every, burst: burst, limit: limit, full: make(map[K]time.Time)}
}

// take takes a token and reports whether there was one.
func (p *paces[K]) take(key K, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, known := p.full[key]
	if !known {
		p.makeRoomLocked(now)
	}
	if at.Before(now) {
		at = now
	}
	at = at.Add(p.every)
	if at.Sub(now) > time.Duration(p.burst)*p.every {
		return false
	}
	p.full[key] = at
	return true
}

// forget gives a key its whole bucket back.
func (p *paces[K]) forget(key K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.full, key)
}

func (p *paces[K]) makeRoomLocked(now time.Time) {
	if len(p.full) < p.limit {
		return
	}
	for key, at := range p.full {
		if !at.After(now) {
			delete(p.full, key)
		}
	}
	for key := range p.full {
		if len(p.full) < p.limit {
			return
		}
		delete(p.full, key)
	}
}
