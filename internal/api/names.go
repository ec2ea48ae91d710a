package api

import (
	"errors"
	"fmt"
	"strings"

	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

const (
	peoplePrefix = "people/"
	// minPrefix digits of a message id leave one collision in 65,536 pairs.
	minPrefix = 4
	// maxCandidates are named when a name means several people.
	maxCandidates = 8
)

// ambiguousError says that a name or the beginning of an id means several.
type ambiguousError struct {
	text       string
	candidates []string // ids, at most maxCandidates
}

func (e *ambiguousError) Error() string { return e.text }

// account reads an account id.
func account(field, text string) (chat.AccountID, error) {
	id, _, err := identity.ParseAccountID(strings.TrimPrefix(strings.TrimSpace(text), peoplePrefix))
	if err != nil {
		return "", invalid(field, "%v", err)
	}
	return id, nil
}

// conversation reads a conversation as people write it: people/{account}, an
// account id, or a petname that only one contact has. A name is never guessed,
// and means nothing to a caller who may not read who is called so.
func (s *Server) conversation(c *caller, tx *store.Tx, text string) (chat.Conversation, chat.AccountID, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", "", invalid("conversation", "name a person")
	case strings.HasPrefix(text, "rooms/") || strings.HasPrefix(text, "#"):
		return "", "", fmt.Errorf("%w: this version has no rooms", chat.ErrNotFound)
	case strings.HasPrefix(text, peoplePrefix) || strings.HasPrefix(text, "12D3Koo"):
		id, err := account("conversation", text)
		return chat.PrivateConversation(id), id, err
	}
	if id, _, err := identity.ParseAccountID(text); err == nil {
		return chat.PrivateConversation(id), id, nil
	}
	if !c.may(scopeRead) && !c.may(scopePeopleRead) {
		return "", "", invalid("conversation", "without scope %s or %s name it by its account: people/{account}", scopeRead, scopePeopleRead)
	}
	id, err := byName(tx, text)
	return chat.PrivateConversation(id), id, err
}

// byName finds the one contact with a name: petnames first, since they are
// ours; then what contacts without a petname call themselves.
func byName(tx *store.Tx, name string) (chat.AccountID, error) {
	contacts, err := tx.Contacts()
	if err != nil {
		return "", fmt.Errorf("reading contacts: %w", err)
	}
	var pet, own []store.Contact
	for _, c := range contacts {
		switch {
		case c.State != store.ContactAdded:
		case strings.EqualFold(c.Petname, name):
			pet = append(pet, c)
		case c.Petname == "" && strings.EqualFold(c.DisplayName, name):
			own = append(own, c)
		}
	}
	found := pet
	if len(found) == 0 {
		found = own
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: no contact is called %q", chat.ErrNotFound, name)
	case 1:
		return found[0].Account, nil
	}
	ids := make([]string, 0, maxCandidates)
	for _, c := range found[:min(len(found), maxCandidates)] {
		ids = append(ids, string(c.Account))
	}
	return "", &ambiguousError{text: fmt.Sprintf("%d people are called %q", len(found), name), candidates: ids}
}

// messageID reads a message id, or a prefix that only one message has.
func messageID(tx *store.Tx, field, text string) (chat.MessageID, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	if id, err := chat.ParseMessageID(text); err == nil {
		return id, nil
	}
	if len(text) < minPrefix || len(text) > 2*len(chat.MessageID{}) || strings.Trim(text, "0123456789abcdef") != "" {
		return chat.MessageID{}, invalid(field, "a message id is 64 hex digits, or at least %d of its first", minPrefix)
	}
	found, err := tx.FindMessages(text, maxCandidates)
	if err != nil {
		return chat.MessageID{}, fmt.Errorf("finding messages: %w", err)
	}
	switch len(found) {
	case 0:
		return chat.MessageID{}, fmt.Errorf("%w: no message begins with %s", chat.ErrNotFound, text)
	case 1:
		return found[0], nil
	}
	ids := make([]string, len(found))
	for i, id := range found {
		ids[i] = id.String()
	}
	return chat.MessageID{}, &ambiguousError{text: "several messages begin with " + text, candidates: ids}
}

// message reads a message by the text of its id.
func message(tx *store.Tx, field, text string) (*chat.Message, error) {
	id, err := messageID(tx, field, text)
	if err != nil {
		return nil, err
	}
	m, err := tx.Message(id)
	if errors.Is(err, chat.ErrNotFound) {
		return nil, fmt.Errorf("%w: no message with this id", chat.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("reading message: %w", err)
	}
	return m, nil
}

// errNotYours is all that a caller who may only write learns of a message that
// is not in a conversation of theirs: there may be one or not.
var errNotYours = fmt.Errorf("%w: no message with this id that this token may write about", chat.ErrNotFound)

// target reads the message that a caller wants to write about. Who may not read
// must know its id in full.
func (c *caller) target(tx *store.Tx, field, text string) (*chat.Message, error) {
	if c.may(scopeRead) {
		m, err := message(tx, field, text)
		if err != nil {
			return nil, err
		}
		return m, c.maySend(m.Conversation)
	}
	id, err := chat.ParseMessageID(strings.ToLower(strings.TrimSpace(text)))
	if err != nil {
		return nil, invalid(field, "a message id is 64 hex digits; fewer need scope %s", scopeRead)
	}
	m, err := tx.Message(id)
	switch {
	case errors.Is(err, chat.ErrNotFound):
		return nil, errNotYours
	case err != nil:
		return nil, fmt.Errorf("reading message: %w", err)
	case c.maySend(m.Conversation) != nil:
		return nil, errNotYours
	}
	return m, nil
}

// targetIn is target for a message of one conversation.
func (c *caller) targetIn(tx *store.Tx, conv chat.Conversation, field, text string) (*chat.Message, error) {
	m, err := c.target(tx, field, text)
	switch {
	case err != nil:
		return nil, err
	case m.Conversation == conv:
		return m, nil
	case c.may(scopeRead):
		return nil, invalid(field, "that message is in another conversation")
	}
	return nil, errNotYours
}
