package wordcount_test

import (
	"fmt"

	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/wordcount"
)

func ExampleJob() {
	text := jobstest.Objects("The cat, the dog\n", "and the mouse\n")
	result, err := jobstest.RunObjects(wordcount.Job(), map[string]string{"lower": "true", "min-length": "3"}, text, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"and" 1}
	// {"cat" 1}
	// {"dog" 1}
	// {"mouse" 1}
	// {"the" 3}
}
