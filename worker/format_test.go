package worker

import (
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage/input"
)

// The ways to cut records that a job's code names are those that package input knows, and nothing of them is lost between.
func TestInputFormats(t *testing.T) {
	t.Parallel()
	for kind, want := range map[jobs.FormatKind]input.Kind{
		jobs.FormatLines: input.Lines, jobs.FormatFixed: input.Fixed, jobs.FormatFile: input.File, jobs.FormatCSV: input.CSV,
	} {
		if got := inputPiece(plan.Piece{}, jobs.Format{Kind: kind}).Format.Kind; got != want {
			t.Errorf("format %d becomes %d, want %d", kind, got, want)
		}
	}
	got := inputPiece(plan.Piece{Offset: 5, Length: 6}, jobs.Format{Kind: jobs.FormatCSV, Comma: ';', NoHeader: true})
	if want := (input.Piece{Offset: 5, Length: 6, Format: input.Format{Kind: input.CSV, Comma: ';', Quotes: true}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = inputPiece(plan.Piece{}, jobs.Format{Kind: jobs.FormatCSV, Comma: ',', NoQuotes: true})
	if want := (input.Format{Kind: input.CSV, Comma: ',', Header: true}); got.Format != want {
		t.Errorf("got %+v, want %+v", got.Format, want)
	}
}
