package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
)

// signalSuite is the interop profile of testdata/README.md: Signal's message
// keys, bodies, plain headers and labels under our state machine. One value
// serves one side.
type signalSuite struct {
	keys           *[]dhKey // ratchet keys in order of use
	ours, theirs   []byte   // identity keys with type byte
	registration   uint64   // of ours
	oneTime, spk   uint64   // ids of the peer's prekeys
	kemID          uint64
	lastKeys       *[]byte // message keys of the last message sealed or opened
	roots          *[][]byte
	identityPublic []byte // ours, inside first messages
}

const signalVersion = 0x44

func (x signalSuite) newRatchetKey() dhKey {
	k := (*x.keys)[0]
	*x.keys = (*x.keys)[1:]
	return k
}

func (signalSuite) encapsulate([]byte) ([]byte, []byte, error) {
	return nil, nil, errors.New("the profile has no KEM steps")
}

func (signalSuite) kemDue(*Session, time.Time) bool { return false }

func (signalSuite) handshakeKDF(_ *Session, dhs, ss []byte) (root, header, nextHeader key) {
	ikm := bytes.Repeat([]byte{0xff}, 32)
	ikm = append(append(ikm, dhs...), ss...)
	root, _, _ = split(derive(ikm, nil, "WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024", 96))
	return root, key{}, key{}
}

func (x signalSuite) rootKDF(root key, dh, _ []byte) (newRoot, chain, nextHeader key) {
	b := derive(dh, root[:], "WhisperRatchet", 64)
	*x.roots = append(*x.roots, b[:32:32])
	return key(b[:32]), key(b[32:]), key{}
}

func (x signalSuite) messageKeys(mk key) (cipherKey, macKey, iv []byte) {
	b := derive(mk[:], nil, "WhisperMessageKeys", 80)
	*x.lastKeys = b
	return b[:32], b[32:64], b[64:]
}

func (x signalSuite) seal(s *Session, mk key, body []byte, _ int) []byte {
	cipherKey, macKey, iv := x.messageKeys(mk)
	fill := aes.BlockSize - len(body)%aes.BlockSize
	ct := append(bytes.Clone(body), bytes.Repeat([]byte{byte(fill)}, fill)...)
	block, _ := aes.NewCipher(cipherKey)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(ct, ct)

	m := []byte{signalVersion}
	m = protoBytes(m, 1, typed(s.self.public))
	m = protoInt(m, 2, uint64(s.send.n))
	m = protoInt(m, 3, uint64(max(s.send.pn, 1)-1)) // index of the last, not a count
	m = protoBytes(m, 4, ct)
	m = append(m, signalTag(macKey, x.ours, x.theirs, m)...)
	if s.setup == nil {
		return m
	}
	first := []byte{signalVersion}
	first = protoInt(first, 5, x.registration)
	first = protoInt(first, 1, x.oneTime)
	first = protoInt(first, 6, x.spk)
	first = protoInt(first, 7, x.kemID)
	first = protoBytes(first, 8, s.setup.KEM)
	first = protoBytes(first, 2, typed(s.ephemeral))
	first = protoBytes(first, 3, x.identityPublic)
	return protoBytes(first, 4, m)
}

func (x signalSuite) locate(s *Session, message []byte) (place, bool) {
	at := place{}
	inner := message
	if fields, ok := protoFields(message); ok && fields[5].bytes == nil && fields[8].bytes != nil {
		inner = fields[4].bytes
		at.body = bytes.Index(message, inner)
	}
	if len(inner) < 9 {
		return place{}, false
	}
	fields, ok := protoFields(inner[:len(inner)-8])
	if !ok || len(fields[1].bytes) != 33 {
		return place{}, false
	}
	at.ratchet = [32]byte(fields[1].bytes[1:])
	at.n, at.pn = uint32(fields[2].number), uint32(fields[3].number)+1
	if s.recv.live && at.ratchet == s.peer {
		return at, true
	}
	for i, g := range s.old {
		if at.ratchet == g.peer {
			at.chain, at.old = oldChain, i
			return at, true
		}
	}
	at.chain = nextChain
	return at, true
}

func (x signalSuite) open(_ *Session, mk key, at place, message []byte) ([]byte, bool) {
	cipherKey, macKey, iv := x.messageKeys(mk)
	inner := message[at.body:]
	inner, tag := inner[:len(inner)-8], inner[len(inner)-8:]
	if !hmac.Equal(tag, signalTag(macKey, x.theirs, x.ours, inner)) {
		return nil, false
	}
	fields, _ := protoFields(inner)
	body := bytes.Clone(fields[4].bytes)
	if len(body) == 0 || len(body)%aes.BlockSize != 0 {
		return nil, false
	}
	block, _ := aes.NewCipher(cipherKey)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(body, body)
	fill := int(body[len(body)-1])
	return body[:len(body)-fill], true // the tag covers it: the fill is honest
}

func signalTag(macKey, sender, receiver, message []byte) []byte {
	h := hmac.New(sha256.New, macKey)
	h.Write(sender)
	h.Write(receiver)
	h.Write(message)
	return h.Sum(nil)[:8]
}

func typed(public [32]byte) []byte { return append([]byte{5}, public[:]...) }

func protoInt(b []byte, field, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, field<<3), v)
}

func protoBytes(b []byte, field uint64, v []byte) []byte {
	b = binary.AppendUvarint(b, field<<3|2)
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

type protoField struct {
	number uint64
	bytes  []byte
}

// protoFields reads a version byte and a flat message of varints and bytes.
func protoFields(m []byte) (map[uint64]protoField, bool) {
	if len(m) == 0 || m[0] != signalVersion {
		return nil, false
	}
	fields := map[uint64]protoField{}
	for b := m[1:]; len(b) > 0; {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, false
		}
		b = b[n:]
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, false
		}
		b = b[n:]
		f := protoField{number: v}
		if tag&7 == 2 {
			if v > uint64(len(b)) {
				return nil, false
			}
			f.bytes, b = b[:v:v], b[v:]
		}
		fields[tag>>3] = f
	}
	return fields, true
}
