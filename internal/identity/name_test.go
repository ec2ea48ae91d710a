package identity

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"parley/internal/chat"
)

func TestCleanName(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Maya Kowalski", "Maya Kowalski"},
		{"outer and inner space", " \t Maya \u00a0\n K ", "Maya K"},
		{"direction override", "Maya\u202eexe.\u2066x\u2069", "Mayaexe.x"},
		{"invisible letters", "M\u3164a\u200by\u2060a\ufeff\u115f", "Maya"},
		{"blank Braille", "\u2800Ana\u2800", "Ana"},
		{"control", "A\x00n\x07a\x7f", "Ana"},
		{"private use", "A\ue000na", "Ana"},
		{"composed", "Jose\u0301", "Jos\u00e9"},
		{"wide letters", "\uff2d\uff41\uff59\uff41", "Maya"},
		{"stacked marks", "a\u0336\u0337\u0338\u0315\u031b", "a\u0336\u0337"},
		{"lone mark", "\u0301Ana", "Ana"},
		{"family", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467"},
		{"heart on fire", "\u2764\ufe0f\u200d\U0001f525", "\u2764\ufe0f\u200d\U0001f525"},
		{"skin tone", "\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3fd"},
		{"joiner between letters", "a\u200db", "ab"},
		{"selector on a letter", "a\ufe0f", "a"},
		{"keycap", "1\ufe0f\u20e3", "1\ufe0f\u20e3"},
		{"Hindi", "क्षितिज", "क्षितिज"},
		{"Thai", "น้ำใจ", "น\u0e49\u0e4dาใจ"},
		{"Arabic", "مريم", "مريم"},
		{"reserved inside a longer name", "Admin Istvan", "Admin Istvan"},
	} {
		got, err := CleanName(c.in)
		if err != nil || got != c.want {
			t.Errorf("%s: CleanName(%+q) = %+q, %v; want %+q", c.name, c.in, got, err, c.want)
		}
	}
}

func TestCleanNameCuts(t *testing.T) {
	long, err := CleanName(strings.Repeat("x", 5000))
	if err != nil || long != strings.Repeat("x", maxNameClusters) {
		t.Errorf("long name = %q, %v", long, err)
	}
	family := "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
	wide, err := CleanName(strings.Repeat(family, 20))
	if err != nil || wide != strings.Repeat(family, chat.MaxDisplayName/len(family)) {
		t.Errorf("wide name = %q, %v: clusters must stay whole", wide, err)
	}
}

func TestCleanNameRefuses(t *testing.T) {
	for _, c := range []struct{ in, cause string }{
		{"", "no visible character"},
		{" \u200b\u2060\t", "no visible character"},
		{"a\xff", "not valid UTF-8"},
		{"System", "reserved"},
		{"A d m i n !", "reserved"},
		{"ＭＯＤＥＲＡＴＯＲ", "reserved"},
		{"par\u200bley", "reserved"},
	} {
		got, err := CleanName(c.in)
		if !errors.Is(err, chat.ErrInvalid) || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("CleanName(%+q) = %q, %v; want cause %q", c.in, got, err, c.cause)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"Maya", "a\u0336\u0337\u0338", "\u2764\ufe0f\u200d\U0001f525", "a\u202eb", "1\ufe0f\u20e3", "क्षितिज", "\u1100\u1161\u11a8", "a\u0315\u0300\u05ae\u0301", "\ufdfa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once, err := CleanName(in)
		if err != nil {
			return
		}
		if !utf8.ValidString(once) || len(once) > chat.MaxDisplayName || uniseg.GraphemeClusterCount(once) > maxNameClusters {
			t.Fatalf("CleanName(%+q) = %+q breaks its limits", in, once)
		}
		if strings.ContainsAny(once, "\n\r\t\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f") {
			t.Fatalf("CleanName(%+q) = %+q keeps a control", in, once)
		}
		twice, err := CleanName(once)
		if err != nil || twice != once {
			t.Fatalf("CleanName twice: %+q, then %+q, %v", once, twice, err)
		}
	})
}
