package jobs_test

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// Words by how often they come: one stage counts, the next one orders what the first one wrote.
func ExampleDefineChain() {
	type count struct {
		Word string
		N    int64
	}
	counts := jobs.New("count", func(line string, emit func(string, int64)) error {
		for word := range strings.FieldsSeq(line) {
			emit(word, 1)
		}
		return nil
	}, func(word string, ns jobs.Values[int64], emit func(count)) error {
		emit(count{word, jobs.Total(ns)})
		return nil
	}, jobs.Combine(jobs.Sum[int64]))
	order := jobs.New("order", func(c count, emit func(int64, string)) error {
		emit(-c.N, c.Word)
		return nil
	}, func(n int64, words jobs.Values[string], emit func(count)) error {
		for word := range words.All() {
			emit(count{word, -n})
		}
		return nil
	}, jobs.Table(), jobs.TotalOrder())
	popular := jobs.DefineChain("popular", []*jobs.Job{counts, order}, func(c *jobs.Chain, _ struct{}) error {
		counted := c.Run(counts, jobs.Stage{})
		c.Finish(order, jobs.Stage{From: []*jobs.Done{counted}})
		return nil
	})
	result, err := jobstest.RunObjects(popular, nil, jobstest.Objects("b a c b", "c b"), 1)
	fmt.Println(result.Rows(), err)
	// Output: [{"b" 3} {"c" 2} {"a" 1}] <nil>
}
