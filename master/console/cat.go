package console

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/output"
)

// Cat writes the rows of a committed output, part by part.
func Cat(ctx context.Context, w io.Writer, out *output.Output, o RowOptions) error {
	o.Total = out.Rows()
	buf := bufio.NewWriterSize(w, 64<<10)
	var rows *Rows
	var werr error
	err := out.Batches(ctx, func(s arrowfile.Schema, b arrowfile.Batch) bool {
		if rows == nil {
			if rows, werr = NewRows(buf, s, o); werr != nil {
				return false
			}
		}
		var more bool
		more, werr = rows.Write(b)
		return werr == nil && more
	})
	if rows != nil && err == nil && werr == nil {
		werr = rows.Close()
	}
	return errors.Join(err, werr, buf.Flush())
}
