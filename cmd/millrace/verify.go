package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/verify"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	parallel int
	limit    int
	report   millrace.Report // json and quiet
}

func verifyCommand() *cobra.Command {
	f := verifyFlags{parallel: 8, limit: 50}
	c := &cobra.Command{
		Use:   "verify OUTPUT",
		Short: "Compare an output's parts with its manifest, byte by byte",
		Long: "Read an output whole and compare it with its manifest: each part is there, has the size and the CRC32C that the manifest " +
			"states, can be read as an Arrow file of the manifest's columns and has its rows; and no other *.arrow file lies beside " +
			"them. It names all that is wrong and ends with 1 if anything is. It changes nothing.",
		Example: "  millrace verify /tmp/words\n  millrace verify s3://out/words --parallel 32\n  millrace verify s3://out/words --json | jq .problems",
		Args:    millrace.Arguments(1, "output"),
		RunE:    func(c *cobra.Command, args []string) error { return runVerify(c.Context(), os.Stdout, f, args[0]) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.Var(millrace.AtLeast{N: &f.parallel, Least: 1}, "parallel", "parts read at a time")
	fs.Var(millrace.AtLeast{N: &f.limit, Least: 0}, "limit", "problems printed at most; 0: all")
	fs.BoolVar(&f.report.JSON, "json", false, "print the result as JSON")
	fs.BoolVarP(&f.report.Quiet, "quiet", "q", false, "print problems only")
	return c
}

func runVerify(ctx context.Context, out io.Writer, f verifyFlags, folder string) error {
	if _, err := storage.ParseURL(folder); err != nil {
		return millrace.Usage(err)
	}
	meter := newMeter(f.report.Quiet)
	r, err := verify.Output(ctx, backends.New(backends.Options{}), folder, verify.Options{
		Parallel: f.parallel,
		Progress: func(read, total int64) { meter.Bytes("verify", read, total) },
	})
	meter.Close()
	if err != nil {
		return err
	}
	if f.report.JSON {
		err = console.WriteJSON(out, r)
	} else {
		_, err = io.WriteString(out, verifyText(r, f))
	}
	return errors.Join(err, verdict(r))
}

// newMeter shows progress on stderr where that is a terminal.
func newMeter(quiet bool) *console.Meter {
	tty, _ := console.Terminal(os.Stderr)
	width := func() int { _, n := console.Terminal(os.Stderr); return n }
	return console.NewMeter(os.Stderr, console.Options{Quiet: quiet, TTY: tty, NoColor: os.Getenv("NO_COLOR") != "", Width: width})
}

// verifyText is a report for people: a line per problem, or one that all is well.
func verifyText(r *verify.Report, f verifyFlags) string {
	var b strings.Builder
	if r.OK && !f.report.Quiet {
		fmt.Fprintf(&b, "%s is whole: %s of %s in %s, written by job %s %s; read in %.2f s%s\n", place(r.Output), plural(int(r.Rows), "row", "rows"),
			humanize.Bytes(uint64(r.Bytes)), plural(r.Parts, "part", "parts"), console.Line(r.Job), console.Line(r.ID), r.Seconds, rate(r.Bytes, r.Seconds))
	}
	shown := r.Problems
	if f.limit > 0 && len(shown) > f.limit {
		shown = shown[:f.limit]
	}
	width := 0
	for _, p := range shown {
		width = max(width, len(console.Line(p.Name)))
	}
	for _, p := range shown {
		fmt.Fprintf(&b, "%-*s  %-8s  %s\n", min(width, 60), console.Line(p.Name), p.Kind, console.Line(p.Text))
	}
	if rest := r.Count - len(shown); rest > 0 {
		fmt.Fprintf(&b, "… and %s\n", plural(rest, "more problem", "more problems"))
	}
	return b.String()
}

// verdict is the error of an output that is not what its manifest says.
func verdict(r *verify.Report) error {
	onlyExtra := !slices.ContainsFunc(r.Problems, func(p verify.Problem) bool { return p.Kind != verify.Extra })
	advice := "do not use it: restore the parts, or run the job again with --overwrite"
	switch {
	case r.OK:
		return nil
	case r.Parts == 0 && !onlyExtra:
		return fmt.Errorf("verify %s: no output that can be checked", r.Output)
	case onlyExtra:
		advice = "remove what no job named, or read the parts by the manifest, as millrace cat does"
	}
	return fmt.Errorf("verify %s: %s; %s of %s good: %s", r.Output, plural(r.Count, "problem", "problems"),
		humanize.Comma(int64(r.Good)), plural(r.Parts, "part is", "parts are"), advice)
}

// place is a URL as its user would type it: local files by their path.
func place(url string) string {
	if path, ok := strings.CutPrefix(url, "file://"); ok {
		url = path
	}
	return console.Line(url)
}

// plural is a number with a noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}

// rate is the speed of bytes over seconds, behind a comma.
func rate(bytes int64, seconds float64) string {
	if seconds <= 0 || bytes < 1<<20 {
		return ""
	}
	return ", " + humanize.Bytes(uint64(float64(bytes)/seconds)) + "/s"
}
