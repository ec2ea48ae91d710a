package identity

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
)

// keys is what Load would make, without a store.
func (p *person) keys(t *testing.T, changes ...func(*wirev1.Manifest)) *Keys {
	t.Helper()
	m, err := OpenManifest(p.manifest(changes...), noon)
	if err != nil {
		t.Fatal(err)
	}
	return &Keys{account: p.account, accountID: p.accountID(), device: p.device, deviceID: p.deviceID(), manifest: m}
}

func TestInviteRoundTrip(t *testing.T) {
	ana := newPerson("ana")
	relay := "/ip4/203.0.113.9/udp/4001/quic-v1/p2p/" + string(newPerson("relay").deviceID()) + "/p2p-circuit"
	addrs := []string{
		"/ip4/192.168.1.10/udp/4001/quic-v1/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ/certhash/uEiAfbgiymPP2_nX7Dgir8B4QkksjHp2lVuJZz0F79Be9JA",
		relay,
		"/ip4/192.168.1.10/tcp/4001",
		"/ip4/192.168.1.10/udp/4001/quic-v1/p2p/" + string(ana.deviceID()),
		"/ip6/2001:db8::1/udp/4001/quic-v1",
		"not an address",
	}
	link, err := ana.keys(t).NewInvite(addrs, " Maya\u202e ", noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(link) > maxInviteLink || !strings.HasPrefix(link, "parley:c/") {
		t.Fatalf("link of %d characters: %s", len(link), link)
	}
	broken := "  " + link[:60] + "\r\n " + link[60:200] + "\n" + link[200:] + " "
	for _, in := range []string{link, "PARLEY:C/" + link[len(inviteLink):], broken} {
		v, err := ParseInvite(in, noon)
		if err != nil {
			t.Fatalf("ParseInvite(%q): %v", in, err)
		}
		if v.Account != ana.accountID() || v.Device != ana.deviceID() || v.DisplayName != "Maya" || !v.Expires.Equal(noon.Add(time.Hour)) {
			t.Errorf("invite came back as %+v", v)
		}
		want := []string{
			"/ip4/192.168.1.10/udp/4001/quic-v1", "/ip6/2001:db8::1/udp/4001/quic-v1",
			"/ip4/192.168.1.10/tcp/4001", relay, addrs[0],
		}
		if !slices.Equal(v.Addrs, want) {
			t.Errorf("addresses came back as %q, want %q", v.Addrs, want)
		}
		if _, err := OpenManifest(v.Manifest, noon); err != nil {
			t.Errorf("manifest inside: %v", err)
		}
	}
}

// An ordinary account has room for addresses; the largest stays a QR code.
func TestInviteFits(t *testing.T) {
	ana := newPerson("ana")
	k := ana.keys(t, func(m *wirev1.Manifest) {
		for i := range chat.MaxDevices - 1 {
			m.Devices = append(m.Devices, &wirev1.ManifestDevice{DeviceKey: public(keyOf(string(rune('a' + i)))), Added: noon.Unix()})
		}
		m.PrevHash = make([]byte, 32)
	})
	addrs := slices.Repeat([]string{"/ip6/2001:db8::1/udp/4001/quic-v1"}, 12)
	link, err := k.NewInvite(addrs, strings.Repeat("ж", 32), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseInvite(link, noon); err != nil {
		t.Fatal(err)
	}
	if len(link) > maxInviteLink+120 {
		t.Errorf("eight devices make %d characters", len(link))
	}
	link, err = ana.keys(t).NewInvite(addrs, "Maya", noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	v, err := ParseInvite(link, noon)
	if err != nil || len(link) > maxInviteLink || len(v.Addrs) != chat.MaxDeviceAddrs {
		t.Errorf("one device: %d characters, %d addresses, %v", len(link), len(v.Addrs), err)
	}
}

func TestNewInviteEndsWithManifest(t *testing.T) {
	ana := newPerson("ana")
	link, err := ana.keys(t).NewInvite(nil, "", noon.Add(10*chat.ManifestLife))
	if err != nil {
		t.Fatal(err)
	}
	v, err := ParseInvite(link, noon)
	if err != nil || !v.Expires.Equal(noon.Add(chat.ManifestLife)) {
		t.Errorf("invite = %+v, %v", v, err)
	}
	if _, err := ana.keys(t).NewInvite(nil, "admin", noon); !errors.Is(err, chat.ErrInvalid) {
		t.Errorf("reserved name: %v", err)
	}
}

func TestParseInviteCauses(t *testing.T) {
	ana, bo := newPerson("ana"), newPerson("bo")
	type invite = wirev1.Invite
	good := ana.invite()
	for _, c := range []struct{ name, in, cause string }{
		{"good", good, ""},
		{"an account", "parley:id/" + string(ana.accountID()), ""},
		{"an account with its handle's number", "parley:id/" + string(ana.accountID()) + "?n=17", ""},
		{"a bare id", " " + string(ana.accountID()) + "\n", ""},
		{"ended", ana.invite(func(v *invite) { v.Expires = noon.Add(-48 * time.Hour).Unix() }), "it ended on 20 November 2026 12:00 UTC: ask for a new one"},
		{"cut short", good[:len(good)-9], "it is damaged"},
		{"a letter changed", good[:80] + strings.Map(func(r rune) rune { return 'A' + (r-'A'+1)%26 }, good[80:81]) + good[81:], "it is damaged"},
		{"a foreign character", good[:80] + "%" + good[81:], "it is damaged"},
		{"nothing after the slash", inviteLink, "it is damaged"},
		{"a web page", "https://example.com/#" + good, "it is not for Parley"},
		{"a room", "parley:j/AAAA", "it is not for Parley"},
		{"empty", "", "it is not for Parley"},
		{"a typo in the id", "parley:id/" + string(ana.accountID())[:51], "52 characters, this has 51"},
		{"a novel", strings.Repeat("a", 5000), "5000 characters"},
		{"newer", ana.invite(func(v *invite) { v.Version = 2 }), "from a newer Parley (version 2)"},
		{"signed by a stranger", inviteLink + linkEncoding.EncodeToString(sign(bo.device, seal.PurposeInvite, ana.inviteMessage(func(v *invite) { v.DeviceKey = public(bo.device) }))), "does not belong to the account"},
		{"signed for another purpose", inviteLink + linkEncoding.EncodeToString(sign(ana.device, seal.PurposeBundle, ana.inviteMessage())), "it is damaged"},
		{"manifest over", ana.invite(func(v *invite) {
			v.Manifest = ana.manifest(func(m *wirev1.Manifest) { m.NotAfter = noon.Add(-time.Hour).Unix() })
		}), "the device list ended"},
		{"nine addresses", ana.invite(func(v *invite) { v.Addrs = make([][]byte, 9) }), "9 addresses"},
	} {
		v, err := ParseInvite(c.in, noon)
		wantCause(t, c.name, err, c.cause)
		if err != nil && !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("%s: %v is not ErrInvalid", c.name, err)
		}
		if err == nil && v.Account != ana.accountID() {
			t.Errorf("%s: account %s", c.name, v.Account)
		}
	}
	v, err := ParseInvite(ana.invite(func(v *invite) { v.Addrs = append(v.Addrs, []byte{0xff, 0xff, 3}) }), noon)
	if err != nil || !slices.Equal(v.Addrs, []string{"/ip4/192.168.1.10/udp/4001/quic-v1"}) {
		t.Errorf("with an unknown transport: %+v, %v", v, err)
	}
}
