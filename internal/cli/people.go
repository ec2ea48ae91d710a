package cli

import (
	"context"
	"slices"
	"strings"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/config"
)

// person is somebody a command is about.
type person struct {
	account string
	name    string         // to say it: petname, display name or short id
	contact *apiv1.Contact // nil for somebody who is not a contact
}

const (
	peoplePrefix = "people/"
	idPrefix     = "parley:id/"
	// minSuffix keeps a short id from meaning somebody by accident: six
	// letters have 38 billion values.
	minSuffix = 6
)

// find is the one person who is meant by who: an account id, its link, a
// petname, the name a contact chose, or the end of a contact's id. A name that
// fits two people is not guessed. A stranger who only asks for contact is not
// found by the name they gave themselves, unless requests says so: it may be
// the name of somebody else.
func (a *app) find(ctx context.Context, c *client.Client, who string, requests bool) (person, error) {
	res, err := c.People.ListContacts(ctx, &apiv1.ListContactsRequest{})
	if err != nil {
		return person{}, err
	}
	list := res.GetContacts()
	if requests {
		more, err := c.People.ListContacts(ctx, &apiv1.ListContactsRequest{Requests: true})
		if err != nil {
			return person{}, err
		}
		list = append(list, more.GetContacts()...)
	}
	return match(list, who, requests)
}

// match is find over a list that may name somebody twice.
func match(list []*apiv1.Contact, who string, requests bool) (person, error) {
	if who = strings.TrimSpace(who); who == "" {
		return person{}, usage("whom? The name is empty")
	}
	id := strings.TrimPrefix(strings.TrimPrefix(who, idPrefix), peoplePrefix)
	rules := []func(*apiv1.Contact) bool{
		func(c *apiv1.Contact) bool { return c.GetAccount() == id },
		func(c *apiv1.Contact) bool { return c.GetPetname() == who },
		func(c *apiv1.Contact) bool { return strings.EqualFold(c.GetPetname(), who) },
		func(c *apiv1.Contact) bool {
			mayName := requests || c.GetState() == apiv1.ContactState_CONTACT_STATE_ADDED
			return mayName && c.GetPetname() == "" && strings.EqualFold(cleanName(c.GetDisplayName()), cleanName(who))
		},
		func(c *apiv1.Contact) bool {
			end := strings.TrimPrefix(who, "…")
			return len(end) >= minSuffix && strings.HasSuffix(c.GetAccount(), end)
		},
	}
	for _, rule := range rules {
		hits := map[string]*apiv1.Contact{}
		for _, c := range list {
			if rule(c) {
				hits[c.GetAccount()] = c
			}
		}
		switch len(hits) {
		case 0:
			continue
		case 1:
			for account, c := range hits {
				return person{account: account, name: contactName(c), contact: c}, nil
			}
		}
		return person{}, ambiguous(who, hits)
	}
	if looksLikeAccount(id) {
		return person{account: id, name: shortID(id)}, nil
	}
	return person{}, nobody(who, list)
}

// looksLikeAccount tells an id from a name; the node judges the id itself.
func looksLikeAccount(s string) bool {
	return strings.HasPrefix(s, "12D3KooW") && len(s) > 40
}

func ambiguous(who string, hits map[string]*apiv1.Contact) error {
	f := &failure{code: exitNotFound, reason: "AMBIGUOUS", what: "several people are called \"" + cleanName(who) + "\"", hint: "use the id, or name one of them with `parley contact rename <id> <name>`"}
	for _, c := range hits {
		f.candidates = append(f.candidates, contactName(c)+"  "+c.GetAccount())
	}
	slices.Sort(f.candidates)
	return f
}

func nobody(who string, list []*apiv1.Contact) error {
	f := notFound("nobody called %q", cleanName(who))
	f.hint = "`parley contact list` shows your contacts, `parley contact add <link>` adds one"
	if near := config.Nearest(strings.ToLower(who), names(list, strings.ToLower)); near != "" {
		f.hint = "did you mean \"" + near + "\"?"
	}
	return f
}

// names are what contacts may be called by, cleaned.
func names(list []*apiv1.Contact, form func(string) string) []string {
	var out []string
	for _, c := range list {
		name := c.GetPetname()
		if name == "" && c.GetState() == apiv1.ContactState_CONTACT_STATE_ADDED {
			name = c.GetDisplayName()
		}
		if name = cleanName(name); name != "" {
			out = append(out, form(name))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// contactName is what to call somebody: our name for them before their own.
func contactName(c *apiv1.Contact) string {
	for _, name := range []string{c.GetPetname(), c.GetDisplayName()} {
		if name = cleanName(name); name != "" {
			return name
		}
	}
	return shortID(c.GetAccount())
}

// conversation finds the conversation with somebody.
func (a *app) conversation(ctx context.Context, c *client.Client, who string) (string, person, error) {
	p, err := a.find(ctx, c, who, true)
	return peoplePrefix + p.account, p, err
}
