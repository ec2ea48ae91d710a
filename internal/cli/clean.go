package cli

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// maxNameClusters keeps a name from pushing the rest of a line away. The
// store allows 32 clusters in a display name; petnames are ours.
const maxNameClusters = 40

// cleanText makes text that others wrote safe for a terminal: no control
// characters but line feed and tab, no direction overrides, no invisible
// separators that start a line of their own.
func cleanText(s string) string {
	if plain(s) {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r' || r == '\v' || r == '\f' || r == 0x85 || r == 0x2028 || r == 0x2029:
			return '\n'
		case forbidden(r):
			return -1
		}
		return r
	}, s)
}

// cleanName also keeps a name on one line and bounds it.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 0xE0000 && r <= 0xE007F { // tags: invisible text
			return -1
		}
		return r
	}, cleanText(s))
	s = strings.Join(strings.Fields(s), " ")
	g := uniseg.NewGraphemes(s)
	for n := 0; g.Next(); n++ {
		if n == maxNameClusters {
			from, _ := g.Positions()
			return s[:from] + "…"
		}
	}
	return s
}

// forbidden are C0 and C1 controls, marks and overrides of direction, and
// annotation and byte-order marks.
func forbidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7F && r <= 0x9F:
		return true
	case r == 0x061C, r == 0x200E, r == 0x200F:
		return true
	case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x206F:
		return true
	case r == 0xFEFF, r >= 0xFFF9 && r <= 0xFFFB:
		return true
	}
	return false
}

// plain reports that there is nothing to clean: the common case.
func plain(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || r != '\n' && r != '\t' && (forbidden(r) || r == 0x2028 || r == 0x2029 || unicode.IsControl(r)) {
			return false
		}
	}
	return true
}

// oneLine is the beginning of a text on one line, at most width columns.
func oneLine(s string, width int) string {
	s = strings.Join(strings.Fields(cleanText(s)), " ")
	if uniseg.StringWidth(s) <= width {
		return s
	}
	used, end := 0, 0
	g := uniseg.NewGraphemes(s)
	for g.Next() {
		if used+g.Width() > width-1 {
			break
		}
		used += g.Width()
		_, end = g.Positions()
	}
	return s[:end] + "…"
}
