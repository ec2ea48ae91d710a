package seal

import (
	"crypto/ed25519"
	"slices"
)

// Purpose says what a signature is for. It is part of the signed bytes, so a
// signature of one purpose is refused for every other, and for libp2p, which
// signs with the same device key under prefixes of its own.
type Purpose string

// The closed list of purposes. A new one is a line here and in purposes.
const (
	PurposeManifest      Purpose = "manifest"       // by the account key
	PurposeAccountRecord Purpose = "account-record" // by a listed device
	PurposeDeviceRecord  Purpose = "device-record"
	PurposeDHIdentity    Purpose = "dh-identity" // certificate of the X25519 identity
	PurposeBundle        Purpose = "bundle"
	PurposeReceipt       Purpose = "receipt"
	PurposeMailReceipt   Purpose = "mail-receipt"
	PurposeMailFetch     Purpose = "mail-fetch"
	PurposeMailDelete    Purpose = "mail-delete"
	PurposeRoomCharter   Purpose = "room-charter"
	PurposeRoomEnvelope  Purpose = "room-envelope"
	PurposeRoomPresence  Purpose = "room-presence"
	PurposeRoomModlog    Purpose = "room-modlog"
	PurposeHandle        Purpose = "handle"
	PurposeVaultHead     Purpose = "vault-head"
	PurposeVaultReceipt  Purpose = "vault-receipt"
	PurposeConsent       Purpose = "consent"
	PurposeBadge         Purpose = "badge"
	PurposeInvite        Purpose = "invite"
)

var purposes = [...]Purpose{
	PurposeManifest, PurposeAccountRecord, PurposeDeviceRecord, PurposeDHIdentity,
	PurposeBundle, PurposeReceipt, PurposeMailReceipt, PurposeMailFetch,
	PurposeMailDelete, PurposeRoomCharter, PurposeRoomEnvelope, PurposeRoomPresence,
	PurposeRoomModlog, PurposeHandle, PurposeVaultHead, PurposeVaultReceipt,
	PurposeConsent, PurposeBadge, PurposeInvite,
}

// Sign returns the 64-byte Ed25519 signature over
// "parley/<purpose>/v1" + 0x00 + payload. It panics on a purpose that is not
// on the list and on a key of a wrong size: both are programmer errors.
func Sign(key ed25519.PrivateKey, p Purpose, payload []byte) []byte {
	if !slices.Contains(purposes[:], p) {
		panic("seal: purpose not on the list: " + string(p))
	}
	return ed25519.Sign(key, signed(p, payload))
}

// Verify reports whether sig is key's signature over payload for exactly this
// purpose. Bytes of any size are refused, never a panic.
func Verify(key ed25519.PublicKey, p Purpose, payload, sig []byte) bool {
	if len(key) != ed25519.PublicKeySize || !slices.Contains(purposes[:], p) {
		return false
	}
	return ed25519.Verify(key, signed(p, payload), sig)
}

func signed(p Purpose, payload []byte) []byte {
	b := make([]byte, 0, len("parley//v1")+len(p)+1+len(payload))
	b = append(b, "parley/"...)
	b = append(b, p...)
	b = append(b, "/v1\x00"...)
	return append(b, payload...)
}
