package chat

import "time"

// Mailbox is where mail for one device goes. Without Key and Token its sender
// is a stranger, who pays a stamp.
type Mailbox struct {
	ID    MailboxID
	Key   []byte // Ed25519
	Token []byte
}

// Parcel is one sealed message on its way into a mailbox.
type Parcel struct {
	Box     Mailbox
	Blob    Sealed
	Created time.Time  // of the message: the hour of expiry follows from it,
	Expires time.Time  // and from its end
	Stamp   []byte     // of an earlier deposit, still valid; nil: make one if need be
	Known   [][]byte   // receipts of earlier deposits
	Sides   []DeviceID // devices of either side: what they keep is no proof
}

// Kept is what is known of a parcel after a deposit.
type Kept struct {
	Receipts [][]byte      // signed, verified, one for each holder, earlier ones included
	Held     bool          // they are enough for Held
	Stamp    []byte        // what was paid, for the next time
	Again    time.Duration // until it should be left there again
}
