package mailbox

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

const (
	// pageBytes of envelopes and their headers fit one answer beside its other
	// fields; the largest envelope does.
	pageBytes = chat.MaxFrame - 128
	// pageMail is how many of the smallest envelopes do.
	pageMail = pageBytes/1024 + 1
	// cursorSize: the file it belongs to, and the row.
	cursorSize = 8 + 8
	// boxDeletes is how many deletes are remembered of one mailbox: one for
	// each collect of fifteen days.
	boxDeletes = 1536
)

// owned is what only the owner of a mailbox can sign.
type owned interface {
	proto.Message
	GetVersion() uint32
	GetMailboxKey() []byte
	GetTokenHash() []byte
}

// openOwned verifies signed bytes by the mailbox key that they name. It fails
// with chat.ErrInvalid.
func openOwned(signed []byte, p seal.Purpose, m owned) (chat.MailboxID, error) {
	outer := new(wirev1.Signed)
	if err := wire.Unmarshal(signed, outer); err != nil {
		return chat.MailboxID{}, err
	}
	if err := wire.Unmarshal(outer.Payload, m); err != nil {
		return chat.MailboxID{}, err
	}
	if m.GetVersion() != mailVersion || len(m.GetMailboxKey()) != ed25519.PublicKeySize || len(m.GetTokenHash()) != sha256.Size {
		return chat.MailboxID{}, fmt.Errorf("%w: malformed %s", chat.ErrInvalid, p)
	}
	if _, err := identity.OpenSigned(m.GetMailboxKey(), p, signed); err != nil {
		return chat.MailboxID{}, err
	}
	return BoxID(m.GetMailboxKey(), [32]byte(m.GetTokenHash())), nil
}

// giveOut answers a collect. Who signs with another key asks for another
// mailbox: it is as empty as one that never was.
func (h *Host) giveOut(ctx context.Context, from chat.DeviceID, signed []byte, now time.Time) (*wirev1.MailAnswer, error) {
	m := new(wirev1.MailCollect)
	id, err := openOwned(signed, seal.PurposeMailFetch, m)
	if err != nil || m.Holder != string(h.device) {
		return invalid(), nil
	}
	if !h.nonces.spend(from, m.Nonce, now) {
		return status(wirev1.Status_STATUS_EXPIRED), nil // too late: it asks for another one
	}
	row := h.row(m.Cursor)
	a := ok()
	err = h.guest.Read(ctx, func(tx *store.GuestTx) error {
		box, err := tx.Box(id)
		if err != nil {
			return err
		}
		list, err := tx.MailAfter(box, row, pageMail+1, now)
		if err != nil {
			return err
		}
		size := 0
		for _, mail := range list {
			if size += mail.Size + 4; size > pageBytes {
				a.More = true
				break
			}
			body, err := tx.MailBody(mail.ID, now)
			if err != nil {
				return err
			}
			a.Envelopes, row = append(a.Envelopes, body), mail.Row
		}
		return nil
	})
	a.Cursor = h.cursor(row)
	return a, err
}

func (h *Host) cursor(row int64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cursorSize), h.guest.Epoch())
	return binary.BigEndian.AppendUint64(b, uint64(row))
}

// row is where a cursor stands: at the start, if it is of another file.
func (h *Host) row(cursor []byte) int64 {
	if len(cursor) != cursorSize || binary.BigEndian.Uint64(cursor) != h.guest.Epoch() {
		return 0
	}
	return int64(binary.BigEndian.Uint64(cursor[8:]))
}

// remove answers a delete. It says OK whether or not there was anything.
func (h *Host) remove(ctx context.Context, net string, signed []byte, now time.Time) (*wirev1.MailAnswer, error) {
	err := h.bury(ctx, net, signed, now)
	if errors.Is(err, chat.ErrInvalid) || errors.Is(err, chat.ErrTooLarge) {
		return invalid(), nil
	}
	return ok(), err
}

// bury does what the owner of a mailbox signed, and remembers it as long as a
// copy could come back. What it takes to remember is charged to the network it
// came from; over that, what is there goes and no more. It fails with
// chat.ErrInvalid for what is not the owner's word.
func (h *Host) bury(ctx context.Context, net string, signed []byte, now time.Time) error {
	m := new(wirev1.MailDelete)
	id, err := openOwned(signed, seal.PurposeMailDelete, m)
	if err != nil {
		return err
	}
	if len(m.Ids) > chat.MailDeleteIDs {
		return fmt.Errorf("%w: delete of %d envelopes", chat.ErrInvalid, len(m.Ids))
	}
	ids := make([][32]byte, len(m.Ids))
	for i, b := range m.Ids {
		if len(b) != sha256.Size {
			return fmt.Errorf("%w: malformed id in a delete", chat.ErrInvalid)
		}
		ids[i] = [32]byte(b)
	}
	return h.guest.Write(ctx, func(tx *store.GuestTx) error {
		cost := len(signed) + 3*len(ids)*sha256.Size
		room, err := tx.Room(cost, !h.diskLow(now))
		if err == nil && room {
			room, err = tx.Charge(net, h.day(now), cost, chat.HolderPerNet)
		}
		if err != nil {
			return err
		}
		if !room {
			return tx.Drop(id, ids)
		}
		return tx.Bury(id, ids, signed, now.Add(h.pace.of(chat.TombstoneLife)), boxDeletes)
	})
}

const auditNonce = 32

// prove answers an audit: only who has the envelope can.
func (h *Host) prove(ctx context.Context, q *wirev1.MailAudit, now time.Time) (*wirev1.MailAnswer, error) {
	if len(q.Nonce) != auditNonce || len(q.Id) != sha256.Size {
		return invalid(), nil
	}
	a := ok()
	err := h.guest.Read(ctx, func(tx *store.GuestTx) error {
		body, err := tx.MailBody([32]byte(q.Id), now)
		a.Mac = auditMAC(q.Nonce, body)
		return err
	})
	if errors.Is(err, chat.ErrNotFound) {
		return status(wirev1.Status_STATUS_NOT_FOUND), nil
	}
	return a, err
}

func auditMAC(nonce, envelope []byte) []byte {
	m := hmac.New(sha256.New, nonce)
	m.Write(envelope)
	return m.Sum(nil)
}
