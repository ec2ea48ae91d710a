package main

import "testing"

func TestTimeUp(t *testing.T) {
	const progress = "fuzz: elapsed: 0s, gathering baseline coverage: 0/201 completed\nfuzz: elapsed: 11s, execs: 78462 (1097/sec), new interesting: 5 (total: 206)\n"
	const end = "FAIL\nexit status 1\nFAIL\tparley/internal/dm\t11.033s\n"
	for name, c := range map[string]struct {
		out  string
		want bool
	}{
		"the coordinator's own end":   {progress + "--- FAIL: FuzzContent (11.03s)\n    context deadline exceeded\n" + end, true},
		"a finding":                   {progress + "--- FAIL: FuzzContent (4.00s)\n    --- FAIL: FuzzContent (0.00s)\n        content_test.go:9: wrong\n    \n    Failing input written to testdata/fuzz/FuzzContent/1\n" + end, false},
		"a finding that names a time": {progress + "--- FAIL: FuzzContent (4.00s)\n    --- FAIL: FuzzContent (0.00s)\n        content_test.go:9: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzContent/1\n" + end, false},
		"words before the end":        {progress + "panic: no\n--- FAIL: FuzzContent (11.03s)\n    context deadline exceeded\n" + end, false},
		"another target":              {progress + "--- FAIL: FuzzOther (11.03s)\n    context deadline exceeded\n" + end, false},
		"a seed that fails":           {"--- FAIL: FuzzContent (0.01s)\n    --- FAIL: FuzzContent/seed#0 (0.00s)\n" + end, false},
		"nothing fuzzed":              {"--- FAIL: FuzzContent (11.03s)\n    context deadline exceeded\n" + end, false},
		"code that does not build":    {"# parley/internal/dm\n./x.go:1:1: no\nFAIL\tparley/internal/dm [build failed]\n", false},
	} {
		if got := timeUp("FuzzContent", []byte(c.out)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
