package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/master/etcdha/backup"
	"github.com/millrace/millrace/master/etcdha/state"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/localstore"
)

// snapshotFlags say where a master's snapshots go.
type snapshotFlags struct {
	url   string
	every time.Duration
	kept  int
}

func (f *snapshotFlags) define(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.url, "snapshots", "", "folder or s3://bucket/prefix for snapshots of what it knows; one for each cluster, the same for all of its masters (default: none are taken)")
	fs.DurationVar(&f.every, "snapshot-every", 10*time.Minute, "time between two snapshots")
	fs.Var(millrace.AtLeast{N: &f.kept, Least: 1}, "snapshots-kept", "how many of the newest are kept (default 24)")
}

// minSnapshotEvery keeps a master from doing little else.
const minSnapshotEvery = time.Second

// options are the flags' meaning. The calls to the bucket are given up sooner than those for a job: what they were for comes again.
func (f *snapshotFlags) options(c *cobra.Command, dataDir string) (o backup.Options, err error) {
	if f.url == "" {
		if c.Flags().Changed("snapshot-every") || c.Flags().Changed("snapshots-kept") {
			return o, errors.New("--snapshot-every and --snapshots-kept are about snapshots: say where they go with --snapshots")
		}
		return o, nil
	}
	if f.every < minSnapshotEvery {
		return o, fmt.Errorf("--snapshot-every %v: give %v or more", f.every, minSnapshotEvery)
	}
	st := backends.New(backends.Options{
		Store: storage.Options{Attempts: 4, CallTimeout: time.Minute, IdleTimeout: 30 * time.Second},
		Local: localstore.Options{Private: true}, // as the data directory, whose content a snapshot has
	})
	o.Every, o.Kept = f.every, f.kept
	if o.Bucket, err = backup.New(st, f.url); err != nil {
		return o, fmt.Errorf("--snapshots: %w", err)
	}
	path, local := strings.CutPrefix(strings.TrimSuffix(o.Bucket.String(), "/"), "file://")
	if fi, err := os.Stat(path); local && err == nil && !fi.IsDir() {
		return o, fmt.Errorf("--snapshots %s: it is a file: give a folder, or one that does not exist", f.url)
	}
	home, err := storage.ParseURL(dataDir)
	if err == nil && storage.Inside(o.Bucket.String(), home.String()) {
		err = fmt.Errorf("--snapshots %s: it lies in the data directory %s, and would be lost with that: choose a folder elsewhere, better on another machine", f.url, dataDir)
	}
	return o, err
}

func snapshotsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "snapshots URL",
		Short:   "List the snapshots of what a cluster's masters know",
		Long:    "List the snapshots in URL, which is what the masters were given as --snapshots, or a cluster's folder in it: the newest last.",
		Example: "  millrace master snapshots s3://bucket/millrace-snapshots",
		Args:    millrace.Arguments(1, "URL"),
		RunE:    func(c *cobra.Command, args []string) error { return listSnapshots(c.Context(), os.Stdout, args[0]) },
	}
}

func listSnapshots(ctx context.Context, out io.Writer, url string) error {
	f, err := backup.Find(ctx, backends.New(backends.Options{}), url)
	if err != nil {
		return badURL(err)
	}
	if f.Bucket == nil {
		return fmt.Errorf("%s is a snapshot: restore it with millrace master restore", url)
	}
	last, err := f.Bucket.LastTerm(ctx, f.Contents)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	fmt.Fprintf(out, "cluster %s, last term %d", f.Contents.Cluster, f.Contents.Highest)
	if last.Leader != "" {
		fmt.Fprintf(out, ", which %s began at %s", last.Leader, last.Begun.Format(time.RFC3339))
	}
	fmt.Fprintln(out)
	if f.Snapshot == nil {
		_, err = fmt.Fprintln(out, "no snapshots")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TAKEN\tTERM\tREVISION\tSIZE\tURL")
	for _, s := range f.Contents.Snapshots {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", s.Taken.Format(time.RFC3339), s.Term, s.Revision, humanize.Bytes(uint64(s.Size)), place(s.URL))
	}
	return w.Flush()
}

// badURL marks an error about a URL's form as one of usage.
func badURL(err error) error {
	if errors.Is(err, storage.ErrBadURL) {
		return millrace.Usage(err)
	}
	return err
}

func restoreCommand() *cobra.Command {
	var dataDir, listen string
	c := &cobra.Command{
		Use:   "restore SNAPSHOT",
		Short: "Make a master's data directory from a snapshot",
		Long: `Make a data directory for a master from a snapshot of what the masters of a cluster knew. SNAPSHOT is the URL of one, or what the
masters were given as --snapshots: the newest one there.

The folder must be empty. What was decided after the snapshot is lost: jobs that were submitted later are not known, tasks that were
done later run again. Three masters are restored on one of them; the others start with empty folders and join it.
docs/operations.md is about backup and restore.`,
		Example: `  millrace master restore s3://bucket/millrace-snapshots --data-dir /var/lib/millrace
  millrace master snapshots s3://bucket/millrace-snapshots`,
		Args: millrace.Arguments(1, "SNAPSHOT"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if dataDir == "" {
				if dataDir, err = defaultDataDir(listen, os.Getenv); err != nil {
					return millrace.Usage(err)
				}
			}
			return restore(c.Context(), os.Stdout, args[0], dataDir)
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.StringVar(&dataDir, "data-dir", "", "folder to restore to (default: ~/.local/state/millrace/master-HOST-PORT)")
	fs.StringVar(&listen, "listen", "127.0.0.1:7800", "address of the master whose default folder is meant")
	return c
}

func restore(ctx context.Context, out io.Writer, url, dataDir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	meter := newMeter(false)
	defer meter.Close()
	r, err := state.Restore(ctx, state.RestoreOptions{
		Store: backends.New(backends.Options{}), URL: url, DataDir: dataDir, Log: log,
		Progress: func(done, total int64) { meter.Bytes("restore: reading the snapshot", done, total) },
	})
	meter.Close()
	if err != nil {
		return badURL(err)
	}
	_, err = io.WriteString(out, describeRestored(r, dataDir))
	return err
}

// describeRestored says what was restored, and how to start on it.
func describeRestored(r state.Restored, dataDir string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "restored\t%s\n", console.Line(dataDir))
	fmt.Fprintf(w, "from\t%s\n", place(r.URL))
	if !r.Taken.IsZero() {
		fmt.Fprintf(w, "taken\t%s, %s\n", r.Taken.Format(time.RFC3339), humanize.Time(r.Taken))
	}
	fmt.Fprintf(w, "cluster\t%s\n", r.Cluster)
	fmt.Fprintf(w, "last term\t%d\n", r.Term)
	fmt.Fprintf(w, "jobs\t%d, ended ones included\n", r.Jobs)
	_ = w.Flush() // of a Builder
	if r.Alive != "" {
		fmt.Fprintf(&b, "\nThe master at %s runs, and has a state of this cluster. While it does, no master starts on what was restored.\n", console.Line(r.Alive))
	}
	fmt.Fprintf(&b, "\nStart the master with the flags that it had, the other masters with empty folders:\n\n  millrace master --data-dir %s", shellWord(dataDir))
	if r.Bucket != nil {
		fmt.Fprintf(&b, " --snapshots %s", shellWord(place(r.Bucket.String())))
	}
	if newer, ok := errors.AsType[*backup.NewerError](r.Older); ok {
		fmt.Fprintf(&b, " --bump-term %d\n\n--bump-term is needed once, since %s tells of a later time than this snapshot.\n", newer.Term, place(newer.Bucket))
	} else {
		b.WriteByte('\n')
	}
	return b.String()
}

// shellWord is text as a word of a command that is copied to a shell.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	text = console.Line(text)
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
