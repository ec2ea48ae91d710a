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
		if err := s.field(b[:n], typ, md.Fields().ByNumber(num), depth); err != nil {
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
	if fd.Message() != nil && typ == protowire.BytesType {
		if err := s.take(1); err != nil {
			return err
		}
		inner, _ := protowire.ConsumeBytes(value)
		return s.message(inner, fd.Message(), depth+1)
	}
	if fd.Cardinality() != protoreflect.Repeated {
		return nil
	}
	if typ == protowire.BytesType && fd.Kind() != protoreflect.BytesKind && fd.Kind() != protoreflect.StringKind {
		inner, _ := protowire.ConsumeBytes(value)
		return s.take(len(inner)) // packed: at least one byte an element
	}
	return s.take(1)
}

func (s *scan) take(n int) error {
	if s.left -= n; s.left < 0 {
		return fmt.Errorf("%w: more than %d elements in a frame", chat.ErrInvalid, chat.MaxRepeated)
	}
	return nil
}
