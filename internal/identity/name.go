package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"

	"parley/internal/chat"
)

const (
	maxNameClusters = 32   // what people count as characters: one line on a phone
	maxNameMarks    = 2    // combining marks on one base: stacked marks flood other lines
	maxNameInput    = 1024 // bytes looked at, so that cleaning costs microseconds
	maxNamePasses   = 4    // normalising and dropping settle within two
)

// reservedNames speak for the program or for power over others; nobody else
// may show them.
var reservedNames = map[string]bool{"system": true, "admin": true, "moderator": true, "parley": true}

const (
	zeroWidthJoiner = '\u200d'
	emojiSelector   = '\ufe0f'
	keycap          = '\u20e3'
)

// CleanName is a display name fit to be shown: normalised, one line, without
// invisible or direction-changing characters, at most 32 grapheme clusters and
// 128 bytes. Cleaning twice changes nothing. It fails with chat.ErrInvalid
// when nothing visible is left, when the bytes are no UTF-8, or when the name
// is a reserved word.
func CleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("%w name: it is not valid UTF-8", chat.ErrInvalid)
	}
	clean := clipBytes(name, maxNameInput)
	for range maxNamePasses {
		next := cleanOnce(clean)
		if next == clean {
			return checkName(clean)
		}
		clean = next
	}
	return "", fmt.Errorf("%w name: it does not settle", chat.ErrInvalid)
}

func checkName(clean string) (string, error) {
	if clean == "" {
		return "", fmt.Errorf("%w name: it has no visible character", chat.ErrInvalid)
	}
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, clean)
	if reservedNames[letters] {
		return "", fmt.Errorf("%w name: %q is reserved", chat.ErrInvalid, clean)
	}
	return clean, nil
}

func cleanOnce(s string) string {
	s = norm.NFKC.String(s)
	s = strings.Join(strings.Fields(strings.Map(visible, s)), " ")
	s = norm.NFC.String(keepClusters(s))
	return strings.TrimSpace(s)
}

// visible maps white space to a space and drops what has no shape of its own
// or changes the direction of its neighbours. The joiner and the selector stay
// for keepClusters to judge.
func visible(r rune) rune {
	switch {
	case r == zeroWidthJoiner || r == emojiSelector:
		return r
	case unicode.IsSpace(r):
		return ' '
	case unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
		return -1
	case r == '\u2800' || r == utf8.RuneError: // the blank Braille cell; what replaces damage
		return -1
	}
	return r
}

// keepClusters keeps whole clusters up to the limits, without stray joiners,
// selectors and marks.
func keepClusters(s string) string {
	var b strings.Builder
	count := 0
	for graphemes := uniseg.NewGraphemes(s); graphemes.Next(); {
		cluster := keepRunes(graphemes.Runes())
		if cluster == "" {
			continue
		}
		if count == maxNameClusters || b.Len()+len(cluster) > chat.MaxDisplayName {
			break
		}
		b.WriteString(cluster)
		count++
	}
	return b.String()
}

func keepRunes(cluster []rune) string {
	var kept []rune
	marks := 0
	for i, r := range cluster {
		last := rune(0)
		if len(kept) > 0 {
			last = kept[len(kept)-1]
		}
		next := rune(0)
		if i+1 < len(cluster) {
			next = cluster[i+1]
		}
		switch {
		case r == zeroWidthJoiner:
			if !emojiTail(last) || !unicode.Is(unicode.So, next) {
				continue
			}
			marks = 0
		case r == emojiSelector:
			if !unicode.Is(unicode.So, last) && next != keycap {
				continue
			}
		case unicode.In(r, unicode.Mn, unicode.Me):
			if last == 0 || marks == maxNameMarks {
				continue // a mark needs a base of its own
			}
			marks++
		default:
			marks = 0
		}
		kept = append(kept, r)
	}
	return string(kept)
}

// emojiTail reports whether an emoji can end with r, so that a joiner after it
// means something.
func emojiTail(r rune) bool {
	return r == emojiSelector || unicode.In(r, unicode.So, unicode.Sk)
}

// clipBytes cuts s to at most n bytes, never inside a character.
func clipBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
