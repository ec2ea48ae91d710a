package dm

import (
	"crypto/ed25519"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/wire"
)

// Keeper is a node that signed that it keeps an envelope of ours.
type Keeper struct {
	Device  chat.DeviceID
	Until   time.Time
	Receipt []byte // signed by the device
}

// KeptProof packs storage receipts as the store keeps them.
func KeptProof(receipts [][]byte) []byte {
	return encode(&wirev1.MailProof{Receipts: receipts})
}

// Keepers is who signed what KeptProof packed. The receipts were verified
// before they became a proof, and are not again.
func Keepers(proof []byte) []Keeper {
	packed := new(wirev1.MailProof)
	if len(proof) == 0 || wire.Unmarshal(proof, packed) != nil {
		return nil
	}
	out := make([]Keeper, 0, len(packed.Receipts))
	for _, signed := range packed.Receipts {
		outer, r := new(wirev1.Signed), new(wirev1.MailReceipt)
		if wire.Unmarshal(signed, outer) != nil || wire.Unmarshal(outer.Payload, r) != nil || len(r.HolderKey) != ed25519.PublicKeySize {
			continue
		}
		out = append(out, Keeper{Device: identity.DeviceIDOf(r.HolderKey), Until: time.Unix(r.Expires, 0), Receipt: signed})
	}
	return out
}
