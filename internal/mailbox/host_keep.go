package mailbox

import (
	"context"
	"crypto/ed25519"
	"errors"
	"math"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
)

const (
	// storeTimeout ends a transaction on a disk that does not answer, before
	// the caller's patience does.
	storeTimeout = 8 * time.Second
	// faultWait is when a caller may try again whose call our disk failed.
	faultWait = time.Minute
	// rowCost is what an envelope takes besides its body.
	rowCost = 1 << 10
	// maxEvicted bounds the work of making room for one envelope in all boxes:
	// the largest takes the place of as many of the smallest.
	maxEvicted = 64
)

// letter is one envelope on its way into the store.
type letter struct {
	store.GuestMail
	net     string
	receipt bool // from its sender, not from another holder
	answer  *wirev1.MailAnswer
}

// keep stores letters in one commit and then answers each. What was kept
// before is answered alike.
func (h *Host) keep(ctx context.Context, letters []*letter, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := h.guest.Write(ctx, func(tx *store.GuestTx) error {
		for _, l := range letters {
			if h.drop {
				l.answer = ok()
				continue
			}
			var err error
			if l.answer, err = h.keepOne(tx, l, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.fault("mail not kept", err)
		for _, l := range letters {
			l.answer = busy(faultWait)
		}
		return
	}
	for _, l := range letters {
		if l.receipt && l.answer.Status == wirev1.Status_STATUS_OK {
			l.answer.Receipt = h.sign(l.GuestMail)
		}
	}
}

// sign is our word that an envelope is kept until its end.
func (h *Host) sign(m store.GuestMail) []byte {
	return identity.SignedBytes(h.key, seal.PurposeMailReceipt, encode(&wirev1.MailReceipt{
		Version: mailVersion, MailboxId: m.Box[:], EnvelopeHash: m.ID[:], Expires: m.Ends.Unix(),
		HolderKey: h.key.Public().(ed25519.PublicKey),
	}))
}

func (h *Host) keepOne(tx *store.GuestTx, l *letter, now time.Time) (*wirev1.MailAnswer, error) {
	switch kept, err := tx.Mail(l.ID); {
	case err == nil:
		l.Ends = kept.Ends
		return ok(), nil
	case !errors.Is(err, chat.ErrNotFound):
		return nil, err
	}
	_, buried, err := tx.Buried(l.Box, l.ID)
	if err != nil {
		return nil, err
	}
	if buried { // its time is over here, whatever its hour says
		return status(wirev1.Status_STATUS_EXPIRED), nil
	}
	box, err := tx.Box(l.Box)
	if err != nil {
		return nil, err
	}
	weaker, no, err := h.place(tx, box, l)
	if no != nil || err != nil {
		return no, err
	}
	charged, err := tx.Charge(l.net, h.day(now), l.Size, chat.HolderPerNet)
	if err != nil || !charged {
		return status(wirev1.Status_STATUS_QUOTA), err
	}
	if no, err := h.room(tx, l, now); no != nil || err != nil {
		if err == nil {
			_, err = tx.Charge(l.net, h.day(now), -l.Size, chat.HolderPerNet)
		}
		return no, err
	}
	for _, m := range weaker {
		// It may have made room for the holder already.
		if _, err := tx.Mail(m.ID); errors.Is(err, chat.ErrNotFound) {
			continue
		}
		if err := tx.DropMail(m); err != nil {
			return nil, err
		}
	}
	return ok(), tx.PutMail(&l.GuestMail)
}

// place finds a place in the box, or says what is missing. weaker is whose
// place a stranger takes.
func (h *Host) place(tx *store.GuestTx, box store.GuestBox, l *letter) (weaker []store.GuestMail, no *wirev1.MailAnswer, err error) {
	places := 1 + box.Contacts + box.Strangers - chat.BoxEnvelopes
	size := int64(l.Size) + box.ContactBytes + box.StrangerBytes - chat.BoxBytes
	if l.Contact {
		if places > 0 || size > 0 {
			no = status(wirev1.Status_STATUS_QUOTA)
		}
		return nil, no, nil
	}
	if need := StampNeeded(h.stampBits, box.Strangers, box.StrangerBytes); l.Work < need {
		return nil, stampAnswer(need), nil
	}
	places = max(places, 1+box.Strangers-chat.BoxStrangers)
	size = max(size, int64(l.Size)+box.StrangerBytes-boxStrangerBytes)
	if places <= 0 && size <= 0 {
		return nil, nil, nil
	}
	if weaker, err = tx.Weaker(&box, l.Work, places, size); err != nil {
		return nil, nil, err
	}
	for _, m := range weaker {
		places, size = places-1, size-int64(m.Size)
	}
	if places > 0 || size > 0 {
		return nil, stampAnswer(l.Work + 1), nil
	}
	return weaker, nil, nil
}

// room makes room under the bound of the whole holder. Strangers give way to
// contacts, and to strangers who paid more.
func (h *Host) room(tx *store.GuestTx, l *letter, now time.Time) (no *wirev1.MailAnswer, err error) {
	grow, need := !h.diskLow(now), l.Size+rowCost
	work := l.Work
	if l.Contact {
		work = math.MaxInt32
	}
	for range maxEvicted {
		if ok, err := tx.Room(need, grow); ok || err != nil {
			return nil, err
		}
		weaker, err := tx.Weaker(nil, work, 1, 0)
		if err != nil {
			return nil, err
		}
		if len(weaker) == 0 {
			break
		}
		if err := tx.DropMail(weaker[0]); err != nil {
			return nil, err
		}
	}
	return status(wirev1.Status_STATUS_QUOTA), nil
}

// day is the number of the day at our pace, for the sums of networks.
func (h *Host) day(now time.Time) int64 { return int64(h.pace.hour(now) / 24) }

// faultEvery bounds what calls of strangers write to our log.
const faultEvery = 10 * time.Second

// fault tells of a disk that failed a call; a full one has told itself.
func (h *Host) fault(what string, err error) {
	if errors.Is(err, chat.ErrStorageFull) || errors.Is(err, context.Canceled) {
		return
	}
	now := time.Now()
	h.mu.Lock()
	quiet := now.Sub(h.said) < faultEvery
	if !quiet {
		h.said = now
	}
	h.mu.Unlock()
	if !quiet {
		h.log.Warn(what, "cause", err)
	}
}
