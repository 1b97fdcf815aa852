package jsonlines_test

import (
	"fmt"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/jsonlines"
)

// A job of JSON lines: the bytes that each user has loaded.
func ExampleMap() {
	type event struct {
		User  string `json:"user"`
		Bytes int64  `json:"bytes"`
	}
	type row struct {
		User  string
		Bytes int64
	}
	job := jobs.New("traffic",
		jsonlines.Map(func(e event, emit func(user string, bytes int64)) error {
			emit(e.User, e.Bytes)
			return nil
		}),
		func(user string, bytes jobs.Values[int64], emit func(row)) error {
			emit(row{user, jobs.Total(bytes)})
			return nil
		},
		jobs.Combine(jobs.Sum[int64]))
	for _, lines := range []string{
		`{"user":"ann","bytes":10,"path":"/"}` + "\n" + `{"user":"bob","bytes":5}` + "\n" + `{"user":"ann","bytes":7}` + "\n",
		`{"user":"ann","bytes":10}` + "\n" + `{"user":"ann","bytes":"7"}` + "\n",
	} {
		result, err := jobstest.RunObjects(job, nil, jobstest.Objects(lines), 1)
		if err != nil {
			fmt.Println(err)
			continue
		}
		for _, row := range result.Rows() {
			fmt.Println(row)
		}
	}
	// Output:
	// {"ann" 17}
	// {"bob" 5}
	// map mem://input/0 at byte 26: decode json: column 23, member /bytes: "7" does not fit int64
}
