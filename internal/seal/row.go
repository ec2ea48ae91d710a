package seal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// RowKey seals rows at rest: identity keys, prekeys, sessions and tokens.
type RowKey struct {
	redacted
	key key
}

// DeriveRowKey makes the row key of a store from its 256-bit master key.
func DeriveRowKey(master [32]byte) RowKey {
	return RowKey{key: key(derive(master[:], nil, "parley/row/v1", 32))}
}

// rowVersion leads every sealed row and is authenticated with it.
const rowVersion = 1

// RowOverhead is what Seal adds to a row: version, nonce and tag.
const RowOverhead = 1 + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// Seal encrypts a row with XChaCha20-Poly1305 under a random nonce. Table, row
// id and version are authenticated, so a row cannot be moved.
func (k RowKey) Seal(table, row string, plaintext []byte) []byte {
	out := make([]byte, 1+chacha20poly1305.NonceSizeX, len(plaintext)+RowOverhead)
	out[0] = rowVersion
	nonce := out[1:]
	_, _ = rand.Read(nonce) // never fails
	aead := newAEAD(k.key)
	return aead.Seal(out, nonce, plaintext, rowData(table, row, rowVersion))
}

// Open decrypts what Seal wrote for this very table and row. A newer format is
// named in the error; every other fault is ErrOpen.
func (k RowKey) Open(table, row string, sealed []byte) ([]byte, error) {
	if len(sealed) < RowOverhead {
		return nil, fmt.Errorf("opening row of %s: %w", table, ErrOpen)
	}
	if err := checkVersion("sealed row", sealed, rowVersion, 0); err != nil {
		return nil, err
	}
	nonce, box := sealed[1:1+chacha20poly1305.NonceSizeX], sealed[1+chacha20poly1305.NonceSizeX:]
	out, err := newAEAD(k.key).Open(nil, nonce, box, rowData(table, row, sealed[0]))
	if err != nil {
		return nil, fmt.Errorf("opening row of %s: %w", table, ErrOpen)
	}
	return out, nil
}

func rowData(table, row string, version byte) []byte {
	b := append([]byte("parley/row/v1"), 0, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(table)))
	b = append(b, table...)
	return append(b, row...)
}
