package p2p

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"

	"parley/internal/chat"
)

// Peers on one local network find each other by multicast DNS, in the form of
// libp2p's specification (a PTR question, answered with a TXT "dnsaddr=…" for
// each address) under a service name of our own. The library's version would
// add two dependencies for these lines.
const (
	lanGroup   = "224.0.0.251:5353"
	lanService = "_parley._udp.local."
	lanPacket  = 9000 // bytes, the largest multicast DNS message
	lanPrefix  = "dnsaddr="

	lanAsk    = 2 * time.Minute // between questions, jittered
	lanAnswer = time.Second     // at most one answer in this time
	lanDial   = time.Minute     // one dial of the same device in this time
	lanDials  = 4               // at once
	lanNodes  = 8               // dials of one machine's devices in lanDial: devices are free to be made up
	lanAge    = 10 * time.Minute
)

// lanLink is one interface: a socket in the group and where to send.
type lanLink struct {
	conn net.PacketConn
	to   net.Addr
}

// lan is the talk on one link; its loop owns it.
type lan struct {
	h        *Host
	name     string // random, so that it says nothing more than the answer
	dials    *paces[peer.ID]
	sources  *paces[netip.Addr]
	answered time.Time
}

// runLAN serves every interface that can multicast. A network without
// multicast is no fault.
func (h *Host) runLAN(ctx context.Context) error {
	links, err := lanLinks()
	if err != nil {
		h.log.Info("local discovery is off", "error", err)
	}
	var group errgroup.Group
	for _, link := range links {
		group.Go(func() error { return h.serveLAN(ctx, link) })
	}
	return group.Wait()
}

func lanLinks() ([]lanLink, error) {
	to, err := net.ResolveUDPAddr("udp4", lanGroup)
	if err != nil {
		return nil, fmt.Errorf("reading group address: %w", err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	var links []lanLink
	var errs []error
	for _, i := range interfaces {
		const want = net.FlagUp | net.FlagMulticast
		if i.Flags&want != want || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		conn, err := net.ListenMulticastUDP("udp4", &i, to)
		if err != nil {
			errs = append(errs, fmt.Errorf("joining on %s: %w", i.Name, err))
			continue
		}
		// Two nodes on one machine hear each other.
		if err := ipv4.NewPacketConn(conn).SetMulticastLoopback(true); err != nil {
			errs = append(errs, fmt.Errorf("configuring %s: %w", i.Name, err))
		}
		links = append(links, lanLink{conn, to})
	}
	return links, errors.Join(errs...)
}

func newLAN(h *Host) *lan {
	return &lan{
		h: h, name: strings.ToLower(rand.Text()) + "." + lanService,
		dials:   newPaces[peer.ID](lanDial, 1, chat.MaxStrangers),
		sources: newPaces[netip.Addr](lanDial/lanNodes, lanNodes, chat.MaxStrangers),
	}
}

// serveLAN asks now and then, answers questions, and dials who answers.
func (h *Host) serveLAN(ctx context.Context, link lanLink) error {
	l := newLAN(h)
	stop := context.AfterFunc(ctx, func() { _ = link.conn.Close() })
	defer stop()
	var dialing errgroup.Group
	dialing.SetLimit(lanDials)
	defer func() { _ = dialing.Wait() }() // its functions return nil

	buf := make([]byte, lanPacket)
	for ctx.Err() == nil {
		l.send(link, l.question)
		until := time.Now().Add(jitter(lanAsk))
		if err := link.conn.SetReadDeadline(until); err != nil {
			return nil // closed: ctx ended
		}
		for time.Now().Before(until) {
			n, from, err := link.conn.ReadFrom(buf)
			if err != nil {
				break
			}
			if at, ok := from.(*net.UDPAddr); ok {
				l.heard(ctx, link, at.AddrPort().Addr().Unmap(), buf[:n], &dialing)
			}
		}
	}
	return nil
}

func (l *lan) send(link lanLink, build func() ([]byte, error)) {
	packet, err := build()
	if err == nil {
		_, err = link.conn.WriteTo(packet, link.to)
	}
	if err != nil {
		l.h.log.Debug("local discovery", "error", err)
	}
}

// heard takes one packet of anybody on the local network, who may speak for
// devices at their own address only.
func (l *lan) heard(ctx context.Context, link lanLink, from netip.Addr, packet []byte, dialing *errgroup.Group) {
	asked, found := parseLAN(packet)
	if now := time.Now(); asked && now.Sub(l.answered) >= lanAnswer {
		l.answered = now
		l.send(link, l.answer)
	}
	for _, p := range found {
		h := l.h
		addrs := h.worthDialing(p.ID, slices.DeleteFunc(p.Addrs, func(a ma.Multiaddr) bool {
			at, ok := netOf(a, 32, 128)
			return !ok || at.Addr() != from
		}))
		if len(addrs) == 0 || p.ID == h.host.ID() || !isEd25519(p.ID) || h.connected() >= chat.ConnsLow ||
			h.host.Network().Connectedness(p.ID) == network.Connected || !l.mayDial(p.ID, from, time.Now()) {
			continue
		}
		h.learn(p.ID, addrs, lanAge)
		dialing.TryGo(func() error { // busy: the next answer comes in minutes
			ctx, cancel := context.WithTimeout(ctx, chat.DialTimeout)
			defer cancel()
			if err := h.host.Connect(ctx, peer.AddrInfo{ID: p.ID}); err != nil {
				h.log.Debug("local peer not reached", "peer", deviceOf(p.ID).Short(), "error", err)
			}
			return nil
		})
	}
}

// mayDial takes one dial into account, for the device and for who named it.
func (l *lan) mayDial(p peer.ID, from netip.Addr, now time.Time) bool {
	return l.sources.take(from, now) && l.dials.take(p, now)
}

func (l *lan) question() ([]byte, error) {
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName(lanService), Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET,
	}}}
	return m.Pack()
}

func (l *lan) answer() ([]byte, error) {
	var texts []string
	for _, a := range l.h.ownAddrs() {
		text := lanPrefix + a.String() + "/p2p/" + string(l.h.Device())
		if kind := transportOf(a); (kind == "tcp" || kind == "quic") && len(text) < 256 && !manet.IsIPUnspecified(a) {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%w: no address to answer with", chat.ErrNotFound)
	}
	name, err := dnsmessage.NewName(l.name)
	if err != nil {
		return nil, fmt.Errorf("naming answer: %w", err)
	}
	header := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: uint32(lanAsk / time.Second)}
	pointer := header
	pointer.Name = dnsmessage.MustNewName(lanService)
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{Response: true, Authoritative: true},
		Answers:     []dnsmessage.Resource{{Header: pointer, Body: &dnsmessage.PTRResource{PTR: name}}},
		Additionals: []dnsmessage.Resource{{Header: header, Body: &dnsmessage.TXTResource{TXT: texts}}},
	}
	return m.Pack()
}

// parseLAN reads a packet: whether it asks for us, and which devices it names.
// Whatever is not understood is skipped.
func parseLAN(packet []byte) (asked bool, found []peer.AddrInfo) {
	var m dnsmessage.Message
	if m.Unpack(packet) != nil {
		return false, nil
	}
	if !m.Response {
		for _, q := range m.Questions {
			if q.Type == dnsmessage.TypePTR && strings.EqualFold(q.Name.String(), lanService) {
				return true, nil
			}
		}
		return false, nil
	}
	var addrs []ma.Multiaddr
	for _, r := range append(m.Answers, m.Additionals...) {
		txt, ok := r.Body.(*dnsmessage.TXTResource)
		if !ok || !strings.HasSuffix(strings.ToLower(r.Header.Name.String()), "."+lanService) {
			continue
		}
		for _, text := range txt.TXT {
			text, ok := strings.CutPrefix(text, lanPrefix)
			a, err := ma.NewMultiaddr(text)
			if ok && err == nil && transportOf(a) != "relay" && len(addrs) < chat.PeerAddrs {
				addrs = append(addrs, a)
			}
		}
	}
	found, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return false, nil
	}
	return false, found
}
