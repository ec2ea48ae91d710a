package cli

import (
	"context"
	"fmt"
	"strings"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

// printer writes messages as lines. On a terminal days stand between them;
// elsewhere every line carries its date.
type printer struct {
	a   *app
	day string
	// titles also names the conversation, where lines of several mix; nil says
	// that there is one only.
	titles titles
}

// line writes one message. Every line after the first is indented, so that
// nobody can write a line that looks like somebody else's.
func (p *printer) line(m *apiv1.Message) {
	l := p.a.look
	at := m.GetTime().AsTime().In(p.a.loc)
	when := at.Format("2006-01-02 15:04")
	if l.tty {
		if day := at.Format("Mon 2 Jan 2006"); day != p.day {
			p.day = day
			fmt.Fprintln(p.a.out, l.paint(dim, "-- "+day+" --"))
		}
		when = at.Format("15:04")
	}
	state := "<"
	if m.GetOwn() {
		state = l.glyph(m.GetDelivery())
	} else if l.tty {
		state = " "
	}
	head := fmt.Sprintf("%s %s %s ", l.paint(dim, shortMessage(m.GetId())), when, state)
	if p.titles != nil && m.GetOwn() {
		head += l.paint(dim, "to "+p.titles.of(m)+" ")
	}
	fmt.Fprintf(p.a.out, "%s%s: %s\n", head, l.paint(bold, author(m)), p.text(m))
}

const indent = "         "

func (p *printer) text(m *apiv1.Message) string {
	l := p.a.look
	var b strings.Builder
	switch {
	case m.GetDeleted():
		b.WriteString(l.paint(dim, "(removed)"))
	default:
		b.WriteString(strings.ReplaceAll(cleanText(m.GetText()), "\n", "\n"+indent))
		if m.GetEdited() != nil {
			b.WriteString(l.paint(dim, " (edited)"))
		}
	}
	if m.GetReplyTo() != "" {
		b.WriteString("\n" + indent + l.paint(dim, "answers "+shortMessage(m.GetReplyTo())))
	}
	if rs := m.GetReactions(); len(rs) > 0 {
		b.WriteString("\n" + indent)
		for i, r := range rs {
			if i > 0 {
				b.WriteString("  ")
			}
			fmt.Fprintf(&b, "%s %d", cleanName(r.GetEmoji()), len(r.GetAccounts()))
		}
	}
	if d := m.GetDelivery(); m.GetOwn() && (d == apiv1.Delivery_DELIVERY_REFUSED || d == apiv1.Delivery_DELIVERY_EXPIRED) {
		b.WriteString("\n" + indent + l.paint(yellow, stateText(d, m.GetDeliveryText())))
	}
	return b.String()
}

// author is who wrote it, in our words.
func author(m *apiv1.Message) string {
	if m.GetOwn() {
		return "You"
	}
	if name := cleanName(m.GetAuthorName()); name != "" {
		return name
	}
	return shortID(m.GetAuthor())
}

// titles are what conversations are called: name -> title.
type titles map[string]string

// readTitles asks the node for them.
func readTitles(ctx context.Context, c *client.Client) (titles, error) {
	res, err := c.Messages.ListConversations(ctx, &apiv1.ListConversationsRequest{})
	if err != nil {
		return nil, err
	}
	t := titles{}
	for _, conv := range res.GetConversations() {
		t[conv.GetName()] = cleanName(conv.GetTitle())
	}
	return t, nil
}

// of is the conversation of a message, by its id's end where it has no title.
func (t titles) of(m *apiv1.Message) string {
	if title := t[m.GetConversation()]; title != "" {
		return title
	}
	return shortID(strings.TrimPrefix(m.GetConversation(), peoplePrefix))
}
