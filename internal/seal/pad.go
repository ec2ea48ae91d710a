package seal

import (
	"crypto/subtle"
	"fmt"

	"parley/internal/chat"
)

// pad appends 0x80 and zeros up to size. The caller has checked that one byte
// at least is left.
func pad(plaintext []byte, size int) []byte {
	out := make([]byte, size)
	out[copy(out, plaintext)] = 0x80
	return out
}

// unpad is pad's inverse. Its time depends on the length of padded only, which
// is public: it visits every byte and looks at none by value.
func unpad(padded []byte) ([]byte, bool) {
	end, done, good := 0, 0, 0
	for i := len(padded) - 1; i >= 0; i-- {
		mark := subtle.ConstantTimeByteEq(padded[i], 0x80)
		zero := subtle.ConstantTimeByteEq(padded[i], 0)
		first := (1 - done) & (1 - zero) // the last byte that is not zero
		end = subtle.ConstantTimeSelect(first, i, end)
		good |= first & mark
		done |= first
	}
	if good != 1 {
		return nil, false
	}
	return padded[:end], true
}

// paddedSize is the body size for an exact message size, which leaves room for
// one byte of padding at least. Size 0 asks for the smallest.
func paddedSize(plaintext, size, overhead int) (int, error) {
	if size == 0 {
		return plaintext + 1, nil
	}
	if size < plaintext+1+overhead {
		return 0, fmt.Errorf("%w: %d bytes of content need a message of %d, not %d",
			chat.ErrTooLarge, plaintext, plaintext+1+overhead, size)
	}
	return size - overhead, nil
}
