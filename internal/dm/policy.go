package dm

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

// refusalCodes are the closed reasons of a signed refusal, as faces know them.
var refusalCodes = map[wirev1.Receipt_Refusal]string{
	wirev1.Receipt_REFUSAL_UNSPECIFIED:      "not_accepting",
	wirev1.Receipt_REFUSAL_REQUEST_TOO_LONG: "request_too_long",
	wirev1.Receipt_REFUSAL_REQUEST_LINKS:    "request_links",
	wirev1.Receipt_REFUSAL_REQUESTS_FULL:    "requests_full",
	wirev1.Receipt_REFUSAL_NOT_ACCEPTING:    "not_accepting",
	wirev1.Receipt_REFUSAL_TOO_LARGE:        "too_large",
	wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT:  "unknown_content",
}

func refusalOf(code string) wirev1.Receipt_Refusal {
	for refusal, name := range refusalCodes {
		if name == code && refusal != wirev1.Receipt_REFUSAL_UNSPECIFIED {
			return refusal
		}
	}
	return wirev1.Receipt_REFUSAL_NOT_ACCEPTING
}

func (g *group) readContact(p *person) error {
	contact, err := g.tx.Contact(p.account)
	if err != nil {
		return notFoundIsNil(err)
	}
	p.known, p.contact, p.state = true, contact, contact.State
	return nil
}

// policy is what we take from whom: everything from contacts, and from
// strangers a few short texts that wait for an answer. It notes a new request.
func (g *group) policy(p *person, op *opening, content *content) (wirev1.Receipt_Refusal, error) {
	if p.state == store.ContactAdded {
		return 0, nil
	}
	switch {
	case content.kind == 0 && !op.fresh:
		return 0, nil // answers and receipts inside a session we accepted
	case content.kind != chat.KindText:
		return wirev1.Receipt_REFUSAL_NOT_ACCEPTING, nil
	case utf8.RuneCountInString(string(content.text)) > chat.MaxRequestRunes:
		return wirev1.Receipt_REFUSAL_REQUEST_TOO_LONG, nil
	case hasLink(content.text):
		return wirev1.Receipt_REFUSAL_REQUEST_LINKS, nil
	}
	left, err := g.requestsOf(p, content.id)
	switch {
	case err != nil:
		return 0, err
	case left < chat.MaxRequestMessages:
	case p.state == store.ContactRequest:
		return wirev1.Receipt_REFUSAL_REQUESTS_FULL, nil
	default: // declined, or a contact once
		return wirev1.Receipt_REFUSAL_NOT_ACCEPTING, nil
	}
	if p.state == store.ContactRequest {
		return 0, nil
	}
	waiting, err := g.tx.CountRequests()
	if err != nil {
		return 0, err
	}
	if waiting >= chat.MaxRequests {
		return wirev1.Receipt_REFUSAL_REQUESTS_FULL, nil
	}
	p.contact.Account, p.contact.State = p.account, store.ContactRequest
	if p.contact.Added.IsZero() {
		p.contact.Added = g.now
	}
	p.known, p.state = true, store.ContactRequest
	if err := g.tx.PutContact(p.contact); err != nil {
		return 0, fmt.Errorf("noting request: %w", err)
	}
	return 0, nil
}

// requestsOf is how many texts of a stranger are here, other than id: one that
// comes again is not a new one. All count, wherever their author's clock puts
// them.
func (g *group) requestsOf(p *person, id chat.MessageID) (int, error) {
	n, err := g.tx.CountReceived(chat.PrivateConversation(p.account), chat.MaxRequestMessages+1)
	if err != nil || n == 0 {
		return n, err
	}
	stored, err := g.stored(p, id)
	if stored {
		n--
	}
	return n, err
}

// stored reports whether a message of the author is here.
func (g *group) stored(p *person, id chat.MessageID) (bool, error) {
	m, err := g.tx.Message(id)
	if err != nil {
		return false, notFoundIsNil(err)
	}
	return m.Author == p.account, nil
}

// answers makes the recipient of a text of ours a contact: who writes to
// somebody takes the answer, and who answers a request accepts it.
func answers(tx *store.Tx, a chat.AccountID, now time.Time) error {
	contact, err := tx.Contact(a)
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return err
	}
	if contact.State == store.ContactAdded {
		return nil
	}
	contact.Account, contact.State, contact.Changed = a, store.ContactAdded, time.Time{}
	if contact.Added.IsZero() {
		contact.Added = now
	}
	return tx.PutContact(contact)
}

// Accept makes an account a contact, whether it asked or not.
func (c *Courier) Accept(ctx context.Context, a chat.AccountID) error {
	err := c.db.Write(ctx, func(tx *store.Tx) error { return answers(tx, a, time.Now()) })
	if err != nil {
		return fmt.Errorf("accepting request: %w", err)
	}
	return nil
}

// Decline forgets a request; its messages stay. The other side is not told.
// It fails with chat.ErrNotFound if the account did not ask.
func (c *Courier) Decline(ctx context.Context, a chat.AccountID) error {
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		contact, err := tx.Contact(a)
		if err != nil {
			return err
		}
		if contact.State != store.ContactRequest {
			return fmt.Errorf("%w: no request of this account waits", chat.ErrNotFound)
		}
		return tx.DeleteContact(a)
	})
	if err != nil {
		return fmt.Errorf("declining request: %w", err)
	}
	return nil
}
