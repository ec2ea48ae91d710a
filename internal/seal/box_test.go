package seal

import (
	"bytes"
	"errors"
	"testing"

	"parley/internal/chat"
)

func TestBox(t *testing.T) {
	b := NewBoxSecret()
	if len(b.Public()) != BoxPublicSize {
		t.Fatalf("sealing key of %d bytes", len(b.Public()))
	}
	var again BoxSecret
	at, err := b.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := again.UnmarshalBinary(at); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 500, 2935} {
		payload := bytes.Repeat([]byte{0x80}, n)
		for _, size := range []int{0, 4 << 10, 16 << 10} {
			blob, err := SealBox(b.Public(), payload, size)
			if err != nil {
				t.Fatal(err)
			}
			if wanted := max(size, n+1+BoxOverhead); len(blob) != wanted {
				t.Errorf("blob of %d bytes, want %d", len(blob), wanted)
			}
			for _, k := range []*BoxSecret{b, &again} {
				got, err := k.Open(blob)
				if err != nil || !bytes.Equal(got, payload) {
					t.Fatalf("%d bytes in %d: %v", n, size, err)
				}
			}
		}
	}
	if _, err := SealBox(b.Public(), make([]byte, 2936), 4<<10); !errors.Is(err, chat.ErrTooLarge) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestBoxRefuses(t *testing.T) {
	b := NewBoxSecret()
	blob, err := SealBox(b.Public(), []byte("hello"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(blob); i += 7 {
		if got, err := b.Open(flip(blob, i)); err != ErrOpen || got != nil { //nolint:errorlint // exactly this value
			t.Fatalf("byte %d does not count: %v", i, err)
		}
	}
	for _, n := range []int{0, 1, 24, BoxOverhead - 1, BoxOverhead, BoxOverhead + 1, len(blob) - 1} {
		if _, err := b.Open(blob[:n]); err == nil {
			t.Errorf("opened %d of %d bytes", n, len(blob))
		}
	}
	if _, err := NewBoxSecret().Open(blob); err == nil {
		t.Error("opened with another key")
	}
	for name, public := range map[string][]byte{
		"empty":     nil,
		"short":     b.Public()[:BoxPublicSize-1],
		"malformed": bytes.Repeat([]byte{0xff}, BoxPublicSize),
		"low order": append(bytes.Clone(b.Public()[:1184]), make([]byte, 32)...),
	} {
		if blob, err := SealBox(public, nil, 0); !errors.Is(err, chat.ErrInvalid) || blob != nil {
			t.Errorf("%s sealing key: %v", name, err)
		}
	}
	public := b.Public()
	public[0] ^= 1
	if !bytes.Equal(b.Public(), flip(public, 0)) {
		t.Error("a caller changed the key")
	}
}
