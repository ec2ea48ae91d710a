package identity

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
)

const (
	linkScheme = "parley:"
	inviteLink = linkScheme + "c/"
	idLink     = linkScheme + "id/"

	// maxInviteLink is a link that a phone camera still reads from a screen as
	// a QR code. For an account of one device it leaves about 200 bytes to
	// addresses; each further device costs 56 characters.
	maxInviteLink = 700
	// maxInvite refuses pasted novels before decoding them; a future version
	// may be longer than what we write.
	maxInvite = chat.MaxRecord
)

var linkEncoding = base64.RawURLEncoding.Strict()

// Invite lets a stranger reach an account without the DHT. From a bare id only
// Account is set.
type Invite struct {
	Account     chat.AccountID
	Device      chat.DeviceID // the signer, whose addresses these are
	DisplayName string        // clean; empty if there is none fit to show
	Addrs       []string      // multiaddrs without the device's own id
	Expires     time.Time
	Manifest    []byte // signed bytes
}

// NewInvite is a link that names this account, this device and as many of its
// addresses as fit into 700 characters, the most direct first. Only an account
// of six devices and more makes a longer one. It ends with the manifest at the
// latest. It fails with chat.ErrInvalid for a name
// or time that nobody would accept.
func (k *Keys) NewInvite(addrs []string, name string, expires time.Time) (string, error) {
	clean := ""
	if name != "" {
		var err error
		if clean, err = CleanName(name); err != nil {
			return "", fmt.Errorf("making invite: %w", err)
		}
	}
	m := k.Manifest()
	if expires.After(m.NotAfter) {
		expires = m.NotAfter
	}
	p := &wirev1.Invite{
		Version:     recordVersion,
		Manifest:    m.Bytes,
		DeviceKey:   k.devicePublic(),
		DisplayName: clean,
		Expires:     expires.Unix(),
	}
	room := linkEncoding.DecodedLen(maxInviteLink-len(inviteLink)) - signedOverhead - proto.Size(p)
	if room < 0 { // eight devices, or a name of many bytes
		p.DisplayName = ""
	}
	for _, a := range k.packAddrs(addrs) {
		if need := len(a) + addrOverhead; need <= room && len(p.Addrs) < chat.MaxDeviceAddrs {
			p.Addrs = append(p.Addrs, a)
			room -= need
		}
	}
	link := inviteLink + linkEncoding.EncodeToString(SignedBytes(k.device, seal.PurposeInvite, encode(p)))
	return link, nil
}

const (
	signedOverhead = 3 + 2 + 64 // tags and lengths of payload and signature
	addrOverhead   = 2
)

// packAddrs is the addresses in binary, without our own id at their end, the
// most direct first. What is no address is left out.
func (k *Keys) packAddrs(addrs []string) [][]byte {
	own := "/p2p/" + string(k.deviceID)
	addrs = slices.Clone(addrs)
	slices.SortStableFunc(addrs, func(a, b string) int { return cmp.Compare(directness(a), directness(b)) })
	var packed [][]byte
	for _, text := range addrs {
		a, err := multiaddr.NewMultiaddr(strings.TrimSuffix(text, own))
		if err == nil && len(a) > 0 {
			packed = append(packed, a.Bytes())
		}
	}
	return packed
}

// directness ranks addresses: short ones that dial directly, then relays, then
// those that carry certificate hashes for browsers.
func directness(addr string) int {
	switch {
	case strings.Contains(addr, "/p2p-circuit"):
		return 2
	case strings.Contains(addr, "/certhash/"), strings.Contains(addr, "/webrtc"), strings.Contains(addr, "/webtransport"):
		return 3
	case strings.Contains(addr, "/quic-v1"):
		return 0
	}
	return 1
}

var errDamaged = errors.New("it is damaged: copy the whole link again")

// ParseInvite reads an invite link, a link to an account, or a bare account
// id. White space inside is ignored, since chat programs break lines. It fails
// with chat.ErrInvalid and the exact cause.
func ParseInvite(link string, now time.Time) (*Invite, error) {
	v, err := parseInvite(link, now)
	if err != nil {
		return nil, fmt.Errorf("%w invite: %w", chat.ErrInvalid, err)
	}
	return v, nil
}

func parseInvite(link string, now time.Time) (*Invite, error) {
	if len(link) > maxInvite {
		return nil, fmt.Errorf("it has %d characters, at most %d make sense", len(link), maxInvite)
	}
	link = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, link)
	if rest, ok := cutPrefixFold(link, inviteLink); ok {
		return openInvite(rest, now)
	}
	rest, isLink := cutPrefixFold(link, idLink)
	if !isLink && !strings.HasPrefix(link, peerIDStart) {
		return nil, fmt.Errorf("it is not for Parley: a link begins with %s or %s, an id with %s", inviteLink, idLink, peerIDStart)
	}
	rest, _, _ = strings.Cut(rest, "?") // the handle's number, for later
	id, _, err := ParseAccountID(rest)
	if err != nil {
		return nil, err
	}
	return &Invite{Account: id}, nil
}

func openInvite(text string, now time.Time) (*Invite, error) {
	signed, err := linkEncoding.DecodeString(text)
	if err != nil {
		return nil, errDamaged
	}
	p := new(wirev1.Invite)
	if _, err := openSelfSigned(signed, seal.PurposeInvite, maxInvite, p, p.GetDeviceKey); err != nil {
		if p.Version > recordVersion {
			return nil, fmt.Errorf("it is from a newer Parley (version %d)", p.Version)
		}
		return nil, errDamaged
	}
	if expires := time.Unix(p.Expires, 0); expires.Before(now.Add(-chat.ClockSlack)) {
		return nil, fmt.Errorf("it ended on %s: ask for a new one", day(expires))
	}
	m, err := OpenManifest(p.Manifest, now)
	if err != nil {
		return nil, err
	}
	device := DeviceIDOf(p.DeviceKey)
	if !m.Lists(device) {
		return nil, fmt.Errorf("the device that signed it does not belong to the account")
	}
	if len(p.Addrs) > chat.MaxDeviceAddrs {
		return nil, fmt.Errorf("it has %d addresses, at most %d", len(p.Addrs), chat.MaxDeviceAddrs)
	}
	v := &Invite{Account: m.Account, Device: device, Expires: time.Unix(p.Expires, 0), Manifest: m.Bytes}
	if name, err := CleanName(p.DisplayName); err == nil {
		v.DisplayName = name
	}
	for _, b := range p.Addrs {
		a, err := multiaddr.NewMultiaddrBytes(b)
		if err != nil {
			continue // a transport that we do not know
		}
		v.Addrs = append(v.Addrs, a.String())
	}
	return v, nil
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
