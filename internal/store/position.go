package store

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"parley/internal/chat"
)

// position is where a message stands among others, as bytes that sort like
// (time, author, device, epoch, number).
func position(m *chat.Message) []byte {
	b := make([]byte, 0, 40)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time)^1<<63)
	b = appendName(b, string(m.Author))
	b = appendName(b, string(m.Device))
	b = appendOrdered(b, m.Epoch)
	return appendOrdered(b, m.Number)
}

func positionTime(pos []byte) chat.HLC {
	if len(pos) < 8 {
		return 0
	}
	return chat.HLC(binary.BigEndian.Uint64(pos) ^ 1<<63)
}

// appendName adds the six bytes of a PeerID that follow the part all Ed25519
// PeerIDs share. Who makes two ids alike in them ties two messages of the very
// same millisecond; the order then falls to what comes next.
func appendName(b []byte, id string) []byte {
	const shared, n = 8, 6
	if len(id) >= shared+n {
		id = id[shared:]
	}
	var part [n]byte
	copy(part[:], id)
	return append(b, part[:]...)
}

// appendOrdered adds a number in as few bytes as sort right: length, then
// digits.
func appendOrdered(b []byte, v uint64) []byte {
	var full [8]byte
	binary.BigEndian.PutUint64(full[:], v)
	i := 0
	for i < len(full) && full[i] == 0 {
		i++
	}
	b = append(b, byte(len(full)-i))
	return append(b, full[i:]...)
}

// A place is a position and the row there, since a hostile author can put two
// messages on one position. It is opaque to callers.
type place struct {
	pos []byte
	row int64
}

func (p place) String() string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(append([]byte(nil), p.pos...), uint64(p.row)))
}

func parsePlace(s string) (place, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 16 || len(b) > 64 {
		return place{}, fmt.Errorf("%w: not a position of this store", chat.ErrInvalid)
	}
	i := len(b) - 8
	return place{pos: b[:i], row: int64(binary.BigEndian.Uint64(b[i:]))}, nil
}
