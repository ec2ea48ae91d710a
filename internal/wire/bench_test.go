package wire

import (
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
)

func envelopeFrame() *wirev1.DMFrame {
	return &wirev1.DMFrame{Body: &wirev1.DMFrame_Envelope{Envelope: &wirev1.OuterEnvelope{Version: 1, Blob: make([]byte, chat.BlobSizes[0])}}}
}

// BenchmarkQueue is one envelope on its way out, 15 to a write.
func BenchmarkQueue(b *testing.B) {
	w := NewWriter(nowhereReader{})
	for b.Loop() {
		if err := w.Queue(envelopeFrame()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadFrame is one envelope on its way in, as a Writer sends them.
func BenchmarkReadFrame(b *testing.B) {
	var write []byte
	for len(write) < coalesce-chat.BlobSizes[0] {
		m := envelopeFrame()
		write, _ = appendFrame(write, m, proto.Size(m))
	}
	r := NewReader(&repeating{bytes: write})
	for b.Loop() {
		if err := r.ReadFrame(new(wirev1.DMFrame)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnmarshal is a text's content.
func BenchmarkUnmarshal(b *testing.B) {
	in, err := proto.Marshal(&wirev1.Content{
		Version: 1, Salt: make([]byte, 16), Conversation: "12D3KooWGjMCRuMzQEeC3dA7VyrFXkoeCmY4cUWyWoMSJHfKJxP5",
		AccountKey: make([]byte, 32), DeviceKey: make([]byte, 32), ManifestHash: make([]byte, 32),
		Epoch: 1, Number: 1, Time: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
		Body: &wirev1.Content_Text_{Text: &wirev1.Content_Text{Text: string(make([]byte, 200))}},
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := Unmarshal(in, new(wirev1.Content)); err != nil {
			b.Fatal(err)
		}
	}
}

type nowhereReader struct{ nowhere }

func (nowhereReader) Read([]byte) (int, error) { return 0, io.EOF }

// repeating brings the same bytes again and again, no more than once at a time.
type repeating struct {
	nowhere
	bytes []byte
	at    int
}

func (r *repeating) Read(b []byte) (int, error) {
	n := copy(b, r.bytes[r.at:])
	r.at = (r.at + n) % len(r.bytes)
	return n, nil
}
