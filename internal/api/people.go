package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

func (s peopleService) ListContacts(ctx context.Context, req *apiv1.ListContactsRequest) (*apiv1.ListContactsResponse, error) {
	out := &apiv1.ListContactsResponse{}
	return out, s.read(ctx, func(v *view) (err error) {
		out.Contacts, out.NextPageToken, err = v.contacts(req, req.Requests)
		return err
	})
}

// AddContact learns what an invite brings, accepts a request if there is one,
// and writes the contact. A repeated call changes nothing that happened since.
func (s peopleService) AddContact(ctx context.Context, req *apiv1.AddContactRequest) (*apiv1.AddContactResponse, error) {
	invite, err := s.invite("who", req.Who)
	if err != nil {
		return nil, err
	}
	if invite.Account == s.cfg.Keys.Account() {
		return nil, invalid("who", "that is your own account")
	}
	petname, err := cleanPetname(req.Petname)
	if err != nil {
		return nil, err
	}
	if err := s.meet(ctx, invite); err != nil {
		return nil, err
	}
	answer, err := s.once(ctx, req, func(tx *store.Tx) ([]byte, error) {
		contacts, err := tx.Contacts()
		if err != nil {
			return nil, fmt.Errorf("reading contacts: %w", err)
		}
		c, err := tx.Contact(invite.Account)
		if errors.Is(err, chat.ErrNotFound) {
			c, err = store.Contact{Account: invite.Account}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading contact: %w", err)
		}
		if c.State == store.ContactNone && len(contacts) >= chat.MaxContacts {
			return nil, invalid("who", "there are %d contacts, the most that are kept", len(contacts))
		}
		if c.State != store.ContactAdded {
			c.Added = time.Now()
		}
		c.State = store.ContactAdded
		c.Trusted = c.Trusted || req.Trusted
		if petname != "" {
			c.Petname = petname
		}
		if invite.DisplayName != "" {
			c.DisplayName = invite.DisplayName
		}
		return []byte(c.Account), putContact(tx, c)
	})
	if err != nil {
		return nil, err
	}
	if req.Trusted {
		if err := s.cfg.Guard.Refresh(ctx); err != nil {
			return nil, fmt.Errorf("refreshing trust: %w", err)
		}
	}
	out, err := s.oneContact(ctx, chat.AccountID(answer))
	return &apiv1.AddContactResponse{Contact: out}, err
}

func putContact(tx *store.Tx, c store.Contact) error {
	c.Changed = time.Time{}
	if err := tx.PutContact(c); err != nil {
		return fmt.Errorf("storing contact: %w", err)
	}
	return nil
}

// invite reads an account id, a parley:id/ link or a signed invite.
func (s *Server) invite(field, text string) (*identity.Invite, error) {
	if id, _, err := identity.ParseAccountID(text); err == nil {
		return &identity.Invite{Account: id}, nil
	}
	invite, err := identity.ParseInvite(text, time.Now())
	if err != nil {
		return nil, invalid(field, "%v", err)
	}
	return invite, nil
}

// meet keeps the device list and the addresses that a signed invite proves.
func (s *Server) meet(ctx context.Context, invite *identity.Invite) error {
	if len(invite.Manifest) == 0 {
		return nil
	}
	if _, err := s.cfg.Directory.Learn(ctx, invite.Manifest); err != nil {
		return fmt.Errorf("learning the invite's devices: %w", err)
	}
	if invite.Device == "" || len(invite.Addrs) == 0 {
		return nil
	}
	// Without an address that may be dialled here, an invite still says who.
	if err := s.cfg.Network.Meet(invite.Device, invite.Addrs); err != nil && !errors.Is(err, chat.ErrInvalid) {
		return fmt.Errorf("learning the invite's addresses: %w", err)
	}
	return s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.RememberPeer(store.RememberedPeer{Device: invite.Device, Addrs: invite.Addrs, Seen: time.Now()})
	})
}

// cleanPetname is a name fit to be shown, or empty.
func cleanPetname(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	clean, err := identity.CleanName(name)
	if err != nil {
		return "", invalid("petname", "%v", err)
	}
	return clean, nil
}

func (s *Server) oneContact(ctx context.Context, a chat.AccountID) (out *apiv1.Contact, err error) {
	err = s.read(ctx, func(v *view) error {
		c, err := contactRow(v.tx, a)
		if err != nil {
			return err
		}
		out, err = v.contact(c)
		return err
	})
	return out, err
}

func contactRow(tx *store.Tx, a chat.AccountID) (store.Contact, error) {
	c, err := tx.Contact(a)
	if errors.Is(err, chat.ErrNotFound) || err == nil && c.State == store.ContactNone {
		return c, fmt.Errorf("%w: no contact with this account", chat.ErrNotFound)
	}
	if err != nil {
		return c, fmt.Errorf("reading contact: %w", err)
	}
	return c, nil
}

func (s peopleService) UpdateContact(ctx context.Context, req *apiv1.UpdateContactRequest) (*apiv1.UpdateContactResponse, error) {
	a, err := account("account", req.Account)
	if err != nil {
		return nil, err
	}
	petname, err := cleanPetname(req.GetPetname())
	if err != nil {
		return nil, err
	}
	if err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		c, err := contactRow(tx, a)
		if err != nil {
			return err
		}
		if req.Petname != nil {
			c.Petname = petname
		}
		if req.Trusted != nil {
			c.Trusted = *req.Trusted
		}
		switch {
		case req.Verified == nil:
		case !*req.Verified:
			c.Verified = time.Time{}
		case c.Verified.IsZero():
			c.Verified = time.Now()
		}
		return putContact(tx, c)
	}); err != nil {
		return nil, err
	}
	if req.Trusted != nil {
		if err := s.cfg.Guard.Refresh(ctx); err != nil {
			return nil, fmt.Errorf("refreshing trust: %w", err)
		}
	}
	out, err := s.oneContact(ctx, a)
	return &apiv1.UpdateContactResponse{Contact: out}, err
}

func (s peopleService) RemoveContact(ctx context.Context, req *apiv1.RemoveContactRequest) (*apiv1.RemoveContactResponse, error) {
	a, err := account("account", req.Account)
	if err != nil {
		return nil, err
	}
	var c store.Contact
	if err := s.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		c, err = contactRow(tx, a)
		return err
	}); err != nil || req.ValidateOnly {
		return &apiv1.RemoveContactResponse{}, err
	}
	if c.State == store.ContactRequest {
		return &apiv1.RemoveContactResponse{}, s.cfg.Courier.Decline(ctx, a)
	}
	if err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error { return tx.DeleteContact(a) }); err != nil {
		return nil, fmt.Errorf("removing contact: %w", err)
	}
	return &apiv1.RemoveContactResponse{}, s.cfg.Guard.Refresh(ctx)
}

func (s peopleService) ReadInvite(ctx context.Context, req *apiv1.ReadInviteRequest) (*apiv1.ReadInviteResponse, error) {
	invite, err := s.invite("link", req.Link)
	if err != nil {
		return nil, err
	}
	out := &apiv1.ReadInviteResponse{
		Account: string(invite.Account), DisplayName: invite.DisplayName,
		Signed: len(invite.Manifest) > 0, Self: invite.Account == s.cfg.Keys.Account(),
	}
	return out, s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		c, err := contactRow(tx, invite.Account)
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		out.Known = c.State == store.ContactAdded
		if out.DisplayName == "" {
			out.DisplayName = c.DisplayName
		}
		return err
	})
}

func (s peopleService) Block(ctx context.Context, req *apiv1.BlockRequest) (*apiv1.BlockResponse, error) {
	a, err := account("account", req.Account)
	if err != nil {
		return nil, err
	}
	if a == s.cfg.Keys.Account() {
		return nil, invalid("account", "that is your own account")
	}
	// From the commit on nothing depends on whether the caller stays.
	if err := s.cfg.Guard.Block(ctx, a); err != nil {
		return nil, err
	}
	for _, d := range s.cfg.Guard.BlockedDevices(a) {
		s.cfg.Network.Drop(d)
	}
	return &apiv1.BlockResponse{}, nil
}

func (s peopleService) Unblock(ctx context.Context, req *apiv1.UnblockRequest) (*apiv1.UnblockResponse, error) {
	a, err := account("account", req.Account)
	if err != nil {
		return nil, err
	}
	return &apiv1.UnblockResponse{}, s.cfg.Guard.Unblock(ctx, a)
}

func (s peopleService) ListBlocks(context.Context, *apiv1.ListBlocksRequest) (*apiv1.ListBlocksResponse, error) {
	out := &apiv1.ListBlocksResponse{}
	for _, a := range s.cfg.Guard.Blocks() {
		out.Accounts = append(out.Accounts, string(a))
	}
	return out, nil
}
