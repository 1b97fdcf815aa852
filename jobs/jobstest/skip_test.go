package jobstest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// picky refuses empty lines and panics on one, after it has emitted; it orders the values of a key.
func picky() *jobs.Job {
	return jobs.New("picky", func(line string, emit func(int, string)) error {
		emit(len(line), line)
		switch line {
		case "":
			return errors.New("the line is empty")
		case "boom":
			panic("boom")
		}
		return nil
	}, func(n int, lines jobs.Values[string], emit func(string)) error {
		for line := range lines.All() {
			emit(line)
		}
		return nil
	}, jobs.OrderBy(func(line string) string { return line }))
}

// The rows are those of the good records; the bad ones are told with their place, bytes, error and, of a panic, stack.
func TestRunSkipping(t *testing.T) {
	t.Parallel()
	rows, rejected := jobstest.RunSkipping(t, picky(), nil, "b\n\na\n", "boom\ncd")
	jobstest.Equal(t, rows, jobstest.Row{"a"}, jobstest.Row{"b"}, jobstest.Row{"cd"})
	if len(rejected) != 2 || !strings.Contains(fmt.Sprint(rejected[1][6]), "skip_test.go") {
		t.Fatalf("rejected are %v", rejected)
	}
	rejected[1][6] = ""
	jobstest.Equal(t, rejected,
		jobstest.Row{"mem://input/0", int64(2), int64(0), int64(1), []byte{}, "the line is empty", ""},
		jobstest.Row{"mem://input/1", int64(0), int64(0), int64(5), []byte("boom"), "panic: boom", ""})
}
