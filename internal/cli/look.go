package cli

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/rivo/uniseg"

	apiv1 "parley/gen/parley/api/v1"
)

// look is what the terminal can show.
type look struct {
	tty     bool // for people: days apart, short ids
	color   bool
	unicode bool // delivery glyphs and block characters
}

func newLook(tty bool, getenv func(string) string) look {
	l := look{tty: tty, color: tty && getenv("TERM") != "dumb"}
	if force := getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		l.color = true
	}
	if getenv("NO_COLOR") != "" {
		l.color = false
	}
	l.unicode = tty && utf8Locale(getenv)
	return l
}

// utf8Locale asks the first locale variable that is set, as the C library does.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return runtime.GOOS == "windows" || runtime.GOOS == "darwin"
}

type style string

const (
	plainStyle style = ""
	bold       style = "1"
	dim        style = "2"
	red        style = "31"
	yellow     style = "33"
)

func (l look) paint(s style, text string) string {
	if !l.color || s == plainStyle || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// glyphs of product.md, the same in every face.
var glyphs = map[apiv1.Delivery]struct{ unicode, ascii, words string }{
	apiv1.Delivery_DELIVERY_QUEUED:    {"◌", "?", "Waiting for someone to connect"},
	apiv1.Delivery_DELIVERY_SENT:      {"◔", "~", "Sent"},
	apiv1.Delivery_DELIVERY_HELD:      {"◑", "+", "Kept by others"},
	apiv1.Delivery_DELIVERY_DELIVERED: {"●", "*", "Delivered"},
	apiv1.Delivery_DELIVERY_READ:      {"◉", "=", "Read"},
	apiv1.Delivery_DELIVERY_REFUSED:   {"⊘", "!", "Not accepted"},
	apiv1.Delivery_DELIVERY_EXPIRED:   {"⊗", "x", "Not delivered. Send again?"},
}

// glyph is one column wide. A state this program does not know is a dot.
func (l look) glyph(d apiv1.Delivery) string {
	g, ok := glyphs[d]
	switch {
	case !ok:
		return "."
	case l.unicode:
		return g.unicode
	}
	return g.ascii
}

// stateWord is the lower-case name of a state, as --wait takes it.
func stateWord(d apiv1.Delivery) string {
	name, ok := strings.CutPrefix(d.String(), "DELIVERY_")
	if !ok {
		return fmt.Sprintf("state-%d", d)
	}
	return strings.ToLower(name)
}

// stateText is the sentence of the node, or ours when it sent none.
func stateText(d apiv1.Delivery, text string) string {
	if text != "" {
		return cleanText(text)
	}
	if g, ok := glyphs[d]; ok {
		return g.words
	}
	return "Newer than this program knows"
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

func cells(texts ...string) []cell {
	out := make([]cell, len(texts))
	for i, t := range texts {
		out[i].text = t
	}
	return out
}

// table prints rows in columns that fit wide characters. The first row is the
// head when head is set; a script sees it too, so that columns have names.
func (l look) table(w io.Writer, head []string, rows [][]cell) {
	if len(head) > 0 {
		h := cells(head...)
		for i := range h {
			h[i].style = dim
		}
		rows = append([][]cell{h}, rows...)
	}
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(c.text))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, c := range row {
			b.WriteString(l.paint(c.style, c.text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-uniseg.StringWidth(c.text)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
