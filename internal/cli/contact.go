package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
)

func (a *app) contactCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "contact", Short: "People you know, and those who ask",
		Example: `  parley contact add 'parley:c/…' maya
  parley contact list --requests
  parley contact accept ravi
  parley contact trust maya`,
		Args: a.unknownCommand,
	}
	list := a.contactListCommand()
	cmd.RunE = list.RunE
	cmd.AddCommand(list, a.contactAddCommand(), a.contactRemoveCommand(), a.contactRenameCommand(), a.contactTrustCommand(), a.contactAcceptCommand())
	return cmd
}

func (a *app) contactListCommand() *cobra.Command {
	requests := false
	cmd := &cobra.Command{
		Use: "list", Short: "List contacts",
		Example: "  parley contact list\n  parley contact list --requests --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.People.ListContacts(ctx, &apiv1.ListContactsRequest{Requests: requests})
				if err != nil {
					return err
				}
				return a.printContacts(res)
			})
		},
	}
	cmd.Flags().BoolVar(&requests, "requests", false, "only people who wait for your answer")
	return cmd
}

func (a *app) printContacts(res *apiv1.ListContactsResponse) error {
	if a.json {
		return a.print(res)
	}
	if len(res.GetContacts()) == 0 {
		a.note("Nobody yet. `parley id link` makes a link to give to others.")
		return nil
	}
	rows := make([][]cell, 0, len(res.GetContacts()))
	for _, c := range res.GetContacts() {
		rows = append(rows, []cell{{contactName(c), bold}, {text: strings.Join(contactMarks(c), ", ")}, {a.contactID(c), dim}})
	}
	a.look.table(a.out, []string{"NAME", "STATE", "ID"}, rows)
	return nil
}

// contactID is short where a person looks and whole where a program reads.
func (a *app) contactID(c *apiv1.Contact) string {
	if a.look.tty {
		return shortID(c.GetAccount())
	}
	return c.GetAccount()
}

func contactMarks(c *apiv1.Contact) []string {
	var marks []string
	if c.GetState() == apiv1.ContactState_CONTACT_STATE_REQUEST {
		marks = append(marks, "asks for contact")
	}
	for _, m := range []struct {
		set  bool
		word string
	}{{c.GetOnline(), "connected"}, {c.GetVerified() != nil, "verified"}, {c.GetTrusted(), "trusted"}, {c.GetBlocked(), "blocked"}} {
		if m.set {
			marks = append(marks, m.word)
		}
	}
	if len(marks) == 0 {
		return []string{"-"}
	}
	return marks
}

func (a *app) contactAddCommand() *cobra.Command {
	trusted, noWait, name := false, false, ""
	cmd := &cobra.Command{
		Use: "add <link|id> [name]", Short: "Add somebody by their link or id",
		Long: "A link carries the way to them. A bare id does not: it is looked up for a moment, to\nsay so when nobody is found under it.",
		Example: `  parley contact add 'parley:c/…' maya
  parley contact add 12D3KooW… --name maya --trusted`,
		Args: between(1, 2, "a link or id, and optionally your name for them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				req := &apiv1.AddContactRequest{Who: strings.TrimSpace(args[0]), Trusted: trusted, RequestId: newRequestID()}
				if len(args) == 2 {
					req.Petname = args[1]
				}
				if name != "" {
					if req.Petname != "" && req.Petname != name {
						return usage("two names are given: %q and %q", args[1], name)
					}
					req.Petname = name
				}
				res, err := c.People.AddContact(ctx, req)
				if err != nil {
					return whoFailure(req.GetWho(), err)
				}
				if err := a.done(res, "Added %s (%s).", contactName(res.GetContact()), shortID(res.GetContact().GetAccount())); err != nil {
					return err
				}
				if bare := looksLikeAccount(strings.TrimPrefix(req.GetWho(), idPrefix)); bare && !noWait && !res.GetContact().GetOnline() {
					a.lookFor(ctx, c, res.GetContact())
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "your name for them")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not look for them now")
	cmd.Flags().BoolVar(&trusted, "trusted", false, "no cooling between you and them")
	return cmd
}

// lookTime is how long somebody added by a bare id is looked for: a letter
// that is wrong shows now and not when a message has waited for days.
const lookTime = 5 * time.Second

// lookFor says when nobody is found under an id. It is talk: the contact is
// added either way.
func (a *app) lookFor(ctx context.Context, c *client.Client, who *apiv1.Contact) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	found, err := c.Network.FindPeer(ctx, &apiv1.FindPeerRequest{Who: who.GetAccount()})
	if err == nil && len(found.GetDevices()) > 0 {
		return
	}
	a.note("nobody is found under this id yet: check it letter by letter, or ask for an invite link; the message waits")
}

func (a *app) contactAcceptCommand() *cobra.Command {
	return &cobra.Command{
		Use: "accept <who>", Short: "Accept somebody who asks for contact",
		Example: "  parley contact list --requests\n  parley contact accept ravi",
		Args:    between(1, 1, "one name or id"), ValidArgsFunction: a.completeNames,
		RunE: a.onPerson(true, func(ctx context.Context, c *client.Client, p person) error {
			res, err := c.People.AddContact(ctx, &apiv1.AddContactRequest{Who: p.account, RequestId: newRequestID()})
			if err != nil {
				return err
			}
			return a.done(res, "Accepted %s.", p.name)
		}),
	}
}

func (a *app) contactRemoveCommand() *cobra.Command {
	yes, dry := false, false
	cmd := &cobra.Command{
		Use: "remove <who>", Short: "Forget a contact or decline a request; messages stay",
		Example: "  parley contact remove ravi --dry-run\n  parley contact remove ravi --yes",
		Args:    between(1, 1, "one name or id"), ValidArgsFunction: a.completeNames,
		RunE: a.onPerson(true, func(ctx context.Context, c *client.Client, p person) error {
			if !dry {
				if err := a.confirm(yes, "Forget "+p.name+"?"); err != nil {
					return err
				}
			}
			waiting, err := waitingFor(ctx, c, p)
			if err != nil {
				return err
			}
			res, err := c.People.RemoveContact(ctx, &apiv1.RemoveContactRequest{Account: p.account, ValidateOnly: dry})
			if err != nil {
				return err
			}
			if dry {
				return a.done(res, "Would forget %s and keep the messages%s. Nothing was changed.", p.name, waiting)
			}
			return a.done(res, "Forgot %s. The messages stay%s.", p.name, waiting)
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would happen")
	return cmd
}

// maxLook bounds the look for waiting messages: they are among the newest.
const maxLook = 1000

// waitingFor says how many messages to somebody still go out; empty for none.
func waitingFor(ctx context.Context, c *client.Client, p person) (string, error) {
	n, token := 0, ""
	for range maxLook / chat.MaxPageSize {
		res, err := c.Messages.ListMessages(ctx, &apiv1.ListMessagesRequest{Conversation: peoplePrefix + p.account, PageSize: chat.MaxPageSize, PageToken: token})
		if e, ok := client.FaultOf(err); ok && e.Reason == "NOT_FOUND" {
			return "", nil // nothing was ever said
		}
		if err != nil {
			return "", err
		}
		for _, m := range res.GetMessages() {
			if m.GetOwn() && m.GetDelivery() == apiv1.Delivery_DELIVERY_QUEUED {
				n++
			}
		}
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	switch n {
	case 0:
		return "", nil
	case 1:
		return ", and one that waits still goes out", nil
	}
	return fmt.Sprintf(", and %d that wait still go out", n), nil
}

func (a *app) contactRenameCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rename <who> <name>", Short: "Give somebody a name of your own; empty takes it back",
		Example: "  parley contact rename 12D3KooW… maya\n  parley contact rename maya \"\"",
		Args:    between(2, 2, "somebody and your name for them"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.updateContact(cmd, args[0], func(r *apiv1.UpdateContactRequest) { r.Petname = proto.String(args[1]) }, "%s is now called %s.")
		},
	}
}

func (a *app) contactTrustCommand() *cobra.Command {
	off := false
	cmd := &cobra.Command{
		Use: "trust <who>", Short: "No cooling between you and them",
		Example: "  parley contact trust maya\n  parley contact trust maya --off",
		Args:    between(1, 1, "one name or id"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			words := "%s is trusted: no cooling between you and %s."
			if off {
				words = "%s is no longer trusted: cooling applies to %s."
			}
			return a.updateContact(cmd, args[0], func(r *apiv1.UpdateContactRequest) { r.Trusted = proto.Bool(!off) }, words)
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "take it back")
	return cmd
}

// updateContact changes one contact; words name it before and after.
func (a *app) updateContact(cmd *cobra.Command, who string, change func(*apiv1.UpdateContactRequest), words string) error {
	return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
		p, err := a.find(ctx, c, who, true)
		if err != nil {
			return err
		}
		req := &apiv1.UpdateContactRequest{Account: p.account}
		change(req)
		res, err := c.People.UpdateContact(ctx, req)
		if err != nil {
			return err
		}
		return a.done(res, words, p.name, contactName(res.GetContact()))
	})
}

// onPerson is a command about one person, its first argument.
func (a *app) onPerson(requests bool, fn func(context.Context, *client.Client, person) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
			p, err := a.find(ctx, c, args[0], requests)
			if err != nil {
				return err
			}
			return fn(ctx, c, p)
		})
	}
}

// done ends a command that changed something: the answer as JSON, else words.
func (a *app) done(res proto.Message, words string, args ...any) error {
	if a.json {
		return a.print(res)
	}
	a.note("%s", fmt.Sprintf(words, args...))
	return nil
}
