package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"parley/internal/chat"
)

const (
	stampSize = 8
	// stampCheck is how many tries pass between two looks at the context: some
	// ten milliseconds.
	stampCheck = 1 << 16
)

// stampBase binds a stamp to one blob in one mailbox until one hour, so that a
// deposit again is paid already and nothing else is.
func stampBase(box chat.MailboxID, hour uint64, blob []byte) [32]byte {
	content := sha256.Sum256(blob)
	b := make([]byte, 0, 128)
	b = append(b, "parley/stamp/v1\x00mail\x00"...)
	b = append(b, box[:]...)
	b = binary.BigEndian.AppendUint64(b, hour)
	return sha256.Sum256(append(b, content[:]...))
}

// StampWork is the zero bits that a stamp shows for a blob in a mailbox until
// an hour: 0 for what is no stamp. Each bit doubles what it cost.
func StampWork(box chat.MailboxID, hour uint64, blob, stamp []byte) int {
	if len(stamp) != stampSize {
		return 0
	}
	base := stampBase(box, hour, blob)
	return zeroBits(sha256.Sum256(append(base[:], stamp...)))
}

// Stamp pays for a blob in a mailbox until an hour: about 2^n hashes, a tenth
// of a second for 20 bits. It fails only with the error of ctx.
func Stamp(ctx context.Context, box chat.MailboxID, hour uint64, blob []byte, n int) ([]byte, error) {
	base := stampBase(box, hour, blob)
	try := append(base[:], make([]byte, stampSize)...)
	for i := uint64(0); ; i++ {
		if i%stampCheck == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		binary.BigEndian.PutUint64(try[sha256.Size:], i)
		if zeroBits(sha256.Sum256(try)) >= n {
			return try[sha256.Size:], nil
		}
	}
}

func zeroBits(h [32]byte) int {
	n := 0
	for _, b := range h {
		if b != 0 {
			return n + bits.LeadingZeros8(b)
		}
		n += 8
	}
	return n
}
