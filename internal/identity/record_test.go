package identity

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
)

func TestDeviceRecordValidator(t *testing.T) {
	ana, bo := newPerson("ana"), newPerson("bo")
	type record = wirev1.DeviceRecord
	set := func(f func(*record)) []byte { return ana.deviceRecord(f) }
	bundle := func(f func(*wirev1.Bundle)) []byte {
		return set(func(r *record) { r.Bundle = ana.bundle(f) })
	}
	const slack = int64(chat.ClockSlack / time.Second)
	for _, c := range []struct {
		name  string
		value []byte
		cause string
	}{
		{"good", ana.deviceRecord(), ""},
		{"no addresses", set(func(r *record) { r.SignedPeerRecord = nil }), ""},
		{"most addresses", set(func(r *record) { r.SignedPeerRecord = make([]byte, 900) }), ""},
		{"a clock ten minutes ahead", set(func(r *record) { r.Issued += slack; r.Expires += slack }), ""},
		{"a clock further ahead", set(func(r *record) { r.Issued += slack + 1; r.Expires += slack + 1 }), "from the future"},
		{"ended within the slack", set(func(r *record) { r.Issued -= 48*3600 + slack; r.Expires -= 48*3600 + slack }), ""},
		{"ended", set(func(r *record) { r.Issued -= 48*3600 + slack + 1; r.Expires -= 48*3600 + slack + 1 }), "ended on 22 November 2026 11:49 UTC"},
		{"lives too long", set(func(r *record) { r.Expires++ }), "valid longer"},
		{"ends before it begins", set(func(r *record) { r.Expires = r.Issued }), "proper time window"},
		{"no beginning", set(func(r *record) { r.Issued = 0 }), "proper time window"},
		{"newer version", set(func(r *record) { r.Version = 2 }), "of version 2"},
		{"no number", set(func(r *record) { r.Seq = 0 }), "number 0"},
		{"huge number", set(func(r *record) { r.Seq = 1 << 63 }), "number 9223372036854775808"},
		{"too many addresses", set(func(r *record) { r.SignedPeerRecord = make([]byte, 901) }), "peer record of 901"},
		{"too large", set(func(r *record) { r.SignedPeerRecord = make([]byte, 2000) }), "too large"},
		{"short sealing key", set(func(r *record) { r.SealingKey = r.SealingKey[1:] }), "sealing key of 1215"},
		{"short mailbox id", set(func(r *record) { r.Mailboxes = []*wirev1.MailboxEntry{{Id: []byte{1}, Until: 1}} }), "mailbox"},
		{"no device key", set(func(r *record) { r.DeviceKey = nil }), "a key has 32 bytes"},
		{"weak device key", set(func(r *record) { r.DeviceKey = make([]byte, 32) }), "anybody can sign"},
		{"of another device", set(func(r *record) { r.DeviceKey = public(bo.device) }), "wrong device-record signature"},
		{"another account than its bundle", set(func(r *record) { r.AccountKey = public(bo.account) }), "another device or account"},
		{"signed by the account", sign(ana.account, seal.PurposeDeviceRecord, ana.deviceMessage()), "wrong device-record signature"},
		{"signed for another purpose", sign(ana.device, seal.PurposeBundle, ana.deviceMessage()), "wrong device-record signature"},
		{"no bundle", set(func(r *record) { r.Bundle = nil }), "its bundle"},
		{"somebody's bundle", set(func(r *record) { r.Bundle = bo.bundle() }), "another device or account"},
		{"bundle without KEM key", bundle(func(b *wirev1.Bundle) { b.KemPrekey = nil }), "no ML-KEM key"},
		{"bundle with half a KEM key", bundle(func(b *wirev1.Bundle) { b.KemPrekey = b.KemPrekey[:600] }), "ML-KEM key"},
		{"bundle with a KEM key out of range", bundle(func(b *wirev1.Bundle) { b.KemPrekey = bytes.Repeat([]byte{0xff}, 1184) }), "ML-KEM key"},
		{"bundle of a lower suite", bundle(func(b *wirev1.Bundle) { b.Suite = 0 }), "suite 0"},
		{"bundle of an unknown suite", bundle(func(b *wirev1.Bundle) { b.Suite = 2 }), "suite 2"},
		{"bundle of fifteen days", bundle(func(b *wirev1.Bundle) { b.Until += 24 * 3600 }), "valid longer"},
		{"bundle over", bundle(func(b *wirev1.Bundle) { b.From -= 30 * 24 * 3600; b.Until -= 30 * 24 * 3600 }), "the bundle ended"},
		{"bundle with a short prekey", bundle(func(b *wirev1.Bundle) { b.SignedPrekey = b.SignedPrekey[1:] }), "signed prekey of 31"},
		{"bundle signed by the account", set(func(r *record) { r.Bundle = sign(ana.account, seal.PurposeBundle, ana.bundleMessage()) }), "wrong bundle signature"},
		{"bundle whose account is the device", bundle(func(b *wirev1.Bundle) { b.AccountKey = b.DeviceKey }), "share a key"},
		{"handshake key of another device", bundle(func(b *wirev1.Bundle) { b.DhIdentity = bo.certificate() }), "wrong dh-identity signature"},
		{"handshake key over", bundle(func(b *wirev1.Bundle) {
			b.DhIdentity = ana.certificate(func(d *wirev1.DHIdentity) { d.From, d.Until = 1, 2 })
		}), "handshake key ended"},
		{"handshake key for two years", bundle(func(b *wirev1.Bundle) {
			b.DhIdentity = ana.certificate(func(d *wirev1.DHIdentity) { d.Until += 365 * 24 * 3600 })
		}), "valid longer"},
		{"empty", nil, "signed bytes in another form"},
		{"text", []byte("hello"), "invalid"},
		{"trailing field", append(ana.deviceRecord(), 0x18, 1), "signed bytes in another form"},
	} {
		err := ValidateDeviceRecord(DeviceRecordKey(ana.deviceID()), c.value, noon)
		wantCause(t, c.name, err, c.cause)
		if err != nil && !errors.Is(err, chat.ErrInvalid) && !errors.Is(err, chat.ErrTooLarge) {
			t.Errorf("%s: %v has no meaning outside", c.name, err)
		}
	}
	err := ValidateDeviceRecord(DeviceRecordKey(bo.deviceID()), ana.deviceRecord(), noon)
	wantCause(t, "foreign key", err, "foreign key")
	r, err := OpenDeviceRecord(ana.deviceRecord(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Bytes) > 2900+len("addresses") {
		t.Errorf("a device record without addresses has %d bytes", len(r.Bytes))
	}
}

func TestAccountRecordValidator(t *testing.T) {
	ana, bo := newPerson("ana"), newPerson("bo")
	type record = wirev1.AccountRecord
	set := func(f func(*record)) []byte { return ana.accountRecord(f) }
	manifest := func(f func(*wirev1.Manifest)) []byte {
		return set(func(r *record) { r.Manifest = ana.manifest(f) })
	}
	for _, c := range []struct {
		name  string
		value []byte
		cause string
	}{
		{"good", ana.accountRecord(), ""},
		{"no name", set(func(r *record) { r.DisplayName = "" }), ""},
		{"a name unfit to show", set(func(r *record) { r.DisplayName = "admin" }), ""},
		{"long name", set(func(r *record) { r.DisplayName = string(make([]byte, 129)) }), "129 bytes"},
		{"lives too long", set(func(r *record) { r.Expires++ }), "valid longer"},
		{"ended", set(func(r *record) { r.Issued -= 3 * 24 * 3600; r.Expires -= 3 * 24 * 3600 }), "ended on"},
		{"newer version", set(func(r *record) { r.Version = 2 }), "of version 2"},
		{"no number", set(func(r *record) { r.Seq = 0 }), "number 0"},
		{"signed by a stranger", sign(bo.device, seal.PurposeAccountRecord, ana.accountMessage(func(r *record) { r.DeviceKey = public(bo.device) })), "does not list"},
		{"signed by a revoked device", manifest(func(m *wirev1.Manifest) {
			m.Devices = append(m.Devices, &wirev1.ManifestDevice{DeviceKey: public(bo.device)})
			m.Revoked = [][]byte{public(ana.device)}
		}), "does not list"},
		{"signed by the account", sign(ana.account, seal.PurposeAccountRecord, ana.accountMessage()), "wrong account-record signature"},
		{"no manifest", set(func(r *record) { r.Manifest = nil }), "opening manifest"},
		{"manifest signed by the device", set(func(r *record) { r.Manifest = sign(ana.device, seal.PurposeManifest, ana.manifestMessage()) }), "wrong manifest signature"},
		{"manifest over", manifest(func(m *wirev1.Manifest) { m.NotAfter = noon.Unix() - 601 }), "the device list ended"},
		{"manifest for ever", manifest(func(m *wirev1.Manifest) { m.NotAfter = noon.Add(chat.ManifestLife).Unix() + 601 }), "400 days ahead"},
		{"manifest without devices", manifest(func(m *wirev1.Manifest) { m.Devices = nil }), "0 devices"},
		{"manifest with nine devices", manifest(func(m *wirev1.Manifest) {
			for i := range 8 {
				m.Devices = append(m.Devices, &wirev1.ManifestDevice{DeviceKey: public(keyOf(string(rune('a' + i))))})
			}
		}), "9 devices"},
		{"manifest naming a device twice", manifest(func(m *wirev1.Manifest) { m.Devices = append(m.Devices, m.Devices[0]) }), "twice"},
		{"manifest with nine revoked", manifest(func(m *wirev1.Manifest) {
			for i := range 9 {
				m.Revoked = append(m.Revoked, public(keyOf(string(rune('a'+i)))))
			}
		}), "9 revoked"},
		{"manifest listing the account key", manifest(func(m *wirev1.Manifest) { m.Devices[0].DeviceKey = m.AccountKey }), "account key as a device"},
		{"manifest with a weak device", manifest(func(m *wirev1.Manifest) { m.Devices[0].DeviceKey = make([]byte, 32) }), "anybody can sign"},
		{"manifest with half a hash", manifest(func(m *wirev1.Manifest) { m.PrevHash = make([]byte, 16) }), "previous hash"},
		{"manifest without number", manifest(func(m *wirev1.Manifest) { m.Seq = 0 }), "number 0"},
		{"manifest with a bomb", manifest(func(m *wirev1.Manifest) { m.Algorithms = make([]uint32, 600) }), "more than 512"},
		{"empty", nil, "signed bytes in another form"},
	} {
		err := ValidateAccountRecord(AccountRecordKey(ana.accountID()), c.value, noon)
		wantCause(t, c.name, err, c.cause)
		if err != nil && !errors.Is(err, chat.ErrInvalid) && !errors.Is(err, chat.ErrTooLarge) {
			t.Errorf("%s: %v has no meaning outside", c.name, err)
		}
	}
	err := ValidateAccountRecord(AccountRecordKey(bo.accountID()), ana.accountRecord(), noon)
	wantCause(t, "foreign key", err, "foreign key")
	r, err := OpenAccountRecord(set(func(r *record) { r.DisplayName = "M\u202eaya" }), noon)
	if err != nil || r.DisplayName != "Maya" || r.Device != ana.deviceID() || r.Manifest.Account != ana.accountID() {
		t.Errorf("account record opens as %+v, %v", r, err)
	}
}

// Every bit of what is signed, and of the signature, counts.
func TestRecordsRefuseEveryFlippedBit(t *testing.T) {
	ana := newPerson("ana")
	account, device := ana.accountRecord(), ana.deviceRecord()
	for bit := range len(account) * 8 {
		if ValidateAccountRecord(AccountRecordKey(ana.accountID()), flip(account, bit), noon) == nil {
			t.Fatalf("account record with bit %d flipped was accepted", bit)
		}
	}
	for range 2000 {
		bit := rand.IntN(len(device) * 8)
		if ValidateDeviceRecord(DeviceRecordKey(ana.deviceID()), flip(device, bit), noon) == nil {
			t.Fatalf("device record with bit %d flipped was accepted", bit)
		}
	}
}

func TestSelectorsAreTotalAndOrderFree(t *testing.T) {
	ana := newPerson("ana")
	// Few numbers, so that ties are common. Selectors see validated values and
	// read numbers only: any signature does.
	signature := func() []byte {
		b := make([]byte, 64)
		for i := range b {
			b[i] = byte(rand.IntN(256))
		}
		return b
	}
	var devices, accounts [][]byte
	for i := range 400 {
		devices = append(devices, wrap(encode(&wirev1.DeviceRecord{Version: 1, Seq: uint64(1 + i%5), Issued: rand.Int64()}), signature()))
		m := wrap(encode(ana.manifestMessage(func(m *wirev1.Manifest) { m.Seq = uint64(1 + i%3) })), signature())
		accounts = append(accounts, wrap(encode(&wirev1.AccountRecord{Version: 1, Manifest: m, Seq: uint64(1 + i%4)}), signature()))
	}
	for name, c := range map[string]struct {
		pick   func(string, [][]byte) (int, error)
		values [][]byte
	}{
		"device": {SelectDeviceRecord, devices}, "account": {SelectAccountRecord, accounts},
	} {
		for range 100_000 / 2 {
			x, y := c.values[rand.IntN(len(c.values))], c.values[rand.IntN(len(c.values))]
			i, err := c.pick("", [][]byte{x, y})
			if err != nil {
				t.Fatal(err)
			}
			j, err := c.pick("", [][]byte{y, x})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal([][]byte{x, y}[i], [][]byte{y, x}[j]) {
				t.Fatalf("%s selector hangs on the order of its values", name)
			}
		}
		// Transitive too: whatever the order of many, one wins.
		best, err := c.pick("", c.values)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			shuffled := append([][]byte{[]byte("garbage"), nil}, c.values...)
			rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			i, err := c.pick("", shuffled)
			if err != nil || !bytes.Equal(shuffled[i], c.values[best]) {
				t.Fatalf("%s selector chose another of the same values, %v", name, err)
			}
		}
		if _, err := c.pick("", [][]byte{nil, []byte("x")}); !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("%s selector over garbage: %v", name, err)
		}
	}
}

func TestSelectorsPreferNews(t *testing.T) {
	ana := newPerson("ana")
	older := ana.accountRecord(func(r *wirev1.AccountRecord) { r.Seq = 100 })
	newer := ana.accountRecord(func(r *wirev1.AccountRecord) {
		r.Seq, r.Manifest = 1, ana.manifest(func(m *wirev1.Manifest) { m.Seq++ })
	})
	if i, err := SelectAccountRecord("", [][]byte{older, newer}); err != nil || i != 1 {
		t.Errorf("a newer manifest lost to a newer record: %d, %v", i, err)
	}
	low, high := ana.deviceRecord(), ana.deviceRecord(func(r *wirev1.DeviceRecord) { r.Seq++ })
	if i, err := SelectDeviceRecord("", [][]byte{high, low}); err != nil || i != 0 {
		t.Errorf("a lower seq won: %d, %v", i, err)
	}
}
