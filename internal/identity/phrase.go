package identity

import (
	"fmt"
	"strings"

	"github.com/tyler-smith/go-bip39"

	"parley/internal/chat"
)

const (
	phraseWords   = 24
	entropyBytes  = 32
	minSuggestion = 4 // the first letters that tell two listed words apart
)

// phraseOf is the 24 words of an entropy.
func phraseOf(entropy *[entropyBytes]byte) string {
	words, err := bip39.NewMnemonic(entropy[:])
	if err != nil {
		panic("identity: 32 bytes make a phrase: " + err.Error())
	}
	return words
}

// ParsePhrase reads the 24 words that restore an account. Case and spacing are
// free. It fails with chat.ErrInvalid and the exact cause.
func ParsePhrase(phrase string) ([entropyBytes]byte, error) {
	var entropy [entropyBytes]byte
	words := strings.Fields(strings.ToLower(phrase))
	if len(words) != phraseWords {
		return entropy, fmt.Errorf("%w phrase: it has %d words, this has %d", chat.ErrInvalid, phraseWords, len(words))
	}
	for i, w := range words {
		if _, ok := bip39.GetWordIndex(w); ok {
			continue
		}
		if near := nearestWord(w); near != "" {
			return entropy, fmt.Errorf("%w phrase: word %d, %q, is not in the list; did you mean %q?", chat.ErrInvalid, i+1, clip(w), near)
		}
		return entropy, fmt.Errorf("%w phrase: word %d, %q, is not in the list", chat.ErrInvalid, i+1, clip(w))
	}
	b, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if err != nil || len(b) != entropyBytes {
		return entropy, fmt.Errorf("%w phrase: every word is in the list, but the checksum does not fit: a word is wrong or two are swapped", chat.ErrInvalid)
	}
	copy(entropy[:], b)
	return entropy, nil
}

// nearestWord is the listed word within two slips of w, or "".
func nearestWord(w string) string {
	const longest = 8 // letters of the longest listed word
	if len(w) > longest+2 {
		return ""
	}
	best, distance := "", 3
	for _, candidate := range bip39.GetWordList() {
		d := editDistance(w, candidate)
		if d > 0 && len(w) >= minSuggestion && strings.HasPrefix(candidate, w[:minSuggestion]) {
			d-- // the first four letters decide among equals
		}
		closer := d < distance || d == distance && lengthGap(w, candidate) < lengthGap(w, best)
		if closer && d < 3 {
			best, distance = candidate, d
		}
	}
	return best
}

func lengthGap(a, b string) int { return max(len(a)-len(b), len(b)-len(a)) }

// editDistance counts the letters to insert, drop, replace or swap with their
// neighbour.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// clip keeps a stray paste out of an error message.
func clip(s string) string {
	const most = 16
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
