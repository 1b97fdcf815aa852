package jobs_test

import (
	"testing"

	"github.com/millrace/millrace/jobs"
)

// Values that come from no engine stream past once too.
func TestValuesOf(t *testing.T) {
	t.Parallel()
	values := jobs.ValuesOf(1, 2, 3)
	for v := range values.All() {
		if v == 2 {
			break
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a second loop did not panic")
		}
	}()
	for v := range values.All() {
		t.Errorf("a second loop gives %d", v)
	}
}
