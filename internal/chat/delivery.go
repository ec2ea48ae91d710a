package chat

import "fmt"

// Delivery says how far a message provably came.
//
//	QUEUED -> SENT -> HELD -> DELIVERED -> READ
//	QUEUED|SENT|HELD -> REFUSED(reason) | EXPIRED
//
// States may be skipped forward. A receipt after EXPIRED still makes it
// DELIVERED: the proof wins. A state is never ahead of its proof, and bytes in
// a local buffer prove nothing.
type Delivery uint8

// The numbers are stored and sent: they never change.
const (
	DeliveryNone Delivery = 0 // a message from somebody else
	Queued       Delivery = 1 // in our outbox only
	Sent         Delivery = 2 // handed to at least one peer, no receipt yet
	Held         Delivery = 3 // enough signed storage receipts
	Delivered    Delivery = 4 // signed receipt of a recipient device
	Read         Delivery = 5 // opt-in, signed by a recipient device
	Refused      Delivery = 6 // our own node or a signed answer said no
	Expired      Delivery = 7 // lifetime ended without a receipt
)

var deliveryNames = [...]string{"", "queued", "sent", "held", "delivered", "read", "refused", "expired"}

// String is the lower-case word used in the command line and logs.
func (d Delivery) String() string {
	if int(d) >= len(deliveryNames) {
		return fmt.Sprintf("delivery(%d)", d)
	}
	return deliveryNames[d]
}

// ParseDelivery reads the word of String. It fails with ErrInvalid.
func ParseDelivery(s string) (Delivery, error) {
	for i, name := range deliveryNames {
		if name != "" && name == s {
			return Delivery(i), nil
		}
	}
	return 0, fmt.Errorf("%w: unknown delivery state %q", ErrInvalid, s)
}

// Advance is the state after a proof of next arrived in state d. It never
// goes back: a proof that says less than what is known changes nothing.
func (d Delivery) Advance(next Delivery) Delivery {
	switch {
	case d == next, next == DeliveryNone:
		return d
	case d == Refused:
		// A refusal is one device's word; a receipt of another still counts.
		if next == Delivered || next == Read {
			return next
		}
		return d
	case d == Expired:
		if next == Delivered || next == Read {
			return next
		}
		return d
	case next == Refused || next == Expired:
		if d == Delivered || d == Read {
			return d
		}
		return next
	case next > d:
		return next
	default:
		return d
	}
}

// Final reports whether the courier has nothing more to do.
func (d Delivery) Final() bool {
	return d == Delivered || d == Read || d == Refused || d == Expired
}
