package dm

import (
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
)

func TestKeepers(t *testing.T) {
	until := time.Unix(1_800_000_000, 0)
	var receipts [][]byte
	var devices []chat.DeviceID
	for range 3 {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		devices = append(devices, identity.DeviceIDOf(pub))
		receipts = append(receipts, identity.SignedBytes(key, seal.PurposeReceipt, encode(&wirev1.MailReceipt{Version: 1, HolderKey: pub, Expires: until.Unix()})))
	}
	got := Keepers(KeptProof(append(receipts, []byte("no receipt"), nil)))
	if len(got) != 3 {
		t.Fatalf("%d keepers, want 3", len(got))
	}
	for i, k := range got {
		if k.Device != devices[i] || !k.Until.Equal(until) || !slices.Equal(k.Receipt, receipts[i]) {
			t.Errorf("keeper %d is %s until %s", i, k.Device, k.Until)
		}
	}
	if k := Keepers([]byte{0xff, 1, 2}); k != nil {
		t.Errorf("garbage names %v", k)
	}
}
