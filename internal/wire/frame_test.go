package wire

import (
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
)

func TestFramesCrossAPipe(t *testing.T) {
	a, b := Pipe("ana", "bo")
	if a.Remote() != "bo" || b.Remote() != "ana" {
		t.Fatalf("remotes are %q and %q", a.Remote(), b.Remote())
	}
	texts := []string{"", "see you at nine", strings.Repeat("x", 63<<10)}
	for _, text := range texts {
		if err := WriteFrame(a, wrapperspb.String(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	// The first with the exact reader, the others with the buffered one.
	var got wrapperspb.StringValue
	if err := ReadFrame(b, &got); err != nil || got.Value != texts[0] {
		t.Fatalf("first frame: %q, %v", got.Value, err)
	}
	r := NewReader(b)
	for _, want := range texts[1:] {
		if err := r.ReadFrame(&got); err != nil || got.Value != want {
			t.Fatalf("frame of %d bytes: got %d bytes, %v", len(want), len(got.Value), err)
		}
	}
	if err := r.ReadFrame(&got); err != io.EOF {
		t.Fatalf("after the last frame: %v, want io.EOF", err)
	}
}

func TestFrameTooLargeLeavesNothing(t *testing.T) {
	a, b := Pipe("ana", "bo")
	err := WriteFrame(a, wrapperspb.String(strings.Repeat("x", chat.MaxFrame)))
	if !errors.Is(err, chat.ErrTooLarge) {
		t.Fatalf("got %v, want ErrTooLarge", err)
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(b); err != nil || len(rest) != 0 {
		t.Fatalf("%d bytes left, %v", len(rest), err)
	}
}

func TestHostileFrames(t *testing.T) {
	list := &structpb.ListValue{}
	for range chat.MaxRepeated + 1 {
		list.Values = append(list.Values, structpb.NewNullValue())
	}
	long, err := proto.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	deep := structpb.NewNullValue()
	for range chat.MaxDepth {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	nested, err := proto.Marshal(deep)
	if err != nil {
		t.Fatal(err)
	}
	framed := func(body []byte) []byte {
		return append([]byte{byte(len(body)) | 0x80, byte(len(body) >> 7)}, body...)
	}
	tests := []struct {
		name string
		in   []byte
		m    proto.Message
		want error
	}{
		{"length over 64 KiB", []byte{0x81, 0x80, 0x04}, &wrapperspb.StringValue{}, chat.ErrTooLarge},
		{"length over three bytes", []byte{0x80, 0x80, 0x80, 0x01}, &wrapperspb.StringValue{}, chat.ErrTooLarge},
		{"padded length", []byte{0x80, 0x00}, &wrapperspb.StringValue{}, chat.ErrInvalid},
		{"cut length", []byte{0x80}, &wrapperspb.StringValue{}, io.ErrUnexpectedEOF},
		{"cut body", []byte{4, 10, 1}, &wrapperspb.StringValue{}, io.ErrUnexpectedEOF},
		{"garbage", []byte{2, 0xff, 0xff}, &wrapperspb.StringValue{}, chat.ErrInvalid},
		{"bad text", []byte{3, 10, 1, 0xff}, &wrapperspb.StringValue{}, chat.ErrInvalid},
		{"group", []byte{2, 0x0b, 0x0c}, &wrapperspb.StringValue{}, chat.ErrInvalid},
		{"too many elements", framed(long), &structpb.ListValue{}, chat.ErrInvalid},
		{"too deep", framed(nested), &structpb.Value{}, chat.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, read := range []func(Stream) error{
				func(s Stream) error { return ReadFrame(s, proto.Clone(tt.m)) },
				func(s Stream) error { return NewReader(s).ReadFrame(proto.Clone(tt.m)) },
			} {
				a, b := Pipe("ana", "bo")
				if _, err := a.Write(tt.in); err != nil {
					t.Fatal(err)
				}
				if err := a.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if err := read(b); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			}
		})
	}
}

func TestUnmarshalCountsPackedElements(t *testing.T) {
	ok := &wirev1.Manifest{Algorithms: make([]uint32, chat.MaxRepeated)}
	for i := range ok.Algorithms {
		ok.Algorithms[i] = math.MaxUint32 // five bytes each
	}
	bomb := &wirev1.Manifest{Algorithms: make([]uint32, chat.MaxRepeated+1)}
	for m, want := range map[*wirev1.Manifest]error{ok: nil, bomb: chat.ErrInvalid} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := Unmarshal(b, &wirev1.Manifest{}); !errors.Is(err, want) {
			t.Errorf("%d elements: got %v, want %v", len(m.Algorithms), err, want)
		}
	}
}

// TestDeadlines is a slowloris in four shapes, in virtual time (N3).
func TestDeadlines(t *testing.T) {
	tests := []struct {
		name string
		send func(Stream) error
		want time.Duration
		bad  bool // Stalled
	}{
		{"no first byte", func(Stream) error { return nil }, chat.FirstByteTimeout, true},
		{"half a length", func(s Stream) error { _, err := s.Write([]byte{0x89}); return err }, chat.FrameTimeout, true},
		{"length only", func(s Stream) error { _, err := s.Write([]byte{9}); return err }, chat.FrameTimeout, true},
		{"one frame, then silence", func(s Stream) error { return WriteFrame(s, wrapperspb.String("hi")) }, chat.IdleTimeout, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := Pipe("ana", "bo")
				if err := tt.send(a); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				r := NewReader(b)
				var err error
				for err == nil {
					err = r.ReadFrame(&wrapperspb.StringValue{})
				}
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("got %v, want a deadline", err)
				}
				if Stalled(err) != tt.bad {
					t.Errorf("stalled is %v", !tt.bad)
				}
				if took := time.Since(start); took != tt.want {
					t.Fatalf("gave up after %v, want %v", took, tt.want)
				}
			})
		})
	}
	t.Run("reader that does not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, _ := Pipe("ana", "bo")
			start := time.Now()
			var err error
			for err == nil {
				err = WriteFrame(a, wrapperspb.String(strings.Repeat("x", 60<<10)))
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != chat.FrameTimeout {
				t.Fatalf("got %v after %v", err, time.Since(start))
			}
		})
	})
}

func TestPipeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe("ana", "bo")
		got := make(chan error, 1)
		go func() {
			_, err := b.Read(make([]byte, 1))
			got <- err
		}()
		synctest.Wait()
		if err := a.Reset(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err == nil || err == io.EOF {
			t.Fatalf("after a reset the peer read %v, want an error that is not io.EOF", err)
		}
		if _, err := a.Write([]byte("x")); err == nil {
			t.Fatal("wrote on a reset stream")
		}

		a, b = Pipe("ana", "bo")
		if _, err := a.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(b); err != nil || string(all) != "last words" {
			t.Fatalf("got %q, %v", all, err)
		}
		if _, err := b.Write([]byte("anyone?")); err != nil {
			t.Fatalf("a late write is dropped, got %v", err)
		}
	})
}

func TestWriterGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe("ana", "bo")
		counted := &countingStream{Stream: a}
		w := NewWriter(counted)
		const writers, each = 8, 100
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if err := w.WriteFrame(wrapperspb.String("hello")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			r := NewReader(b)
			for range writers * each {
				var got wrapperspb.StringValue
				if err := r.ReadFrame(&got); err != nil || got.Value != "hello" {
					t.Errorf("got %q, %v", got.Value, err)
					return
				}
			}
		})
		wg.Wait()
		if counted.writes >= writers*each/2 {
			t.Errorf("%d writes for %d frames: nothing was gathered", counted.writes, writers*each)
		}
	})
}

func TestWriterQueueIsBounded(t *testing.T) {
	a, b := Pipe("ana", "bo")
	w := NewWriter(a)
	for range chat.WriteQueueFrames + 1 {
		if err := w.Queue(wrapperspb.String("hello")); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(b)
	for range chat.WriteQueueFrames {
		if err := r.ReadFrame(&wrapperspb.StringValue{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err == nil {
		t.Fatal("flushed into a reset stream")
	}
	if err := w.WriteFrame(wrapperspb.String("hello")); err == nil {
		t.Fatal("the error did not stick")
	}
}

// countingStream takes a millisecond for each write, as a network would.
type countingStream struct {
	Stream
	writes int
}

func (c *countingStream) Write(b []byte) (int, error) {
	c.writes++
	time.Sleep(time.Millisecond)
	return c.Stream.Write(b)
}
