package identity

import (
	"errors"
	"strings"
	"testing"

	"parley/internal/chat"
)

// From the published BIP39 vectors: the entropy is 32 times 00, 7f and ff.
var knownPhrases = map[byte]string{
	0x00: strings.Repeat("abandon ", 23) + "art",
	0x7f: strings.Repeat("legal winner thank year wave sausage worth useful ", 2) + "legal winner thank year wave sausage worth title",
	0xff: strings.Repeat("zoo ", 23) + "vote",
}

func TestPhraseVectors(t *testing.T) {
	for b, phrase := range knownPhrases {
		var entropy [entropyBytes]byte
		for i := range entropy {
			entropy[i] = b
		}
		if got := phraseOf(&entropy); got != phrase {
			t.Errorf("phrase of %x… = %q", b, got)
		}
		got, err := ParsePhrase("  " + strings.ToUpper(strings.ReplaceAll(phrase, " ", " \n")))
		if err != nil || got != entropy {
			t.Errorf("ParsePhrase(%q) = %x, %v", phrase, got, err)
		}
	}
}

func TestParsePhraseCauses(t *testing.T) {
	good := strings.Fields(knownPhrases[0x7f])
	with := func(i int, word string) string {
		w := append([]string(nil), good...)
		w[i] = word
		return strings.Join(w, " ")
	}
	for _, c := range []struct{ name, in, cause string }{
		{"empty", "", "24 words, this has 0"},
		{"one missing", strings.Join(good[1:], " "), "24 words, this has 23"},
		{"letter missing", with(6, "wort"), `word 7, "wort", is not in the list; did you mean "worth"?`},
		{"letters swapped", with(1, "winenr"), `word 2, "winenr", is not in the list; did you mean "winner"?`},
		{"plural", with(3, "years"), `word 4, "years", is not in the list; did you mean "year"?`},
		{"beginning only", with(5, "saus"), `word 6, "saus", is not in the list`},
		{"nothing like it", with(0, "xyzzyqq"), `word 1, "xyzzyqq", is not in the list`},
		{"other script", with(0, "слово"), `word 1, "слово", is not in the list`},
		{"pasted novel", with(0, strings.Repeat("q", 300)), `word 1, "qqqqqqqqqqqqqqqq…", is not in the list`},
		{"words swapped", strings.Join(append([]string{good[1], good[0]}, good[2:]...), " "), "checksum does not fit"},
		{"other word", with(23, "zoo"), "checksum does not fit"},
	} {
		_, err := ParsePhrase(c.in)
		wantCause(t, c.name, err, c.cause)
		if !errors.Is(err, chat.ErrInvalid) {
			t.Errorf("%s: %v is not ErrInvalid", c.name, err)
		}
	}
}
