package seal

import (
	"bytes"
	"errors"
	"testing"

	"parley/internal/chat"
)

func TestRows(t *testing.T) {
	k := DeriveRowKey([32]byte{1})
	text := []byte("a session state")
	sealed := k.Seal("sessions", "7", text)
	if len(sealed) != len(text)+RowOverhead || bytes.Contains(sealed, text) {
		t.Fatalf("sealed row %x", sealed)
	}
	if got, err := k.Open("sessions", "7", sealed); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("opened %q, %v", got, err)
	}
	if bytes.Equal(sealed, k.Seal("sessions", "7", text)) {
		t.Error("two seals of one row are equal: the nonce is not random")
	}
	refused := map[string]func() ([]byte, error){
		"other table":      func() ([]byte, error) { return k.Open("prekeys", "7", sealed) },
		"other row":        func() ([]byte, error) { return k.Open("sessions", "8", sealed) },
		"shifted boundary": func() ([]byte, error) { return k.Open("sessions7", "", sealed) },
		"other key":        func() ([]byte, error) { return DeriveRowKey([32]byte{2}).Open("sessions", "7", sealed) },
		"empty":            func() ([]byte, error) { return k.Open("sessions", "7", nil) },
		"short":            func() ([]byte, error) { return k.Open("sessions", "7", sealed[:RowOverhead-1]) },
	}
	for i := 1; i < len(sealed); i++ {
		if _, err := k.Open("sessions", "7", flip(sealed, i)); !errors.Is(err, ErrOpen) {
			t.Fatalf("byte %d does not count: %v", i, err)
		}
	}
	for name, open := range refused {
		if got, err := open(); !errors.Is(err, ErrOpen) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	newer := bytes.Clone(sealed)
	newer[0] = 2
	if _, err := k.Open("sessions", "7", newer); !errors.Is(err, chat.ErrInvalid) {
		t.Errorf("newer format: %v", err)
	}
	if empty, err := k.Open("t", "", k.Seal("t", "", nil)); err != nil || len(empty) != 0 {
		t.Errorf("empty row: %q, %v", empty, err)
	}
}

func TestUnpad(t *testing.T) {
	for _, text := range []string{"", "x", "\x80", "\x00", "\x80\x00\x00", "hello"} {
		for size := len(text) + 1; size < len(text)+40; size++ {
			padded := pad([]byte(text), size)
			got, ok := unpad(padded)
			if len(padded) != size || !ok || string(got) != text {
				t.Fatalf("%q in %d comes back as %q, %v", text, size, got, ok)
			}
		}
	}
	for _, bad := range []string{"", "\x00", "\x00\x00", "x", "\x80x", "x\x00", "\x80\x01\x00", "\x81"} {
		if got, ok := unpad([]byte(bad)); ok {
			t.Errorf("%q unpads to %q", bad, got)
		}
	}
}
