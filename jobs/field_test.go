package jobs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// CutField gives what strings.Split gives, and an error where that gives fewer parts.
func TestCutField(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", ";", "a", "a;b;c", ";;a;;", "a::b:::c", strings.Repeat("x;", 99)} {
		for _, separator := range []string{";", "::", "no"} {
			all := strings.Split(line, separator)
			for n := 1; n <= len(all)+1; n++ {
				got, err := jobs.CutField(line, separator, n)
				if n > len(all) {
					if err == nil || got != "" || !strings.Contains(err.Error(), fmt.Sprintf("has no field %d", n)) {
						t.Errorf("field %d of %q: got %q, %v", n, line, got, err)
					}
				} else if err != nil || got != all[n-1] {
					t.Errorf("field %d of %q: got %q, %v, want %q", n, line, got, err, all[n-1])
				}
			}
			if got, err := jobs.CutField(line, separator, 0); err != nil || got != line {
				t.Errorf("field 0 of %q: got %q, %v", line, got, err)
			}
		}
	}
}

func ExampleCutField() {
	fmt.Println(jobs.CutField("ann,32,Oslo", ",", 3))
	fmt.Println(jobs.CutField("ann,32,Oslo", ",", 4))
	// Output:
	// Oslo <nil>
	//  the line "ann,32,Oslo" has no field 4
}
