// Package verify holds a committed output against its manifest: every part is there, has the size, the bytes, the columns and
// the rows that the manifest states, and no other part lies beside them. It names everything that is wrong, not the first
// thing, and changes nothing.
//
// Each part is read once, from its beginning to its end; its checksum and its rows come from the same bytes. What a part
// holds is trusted in nothing: a hostile file is a problem that is reported.
//
// It does not know which job wrote an output, nor whether its rows are right. The command verify calls it.
package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
)

const (
	defaultParallel = 8 // parts at a time: a bucket is waited for, and two cores decode faster than most disks read
	// MaxProblems bounds Report.Problems: an output of a million parts in the wrong folder has a million of them.
	MaxProblems = 10_000
)

// Options are the limits of a check. Zero values mean the defaults.
type Options struct {
	// Parallel is how many parts are read at a time (default 8). Each takes about twice its largest batch, 64 MiB at most; a
	// part with larger batches waits until it is alone, see arrowfile.DefaultMaxBatchBytes.
	Parallel int
	// Progress is called while parts are read, by one goroutine at a time, with the bytes read so far and those of all parts.
	Progress func(read, total int64)

	batchBytes int64 // for tests; default batchBytes
}

// Kind says what is wrong, for programs.
type Kind string

// The kinds of problems.
const (
	Missing  Kind = "missing"  // a part, or the manifest, is not there
	Size     Kind = "size"     // a part has another size
	Checksum Kind = "checksum" // a part has other bytes
	Content  Kind = "content"  // a part is no Arrow file that can be read
	Schema   Kind = "schema"   // a part has other columns
	Rows     Kind = "rows"     // a part, or all of them, have another number of rows
	Extra    Kind = "extra"    // a part lies there that the manifest does not name
	Manifest Kind = "manifest" // the manifest cannot be followed
	Read     Kind = "read"     // a part cannot be read: what it holds is not known
)

// Problem is one thing that is wrong.
type Problem struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // of the part, in the output's folder
	Text string `json:"problem"`
}

// Report is what a check found. Its numbers are those of what was read.
type Report struct {
	Output   string    `json:"output"` // URL of the folder
	ID       string    `json:"id"`     // of the job that wrote it
	Job      string    `json:"job"`
	Parts    int       `json:"parts"` // that the manifest names
	Good     int       `json:"good_parts"`
	Rows     int64     `json:"rows"`
	Bytes    int64     `json:"bytes"`
	Seconds  float64   `json:"seconds"` // to the millisecond
	OK       bool      `json:"ok"`
	Count    int       `json:"num_problems"`
	Problems []Problem `json:"problems"` // at most MaxProblems, by name
}

// checker is one check at work.
type checker struct {
	store   *storage.Store
	o       Options
	url     string // of the folder
	m       *manifest.Manifest
	columns map[string][]string // of the parts by folder, "." for the job's rows; none where the manifest's schema cannot be read
	alone   chan struct{}       // taken by the part whose batches are large

	mu     sync.Mutex
	report *Report
	total  int64
	read   int64
}

// Output checks the output in a folder. The error is that of a check which could not be made; what is wrong with the output
// is in the report, a missing manifest too.
func Output(ctx context.Context, st *storage.Store, folder string, o Options) (*Report, error) {
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.batchBytes <= 0 {
		o.batchBytes = batchBytes
	}
	begun := time.Now()
	c := &checker{store: st, o: o, report: &Report{Problems: []Problem{}}, columns: map[string][]string{}, alone: make(chan struct{}, 1)}
	err := c.run(ctx, folder)
	if err != nil {
		return nil, err
	}
	r := c.report
	r.Seconds = float64(time.Since(begun).Milliseconds()) / 1e3
	r.OK = r.Count == 0
	slices.SortFunc(r.Problems, byName)
	return r, nil
}

func (c *checker) run(ctx context.Context, folder string) error {
	u, err := storage.ParseURL(folder)
	if err != nil {
		return err
	}
	c.url = strings.TrimSuffix(u.String(), "/")
	c.report.Output = c.url
	out, err := output.Open(ctx, c.store, folder)
	switch {
	case errors.Is(err, output.ErrNone):
		c.add(Missing, manifest.Name, "there is none: a job failed or still runs here, or the output lies in another folder")
		return nil
	case errors.Is(err, output.ErrForeign):
		c.add(Manifest, manifest.Name, strings.TrimPrefix(err.Error(), c.url+"/"+manifest.Name+": "))
		return nil
	case err != nil:
		return err
	}
	c.m = out.Manifest
	c.report.ID, c.report.Job = c.m.ID, c.m.Job
	parts := c.manifest()
	if err := c.extra(ctx); err != nil {
		return err
	}
	return c.parts(ctx, parts)
}

// manifest checks what the manifest says and returns the parts that can be looked for.
func (c *checker) manifest() (good []manifest.Part) {
	seen := map[string]bool{}
	rows := manifest.Output{Name: ".", Schema: c.m.Schema, Parts: c.m.Parts, Rows: c.m.Rows, Bytes: c.m.Bytes}
	for _, o := range slices.Concat([]manifest.Output{rows}, c.m.Outputs) {
		of := ""
		if o.Name != "." {
			of = " of output " + o.Name
		}
		var schema arrowfile.Schema
		if err := json.Unmarshal(o.Schema, &schema); err != nil {
			c.add(Manifest, manifest.Name, fmt.Sprintf("its schema%s cannot be read: %v", of, err))
		} else {
			c.columns[o.Name] = columns("", schema.Fields)
		}
		good = append(good, c.partsOf(o, seen)...)
		if r, b := sum(o.Parts); r != o.Rows || b != o.Bytes {
			c.add(Manifest, manifest.Name, fmt.Sprintf("it states %d rows and %d bytes in all%s, its parts add up to %d and %d", o.Rows, o.Bytes, of, r, b))
		}
	}
	return good
}

// partsOf checks what the manifest says of the parts of an output, and returns those that can be looked for.
func (c *checker) partsOf(o manifest.Output, seen map[string]bool) (good []manifest.Part) {
	c.report.Parts += len(o.Parts)
	for _, p := range o.Parts {
		switch {
		case !isName(p.Name) || path.Dir(p.Name) != o.Name:
			c.add(Manifest, p.Name, "the manifest names a part so, which is no name of a file in its output's folder")
		case seen[p.Name]:
			c.add(Manifest, p.Name, "the manifest names this part twice")
		case p.Rows < 0 || p.Bytes < 0:
			c.add(Manifest, p.Name, fmt.Sprintf("the manifest states %d rows and %d bytes", p.Rows, p.Bytes))
		default:
			good = append(good, p)
			c.total += p.Bytes
		}
		seen[p.Name] = true
	}
	return good
}

// sum adds up what the manifest says of parts.
func sum(parts []manifest.Part) (rows, bytes int64) {
	for _, p := range parts {
		rows += p.Rows
		bytes += p.Bytes
	}
	return rows, bytes
}

// isName says whether a name is that of a file in a folder or in one below: nothing that leads out of it.
func isName(name string) bool {
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsRune(segment, 0) {
			return false
		}
	}
	return true
}

// parts checks the parts, some at a time.
func (c *checker) parts(ctx context.Context, parts []manifest.Part) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Parallel)
	for _, p := range parts {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return c.part(gctx, p) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// add notes a problem.
func (c *checker) add(kind Kind, name, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.add(Problem{kind, name, text})
}

func (r *Report) add(p Problem) {
	r.Count++
	if len(r.Problems) < MaxProblems {
		r.Problems = append(r.Problems, p)
	}
}

// byName orders problems as people look for them.
func byName(a, b Problem) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Text, b.Text))
}

// progress counts bytes that were read.
func (c *checker) progress(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += int64(n)
	if c.o.Progress != nil {
		c.o.Progress(min(c.read, c.total), c.total)
	}
}
