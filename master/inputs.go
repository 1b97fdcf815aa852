package master

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
)

// listInputs lists a spec's inputs, one after the other, and brings the URL of its output to one form. There are no tasks in
// the plan yet.
func listInputs(ctx context.Context, st *storage.Store, spec plan.Spec) (*plan.Plan, error) {
	exclusion, err := storage.NewExclusion(spec.Exclude)
	if err != nil {
		return nil, err
	}
	p := &plan.Plan{}
	for i := range max(1, len(spec.Info.Inputs)) { // of a chain there is one, which its stages know more of
		l := listing{store: st}
		if len(spec.Info.Inputs) > 0 {
			l.input = spec.Info.Inputs[i]
		}
		listed, excluded, err := l.list(ctx, spec.InputURLs(i), exclusion)
		if err != nil {
			return nil, l.named(err)
		}
		p.Excluded += excluded
		for _, o := range listed {
			p.Objects = append(p.Objects, plan.Object{URL: o.URL, Size: o.Size, ETag: o.ETag, Input: i})
			p.InBytes += o.Size
		}
	}
	if spec.SideInputs, err = pinSideInputs(ctx, st, spec.Job, spec.Info.SideInputs); err != nil {
		return nil, err
	}
	out, err := storage.ParseURL(spec.Output)
	if err != nil {
		return nil, err
	}
	spec.Output = strings.TrimSuffix(out.String(), "/")
	p.Spec = spec
	return p, nil
}

// listing lists one input of a job. A folder that an earlier job of millrace wrote is not listed: its manifest says what
// belongs to it. So nothing is read of an output that is not whole, nor of what lies beside its parts.
type listing struct {
	store *storage.Store
	input jobs.Input
}

// named says which of a job's inputs an error is about.
func (l *listing) named(err error) error {
	if l.input.Name == "" {
		return err
	}
	return fmt.Errorf("input %s: %w", l.input.Name, err)
}

// list also tells how many objects were left out.
func (l *listing) list(ctx context.Context, urls []string, exclusion *storage.Exclusion) (kept []storage.Listed, excluded int, err error) {
	listed, err := l.store.ExpandWith(ctx, urls, storage.ExpandOptions{Folder: l.folder})
	if err != nil {
		return nil, 0, err
	}
	all := len(listed) // Filter may use listed's memory
	kept = exclusion.Filter(listed)
	if len(kept) == 0 {
		return nil, 0, fmt.Errorf("exclude: of %d input objects, %s the first, the patterns leave none: leave out a pattern or name more inputs", len(listed), listed[0].URL)
	}
	return kept, all - len(kept), l.strayParts(ctx, kept)
}

// folder gives the parts of a committed output, by its manifest. Of other folders it says nothing.
func (l *listing) folder(ctx context.Context, url string) (found []storage.Listed, instead bool, err error) {
	out, err := l.open(ctx, url)
	if out == nil || err != nil {
		return nil, false, err
	}
	if err := l.readable(out); err != nil {
		return nil, false, err
	}
	found, err = parts(ctx, l.store, out)
	return found, true, err
}

// open reads a folder's manifest. A folder without one, or with another program's, gives none.
func (l *listing) open(ctx context.Context, folder string) (*output.Output, error) {
	out, err := output.Open(ctx, l.store, folder)
	switch {
	case errors.Is(err, output.ErrNone), errors.Is(err, output.ErrForeign) && !errors.Is(err, manifest.ErrNewer):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("input %s: %w", folder, err)
	}
	return out, nil
}

// readable refuses an output as the input of code that takes it for text or records: what it made of Arrow files would be
// garbage.
func (l *listing) readable(out *output.Output) error {
	what := ""
	switch l.input.Format.Kind {
	case jobs.FormatLines:
		what = "lines of text"
	case jobs.FormatFixed:
		what = "records of fixed length"
	case jobs.FormatCSV:
		what = "CSV"
	default:
		return nil
	}
	return fmt.Errorf("input %s/: it is the output of job %s, which is Arrow files, but this job reads %s: use a job that reads columns, or write the rows out first with 'millrace cat %[1]s --format csv --limit 0'",
		out.URL, out.Manifest.Job, what)
}

// parts are the parts that a manifest names, as they lie in the folder. Each must be there and have the size that it says.
func parts(ctx context.Context, st *storage.Store, out *output.Output) ([]storage.Listed, error) {
	there := map[string]storage.Info{}
	err := st.List(ctx, out.URL+"/part-", func(o storage.Info) bool {
		there[strings.TrimPrefix(o.URL, out.URL+"/")] = o
		return true
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("input %s/: %w", out.URL, err)
	}
	var found []storage.Listed
	for _, p := range out.Manifest.Parts {
		o, ok := there[p.Name]
		if !ok {
			return nil, fmt.Errorf("input %s/%s: it is missing, but the manifest of job %s names it: run that job again, with --overwrite", out.URL, p.Name, out.Manifest.Job)
		}
		if o.Size != p.Bytes {
			return nil, fmt.Errorf("input %s/%s: it has %d bytes, but the manifest of job %s says %d: the output was changed after its job; run that job again, with --overwrite", out.URL, p.Name, o.Size, out.Manifest.Job, p.Bytes)
		}
		found = append(found, storage.Listed{URL: o.URL, Size: o.Size, ETag: o.ETag})
	}
	return found, nil
}

// strayParts refuses objects that look like parts of an output and that no manifest names: of a job that runs or failed, or that
// an older output left. What is listed of a folder that was not named as one, by a glob or from above it, is held against the
// folder's manifest here.
func (l *listing) strayParts(ctx context.Context, listed []storage.Listed) error {
	known := map[string]map[string]int64{} // by folder: the sizes of the parts that its manifest names
	for _, o := range listed {
		name := storage.Base(o.URL)
		if !isPart(name) {
			continue
		}
		folder := strings.TrimSuffix(o.URL, "/"+name)
		sizes, ok := known[folder]
		if !ok {
			out, err := l.open(ctx, folder)
			if err != nil {
				return err
			}
			if out == nil {
				return fmt.Errorf("input %s: it looks like a part of an output, but there is no %s beside it: the job that writes there has not finished, or failed; wait for it, run it again, or leave the object out with --exclude %s",
					o.URL, manifest.Name, name)
			}
			if err := l.readable(out); err != nil {
				return err
			}
			sizes = map[string]int64{}
			for _, p := range out.Manifest.Parts {
				sizes[p.Name] = p.Bytes
			}
			known[folder] = sizes
		}
		if size, ok := sizes[name]; !ok || size != o.Size {
			return fmt.Errorf("input %s: the manifest beside it names no such part of %d bytes: the output was changed after its job; name the folder, %s/, to read the parts that belong to it", o.URL, o.Size, folder)
		}
	}
	return nil
}
