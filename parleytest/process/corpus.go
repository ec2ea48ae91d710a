package process

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"parley/internal/chat"
)

// Lines takes the first n chat lines that fit a message and pass keep: all
// scripts first, then everyday chat.
func Lines(dir string, n int, keep func(string) bool) ([]string, error) {
	var out []string
	for _, name := range []string{"many-scripts", "ubuntu-help", "cinema-desk", "coffee-counter"} {
		if err := readLines(filepath.Join(dir, name+".jsonl.gz"), func(text string) bool {
			if strings.TrimSpace(text) != "" && len(text) <= chat.MaxText && keep(text) {
				out = append(out, text)
			}
			return len(out) < n
		}); err != nil {
			return nil, err
		}
		if len(out) == n {
			return out, nil
		}
	}
	return nil, errors.New("not enough chat lines")
}

func readLines(path string, next func(text string) bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var row struct{ Text string }
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			return err
		}
		if !next(row.Text) {
			return nil
		}
	}
	return s.Err()
}
