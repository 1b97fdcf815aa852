package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/doctor"
)

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	doctor.Options
	report millrace.Report // json and quiet
}

func doctorCommand() *cobra.Command {
	f := doctorFlags{Options: doctor.Options{
		Writers: doctor.DefaultWriters, Rounds: doctor.DefaultRounds, Objects: doctor.DefaultObjects,
		Bytes: doctor.DefaultBytes, Time: doctor.DefaultTime,
	}}
	c := &cobra.Command{
		Use:   "doctor URL",
		Short: "Find out whether a bucket or folder behaves as the commit of outputs needs",
		Long: "Try out what millrace relies on in a bucket, or in a local folder: conditional writes of many writers at a time, uploads " +
			"that nobody sees before they are completed, ranged reads of one version of an object, listings right after writes and " +
			"removals, unusual names, the clock; and measure latency and throughput. It ends with 0 if the store is suitable and with " +
			"1 if it is not, or if that could not be found out.\n\nIt works in a new folder under URL, " + doctor.Prefix + "…, and removes that in the " +
			"end, also on Ctrl-C. By default it makes some 3,000 requests, writes some 120 MB and takes less than half a minute.",
		Example: "  millrace doctor s3://bucket/prefix\n  millrace doctor /mnt/share/out --rounds 100 --time 10m\n  millrace doctor s3://bucket --json | jq .suitable",
		Args:    millrace.Arguments(1, "URL"),
		RunE:    func(c *cobra.Command, args []string) error { return runDoctor(c.Context(), os.Stdout, f, args[0]) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.Var(millrace.AtLeast{N: &f.Writers, Least: 2}, "writers", "writers of one object at a time")
	fs.Var(millrace.AtLeast{N: &f.Rounds, Least: 1}, "rounds", "races of that many writers")
	fs.Var(millrace.AtLeast{N: &f.Objects, Least: 4}, "objects", "small objects to write for the listings; S3 lists 1,000 in a page")
	fs.Var((*jobs.Size)(&f.Bytes), "bytes", "to write, and to read, for the throughput")
	fs.DurationVar(&f.Time, "time", f.Time, "for all checks; what has not been found out by then is not known")
	fs.BoolVar(&f.report.JSON, "json", false, "print the result as JSON")
	fs.BoolVarP(&f.report.Quiet, "quiet", "q", false, "print the verdict only")
	return c
}

func runDoctor(ctx context.Context, out io.Writer, f doctorFlags, url string) error {
	u, err := storage.ParseURL(url)
	if err != nil {
		return millrace.Usage(err)
	}
	if f.Time <= 0 {
		return millrace.Usage(fmt.Errorf("--time %v: give more than nothing", f.Time))
	}
	b, u, err := backends.New(backends.Options{}).Backend(ctx, u.String())
	if err != nil {
		return err
	}
	meter := newMeter(f.report.Quiet)
	f.Progress = func(check string) { meter.Say("doctor: " + check) }
	tidy := localFolders(u)
	r, err := doctor.Run(ctx, b, u, f.Options)
	err = errors.Join(err, tidy(r.Folder))
	meter.Close()
	if f.report.JSON {
		err = errors.Join(err, console.WriteJSON(out, r))
	} else {
		_, e := io.WriteString(out, doctorText(r, f.report.Quiet))
		err = errors.Join(err, e)
	}
	if len(r.Left) > 0 {
		err = errors.Join(err, fmt.Errorf("doctor %s: %s could not be removed, as %s: remove %s yourself",
			url, plural(len(r.Left), "thing", "things"), r.Left[0], r.Folder))
	}
	if err == nil && !r.Suitable {
		err = fmt.Errorf("doctor %s: %s", url, strings.ToLower(r.Verdict[:1])+strings.TrimSuffix(r.Verdict[1:], "."))
	}
	return err
}

// localFolders returns what removes the folders that an examination makes on this machine, which no Backend does: those it
// worked in, and the URL's own if it was not there before.
func localFolders(u storage.URL) func(worked string) error {
	if u.Scheme != "file" {
		return func(string) error { return nil }
	}
	missing := ""
	for dir := "/" + strings.TrimSuffix(u.Key, "/"); dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		missing = dir
	}
	return func(worked string) error {
		worked = strings.TrimSuffix(strings.TrimPrefix(worked, "file://"), "/")
		if err := removeEmpty(worked); err != nil {
			return err
		}
		if missing != "" {
			return removeEmpty(missing)
		}
		return nil
	}
}

// removeEmpty removes a folder with the folders in it; those that hold files stay.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	empty := true
	for _, e := range entries {
		if !e.IsDir() {
			empty = false
			continue
		}
		if err := removeEmpty(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if !empty {
		return nil
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		if left, e := os.ReadDir(dir); e == nil && len(left) > 0 { // a folder within holds files
			return nil
		}
		return err
	}
	return nil
}

// doctorText is a report for people: a line per check, below those that failed what is lost and what to do, the verdict last.
func doctorText(r *doctor.Report, quiet bool) string {
	var b strings.Builder
	if quiet {
		return r.Verdict + "\n"
	}
	fmt.Fprintf(&b, "%s\n\n", place(r.URL))
	for _, c := range r.Results {
		mark := string(c.Status)
		if c.Status == doctor.Failed {
			mark = "FAILED"
		}
		fmt.Fprintf(&b, "  %-7s  %-31s  %s\n", mark, c.Check, console.Line(c.Seen))
		for _, text := range []string{c.Lost, c.Do} {
			if text != "" {
				fmt.Fprintf(&b, "  %-7s  %-31s  %s\n", "", "", text)
			}
		}
	}
	fmt.Fprintf(&b, "\n%s\n%s in %.1f s", r.Verdict, plural(int(r.Requests), "request", "requests"), r.Seconds)
	if len(r.Left) == 0 {
		b.WriteString("; all that was made is removed")
	}
	return b.String() + ".\n"
}
