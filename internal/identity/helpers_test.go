package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
)

// noon is when the tests happen.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// keyOf is the key that a name always gives.
func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// person is an account with one device, made by hand so that every field of
// what it publishes can be spoiled before it is signed.
type person struct {
	account, device ed25519.PrivateKey
	dh              *seal.DHSecret
	prekey          *seal.PrekeySecret
	box             *seal.BoxSecret
}

func newPerson(name string) *person {
	return &person{
		account: keyOf(name + " account"), device: keyOf(name + " device"),
		dh: seal.NewDHSecret(), prekey: seal.NewPrekey(), box: seal.NewBoxSecret(),
	}
}

func (p *person) accountID() chat.AccountID { return AccountIDOf(public(p.account)) }
func (p *person) deviceID() chat.DeviceID   { return DeviceIDOf(public(p.device)) }

func spoil[M any](m M, changes []func(M)) M {
	for _, change := range changes {
		change(m)
	}
	return m
}

func sign(k ed25519.PrivateKey, p seal.Purpose, m proto.Message) []byte {
	return SignedBytes(k, p, encode(m))
}

func (p *person) manifestMessage(changes ...func(*wirev1.Manifest)) *wirev1.Manifest {
	return spoil(&wirev1.Manifest{
		Version: 1, AccountKey: public(p.account), Seq: uint64(noon.Unix()),
		Devices:  []*wirev1.ManifestDevice{{DeviceKey: public(p.device), Added: noon.Unix()}},
		NotAfter: noon.Add(chat.ManifestLife).Unix(), Algorithms: []uint32{1},
	}, changes)
}

func (p *person) manifest(changes ...func(*wirev1.Manifest)) []byte {
	return sign(p.account, seal.PurposeManifest, p.manifestMessage(changes...))
}

func (p *person) certificate(changes ...func(*wirev1.DHIdentity)) []byte {
	key := p.dh.Public()
	return sign(p.device, seal.PurposeDHIdentity, spoil(&wirev1.DHIdentity{
		Key: key[:], From: noon.Unix(), Until: noon.Add(dhIdentityLife).Unix(),
	}, changes))
}

func (p *person) bundleMessage(changes ...func(*wirev1.Bundle)) *wirev1.Bundle {
	signed, kem := p.prekey.Public()
	return spoil(&wirev1.Bundle{
		Version: 1, Suite: 1, AccountKey: public(p.account), DeviceKey: public(p.device),
		DhIdentity: p.certificate(), SignedPrekey: signed[:], KemPrekey: kem,
		Seq: 1, From: noon.Unix(), Until: noon.Add(chat.BundleLife).Unix(),
	}, changes)
}

func (p *person) bundle(changes ...func(*wirev1.Bundle)) []byte {
	return sign(p.device, seal.PurposeBundle, p.bundleMessage(changes...))
}

func (p *person) deviceMessage(changes ...func(*wirev1.DeviceRecord)) *wirev1.DeviceRecord {
	return spoil(&wirev1.DeviceRecord{
		Version: 1, DeviceKey: public(p.device), AccountKey: public(p.account), Seq: 7,
		Issued: noon.Unix(), Expires: noon.Add(chat.RecordLife).Unix(),
		SignedPeerRecord: []byte("addresses"), Bundle: p.bundle(), SealingKey: p.box.Public(),
	}, changes)
}

func (p *person) deviceRecord(changes ...func(*wirev1.DeviceRecord)) []byte {
	return sign(p.device, seal.PurposeDeviceRecord, p.deviceMessage(changes...))
}

func (p *person) accountMessage(changes ...func(*wirev1.AccountRecord)) *wirev1.AccountRecord {
	return spoil(&wirev1.AccountRecord{
		Version: 1, Manifest: p.manifest(), DeviceKey: public(p.device), Seq: 3,
		Issued: noon.Unix(), Expires: noon.Add(chat.RecordLife).Unix(), DisplayName: "Maya",
	}, changes)
}

func (p *person) accountRecord(changes ...func(*wirev1.AccountRecord)) []byte {
	return sign(p.device, seal.PurposeAccountRecord, p.accountMessage(changes...))
}

func (p *person) inviteMessage(changes ...func(*wirev1.Invite)) *wirev1.Invite {
	return spoil(&wirev1.Invite{
		Version: 1, Manifest: p.manifest(), DeviceKey: public(p.device), DisplayName: "Maya",
		Addrs:   [][]byte{{4, 192, 168, 1, 10, 0x91, 2, 0x0f, 0xa1, 0xcd, 3}}, // /ip4/192.168.1.10/udp/4001/quic-v1
		Expires: noon.Add(time.Hour).Unix(),
	}, changes)
}

func (p *person) invite(changes ...func(*wirev1.Invite)) string {
	return inviteLink + linkEncoding.EncodeToString(sign(p.device, seal.PurposeInvite, p.inviteMessage(changes...)))
}

// wantCause requires err to say cause, or to be nil when cause is empty.
func wantCause(t *testing.T, name string, err error, cause string) {
	t.Helper()
	switch {
	case cause == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case cause != "" && err == nil:
		t.Errorf("%s: accepted, want %q", name, cause)
	case cause != "" && !strings.Contains(err.Error(), cause):
		t.Errorf("%s: %v, want %q", name, err, cause)
	}
}

// flip returns b with one bit changed.
func flip(b []byte, bit int) []byte {
	c := append([]byte(nil), b...)
	c[bit/8] ^= 1 << (bit % 8)
	return c
}
