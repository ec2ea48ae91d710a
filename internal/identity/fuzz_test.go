package identity

import (
	"bytes"
	"testing"

	"parley/internal/chat"
	"parley/internal/seal"
)

// Each target signs the fuzzed payload first, so that what lies behind the
// signature is reached, and then opens the payload as if it were signed bytes.

func FuzzManifest(f *testing.F) {
	ana := newPerson("ana")
	f.Add(encode(ana.manifestMessage()))
	f.Add(ana.manifest())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, signed := range [][]byte{SignedBytes(ana.account, seal.PurposeManifest, b), b} {
			m, err := OpenManifest(signed, noon)
			if err != nil {
				continue
			}
			if !bytes.Equal(m.Bytes, signed) || m.Account != ana.accountID() || len(m.Devices) > chat.MaxDevices || len(m.Revoked) > chat.MaxRevoked {
				t.Fatalf("manifest opens as %+v", m)
			}
			if again, err := OpenManifest(m.Bytes, noon); err != nil || again.Hash != m.Hash {
				t.Fatalf("opened twice: %v", err)
			}
		}
	})
}

func FuzzBundle(f *testing.F) {
	ana := newPerson("ana")
	f.Add(encode(ana.bundleMessage()))
	f.Add(ana.bundle())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, signed := range [][]byte{SignedBytes(ana.device, seal.PurposeBundle, b), b} {
			bundle, until, err := openBundle(signed, noon)
			if err != nil {
				continue
			}
			if !bytes.Equal(bundle.Bytes, signed) || bundle.Suite != seal.Suite || len(bundle.KEM) != 1184 || until.After(noon.Add(chat.BundleLife+chat.ClockSlack)) {
				t.Fatalf("bundle opens as %+v until %s", bundle, until)
			}
		}
	})
}

func FuzzDeviceRecord(f *testing.F) {
	ana := newPerson("ana")
	key := DeviceRecordKey(ana.deviceID())
	f.Add(encode(ana.deviceMessage()))
	f.Add(ana.deviceRecord())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, signed := range [][]byte{SignedBytes(ana.device, seal.PurposeDeviceRecord, b), b} {
			_, _ = SelectDeviceRecord(key, [][]byte{signed, b})
			r, err := OpenDeviceRecord(signed, noon)
			if valid := ValidateDeviceRecord(key, signed, noon) == nil; valid && err != nil {
				t.Fatalf("validator takes what does not open: %v", err)
			}
			if err != nil {
				continue
			}
			if !bytes.Equal(r.Bytes, signed) || len(signed) > chat.MaxRecord || r.Expires.Sub(r.Issued) > chat.RecordLife {
				t.Fatalf("device record opens as %+v", r)
			}
			if i, err := SelectDeviceRecord(key, [][]byte{signed}); err != nil || i != 0 {
				t.Fatalf("selector refuses a valid record: %v", err)
			}
		}
	})
}

func FuzzAccountRecord(f *testing.F) {
	ana := newPerson("ana")
	key := AccountRecordKey(ana.accountID())
	f.Add(encode(ana.accountMessage()))
	f.Add(ana.accountRecord())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, signed := range [][]byte{SignedBytes(ana.device, seal.PurposeAccountRecord, b), b} {
			_, _ = SelectAccountRecord(key, [][]byte{signed, b})
			r, err := OpenAccountRecord(signed, noon)
			if valid := ValidateAccountRecord(key, signed, noon) == nil; valid && err != nil {
				t.Fatalf("validator takes what does not open: %v", err)
			}
			if err != nil {
				continue
			}
			if !bytes.Equal(r.Bytes, signed) || !r.Manifest.Lists(r.Device) || len(r.DisplayName) > chat.MaxDisplayName {
				t.Fatalf("account record opens as %+v", r)
			}
			if i, err := SelectAccountRecord(key, [][]byte{signed}); err != nil || i != 0 {
				t.Fatalf("selector refuses a valid record: %v", err)
			}
		}
	})
}

func FuzzInvite(f *testing.F) {
	ana := newPerson("ana")
	f.Add(encode(ana.inviteMessage()), ana.invite())
	f.Add([]byte{}, "parley:id/"+string(ana.accountID()))
	f.Add([]byte{}, string(ana.accountID()))
	f.Fuzz(func(t *testing.T, payload []byte, text string) {
		signed := inviteLink + linkEncoding.EncodeToString(SignedBytes(ana.device, seal.PurposeInvite, payload))
		for _, link := range []string{signed, text} {
			v, err := ParseInvite(link, noon)
			if err != nil {
				continue
			}
			if id, _, err := ParseAccountID(string(v.Account)); err != nil || id != v.Account {
				t.Fatalf("invite to %q: %v", v.Account, err)
			}
			if len(v.Addrs) > chat.MaxDeviceAddrs || v.Device != "" && len(v.Manifest) == 0 {
				t.Fatalf("invite opens as %+v", v)
			}
		}
	})
}
