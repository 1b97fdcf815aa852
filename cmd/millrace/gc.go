package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/leftovers"
)

// gcFlags are the flags of gc.
type gcFlags struct {
	dryRun    bool
	olderThan age
	masters   []string
	report    millrace.Report // json and quiet
}

// age is a duration as a flag, in days too.
type age time.Duration

// Set implements pflag.Value.
func (a *age) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, isDays := strings.CutSuffix(s, "d"); isDays {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		d = time.Duration(n * 24 * float64(time.Hour))
	}
	if err != nil || d < 0 {
		return errors.New("write it as 36h or 2d; 0s means any age")
	}
	*a = age(d)
	return nil
}

// String implements pflag.Value.
func (a *age) String() string {
	return strconv.FormatFloat(time.Duration(*a).Hours(), 'f', -1, 64) + "h"
}

// Type implements pflag.Value.
func (a *age) Type() string { return "AGE" }

func gcCommand() *cobra.Command {
	f := gcFlags{olderThan: age(leftovers.DefaultOlderThan)}
	c := &cobra.Command{
		Use:   "gc URL",
		Short: "Remove what dead jobs left in a bucket or folder",
		Long: "Find what jobs, masters and workers left that were killed, in the folder URL and all folders below, and remove it: pending " +
			"uploads of parts, folders of runs (.millrace-…), claims on outputs (.millrace-claim), stages of chains that did not end (_stages), folders of millrace doctor, and on " +
			"local disks temporary files. Objects of others and committed outputs are never touched. --dry-run lists it and removes " +
			"nothing.\n\n" +
			"A bucket does not say which jobs live. An output is left alone as long as anything pending in it, or in a folder around or " +
			"below, is younger than --older-than: choose more than your longest task takes. With --master the outputs of that master's " +
			"running jobs are left alone whatever their age; jobs of other masters, and of millrace run, are known by their age only. The " +
			"stages of a chain that failed are what --resume goes on from: they are taken for left at that age as well.",
		Example: "  millrace gc s3://bucket/out --dry-run\n  millrace gc s3://bucket --older-than 7d\n  millrace gc /data/out --master 127.0.0.1:7800 --older-than 0s",
		Args:    millrace.Arguments(1, "URL"),
		RunE:    func(c *cobra.Command, args []string) error { return runGC(c.Context(), os.Stdout, f, args[0]) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.BoolVarP(&f.dryRun, "dry-run", "n", false, "list what would be removed, and remove nothing")
	fs.Var(&f.olderThan, "older-than", "age from which things are taken for left, as in 36h or 7d")
	fs.StringSliceVar(&f.masters, "master", nil, "address of a master whose running jobs are left alone, HOST:PORT; several with commas (or MILLRACE_MASTER)")
	fs.BoolVar(&f.report.JSON, "json", false, "print the result as JSON")
	fs.BoolVarP(&f.report.Quiet, "quiet", "q", false, "print errors only")
	return c
}

func runGC(ctx context.Context, out io.Writer, f gcFlags, url string) error {
	u, err := storage.ParseURL(url)
	if err != nil {
		return millrace.Usage(err)
	}
	meter := newMeter(f.report.Quiet)
	defer meter.Close()
	o := leftovers.Options{OlderThan: time.Duration(f.olderThan), Progress: func(what string) { meter.Say("gc: " + what) }}
	if o.OlderThan == 0 {
		o.OlderThan = -1
	}
	if len(f.masters) > 0 {
		cl, err := dial(ctx, f.masters, wire.RoleClient, clientConnectFor)
		if err != nil {
			return err
		}
		defer cl.Close()
		o.Owners = func(ctx context.Context) ([]leftovers.Owner, error) { return runningJobs(ctx, cl) }
	}
	st := backends.New(backends.Options{})
	r, err := leftovers.Find(ctx, st, realURL(u.String()), o)
	if err != nil {
		return err
	}
	if r.DryRun = f.dryRun; !f.dryRun {
		err = leftovers.Remove(ctx, st, r, func(done, total int) { meter.Say(fmt.Sprintf("gc: removed %d of %d", done, total)) })
		err = errors.Join(err, removeRunFolders(r))
	}
	meter.Close()
	if f.report.JSON {
		return errors.Join(err, console.WriteJSON(out, r))
	}
	if !f.report.Quiet {
		_, e := io.WriteString(out, gcText(r, time.Now()))
		err = errors.Join(err, e)
	}
	return err
}

// listMost is how many running jobs are asked for, more than any master has.
const listMost = 1 << 20

// runningJobs asks a master for the jobs that have not ended, or whose output it still cleans.
func runningJobs(ctx context.Context, cl *wire.Client) ([]leftovers.Owner, error) {
	reply, err := cl.List(ctx, &wire.ListArgs{Max: listMost, Open: true})
	if err != nil {
		return nil, err
	}
	if reply.More {
		return nil, fmt.Errorf("gc: the master tells of %d of its running jobs only: which others run is not known, so nothing is removed", len(reply.Jobs))
	}
	var owners []leftovers.Owner
	for _, j := range reply.Jobs {
		if j.Ended.IsZero() {
			owners = append(owners, leftovers.Owner{ID: string(j.ID), Output: realURL(j.Output)})
		}
	}
	return owners, nil
}

// realURL follows the symbolic links in a local folder's name, so that one folder has one name.
func realURL(url string) string {
	path, ok := strings.CutPrefix(url, "file://")
	if !ok {
		return url
	}
	rest := ""
	for dir := filepath.Clean(path); ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if real, err := filepath.EvalSymlinks(dir); err == nil { // what is not there yet has no links
			return "file://" + filepath.Join(real, rest)
		}
		if dir == "/" {
			return url
		}
	}
}

// removeRunFolders removes the local folders that are empty now: no Backend does.
func removeRunFolders(r *leftovers.Report) error {
	var errs []error
	for _, i := range r.Items {
		path, local := strings.CutPrefix(i.URL, "file://")
		if local && i.Removed && strings.HasSuffix(path, "/") {
			errs = append(errs, removeEmpty(strings.TrimSuffix(path, "/")))
		}
	}
	return errors.Join(errs...)
}

// maxListed bounds the leftovers that are printed one by one; JSON has them all.
const maxListed = 100

// gcText is a report for people: a line per leftover, those that are kept by their reasons, and the sum.
func gcText(r *leftovers.Report, now time.Time) string {
	var b strings.Builder
	width, removed, failed := 0, 0, 0
	for _, i := range r.Items[:min(len(r.Items), maxListed)] {
		width = max(width, len(place(i.URL)))
	}
	for n, i := range r.Items {
		if i.Removed {
			removed++
		}
		if i.Problem != "" {
			failed++
		}
		if n < maxListed || i.Problem != "" {
			fmt.Fprintf(&b, "%-15s  %-*s  %9s  %s old\n", i.Kind, width, place(i.URL), humanize.Bytes(uint64(i.Size)), leftovers.Age(now.Sub(i.Active)))
		}
		if i.Problem != "" {
			fmt.Fprintf(&b, "  not removed: %s\n", console.Line(i.Problem))
		}
	}
	if rest := len(r.Items) - maxListed; rest > 0 {
		fmt.Fprintf(&b, "… and %s\n", plural(rest, "more", "more"))
	}
	gcKept(&b, r)
	sum := humanize.Bytes(uint64(leftovers.Size(r.Items)))
	switch {
	case len(r.Items) == 0:
		fmt.Fprintf(&b, "nothing to remove in %s\n", place(r.URL))
	case r.DryRun:
		fmt.Fprintf(&b, "would remove %s of %s\n", plural(len(r.Items), "leftover", "leftovers"), sum)
	default:
		fmt.Fprintf(&b, "removed %s of %s\n", plural(removed, "leftover", "leftovers"), humanize.Bytes(uint64(removedBytes(r))))
	}
	return b.String()
}

func removedBytes(r *leftovers.Report) (n int64) {
	for _, i := range r.Items {
		if i.Removed {
			n += i.Size
		}
	}
	return n
}

// gcKept says what is left alone, by output and reason.
func gcKept(b *strings.Builder, r *leftovers.Report) {
	type group struct {
		reason string
		n      int
		size   int64
	}
	var groups []*group
	for _, i := range r.Kept {
		var g *group
		for _, have := range groups {
			if have.reason == i.Kept {
				g = have
			}
		}
		if g == nil {
			g = &group{reason: i.Kept}
			groups = append(groups, g)
		}
		g.n++
		g.size += i.Size
	}
	for _, g := range groups {
		fmt.Fprintf(b, "kept %s of %s: %s\n", plural(g.n, "thing", "things"), humanize.Bytes(uint64(g.size)), console.Line(g.reason))
	}
	if r.Foreign > 0 {
		fmt.Fprintf(b, "left alone %s of other programs\n", plural(r.Foreign, "pending upload", "pending uploads"))
	}
}
