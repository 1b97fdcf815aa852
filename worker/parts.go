package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/worker/laps"
)

// parts are the files that an attempt leaves in the output: pending uploads, which the master completes if the attempt counts.
// One goroutine uses it. It ends with finish or abort.
type parts struct {
	ctx   context.Context // the attempt's: batches of rows come without one
	store *storage.Store
	spec  *plan.Spec
	laps  *laps.Watch
	open  []*part
}

// part is one of them: an Arrow file on its way into an upload. It is a jobs.RowSink.
type part struct {
	of     *parts
	name   string // in the output folder
	schema jobs.Schema
	always bool // it is made without rows too
	up     *storage.Upload
	file   *arrowfile.Writer
}

func (w *Worker) newParts(ctx context.Context, a *attempt, spec *plan.Spec) *parts {
	return &parts{ctx: ctx, store: w.o.Store, spec: spec, laps: a.laps}
}

// add declares a part. Nothing is made before it has rows, unless it is made always.
func (p *parts) add(name string, schema jobs.Schema, always bool) *part {
	f := &part{of: p, name: name, schema: schema, always: always}
	p.open = append(p.open, f)
	return f
}

// sides declares the parts of a job's side outputs, and returns their sinks.
func (p *parts) sides(info jobs.Info, name func(output string) string) (sinks []jobs.RowSink) {
	for _, o := range info.Outputs {
		sinks = append(sinks, p.add(name(o.Name), o.Schema, false))
	}
	return sinks
}

// begin creates the upload. A part that is waited for begins before its first row: an output that cannot be written to is
// told before the work.
func (f *part) begin() error {
	up, err := f.of.store.Create(f.of.ctx, f.of.spec.Output+"/"+f.name, storage.UploadOptions{})
	if err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	f.up = up
	f.file, err = arrowfile.NewWriter(up, arrowSchema(f.schema), arrowfile.Options{Compression: f.of.spec.Compression})
	return err
}

// Put implements jobs.RowSink.
func (f *part) Put(c jobs.Columns) error {
	defer f.of.laps.To(f.of.laps.To(laps.Write))
	if f.up == nil {
		if err := f.begin(); err != nil {
			return err
		}
	}
	return f.file.Write(arrowfile.Batch{Rows: c.Rows, Columns: arrowColumns(c.Columns)})
}

// finish ends the parts, in the order in which they were added. After an error they are to be aborted.
func (p *parts) finish() (done []wire.Part, err error) {
	for _, f := range p.open {
		if f.up == nil && !f.always {
			continue
		}
		if f.up == nil {
			if err := f.begin(); err != nil {
				return done, err
			}
		}
		stats, err := f.file.Close()
		if err != nil {
			return done, fmt.Errorf("write part %s: %w", f.name, err)
		}
		pending, err := f.up.Finish(p.ctx)
		if err != nil {
			return done, fmt.Errorf("write part %s: %w", f.name, err)
		}
		done = append(done, wire.Part{Name: f.name, Pending: pending, Rows: stats.Rows})
	}
	return done, nil
}

// abort leaves nothing of a failed attempt in the output, and returns err with what went wrong over it. Parts that are finished
// go too.
func (p *parts) abort(err error) error {
	for _, f := range p.open {
		if f.up != nil {
			err = errors.Join(err, f.up.Abort(context.WithoutCancel(p.ctx)))
		}
	}
	return err
}

// abortParts gives up finished parts that nobody will complete. One that was committed has no upload left, and stays.
func (w *Worker) abortParts(ctx context.Context, list []wire.Part) (err error) {
	for _, p := range list {
		err = errors.Join(err, w.o.Store.Abort(ctx, p.Pending))
	}
	return err
}
