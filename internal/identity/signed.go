package identity

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
	"parley/internal/wire"
)

const (
	signedPayload   protowire.Number = 1
	signedSignature protowire.Number = 2

	recordVersion = 1
	// maxSeq keeps every seq inside a signed 64-bit column, with room to count
	// on. It is two hundred billion years of Unix seconds.
	maxSeq = 1 << 62
)

// SignedBytes signs payload for one purpose and wraps both.
func SignedBytes(key ed25519.PrivateKey, p seal.Purpose, payload []byte) []byte {
	return wrap(payload, seal.Sign(key, p, payload))
}

func wrap(payload, signature []byte) []byte {
	b := make([]byte, 0, len(payload)+len(signature)+8)
	b = protowire.AppendTag(b, signedPayload, protowire.BytesType)
	b = protowire.AppendBytes(b, payload)
	b = protowire.AppendTag(b, signedSignature, protowire.BytesType)
	return protowire.AppendBytes(b, signature)
}

// OpenSigned verifies signed bytes and returns their payload. Only the one
// encoding that SignedBytes writes is taken: the wrapper is not covered by the
// signature, and hashes of signed bytes would differ otherwise. It fails with
// chat.ErrInvalid.
func OpenSigned(pub ed25519.PublicKey, p seal.Purpose, signed []byte) ([]byte, error) {
	payload, signature, err := unwrap(signed)
	if err != nil {
		return nil, err
	}
	if !seal.Verify(pub, p, payload, signature) {
		return nil, fmt.Errorf("%w: wrong %s signature", chat.ErrInvalid, p)
	}
	return payload, nil
}

// unwrap parts signed bytes without verifying them: for payloads that name
// their own signer.
func unwrap(signed []byte) (payload, signature []byte, err error) {
	var s wirev1.Signed
	if err := wire.Unmarshal(signed, &s); err != nil {
		return nil, nil, err
	}
	if len(s.Signature) != ed25519.SignatureSize || !bytes.Equal(wrap(s.Payload, s.Signature), signed) {
		return nil, nil, fmt.Errorf("%w: signed bytes in another form", chat.ErrInvalid)
	}
	return s.Payload, s.Signature, nil
}

// openSelfSigned opens signed bytes whose payload names its signer: signer
// reads the key from the decoded message.
func openSelfSigned(signed []byte, p seal.Purpose, most int, m proto.Message, signer func() []byte) ([]byte, error) {
	if len(signed) > most {
		return nil, fmt.Errorf("%w: %s of %d bytes, at most %d", chat.ErrTooLarge, p, len(signed), most)
	}
	payload, signature, err := unwrap(signed)
	if err != nil {
		return nil, err
	}
	if err := wire.Unmarshal(payload, m); err != nil {
		return nil, err
	}
	if v, ok := m.(interface{ GetVersion() uint32 }); ok && v.GetVersion() != recordVersion {
		return nil, fmt.Errorf("%w: %s of version %d, known is %d", chat.ErrInvalid, p, v.GetVersion(), recordVersion)
	}
	key := signer()
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("%w: signer of the %s: %w", chat.ErrInvalid, p, err)
	}
	if !seal.Verify(key, p, payload, signature) {
		return nil, fmt.Errorf("%w: wrong %s signature", chat.ErrInvalid, p)
	}
	return payload, nil
}

// encode marshals what we are about to sign. Unequal encoders do no harm: the
// bytes are kept and never made again.
func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("identity: encoding our own message: " + err.Error())
	}
	return b
}
