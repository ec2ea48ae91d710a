package dm

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/wire"
)

const (
	contentVersion = 1
	saltSize       = 16
	maxRefs        = 4
	// maxCarried receipts in one content: their 64 ids each fill a frame.
	maxCarried = 16
)

// content is a verified plaintext. kind is zero for what is never shown.
type content struct {
	wire   *wirev1.Content
	id     chat.MessageID
	bytes  []byte
	kind   chat.Kind
	text   chat.Body
	target chat.MessageID
}

// newContent fills what every content of ours has.
func (c *Courier) newContent(to chat.AccountID) *wirev1.Content {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	self, manifest := c.keys.Self(), c.keys.Manifest()
	return &wirev1.Content{
		Version:      contentVersion,
		Salt:         salt,
		Conversation: string(to),
		AccountKey:   self.Account,
		DeviceKey:    self.Device,
		ManifestHash: manifest.Hash[:],
	}
}

// encode marshals our own message. Other encoders may write other bytes for
// the same fields, which does no harm: bytes are kept, never made again.
func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("dm: encoding our own message: " + err.Error())
	}
	return b
}

// setBody writes a checked draft into p.
func setBody(p *wirev1.Content, d Draft) {
	var target []byte
	if !d.Target.IsZero() {
		target = d.Target[:]
	}
	switch d.Kind {
	case chat.KindEdit:
		p.Body = &wirev1.Content_Edit_{Edit: &wirev1.Content_Edit{Target: target, Text: string(d.Text)}}
	case chat.KindDelete:
		p.Body = &wirev1.Content_Delete_{Delete: &wirev1.Content_Delete{Target: target}}
	case chat.KindReaction:
		p.Body = &wirev1.Content_Reaction_{Reaction: &wirev1.Content_Reaction{Target: target, Emoji: string(d.Text)}}
	default:
		p.Body = &wirev1.Content_Text_{Text: &wirev1.Content_Text{Text: string(d.Text), ReplyTo: target}}
	}
}

// checkText bounds what a person wrote, ours or a peer's.
func checkText(kind chat.Kind, text chat.Body, target chat.MessageID) error {
	most := chat.MaxText
	if kind == chat.KindReaction {
		most = chat.MaxReaction
	}
	switch {
	case kind < chat.KindText || kind > chat.KindReaction:
		return fmt.Errorf("%w: unknown kind %d", chat.ErrInvalid, kind)
	case kind != chat.KindText && target.IsZero():
		return fmt.Errorf("%w: nothing to apply it to", chat.ErrInvalid)
	case kind == chat.KindDelete && text != "":
		return fmt.Errorf("%w: a delete carries no text", chat.ErrInvalid)
	case (kind == chat.KindText || kind == chat.KindEdit) && strings.TrimSpace(string(text)) == "":
		return fmt.Errorf("%w: the message is empty", chat.ErrInvalid)
	case !utf8.ValidString(string(text)):
		return fmt.Errorf("%w: the text is not UTF-8", chat.ErrInvalid)
	case len(text) > most:
		return fmt.Errorf("%w: %d bytes of text, at most %d", chat.ErrTooLarge, len(text), most)
	}
	return nil
}

// parseContent reads what a ratchet message held. ok is false for bytes that
// no honest peer seals; refusal tells what an honest but different peer meant
// that we cannot keep.
func parseContent(b []byte) (c *content, refusal wirev1.Receipt_Refusal, ok bool) {
	p := new(wirev1.Content)
	if wire.Unmarshal(b, p) != nil {
		return nil, 0, false
	}
	c = &content{wire: p, id: chat.NewMessageID(b), bytes: b}
	if p.Version != contentVersion {
		return c, wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT, p.Version > contentVersion
	}
	if len(p.Salt) != saltSize || len(p.ManifestHash) != sha256.Size || len(p.Refs) > maxRefs || p.Time < 0 {
		return nil, 0, false
	}
	for _, ref := range p.Refs {
		if len(ref) != len(chat.MessageID{}) {
			return nil, 0, false
		}
	}
	var target []byte
	switch body := p.Body.(type) {
	case *wirev1.Content_Text_:
		c.kind, c.text, target = chat.KindText, chat.Body(body.Text.GetText()), body.Text.GetReplyTo()
	case *wirev1.Content_Edit_:
		c.kind, c.text, target = chat.KindEdit, chat.Body(body.Edit.GetText()), body.Edit.GetTarget()
	case *wirev1.Content_Delete_:
		c.kind, target = chat.KindDelete, body.Delete.GetTarget()
	case *wirev1.Content_Reaction_:
		c.kind, c.text, target = chat.KindReaction, chat.Body(body.Reaction.GetEmoji()), body.Reaction.GetTarget()
	case *wirev1.Content_Answer_:
		return c, 0, true
	case *wirev1.Content_Receipts_:
		return c, 0, len(body.Receipts.GetReceipts()) <= maxCarried
	default:
		return c, wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT, true
	}
	if len(target) != 0 && len(target) != len(c.target) || p.Number == 0 {
		return nil, 0, false
	}
	copy(c.target[:], target)
	return c, refuseText(c), true
}

func refuseText(c *content) wirev1.Receipt_Refusal {
	switch {
	case len(c.text) > chat.MaxText:
		return wirev1.Receipt_REFUSAL_TOO_LARGE
	case checkText(c.kind, c.text, c.target) != nil:
		return wirev1.Receipt_REFUSAL_UNKNOWN_CONTENT
	}
	return 0
}

// by reports whether the content names this author and us.
func (c *content) by(a about, us chat.AccountID) bool {
	return bytes.Equal(c.wire.AccountKey, a.accountKey) && bytes.Equal(c.wire.DeviceKey, a.deviceKey) &&
		c.wire.Conversation == string(us)
}

// links finds what a face may turn into a link, and bare names of hosts under
// the most common top-level domains. A stranger cannot send those.
var links = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://|\bwww\.|\b(mailto|magnet|parley|tel|data|javascript):|` +
	`\b[a-z0-9-]+\.(com|net|org|info|biz|io|app|dev|xyz|site|online|shop|top|ru|cn|de|uk|link|click|ly|gg|tv|cc)\b|` +
	`\b[a-z0-9-]+\.[a-z]{2,24}/\S)`)

func hasLink(text chat.Body) bool { return links.MatchString(string(text)) }
