package wire

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
)

// frameTypes are all messages that peers send as frames or sign, by number.
var frameTypes = []func() proto.Message{
	func() proto.Message { return &wirev1.DMFrame{} },
	func() proto.Message { return &wirev1.DMAnswer{} },
	func() proto.Message { return &wirev1.OuterEnvelope{} },
	func() proto.Message { return &wirev1.FirstContact{} },
	func() proto.Message { return &wirev1.Content{} },
	func() proto.Message { return &wirev1.Receipt{} },
	func() proto.Message { return &wirev1.Manifest{} },
	func() proto.Message { return &wirev1.AccountRecord{} },
	func() proto.Message { return &wirev1.DeviceRecord{} },
	func() proto.Message { return &wirev1.Bundle{} },
	func() proto.Message { return &wirev1.Invite{} },
	func() proto.Message { return &wirev1.Signed{} },
	func() proto.Message { return &wirev1.MailRequest{} },
	func() proto.Message { return &wirev1.MailAnswer{} },
	func() proto.Message { return &wirev1.MailCollect{} },
	func() proto.Message { return &wirev1.MailDelete{} },
	func() proto.Message { return &wirev1.MailReceipt{} },
}

// bombs are frames made to cost more than they weigh.
func bombs(t interface{ Fatal(...any) }) [][]byte {
	body := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	unknown := bytes.Repeat(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 0), 20_000)
	flip := append(body(&wirev1.Content{Body: &wirev1.Content_Text_{Text: &wirev1.Content_Text{}}}),
		body(&wirev1.Content{Body: &wirev1.Content_Edit_{Edit: &wirev1.Content_Edit{}}})...)
	var out [][]byte
	for _, b := range [][]byte{
		body(&wirev1.Manifest{Devices: repeat(&wirev1.ManifestDevice{}, 16_000)}),
		body(&wirev1.Manifest{Algorithms: make([]uint32, 60_000)}),
		body(&wirev1.Receipt{MessageIds: make([][]byte, 30_000)}),
		bytes.Repeat(flip, 8_000),                                                                                // a oneof that changes its mind
		bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), []byte{1}), 20_000), // one field, many times
		unknown,
		body(&wirev1.OuterEnvelope{Version: 1, Blob: make([]byte, 63<<10)}),
	} {
		b = b[:min(len(b), chat.MaxFrame)]
		out = append(out, append(protowire.AppendVarint(nil, uint64(len(b))), b...))
	}
	return out
}

func repeat[T any](v T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// allowed is what reading in may allocate (N9).
func allowed(in []byte) uint64 { return 4*uint64(len(in)) + 64<<10 }

// TestBombsStayCheap reads every bomb as every message.
func TestBombsStayCheap(t *testing.T) {
	for i, in := range bombs(t) {
		for j, newMessage := range frameTypes {
			_ = readAll(in, newMessage) // the first use of a type fills caches
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = readAll(in, newMessage)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > allowed(in) {
				t.Errorf("bomb %d as message %d: %d bytes allocated for %d read", i, j, got, len(in))
			}
		}
	}
}

// readAll reads frames until an error. The stream costs nothing itself.
func readAll(in []byte, newMessage func() proto.Message) error {
	r := NewReader(&replay{in: in})
	for {
		if err := r.ReadFrame(newMessage()); err != nil {
			return err
		}
	}
}

// replay is a stream that only has something to say.
type replay struct {
	nowhere
	in []byte
}

func (r *replay) Read(b []byte) (int, error) {
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.in)
	r.in = r.in[n:]
	return n, nil
}

func FuzzReadFrame(f *testing.F) {
	for i := range frameTypes {
		for _, b := range bombs(f) {
			f.Add(uint8(i), b[:min(len(b), 512)])
		}
		f.Add(uint8(i), []byte{2, 8, 1})
		f.Add(uint8(i), []byte{0x80, 0x80, 0x04})
	}
	f.Fuzz(func(t *testing.T, kind uint8, in []byte) {
		newMessage := frameTypes[int(kind)%len(frameTypes)]
		err := readAll(in, newMessage)
		switch {
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		case errors.Is(err, chat.ErrInvalid), errors.Is(err, chat.ErrTooLarge):
		default:
			t.Fatalf("an error without meaning: %v", err)
		}
		// What one reader accepts, the other accepts, and it survives a round trip.
		m := newMessage()
		if ReadFrame(&replay{in: in}, m) != nil {
			return
		}
		b, err := appendFrame(nil, m, proto.Size(m))
		if err != nil {
			t.Fatal(err)
		}
		again := newMessage()
		if err := ReadFrame(&replay{in: b}, again); err != nil || !proto.Equal(m, again) {
			t.Fatalf("round trip: %v, %v, %v", m, again, err)
		}
	})
}
