package millrace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/output"
)

// Report says how the end of a job is shown; run, submit and wait have it.
type Report struct {
	JSON  bool // a machine-readable summary instead of the one for people
	Quiet bool // errors only

	explained *Explanation
}

// Flags defines the report's flags.
func (r *Report) Flags(fs *pflag.FlagSet) {
	fs.BoolVar(&r.JSON, "json", false, "print the summary as JSON")
	fs.BoolVarP(&r.Quiet, "quiet", "q", false, "print errors only")
}

// Progress returns a function that shows a job's progress on w, and one that ends it.
func (r *Report) Progress(w *os.File) (show func(*JobStatus), end func()) {
	tty, _ := console.Terminal(w)
	width := func() int { _, n := console.Terminal(w); return n }
	p := console.New(w, console.Options{Quiet: r.Quiet, TTY: tty, NoColor: os.Getenv("NO_COLOR") != "", Width: width})
	return func(s *JobStatus) { p.Update(*s) }, p.Close
}

// firstRows is how many rows of an output the summary shows.
const firstRows = 10

// Summary prints a job's end, and the first rows of what it wrote, to stdout.
func (r *Report) Summary(ctx context.Context, st *storage.Store, s *JobStatus) error {
	switch {
	case s == nil || r.Quiet && !r.JSON:
		return nil
	case r.JSON:
		report := console.NewReport(*s, elapsed(s, time.Now()))
		if r.explained != nil {
			report.Explained = console.NewExplained(r.explained)
		}
		return report.Write(os.Stdout)
	case len(s.Parts) == 0: // it failed: the error says so
		return r.explain()
	}
	if err := console.Summary(os.Stdout, filepath.Base(os.Args[0]), *s, elapsed(s, time.Now())); err != nil {
		return err
	}
	out, err := output.Open(ctx, st, s.Output)
	if err != nil {
		return err
	}
	fmt.Println()
	_, width := console.Terminal(os.Stdout)
	if err := console.Cat(ctx, os.Stdout, out, console.RowOptions{Limit: firstRows, Width: width}); err != nil {
		return err
	}
	return r.explain()
}

// explain prints where the time went, if that was asked for.
func (r *Report) explain() error {
	if r.explained == nil {
		return nil
	}
	fmt.Println()
	_, width := console.Terminal(os.Stdout)
	return console.Explain(os.Stdout, r.explained, time.Now(), width)
}

// elapsed is how long a job took, or has taken by now if it still runs.
func elapsed(s *JobStatus, now time.Time) time.Duration {
	if !s.Ended.IsZero() {
		now = s.Ended
	}
	return max(0, now.Sub(s.Submitted)) // the clocks are two, the master's and this one
}
