package seal

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math/bits"

	"parley/internal/chat"
)

// pad appends 0x80 and zeros up to size. The caller has checked that one byte
// at least is left.
func pad(plaintext []byte, size int) []byte {
	return appendPadded(make([]byte, 0, size), plaintext, size)
}

// appendPadded is pad behind what b holds, with room for it.
func appendPadded(b, plaintext []byte, size int) []byte {
	start := len(b)
	b = append(append(b, plaintext...), 0x80)
	end := len(b)
	b = b[:start+size]
	clear(b[end:])
	return b
}

// unpad is pad's inverse. Its time depends on the length of padded only, which
// is public: it visits every byte and looks at none by value.
func unpad(padded []byte) ([]byte, bool) {
	// Word after word from the end, the last that is not zero stays. Words
	// before the first whole one are read as if zeros came before them.
	var last, at, done uint64
	visit := func(word uint64, i int) {
		first := ^done & -((word | -word) >> 63) // all ones at the last word that is not zero
		last |= word & first
		at |= uint64(i) & first
		done |= first
	}
	i := len(padded)
	for ; i >= 8; i -= 8 {
		visit(binary.LittleEndian.Uint64(padded[i-8:]), i-8)
	}
	var rest [8]byte
	copy(rest[8-i:], padded[:i])
	visit(binary.LittleEndian.Uint64(rest[:]), i-8)
	used := bits.Len64(last) // up to its highest byte that is not zero, which must be the mark
	top := (used + 7) / 8
	if done == 0 || subtle.ConstantTimeEq(int32(last>>(8*max(top-1, 0))), 0x80) != 1 {
		return nil, false
	}
	return padded[:int(at)+top-1], true
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
