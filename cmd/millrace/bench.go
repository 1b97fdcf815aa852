package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/cmd/internal/bench"
	"github.com/millrace/millrace/cmd/internal/gen"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	size    int64
	store   string
	inputs  []string
	memory  string
	seed    uint64
	repeats int
	json    bool
	quiet   bool
}

func benchCommand() *cobra.Command {
	f := benchFlags{seed: 1, repeats: 3}
	c := &cobra.Command{
		Use:   "bench [JOB...]",
		Short: "Measure the standard jobs on this machine, beside its own limits",
		Long: "Run the standard jobs on generated data, each some times as a process of its own, and print their speed, memory and phases, " +
			"beside what this machine can copy and read. With --store, data and outputs lie in a bucket of yours. Whatever it " +
			"makes is removed in the end.\n\nJobs: " + strings.Join(bench.Names(), ", ") + ".",
		Example: "  millrace bench\n  millrace bench wordcount sort --size 1GB --memory 1GiB\n  millrace bench --store s3://scratch/bench --json",
		RunE:    func(c *cobra.Command, args []string) error { return runBench(c.Context(), os.Stdout, f, args) },
	}
	c.ValidArgs = bench.Names()
	fs := c.Flags()
	millrace.SizeFlag(fs, &f.size, "size", "data to generate of each kind (default 256MiB)")
	fs.StringVar(&f.store, "store", "", "folder or s3://bucket/prefix for data and outputs (default: a temporary folder)")
	fs.StringArrayVar(&f.inputs, "input", nil, "use the file or object at URL instead of generated data, KIND=URL; kinds are those of gen")
	fs.StringVar(&f.memory, "memory", "", "memory for buffers of each run (default: half of what there is)")
	fs.Uint64Var(&f.seed, "seed", f.seed, "another seed makes other data")
	fs.Var(millrace.AtLeast{N: &f.repeats, Least: 1}, "repeats", "runs of each job; the one with the median time counts")
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "do not say what is done")
	return c
}

func runBench(ctx context.Context, out io.Writer, f benchFlags, jobs []string) error {
	o := bench.Options{Store: backends.New(backends.Options{}), Jobs: jobs, Size: f.size, Repeats: f.repeats, Inputs: map[string]string{}}
	var err error
	if o.Binary, err = os.Executable(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	for _, input := range f.inputs {
		kind, url, found := strings.Cut(input, "=")
		u, err := storage.ParseURL(url)
		if !found || err != nil {
			return millrace.Usage(errors.Join(fmt.Errorf("bench: --input %s: write it as KIND=URL, as in text=books.txt", input), err))
		}
		o.Inputs[kind] = u.String()
	}
	if f.memory != "" {
		o.Flags = []string{"--memory", f.memory}
	}
	if !f.quiet {
		o.Say = func(what string) { fmt.Fprintln(os.Stderr, what) }
	}
	o.Make = func(ctx context.Context, url, kind string, size int64) error {
		_, err := genObject(ctx, o.Store, url, func(w io.Writer) error { return gen.Write(w, kind, size, f.seed) })
		return err
	}
	remove, err := benchFolder(&o, f.store)
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, o)
	if err := errors.Join(err, remove()); err != nil {
		return err
	}
	if f.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	return benchTable(out, report)
}

// benchFolder chooses a new folder in the store, or a temporary one of this machine, and returns what removes it.
func benchFolder(o *bench.Options, store string) (remove func() error, err error) {
	name := "millrace-bench-" + string(millrace.NewJobID())[:12]
	remove = func() error { return nil }
	if store == "" {
		if store, err = os.MkdirTemp("", "millrace-bench-"); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		dir := store
		remove = func() error { return os.RemoveAll(dir) }
	} else if !strings.Contains(store, "://") {
		dir := filepath.Join(store, name)
		remove = func() error { return os.RemoveAll(dir) }
	}
	u, err := storage.ParseURL(strings.TrimSuffix(store, "/") + "/" + name + "/")
	if err != nil {
		return nil, millrace.Usage(err)
	}
	o.Folder = strings.TrimSuffix(u.String(), "/") + "/"
	return remove, nil
}

// benchTable writes a line per job.
func benchTable(out io.Writer, r *bench.Report) error {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	header := table.Row{"JOB", "INPUT", "TIME", "MB/S", "MB/CPU S", "PEAK RSS", "MAP", "REDUCE", "COMMIT", "OF READ", "OF COPY"}
	var columns []table.ColumnConfig
	for _, name := range header[1:] {
		columns = append(columns, table.ColumnConfig{Name: name.(string), Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	t.AppendHeader(header)
	percent := func(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
	for _, s := range r.Results {
		t.AppendRow(table.Row{
			s.Job, fmt.Sprintf("%.1f MB", float64(s.Bytes)/1e6), fmt.Sprintf("%.3f s", s.Seconds), fmt.Sprintf("%.0f", s.MBps), fmt.Sprintf("%.0f", s.PerCPU),
			fmt.Sprintf("%d MiB", s.PeakRSS>>20), percent(s.Shares.Map), percent(s.Shares.Reduce), percent(s.Shares.Commit), percent(s.OfRead), percent(s.OfCopy),
		})
	}
	_, err := fmt.Fprintf(out, "%s\n\nlimits of this machine (%s, %d processors): memory copy %.0f MB/s, reading an input to nothing %.0f MB/s\n",
		t.Render(), r.System, r.CPUs, r.Limits.CopyMBps, r.Limits.ReadMBps)
	return err
}
