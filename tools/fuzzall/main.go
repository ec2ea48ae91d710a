// Command fuzzall runs every native fuzz target of a Go module, one after the
// other, and stops at the first that fails.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

var target = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

func main() {
	root := flag.String("root", ".", "folder of the module")
	length := flag.String("time", "10s", "time or runs for each target, as in -fuzztime")
	flag.Parse()
	if err := run(*root, *length); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzall:", err)
		os.Exit(1)
	}
}

// timeUp reports whether a run failed of nothing but its own end: the fuzzing
// coordinator of Go 1.26 now and then takes the time that it was given for an
// error (go.dev/issue/75804). A finding, a hang and a crash of a worker each
// write the input that failed, and say more.
func timeUp(name string, out []byte) bool {
	ending := regexp.MustCompile(`\n--- FAIL: ` + name + ` \([0-9.]+s\)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\t\S+\t[0-9.]+s\n*$`)
	progress := regexp.MustCompile(`^(fuzz: elapsed: [^\n]*\n?)+$`)
	at := ending.FindIndex(out)
	return at != nil && progress.Match(out[:at[0]])
}

func run(root, length string) error {
	count := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || path != root && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range target.FindAllSubmatch(text, -1) {
			count++
			name := string(m[1])
			fmt.Printf("%s %s\n", filepath.Dir(path), name)
			cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", length, "-parallel", "2", ".")
			cmd.Dir = filepath.Dir(path)
			if out, err := cmd.CombinedOutput(); err != nil && !timeUp(name, out) {
				return fmt.Errorf("%s in %s: %w\n%s", name, cmd.Dir, err, out)
			}
		}
		return nil
	})
	if err == nil && count == 0 {
		return fmt.Errorf("no fuzz target under %s", root)
	}
	fmt.Printf("%d targets, %s each\n", count, length)
	return err
}
