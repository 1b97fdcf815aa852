package master

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/output"
)

// maxCollected bounds what a chain collects of one stage, bytes: all of it lies in the master's memory and journal until the
// chain's end.
const maxCollected = 1 << 20

// collect returns the first n rows of an output.
func collect(ctx context.Context, out *output.Output, n int) (batches []jobs.Columns, err error) {
	size := 0
	e := out.Batches(ctx, func(schema arrowfile.Schema, b arrowfile.Batch) bool {
		head, bytes := schema.Head(b, n)
		if head.Rows == 0 {
			return true
		}
		if size += bytes; size > maxCollected {
			err = fmt.Errorf("collect rows of %s: they have more than %d bytes: collect fewer rows, or write shorter ones", out.URL, maxCollected)
			return false
		}
		batches = append(batches, jobs.Columns{Rows: head.Rows, Columns: jobColumns(head.Columns)})
		n -= head.Rows
		return n > 0
	})
	if err == nil {
		err = e
	}
	return batches, err
}

// jobColumns is columns in the words of package jobs, which does not know storage. The buffers are not copied.
func jobColumns(in []arrowfile.Column) []jobs.Column {
	var out []jobs.Column
	for _, c := range in {
		out = append(out, jobs.Column{Nulls: c.Nulls, Valid: c.Valid, Offsets: c.Offsets, Data: c.Data, Children: jobColumns(c.Children)})
	}
	return out
}
