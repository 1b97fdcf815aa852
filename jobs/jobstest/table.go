package jobstest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// TableOf makes an input object of rows, as a job with the option Table reads them from an Arrow or Parquet file. The rows' type
// need not be the job's record type: their columns are found by name. It panics if the type cannot be columns.
//
//	trips := jobstest.TableOf("trips", Trip{...}, Trip{...})
//	rows := jobstest.RunTables(t, job, nil, trips)
func TableOf[R any](name string, rows ...R) Object {
	schema, columns, err := jobs.ColumnsOf(rows...)
	if err != nil {
		panic(fmt.Sprintf("table %s: %v", name, err))
	}
	return Object{URL: "mem://input/" + name, Schema: schema, Columns: columns}
}

// RunTables is Run for input objects of columns.
func RunTables(t testing.TB, job *jobs.Job, params map[string]string, tables ...Object) []Row {
	t.Helper()
	result, err := RunObjects(job, params, tables, 1)
	if err != nil {
		t.Fatalf("job %s: %v", job.Name(), err)
	}
	return result.Rows()
}

// blockOf is an object as the one block of its map task; it reports false for an object without records. The engine reads no more
// columns than the format names, nor does the block have more.
func blockOf(o Object, f jobs.Format) (jobs.Block, bool, error) {
	if f.Kind != jobs.FormatColumns {
		return jobs.Block{URL: o.URL, Input: o.Input, Data: o.Data}, len(o.Data) > 0 || f.Kind == jobs.FormatFile, nil
	}
	b := jobs.Block{URL: o.URL, Input: o.Input, Schema: o.Schema, Columns: o.Columns}
	if len(o.Schema.Fields) == 0 {
		return b, false, fmt.Errorf("oracle: %s has no columns, but the job reads some: make it with TableOf", o.URL)
	}
	if len(f.Columns) > 0 {
		b.Schema, b.Columns = jobs.Schema{}, jobs.Columns{Rows: o.Columns.Rows}
	}
	for _, name := range f.Columns {
		at := slices.IndexFunc(o.Schema.Fields, func(f jobs.Field) bool { return f.Name == name })
		if at < 0 {
			return b, false, fmt.Errorf("oracle: %s has no column %q", o.URL, name)
		}
		b.Schema.Fields = append(b.Schema.Fields, o.Schema.Fields[at])
		b.Columns.Columns = append(b.Columns.Columns, o.Columns.Columns[at])
	}
	return b, o.Columns.Rows > 0, nil
}
