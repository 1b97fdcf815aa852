// Package bench measures the standard jobs on this machine: each runs some times as a child process, the command "run" of
// a millrace binary, so that its time, processor seconds and memory are its own, and its rate stands beside what the
// machine itself can do, measured in the same run. It knows how to run a binary and to read a store, not how jobs work or
// how data is made. "millrace bench" calls it.
package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/millrace/millrace/storage"
)

// Job is a standard job.
type Job struct {
	Name  string
	Kind  string // of data, as package gen knows it
	Small bool   // on smallSize bytes whatever the size asked for
	run   []string
}

const smallSize = 1_000_000

// Jobs are the standard jobs.
func Jobs() []Job {
	return []Job{
		{Name: "wordcount", Kind: "text", run: []string{"wordcount"}},
		{Name: "stats", Kind: "measurements", run: []string{"stats", "-p", "decimals=1"}},
		{Name: "sort", Kind: "records", run: []string{"sort"}},
		{Name: "grep-literal", Kind: "access-log", run: []string{"grep", "-p", `pattern=/wp-login\.php`}},
		{Name: "grep-regex", Kind: "access-log", run: []string{"grep", "-p", `pattern="(GET|POST) /api/v[0-9]+/users/[0-9]+ .* 5[0-9][0-9] `}},
		{Name: "distinct", Kind: "numbers", run: []string{"distinct"}},
		{Name: "small", Kind: "text", Small: true, run: []string{"wordcount"}},
	}
}

// Names are the names of Jobs.
func Names() []string {
	var names []string
	for _, j := range Jobs() {
		names = append(names, j.Name)
	}
	return names
}

// Options says what is measured.
type Options struct {
	Binary  string            // millrace, or what has its jobs; required
	Store   *storage.Store    // required
	Folder  string            // URL of a folder for data and outputs, with a slash at its end; nothing of it stays; required
	Jobs    []string          // names; default: all
	Inputs  map[string]string // kind of data -> URL of an object to use instead of a generated one
	Size    int64             // bytes of generated data of a kind; default 256 MiB
	Repeats int               // runs of a job, of which that with the median time counts; default 3
	Flags   []string          // more flags for each run, such as --memory 1GiB

	Make func(ctx context.Context, url, kind string, size int64) error // writes generated data; required
	Say  func(string)                                                  // told what is done next; default: nobody
}

const (
	defaultSize    = 256 << 20
	defaultRepeats = 3
)

func (o *Options) fill() error {
	if o.Size == 0 {
		o.Size = defaultSize
	}
	if o.Repeats == 0 {
		o.Repeats = defaultRepeats
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	kinds := map[string]bool{}
	for _, j := range Jobs() {
		kinds[j.Kind] = true
	}
	for kind := range o.Inputs {
		if !kinds[kind] {
			return fmt.Errorf("bench: no job reads %q: name one of text, measurements, records, access-log, numbers", kind)
		}
	}
	for _, name := range o.Jobs {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("bench %s: no such job: use some of %s", name, strings.Join(Names(), ", "))
		}
	}
	if o.Size < smallSize/1000 || o.Repeats < 1 {
		return fmt.Errorf("bench: size %d, repeats %d: give 1000 bytes and one run at least", o.Size, o.Repeats)
	}
	return nil
}

// Report is what was measured.
type Report struct {
	System  string   `json:"system"` // as in linux/amd64
	CPUs    int      `json:"cpus"`
	Folder  string   `json:"folder"`
	Limits  Limits   `json:"limits"`
	Results []Result `json:"results"`
}

// Result is what a job took, in the run with the median time.
type Result struct {
	Job     string  `json:"job"`
	Input   string  `json:"input"`
	Bytes   int64   `json:"bytes"`
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"`     // from the start of the process to its end
	CPU     float64 `json:"cpu_seconds"` // of it, in user code and in the system
	PeakRSS int64   `json:"peak_rss"`    // bytes
	MBps    float64 `json:"mb_per_s"`
	PerCPU  float64 `json:"mb_per_cpu_second"`
	Shares  Shares  `json:"shares"`
	OfRead  float64 `json:"of_read"` // MBps by that of reading the input to nothing
	OfCopy  float64 `json:"of_copy"` // MBps by that of copying memory
}

// Shares are the parts of the time in which a phase was the first one not done.
type Shares struct {
	Map    float64 `json:"map"` // with the start and the plan
	Reduce float64 `json:"reduce"`
	Commit float64 `json:"commit"` // with the end of the process
}

// Run measures. What it made is removed also when it fails or ctx ends.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, clear(context.WithoutCancel(ctx), o.Store, o.Folder))
	}()
	report = &Report{System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Folder: o.Folder}
	for _, job := range Jobs() {
		if len(o.Jobs) > 0 && !slices.Contains(o.Jobs, job.Name) {
			continue
		}
		result, err := o.measure(ctx, job, &report.Limits)
		if err != nil {
			return nil, fmt.Errorf("bench %s: %w", job.Name, err)
		}
		report.Results = append(report.Results, *result)
	}
	report.Limits.CopyMBps = copyRate() // last, because it takes memory
	for i := range report.Results {
		report.Results[i].OfCopy = report.Results[i].MBps / report.Limits.CopyMBps
	}
	return report, nil
}

// measure runs one job.
func (o *Options) measure(ctx context.Context, job Job, limits *Limits) (*Result, error) {
	input, size, err := o.input(ctx, job)
	if err != nil {
		return nil, err
	}
	// The rate of reading is that of the first large input; reading each input also brings it into the page cache.
	o.Say(fmt.Sprintf("%s: reading %d MB", job.Name, size/1e6))
	rate, err := readRate(ctx, o.Store, input, size)
	if err != nil {
		return nil, err
	}
	if limits.ReadMBps == 0 && !job.Small {
		limits.ReadMBps = rate
	}
	var runs []sample
	for n := range o.Repeats {
		o.Say(fmt.Sprintf("%s: run %d of %d", job.Name, n+1, o.Repeats))
		out := o.Folder + "out-" + job.Name + "/"
		s, err := run(ctx, o.Binary, slices.Concat([]string{"run"}, job.run, []string{input, "-o", out, "--json"}, o.Flags))
		if err != nil {
			return nil, err
		}
		runs = append(runs, s)
		if err := clear(ctx, o.Store, out); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(runs, func(a, b sample) int { return int(a.wall - b.wall) })
	return runs[(len(runs)-1)/2].result(job.Name, input, size, len(runs), rate), nil
}

// input returns a job's input and its size, and makes it if it is not there yet.
func (o *Options) input(ctx context.Context, job Job) (url string, size int64, err error) {
	if url, given := o.Inputs[job.Kind]; given && !job.Small {
		info, err := o.Store.Stat(ctx, url)
		return url, info.Size, err
	}
	url, size = o.Folder+job.Kind, o.Size
	if job.Small {
		url, size = o.Folder+"small-"+job.Kind, min(smallSize, o.Size)
	}
	info, err := o.Store.Stat(ctx, url)
	if errors.Is(err, storage.ErrNotFound) {
		o.Say(fmt.Sprintf("making %d MB of %s", size/1e6, job.Kind))
		if err := o.Make(ctx, url, job.Kind, size); err != nil {
			return "", 0, err
		}
		info, err = o.Store.Stat(ctx, url)
	}
	return url, info.Size, err
}

// clear removes all objects below a folder.
func clear(ctx context.Context, st *storage.Store, folder string) error {
	var urls []string
	if err := st.List(ctx, folder, func(i storage.Info) bool {
		urls = append(urls, i.URL)
		return true
	}); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	for _, url := range urls {
		if err := st.Remove(ctx, url); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
	}
	return nil
}
