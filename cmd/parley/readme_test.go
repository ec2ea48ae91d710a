package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme: readme.txt runs every command line of README.md, so that none of
// them rots.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join("testdata", "script", "readme.txt"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(readme)) {
		command, ok := strings.CutPrefix(line, "    ./parley ")
		if !ok {
			continue
		}
		seen++
		command, _, _ = strings.Cut(command, " # ")
		if want := "# ./parley " + strings.TrimSpace(command) + "\n"; !strings.Contains(string(script), want) {
			t.Errorf("readme.txt does not run %q", want)
		}
	}
	if seen < 10 {
		t.Errorf("README.md has %d command lines: has their form changed?", seen)
	}
}
