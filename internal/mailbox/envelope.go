package mailbox

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
	"parley/internal/wire"
)

const mailVersion = 1

// openEnvelope judges a deposit by its bytes and the clock alone: what it
// answers is the same whatever the mailbox holds. Only with STATUS_OK there is
// an envelope.
func (h *Host) openEnvelope(b []byte, now time.Time) (store.GuestMail, *wirev1.MailAnswer) {
	none := func(s wirev1.Status) (store.GuestMail, *wirev1.MailAnswer) {
		return store.GuestMail{}, status(s)
	}
	e := new(wirev1.OuterEnvelope)
	if wire.Unmarshal(b, e) != nil {
		return none(wirev1.Status_STATUS_INVALID)
	}
	if e.Version > mailVersion {
		return none(wirev1.Status_STATUS_NOT_ACCEPTING)
	}
	if len(e.Blob) > chat.BlobSizes[len(chat.BlobSizes)-1] {
		return none(wirev1.Status_STATUS_TOO_LARGE)
	}
	contact, work, ok := readPermit(e, b)
	if !ok {
		return none(wirev1.Status_STATUS_INVALID)
	}
	m := store.GuestMail{
		ID: sha256.Sum256(b), Box: chat.MailboxID(e.MailboxId), Hour: e.ExpiryHour, Size: len(b), Body: b,
		Contact: contact, Work: work,
	}
	if !m.Contact && m.Work < h.stampBits {
		return store.GuestMail{}, stampAnswer(h.stampBits)
	}
	ends, ok := h.pace.ends(m.Hour, now)
	if !ok {
		return none(wirev1.Status_STATUS_EXPIRED)
	}
	m.Ends = ends
	return m, status(wirev1.Status_STATUS_OK)
}

// readPermit judges the form of an envelope, read from b, and by what right it
// may lie in its mailbox: the token that contacts share, or a stamp with so many
// bits of work. Both ends ask it, so that neither trusts the other.
func readPermit(e *wirev1.OuterEnvelope, b []byte) (contact bool, work int, ok bool) {
	if e.Version != mailVersion || len(e.MailboxId) != len(chat.MailboxID{}) ||
		!slices.Contains(chat.BlobSizes[:], len(e.Blob)) || !bytes.Equal(encodeEnvelope(e), b) {
		return false, 0, false
	}
	box := chat.MailboxID(e.MailboxId)
	switch permit := e.Permit.(type) {
	case *wirev1.OuterEnvelope_Token:
		return true, 0, len(permit.Token) == 32 && len(e.MailboxKey) == ed25519.PublicKeySize &&
			BoxID(e.MailboxKey, sha256.Sum256(permit.Token)) == box
	case *wirev1.OuterEnvelope_Stamp:
		return false, StampWork(box, e.ExpiryHour, e.Blob, permit.Stamp), len(e.MailboxKey) == 0 && len(permit.Stamp) == stampSize
	}
	return false, 0, true // a stranger who did not pay
}

// encodeEnvelope is the one form of an envelope that is taken: a stamp pays for
// a blob, and one stamp must not pay for many wrappings of it.
func encodeEnvelope(e *wirev1.OuterEnvelope) []byte {
	out := make([]byte, 0, len(e.Blob)+160)
	number := func(n protowire.Number, v uint64) {
		if v != 0 {
			out = protowire.AppendVarint(protowire.AppendTag(out, n, protowire.VarintType), v)
		}
	}
	field := func(n protowire.Number, v []byte) {
		out = protowire.AppendBytes(protowire.AppendTag(out, n, protowire.BytesType), v)
	}
	number(1, uint64(e.Version))
	if len(e.MailboxId) > 0 {
		field(2, e.MailboxId)
	}
	number(3, e.ExpiryHour)
	if len(e.MailboxKey) > 0 {
		field(4, e.MailboxKey)
	}
	switch permit := e.Permit.(type) {
	case *wirev1.OuterEnvelope_Token:
		field(5, permit.Token)
	case *wirev1.OuterEnvelope_Stamp:
		field(6, permit.Stamp)
	}
	if len(e.Blob) > 0 {
		field(7, e.Blob)
	}
	return out
}

func status(s wirev1.Status) *wirev1.MailAnswer { return &wirev1.MailAnswer{Status: s} }

func ok() *wirev1.MailAnswer { return status(wirev1.Status_STATUS_OK) }

func invalid() *wirev1.MailAnswer { return status(wirev1.Status_STATUS_INVALID) }

func busy(wait time.Duration) *wirev1.MailAnswer {
	a := status(wirev1.Status_STATUS_BUSY)
	a.RetryAfterMs = uint32(max(wait.Milliseconds(), 1))
	return a
}

func stampAnswer(bits int) *wirev1.MailAnswer {
	a := status(wirev1.Status_STATUS_STAMP)
	a.StampBits = uint32(bits)
	return a
}
