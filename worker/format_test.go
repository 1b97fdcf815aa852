package worker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
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

// An error of a CSV record says that the reader guessed, and what to do, where its split begins amid an object and quotes can be
// meant; what is no record's error, or was not guessed, is left as it is.
func TestGuessedCSV(t *testing.T) {
	t.Parallel()
	record := &jobs.RecordError{URL: "mem://b/x", Offset: 70, Err: errors.New("csv: 3 fields")}
	for name, test := range map[string]struct {
		format  jobs.Format
		offset  int64
		err     error
		guessed bool
	}{
		"a record":        {jobs.Format{Kind: jobs.FormatCSV}, 60, record, true},
		"the cutter's":    {jobs.Format{Kind: jobs.FormatCSV}, 60, fmt.Errorf("read: %w", input.ErrRecord), true},
		"too many bad":    {jobs.Format{Kind: jobs.FormatCSV}, 60, fmt.Errorf("map: %w", jobs.ErrRejects), true},
		"the first split": {jobs.Format{Kind: jobs.FormatCSV}, 0, record, false},
		"no quotes":       {jobs.Format{Kind: jobs.FormatCSV, NoQuotes: true}, 60, record, false},
		"lines":           {jobs.Format{}, 60, record, false},
		"the storage's":   {jobs.Format{Kind: jobs.FormatCSV}, 60, errors.New("access denied"), false},
	} {
		p := plan.Piece{Offset: test.offset, Length: 20}
		p.Size = 1234
		a := &attempt{task: wire.Task{Split: plan.Split{Pieces: []plan.Piece{p}}}}
		got := a.guessed(jobs.Info{Inputs: []jobs.Input{{Format: test.format}}}, test.err)
		if !errors.Is(got, test.err) || strings.Contains(got.Error(), "was guessed") != test.guessed || test.guessed != strings.Contains(got.Error(), "at least 1234 bytes (--split-size)") {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
