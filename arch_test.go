// Package parley_test holds the house: floors, fences and the habits that a
// compiler does not check.
package parley_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floors is the table of ARCHITECTURE.md. Imports go strictly down, except
// where sameFloor lists them.
var floors = map[string]int{
	"cmd/parley": 7, "internal/cli": 7, "internal/tui": 7, "parleytest": 7, "parleytest/e2e": 7, "parleytest/e2email": 7, "parleytest/nat": 7, "parleytest/simmail": 7, "parleytest/bench": 7,
	"internal/node": 6, "parleytest/process": 6,
	"internal/api": 5, "internal/web": 5, "client": 5, "parleytest/churn": 5,
	"internal/handle": 4, "internal/dm": 4, "internal/mailbox": 4, "internal/room": 4,
	"internal/history": 4, "internal/vault": 4, "internal/analytics": 4,
	"internal/guard": 3, "internal/moderation": 3,
	"internal/identity": 2, "internal/store": 2, "internal/p2p": 2,
	"internal/seal": 1, "internal/wire": 1, "internal/live": 1, "internal/config": 1,
	"internal/gen/parley/wire/v1": 1, "gen/parley/api/v1": 1, "gen/parley/api/v1/apiv1connect": 1,
	"internal/chat": 0,
}

var sameFloor = map[string][]string{
	"cmd/parley":                     {"internal/cli"},
	"internal/cli":                   {"internal/tui"},
	"internal/identity":              {"internal/store"},
	"internal/wire":                  {"internal/gen/parley/wire/v1"},
	"gen/parley/api/v1/apiv1connect": {"gen/parley/api/v1"},
}

// onlyFrom: a package that only the listed ones may import.
var onlyFrom = map[string][]string{
	"internal/p2p":                   {"internal/node", "parleytest"},
	"internal/gen/parley/wire/v1":    {"internal/wire", "internal/identity", "internal/dm", "internal/mailbox", "parleytest/process"},
	"gen/parley/api/v1":              {"gen/parley/api/v1/apiv1connect", "internal/api", "client", "internal/cli", "internal/tui", "internal/node", "parleytest", "parleytest/process", "parleytest/e2e", "parleytest/e2email"},
	"gen/parley/api/v1/apiv1connect": {"internal/api", "client", "internal/cli", "internal/tui", "internal/node", "parleytest", "parleytest/process", "parleytest/e2e", "parleytest/e2email"},
}

// onlyFiles narrows an import to named files of a package.
var onlyFiles = map[string]map[string][]string{
	"internal/cli": {"internal/node": {"run.go"}},
}

// fences keep third parties where they are wrapped. A prefix maps to the
// packages that may name it outside tests.
var fences = map[string][]string{
	"github.com/libp2p/":            {"internal/p2p", "parleytest"},
	"github.com/multiformats/":      {"internal/p2p", "internal/identity", "parleytest"}, // identity: addresses in invites
	"github.com/ncruces/":           {"internal/store"},
	"connectrpc.com/":               {"internal/api", "client", "internal/node", "gen/parley/api/v1/apiv1connect", "parleytest/process", "parleytest/e2e", "parleytest/e2email"},
	"charm.land/":                   {"internal/tui"},
	"golang.org/x/crypto/":          {"internal/seal", "internal/identity"},
	"github.com/tyler-smith/":       {"internal/identity"},
	"github.com/spf13/cobra":        {"internal/cli"},
	"github.com/knadh/koanf/":       {"internal/config"},
	"google.golang.org/grpc":        {},
	"github.com/cloudflare/circl":   {},
	"github.com/marcopolo/simnet":   {"parleytest"},
	"github.com/stretchr/testify":   {},
	"database/sql":                  {"internal/store"},
	"github.com/rogpeppe/go-intern": {},
}

var bannedNames = []string{"util", "utils", "common", "helpers", "types", "manager", "base", "misc"}

const maxLines = 500 // target 400; a longer file is two nouns

type source struct {
	path string // slash path from the root
	pkg  string // its folder
	test bool
	gen  bool
	file *ast.File
	text string
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "tools" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		slash := filepath.ToSlash(path)
		out = append(out, source{
			path: slash, pkg: filepath.ToSlash(filepath.Dir(path)), file: f, text: string(text),
			test: strings.HasSuffix(path, "_test.go"), gen: strings.HasPrefix(slash, "gen/") || strings.HasPrefix(slash, "internal/gen/"),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("found %d Go files: run from the root of the repository", len(out))
	}
	return out
}

func TestFloors(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.pkg == "." || strings.HasPrefix(s.pkg, "examples/") {
			continue
		}
		from, ok := floors[s.pkg]
		if !ok {
			t.Errorf("%s: package %s has no floor: add it to the table and to ARCHITECTURE.md", s.path, s.pkg)
			continue
		}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			to, ours := strings.CutPrefix(path, "parley/")
			if !ours {
				if third := strings.Contains(path, "."); third && s.pkg == "internal/chat" {
					t.Errorf("%s imports %s: chat has the standard library only", s.path, path)
				} else if third && s.pkg == "client" && !strings.HasPrefix(path, "connectrpc.com/") && !strings.HasPrefix(path, "google.golang.org/") {
					t.Errorf("%s imports %s: client has the stubs and Connect only", s.path, path)
				}
				continue
			}
			if floor, ok := floors[to]; !ok {
				t.Errorf("%s imports %s, which has no floor", s.path, to)
			} else if floor >= from && !slices.Contains(sameFloor[s.pkg], to) {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports go down", s.path, from, to, floor)
			}
			if allowed, ok := onlyFrom[to]; ok && !slices.Contains(allowed, s.pkg) {
				t.Errorf("%s imports %s: only %v may", s.path, to, allowed)
			}
			if files, ok := onlyFiles[s.pkg][to]; ok && !slices.Contains(files, filepath.Base(s.path)) {
				t.Errorf("%s imports %s: only %v may", s.path, to, files)
			}
			if s.pkg == "internal/chat" {
				t.Errorf("%s imports %s: chat has the standard library only", s.path, to)
			}
			if s.pkg == "client" && !strings.HasPrefix(to, "gen/") {
				t.Errorf("%s imports %s: a program outside could not", s.path, to)
			}
		}
	}
}

func TestFences(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.gen && !strings.HasPrefix(s.pkg, "gen/") {
			continue
		}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			for prefix, allowed := range fences {
				if strings.HasPrefix(path, prefix) && !slices.Contains(allowed, s.pkg) {
					t.Errorf("%s imports %s: fenced into %v", s.path, path, allowed)
				}
			}
		}
	}
}

func TestPackageDocsAndNames(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test || s.gen {
			continue
		}
		documented[s.pkg] = documented[s.pkg] || s.file.Doc != nil
		if slices.Contains(bannedNames, s.file.Name.Name) {
			t.Errorf("%s: package name %q says nothing", s.path, s.file.Name.Name)
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

func TestFileSizes(t *testing.T) {
	for _, s := range sources(t) {
		if n := strings.Count(s.text, "\n"); !s.gen && n > maxLines {
			t.Errorf("%s has %d lines, at most %d: split it by noun", s.path, n, maxLines)
		}
	}
}

// TestBareGo: every goroutine stands in an errgroup or WaitGroup.Go that the
// same function waits on, so a bare go statement is a leak in waiting.
func TestBareGo(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.gen {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: bare go statement: use an errgroup or WaitGroup.Go that is waited for", s.path)
			}
			return true
		})
	}
}

var prints = regexp.MustCompile(`\bfmt\.Print(f|ln)?\(`)

func TestPrintsStayInCLI(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test && s.pkg != "internal/cli" && s.pkg != "parleytest/e2e" && s.pkg != "parleytest/e2email" && !strings.HasPrefix(s.pkg, "examples/") && prints.MatchString(s.text) {
			t.Errorf("%s prints: only cli talks to a terminal", s.path)
		}
	}
}

// TestProjectSpeaksOfItself keeps paths of one machine and unfinished ends out
// of the code.
func TestProjectSpeaksOfItself(t *testing.T) {
	open := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)
	machine := regexp.MustCompile(`"/(home|root|Users|work)/`)
	for _, s := range sources(t) {
		if s.gen {
			continue
		}
		if open.MatchString(s.text) {
			t.Errorf("%s leaves an open end in the code: file an issue instead", s.path)
		}
		if machine.MatchString(s.text) {
			t.Errorf("%s names a folder of one machine", s.path)
		}
	}
}

// TestDependencies holds the list of modules in the binary against the
// committed one, so that a new dependency is a visible decision.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}", "./cmd/parley").Output()
	if err != nil {
		t.Fatalf("listing dependencies: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	lines = slices.DeleteFunc(slices.Compact(lines), func(l string) bool { return strings.TrimSpace(l) == "" || strings.HasPrefix(l, "parley ") })
	got := strings.Join(lines, "\n") + "\n"
	const list = "docs/dependencies.txt"
	if os.Getenv("PARLEY_REWRITE") != "" {
		if err := os.WriteFile(list, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the binary's dependencies changed; argue each in the commit, then run PARLEY_REWRITE=1 go test -run Dependencies .\ngot:\n%s", got)
	}
}
