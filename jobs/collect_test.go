package jobs_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// A stage's first rows are collected as its row type, or one of some of its columns; another type is an error that names the
// column.
func TestCollected(t *testing.T) {
	t.Parallel()
	type row struct {
		Name  string
		Shape []float64
		N     *int64
	}
	n := int64(7)
	want := []row{{"a", []float64{1, 2}, &n}, {"b", []float64{}, nil}}
	schema, batch, err := jobs.ColumnsOf(want...)
	if err != nil {
		t.Fatal(err)
	}
	var got []row
	var names []struct{ Name string }
	var wrong error
	type none struct{}
	chain := jobs.DefineChain("c", []*jobs.Job{first, last}, func(c *jobs.Chain, _ none) (err error) {
		d := c.Run(first, jobs.Stage{Collect: 4})
		if got, err = jobs.Collected[row](d); err != nil {
			return err
		}
		if names, err = jobs.Collected[struct{ Name string }](d); err != nil {
			return err
		}
		_, wrong = jobs.Collected[struct{ Name int64 }](d)
		c.Finish(last, jobs.Stage{})
		return nil
	})
	done := jobs.StageResult{Spec: jobs.StageSpec{Job: "first", Collect: 4}, Rows: 4, Schema: schema, Collected: []jobs.Columns{batch, batch}}
	if _, err := chain.Advance(nil, []jobs.StageResult{done}); err != nil {
		t.Fatal(err)
	}
	if want := append(want, want...); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(names) != 4 || names[1].Name != "b" {
		t.Errorf("got %+v", names)
	}
	if wrong == nil || !strings.Contains(wrong.Error(), `rows of stage 1 (first)`) || !strings.Contains(wrong.Error(), `"name"`) {
		t.Errorf("got %v", wrong)
	}
}
