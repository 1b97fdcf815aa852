package bench

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What became more than 10 % slower than the machine as a whole, or allocates more, is named; what benchstat finds no evidence
// for is not, nor what is in one of the measurements only.
func TestRegressions(t *testing.T) {
	t.Parallel()
	const head = "goos: linux\npkg: github.com/millrace/millrace/jobs\n,old,,new,,,\n,sec/op,CI,sec/op,CI,vs base,P\n"
	// The machine is twice as slow as the baseline's.
	const rows = "A,1.0,2%,2.0,2%,+100.00%,p=0.002 n=6\nB,1.0,2%,2.1,2%,+110.00%,p=0.002 n=6\nC,1e-3,2%,2e-3,2%,+100.00%,p=0.002 n=6\n" +
		"D,1.0,2%,3.0,2%,~,p=0.5 n=6\nF,3.0,2%,6.0,2%,+100.00%,p=0.002 n=6\nGone,1.0,2%\n,,,\nNew,,,1.0,2%\ngeomean,1.0,,2.0,,+100.00%,\n"
	for _, test := range []struct {
		name, csv string
		want      []string
		fails     bool
	}{
		{"equal", head + rows, []string{"compared 5 benchmarks", "2.00 times", "ok: none"}, false},
		{"slower", head + rows + "E,1.0,2%,2.5,2%,+150.00%,p=0.002 n=6\n", []string{"SLOWER: jobs E: 25 %"}, true},
		{"allocates", head + rows + "\n,old,,new,,,\n,allocs/op,CI,allocs/op,CI,vs base,P\nA,0,0%,2,0%,?,p=0.002 n=6\nB,1,0%,1,0%,~,p=1 n=6\n",
			[]string{"ALLOCATES MORE: jobs A: 2 allocations instead of 0"}, true},
		{"nothing", "goos: linux\n", []string{"FAIL: no benchmark is in both"}, true},
	} {
		cmd := exec.Command("awk", "-v", "strict=1", "-f", filepath.Join("..", "..", "..", ".ci", "regressions.awk"))
		cmd.Stdin = strings.NewReader(test.csv)
		out, err := cmd.CombinedOutput()
		if (err != nil) != test.fails {
			t.Errorf("%s: %v\n%s", test.name, err, out)
		}
		for _, want := range test.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: %q is not in\n%s", test.name, want, out)
			}
		}
		if n := strings.Count(string(out), "\n"); n > 2 {
			t.Errorf("%s: more is named than that:\n%s", test.name, out)
		}
	}
}
