package identity

import (
	"context"
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"parley/internal/chat"
	"parley/internal/store"
)

// profile is what of our records comes from outside this package.
func (p *publisher) profile(ctx context.Context) (addrs []byte, name string, err error) {
	addrs, err = p.peerRecord()
	if err != nil {
		addrs = nil // none yet: publish says so
	}
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		name, err = tx.Setting(chat.SettingDisplayName)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("reading our profile: %w", err)
	}
	return addrs, name, nil
}

// fingerprint tells whether there is news. A peer record is signed anew each
// time; only its addresses count.
func fingerprint(peerRecord []byte, name string) [32]byte {
	addrs, ok := addrFields(peerRecord)
	if !ok {
		addrs = peerRecord
	}
	return sha256.Sum256(append(append([]byte(nil), addrs...), "\x00"+name...))
}

// addrFields is the address fields of a libp2p peer record in its envelope.
func addrFields(envelope []byte) ([]byte, bool) {
	const payload, addresses = 3, 3
	var record, addrs []byte
	ok := eachField(envelope, func(num protowire.Number, whole, value []byte) {
		if num == payload {
			record = value
		}
	})
	ok = ok && eachField(record, func(num protowire.Number, whole, value []byte) {
		if num == addresses {
			addrs = append(addrs, whole...)
		}
	})
	return addrs, ok && len(addrs) > 0
}

func eachField(b []byte, visit func(num protowire.Number, whole, value []byte)) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeField(b)
		if n < 0 {
			return false
		}
		if typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			value, _ := protowire.ConsumeBytes(b[tag:])
			visit(num, b[:n], value)
		}
		b = b[n:]
	}
	return true
}
