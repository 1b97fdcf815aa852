package jobs_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// with returns a job of the given types whose functions do nothing.
func with[R, K, V, Out any](opts ...jobs.Option) *jobs.Job {
	return jobs.New("job",
		func(R, func(K, V)) error { return nil },
		func(K, jobs.Values[V], func(Out)) error { return nil }, opts...)
}

// Types and options that do not fit give an error of Bind that names the job, the field or option, and the remedy.
func TestNewErrors(t *testing.T) {
	t.Parallel()
	type key struct {
		ID   int
		Tags []string
	}
	type value struct{ Seen map[string]bool }
	type row struct {
		Word string
		Ch   chan int
	}
	type same struct{ UserID, UserId int }
	type empty struct{ _ int }
	type loop struct{ Next []loop }
	for _, tt := range []struct {
		job  *jobs.Job
		want string
	}{
		{with[int, string, int, string](), "job job: record type int: records are string, []byte, jobs.Line, jobs.Lines or jobs.File"},
		{with[string, key, int, string](), "key type jobs_test.key: field jobs_test.key.Tags: type []string cannot be a key: keys are strings"},
		{with[string, string, value, string](), "value type jobs_test.value: field jobs_test.value.Seen: type map[string]bool cannot be a value: a map has no order"},
		{with[string, string, int, row](), "row type jobs_test.row: column ch: type chan int cannot be a column"},
		{with[string, string, int, *count](), "rows are emitted by value: use jobs_test.count"},
		{with[string, string, int, same](), "column user_id appears twice"},
		{with[string, string, int, empty](), "has no exported field to make a column of"},
		{with[string, string, int, loop](), "contains itself"},
		{with[string, string, int, map[string]int](), "use a slice of structs"},
		{with[string, string, int, struct{ P **int }](), "a pointer to a pointer"},
		{with[string, string, int, string](jobs.Combine(jobs.Sum[int64])), "option Combine: the function is a func(int64, int64) int64, but the values are int: give a func(a, b int) int"},
		{with[string, string, int, string](jobs.Partition(func(int, int) int { return 0 })), "option Partition: the function is a func(int, int) int, but the keys are string"},
		{with[string, string, int, string](jobs.FixedLength(10)), "option FixedLength: the record type is string, but records of fixed length are []byte"},
		{with[[]byte, string, int, string](jobs.FixedLength(0)), "option FixedLength: 0 bytes"},
		{with[string, string, int, string](jobs.Reducers(-1)), "option Reducers: -1"},
		{with[string, string, int, string](jobs.TotalOrder(), jobs.Partition(func(string, int) int { return 0 })), "options Partition and TotalOrder exclude each other"},
		{with[string, string, int, string](jobs.Reducers(1), jobs.Reducers(2)), "option Reducers is given twice"},
		{with[string, string, int, string](jobs.Combine[int](nil)), "option Combine: the function is nil"},
		{with[string, string, int, string](jobs.Partition[string](nil)), "option Partition: the function is nil"},
		{with[string, string, int, string](jobs.Option{}), "an Option is empty"},
		{jobs.New[string, string, int, string]("job", nil, nil), "the map or the reduce function is nil"},
		{jobs.New("", countMap, countReduce), "a job needs a name"},
		{jobs.New("-x", countMap, countReduce), `the name "-x" must be made of`},
	} {
		prog, err := tt.job.Bind(nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got error %v, want %q", err, tt.want)
		}
		if prog != nil {
			t.Errorf("%v comes with a program", err)
		}
	}
}
