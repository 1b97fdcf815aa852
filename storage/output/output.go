// Package output reads what a job committed: the manifest, and the parts that it names, batch by batch and checked
// against it. An output without a manifest is none: a job failed there, runs still, or another program wrote it.
package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
)

// ErrNone says that a folder holds no committed output.
var ErrNone = errors.New("no committed output")

// ErrForeign says that a folder's manifest is not one that this millrace can read: another program wrote it, or a newer
// version.
var ErrForeign = errors.New("no manifest of this millrace's")

// maxManifest bounds the manifest that is read into memory, bytes.
const maxManifest = 256 << 20

// Output is a committed output: the job's rows, or one of its side outputs.
type Output struct {
	URL      string // the folder of the job's output, without a slash at its end
	Name     string // of the side output; "" for the job's rows
	Manifest *manifest.Manifest

	store *storage.Store
}

// Open reads the manifest of the output in a folder.
func Open(ctx context.Context, st *storage.Store, folder string) (*Output, error) {
	u, err := storage.ParseURL(folder)
	if err != nil {
		return nil, err
	}
	o := &Output{URL: strings.TrimSuffix(u.String(), "/"), store: st}
	body, info, err := st.Read(ctx, o.URL+"/"+manifest.Name, 0, -1, "")
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w there (no %s): name the folder that a finished job wrote to", o.URL, ErrNone, manifest.Name)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if info.Size > maxManifest {
		return nil, fmt.Errorf("%s/%s: %w: it has %d bytes, more than %d", o.URL, manifest.Name, ErrForeign, info.Size, maxManifest)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("read %s/%s: %w", o.URL, manifest.Name, err)
	}
	if o.Manifest, err = manifest.Decode(b); err != nil {
		return nil, fmt.Errorf("%s/%s: %w: %w", o.URL, manifest.Name, ErrForeign, err)
	}
	return o, nil
}

// Locate is Open for what a person names: the folder of an output, or that of one of its side outputs, which is read then.
func Locate(ctx context.Context, st *storage.Store, folder string) (*Output, error) {
	o, none := Open(ctx, st, folder)
	if !errors.Is(none, ErrNone) {
		return o, none
	}
	u, err := storage.ParseURL(folder)
	if err != nil {
		return nil, err
	}
	above, name := path.Split(strings.TrimSuffix(u.String(), "/"))
	if strings.HasSuffix(above, "//") { // name is a bucket, or the root
		return nil, none
	}
	o, err = Open(ctx, st, above)
	if errors.Is(err, ErrNone) || errors.Is(err, ErrForeign) {
		return nil, none
	}
	if err != nil {
		return nil, err
	}
	if _, ok := o.Manifest.Output(name); !ok {
		return nil, none
	}
	return o.Side(name)
}

// Side returns the side output of that name.
func (o *Output) Side(name string) (*Output, error) {
	if _, ok := o.Manifest.Output(name); ok {
		return &Output{URL: o.URL, Name: name, Manifest: o.Manifest, store: o.store}, nil
	}
	names := make([]string, len(o.Manifest.Outputs))
	for i, s := range o.Manifest.Outputs {
		names[i] = s.Name
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: there is no side output %q: job %s has none", o.URL, name, o.Manifest.Job)
	}
	return nil, fmt.Errorf("%s: there is no side output %q: job %s has %s", o.URL, name, o.Manifest.Job, strings.Join(names, ", "))
}

// contents are the parts of the output, how many rows they have together, and their schema as the manifest has it.
func (o *Output) contents() (parts []manifest.Part, rows int64, schema []byte) {
	if s, ok := o.Manifest.Output(o.Name); ok {
		return s.Parts, s.Rows, s.Schema
	}
	return o.Manifest.Parts, o.Manifest.Rows, o.Manifest.Schema
}

// Rows is how many rows the output has.
func (o *Output) Rows() int64 {
	_, rows, _ := o.contents()
	return rows
}

// Batches calls yield for the rows of all parts, in order, until it returns false; an output without rows yields one empty
// batch. A part whose size is not the manifest's is an error. The batch is good until yield returns.
func (o *Output) Batches(ctx context.Context, yield func(arrowfile.Schema, arrowfile.Batch) bool) error {
	parts, rows, schema := o.contents()
	if len(parts) == 0 && o.Name != "" {
		var s arrowfile.Schema
		if err := json.Unmarshal(schema, &s); err != nil {
			return fmt.Errorf("read %s/%s: schema of output %s: %w", o.URL, manifest.Name, o.Name, err)
		}
		yield(s, noRows(s))
		return nil
	}
	for i, p := range parts {
		more, err := o.part(ctx, p, i == 0 && rows == 0, yield)
		if err != nil {
			return fmt.Errorf("read %s/%s: %w", o.URL, p.Name, err)
		}
		if !more {
			return nil
		}
	}
	return nil
}

// noRows is a batch without rows.
func noRows(s arrowfile.Schema) arrowfile.Batch {
	return arrowfile.Batch{Columns: make([]arrowfile.Column, len(s.Fields))}
}

func (o *Output) part(ctx context.Context, p manifest.Part, empty bool, yield func(arrowfile.Schema, arrowfile.Batch) bool) (more bool, err error) {
	info, err := o.store.Stat(ctx, o.URL+"/"+p.Name)
	if err != nil {
		return false, err
	}
	if info.Size != p.Bytes {
		return false, fmt.Errorf("it has %d bytes, the manifest says %d: the output was changed after its job", info.Size, p.Bytes)
	}
	r, err := arrowfile.NewReader(&window{ctx: ctx, store: o.store, info: info}, info.Size, arrowfile.Options{})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if empty && !yield(r.Schema(), noRows(r.Schema())) {
		return false, nil
	}
	for {
		b, err := r.Next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if !yield(r.Schema(), b) {
			return false, nil
		}
	}
}

// windowBytes is how much a window reads at a time: an Arrow reader asks for many small pieces that lie side by side.
const windowBytes = 1 << 20

// window is an object as an io.ReaderAt for one goroutine. It keeps the context, since ReadAt has none; it lives no longer
// than the call that made it.
type window struct {
	ctx   context.Context
	store *storage.Store
	info  storage.Info
	off   int64
	buf   []byte
}

// ReadAt implements io.ReaderAt.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if off < w.off || off+int64(len(p)) > w.off+int64(len(w.buf)) {
		if err := w.load(off, max(int64(len(p)), windowBytes)); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf[min(off-w.off, int64(len(w.buf))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (w *window) load(off, n int64) error {
	body, _, err := w.store.Read(w.ctx, w.info.URL, off, n, w.info.ETag)
	if err != nil {
		return err
	}
	defer body.Close()
	w.off = off
	w.buf, err = io.ReadAll(body)
	return err
}
