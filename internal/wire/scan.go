package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"parley/internal/chat"
)

// Unmarshal decodes a peer's bytes into m under the shared limits: size,
// depth and number of elements are checked before the decoder takes memory.
// It fails with chat.ErrTooLarge or chat.ErrInvalid. Signed payloads inside a
// frame go through it as well.
func Unmarshal(b []byte, m proto.Message) error {
	if len(b) > chat.MaxFrame {
		return fmt.Errorf("%w: %d bytes", chat.ErrTooLarge, len(b))
	}
	s := scan{left: chat.MaxRepeated}
	if err := s.message(b, m.ProtoReflect().Descriptor(), 1); err != nil {
		return err
	}
	if err := (proto.UnmarshalOptions{RecursionLimit: chat.MaxDepth}).Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: undecodable message", chat.ErrInvalid)
	}
	return nil
}

// scan walks encoded bytes beside their descriptor. What makes the decoder
// take memory (list elements, sub-messages, unknown fields) draws on one
// budget for the whole frame, or a list of lists would multiply.
type scan struct{ left int }

func (s *scan) message(b []byte, md protoreflect.MessageDescriptor, depth int) error {
	if depth > chat.MaxDepth {
		return fmt.Errorf("%w: message nested deeper than %d", chat.ErrInvalid, chat.MaxDepth)
	}
	var seen uint64 // bit per field number below 64 that was met
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: malformed field tag", chat.ErrInvalid)
		}
		b = b[n:]
		if typ == protowire.StartGroupType || typ == protowire.EndGroupType {
			return fmt.Errorf("%w: groups are not used", chat.ErrInvalid)
		}
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return fmt.Errorf("%w: malformed field value", chat.ErrInvalid)
		}
		fd := md.Fields().ByNumber(num)
		if again := num < 64 && seen&(1<<num) != 0; again && fd != nil && fd.Cardinality() != protoreflect.Repeated {
			if err := s.take(1); err != nil { // honest encoders write a field once
				return err
			}
		}
		seen |= 1 << (num & 63)
		if err := s.field(b[:n], typ, fd, depth); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (s *scan) field(value []byte, typ protowire.Type, fd protoreflect.FieldDescriptor, depth int) error {
	if fd == nil {
		return s.take(1)
	}
	single := typeOf(fd.Kind())
	packed := fd.Cardinality() == protoreflect.Repeated && typ == protowire.BytesType && single != protowire.BytesType
	switch {
	case typ != single && !packed:
		return s.take(1) // the decoder keeps it as unknown
	case fd.Message() != nil:
		if err := s.take(1); err != nil {
			return err
		}
		inner, _ := protowire.ConsumeBytes(value)
		return s.message(inner, fd.Message(), depth+1)
	case packed:
		inner, _ := protowire.ConsumeBytes(value)
		return s.take(elements(inner, single))
	case fd.Cardinality() == protoreflect.Repeated:
		return s.take(1)
	}
	return nil
}

// elements counts what a packed list holds.
func elements(packed []byte, single protowire.Type) int {
	switch single {
	case protowire.Fixed32Type:
		return len(packed) / 4
	case protowire.Fixed64Type:
		return len(packed) / 8
	}
	n := 0
	for _, b := range packed {
		if b < 0x80 { // the last byte of a varint
			n++
		}
	}
	return n
}

// typeOf is how a field of a kind is encoded, one element at a time.
func typeOf(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	default:
		return protowire.VarintType
	}
}

func (s *scan) take(n int) error {
	if s.left -= n; s.left < 0 {
		return fmt.Errorf("%w: more than %d elements in a frame", chat.ErrInvalid, chat.MaxRepeated)
	}
	return nil
}
