package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                      "plain",
		"a\tb\nc":                    "a\tb\nc",
		"\x1b[2Jgone":                "[2Jgone",
		"\u009b31mred":               "31mred",
		"win\r\ndos\rmac":            "win\ndos\nmac",
		"evil\u202egnp.exe":          "evilgnp.exe",
		"iso\u2066late\u2069":        "isolate",
		"line\u2028para\u2029\u0085": "line\npara\n\n",
		"bad \xff byte":              "bad \uFFFD byte",
		"👩‍👩‍👧 family":               "👩‍👩‍👧 family",
		"\a\b\x00\x7f":               "",
		"عربي עברית":                 "عربي עברית",
	} {
		if got := cleanText(in); got != want {
			t.Errorf("cleanText(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		" Maya \n root ":             "Maya root",
		"a\u202eb":                   "ab",
		"x\U000E0041\U000E007F":      "x",
		strings.Repeat("🦦", 41):      strings.Repeat("🦦", 40) + "…",
		"\x1b]8;;http://evil\x1b\\t": "]8;;http://evil\\t",
	} {
		if got := cleanName(in); got != want {
			t.Errorf("cleanName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine("two\n lines", 20); got != "two lines" {
		t.Errorf("got %q", got)
	}
	if got := oneLine("日本語日本語", 7); got != "日本語…" || uniseg.StringWidth(got) > 7 {
		t.Errorf("got %q", got)
	}
}

// FuzzClean: nothing that a terminal acts on survives, and cleaning twice is
// cleaning once.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "\x1b[31m", "a\u202eb\u2028", "\xff\xfe", "👩‍👩‍👧\r\n", "\u009b0c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := cleanText(s)
		if !utf8.ValidString(text) {
			t.Errorf("%q is not UTF-8", text)
		}
		for _, r := range text {
			if r != '\n' && r != '\t' && forbidden(r) || r == 0x2028 || r == 0x2029 || r == '\r' {
				t.Errorf("%q still holds %U", text, r)
			}
		}
		if again := cleanText(text); again != text {
			t.Errorf("cleaning twice changes %q to %q", text, again)
		}
		name := cleanName(s)
		if strings.ContainsAny(name, "\n\t\x1b") || uniseg.GraphemeClusterCount(name) > maxNameClusters+1 {
			t.Errorf("name %q", name)
		}
		if w := uniseg.StringWidth(oneLine(s, 20)); w > 20 {
			t.Errorf("a line of %d columns", w)
		}
	})
}
