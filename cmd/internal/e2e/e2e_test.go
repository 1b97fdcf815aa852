// Package e2e tests whole jobs from input to committed output, over every way to run them: the metamorphic test (one
// workload under many settings gives the same bytes), faults of the storage, and processes that die. It holds tests only.
// What they share is here: workloads, the places where these lie, and the outputs as a reader finds them.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/s3store"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// place is where inputs and outputs lie.
type place struct {
	name  string
	store *storage.Store
	root  string // URL of a folder, without a slash at its end
}

// inMemory is a new place in this process.
func inMemory() place {
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
	return place{"memory", st, "mem://e2e"}
}

// inFiles is a new folder of local files.
func inFiles(t testing.TB) place {
	return place{"files", backends.New(backends.Options{}), "file://" + t.TempDir()}
}

// inBucket is a new bucket of a server.
func inBucket(t testing.TB, name string, s *servers.Server) place {
	st := backends.New(backends.Options{S3: func() (s3store.Options, error) {
		return s3store.Options{Endpoint: s.Endpoint, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s3store.Secret(s.SecretKey)}, nil
	}})
	return place{name, st, "s3://" + s.NewBucket(t) + "/e2e"}
}

// file is one input object.
type file struct {
	name string
	data []byte
}

// workload is a job over an input.
type workload struct {
	name     string
	job      *jobs.Job
	params   map[string]string
	reducers int
	files    []file
	tables   map[string]jobstest.Object // what the oracle reads in place of the files of these names
	inputs   []string                   // of a job with several: their names, which are the folders that the files lie in
	side     map[string]file            // side inputs by the parameters that name them
	sorted   bool                       // the rows of the parts, one after the other, are in the order of their keys
}

// in is the workload in a place, whose side inputs its parameters name.
func (w workload) in(p place) workload {
	if len(w.side) > 0 {
		w.params = maps.Clone(w.params)
		if w.params == nil {
			w.params = map[string]string{}
		}
	}
	for name, f := range w.side {
		w.params[name] = p.root + "/side-" + w.name + "/" + f.name
	}
	return w
}

// write puts the workload's input below the place's root and returns the folder's URL.
func (w workload) write(ctx context.Context, p place) (folder string, err error) {
	folder = p.root + "/in-" + w.name
	for _, f := range w.files {
		if err := p.store.Put(ctx, folder+"/"+f.name, f.data, false); err != nil {
			return "", err
		}
	}
	for name, f := range w.side {
		if err := p.store.Put(ctx, w.in(p).params[name], f.data, false); err != nil {
			return "", err
		}
	}
	return folder, nil
}

// oracle is what the workload's rows must be in a place, since grep's rows name their files.
func (w workload) oracle(p place) (*jobstest.Result, error) {
	var objects []jobstest.Object
	for _, f := range w.files {
		o, ok := w.tables[f.name]
		if !ok {
			o.Data = f.data
		}
		input, _, _ := strings.Cut(f.name, "/")
		o.URL, o.Input = p.root+"/in-"+w.name+"/"+f.name, max(0, slices.Index(w.inputs, input))
		objects = append(objects, o)
	}
	slices.SortFunc(objects, func(a, b jobstest.Object) int { return strings.Compare(a.URL, b.URL) })
	w = w.in(p)
	for name, f := range w.side {
		objects = append(objects, jobstest.Object{URL: w.params[name], Data: f.data, Side: true})
	}
	return jobstest.RunObjects(w.job, w.params, objects, 1)
}

// stated is the workload's input as it is given to a job, in the folder that it was written to.
func (w workload) stated(folder string) []string {
	if len(w.inputs) == 0 {
		return []string{folder}
	}
	var stated []string
	for _, name := range w.inputs {
		stated = append(stated, name+"="+folder+"/"+name+"/")
	}
	return stated
}

// product is a committed output as its reader finds it.
type product struct {
	parts    []file // by name
	manifest *manifest.Manifest
	rows     []jobstest.Row // of all parts, one after the other
}

// readProduct reads an output. That anything but parts and manifest is in the folder, or a pending upload, is an error.
func readProduct(ctx context.Context, p place, folder string, schema jobs.Schema) (*product, error) {
	found, err := leftovers(ctx, p, folder)
	if err != nil {
		return nil, err
	}
	out, err := output.Open(ctx, p.store, folder)
	if err != nil {
		return nil, err
	}
	got := &product{manifest: out.Manifest}
	want := []string{manifest.Name}
	for part := range out.Manifest.All() {
		body, _, err := p.store.Read(ctx, folder+"/"+part.Name, 0, -1, "")
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		body.Close()
		got.parts = append(got.parts, file{part.Name, data})
		want = append(want, part.Name)
	}
	slices.Sort(want)
	if !slices.Equal(found, want) {
		return nil, fmt.Errorf("%s holds %q, want %q", folder, found, want)
	}
	err = out.Batches(ctx, func(_ arrowfile.Schema, b arrowfile.Batch) bool {
		var rows []jobstest.Row
		if rows, err = jobstest.Decode(schema, jobs.Columns{Rows: b.Rows, Columns: columns(b.Columns)}); err != nil {
			return false
		}
		got.rows = append(got.rows, rows...)
		return true
	})
	return got, err
}

func columns(in []arrowfile.Column) []jobs.Column {
	var out []jobs.Column
	for _, c := range in {
		out = append(out, jobs.Column{Nulls: c.Nulls, Valid: c.Valid, Offsets: c.Offsets, Data: c.Data, Children: columns(c.Children)})
	}
	return out
}

// leftovers lists everything in an output folder by name: objects, pending uploads ("pending NAME") and, in local files,
// whatever else lies there.
func leftovers(ctx context.Context, p place, folder string) (names []string, err error) {
	if path, ok := strings.CutPrefix(folder, "file://"); ok {
		err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, strings.TrimPrefix(name, path+"/"))
			}
			return err
		})
		if os.IsNotExist(err) {
			err = nil
		}
		slices.Sort(names)
		return names, err
	}
	err = p.store.List(ctx, folder+"/", func(o storage.Info) bool {
		names = append(names, strings.TrimPrefix(o.URL, folder+"/"))
		return true
	})
	if err != nil {
		return nil, err
	}
	err = p.store.Uploads(ctx, folder+"/", func(url, _ string, _ time.Time) bool {
		names = append(names, "pending "+strings.TrimPrefix(url, folder+"/"))
		return true
	})
	slices.Sort(names)
	return names, err
}

// diff says how two products of one job differ: which part, and the first row of it. "" means that they are equal to the byte.
func (p *product) diff(base *product) string {
	if len(p.parts) != len(base.parts) {
		return fmt.Sprintf("%d parts, the baseline has %d", len(p.parts), len(base.parts))
	}
	at := 0
	for i, part := range p.parts {
		if part.name != base.parts[i].name {
			return fmt.Sprintf("part %d is named %s, the baseline's %s", i, part.name, base.parts[i].name)
		}
		rows := 0
		if i < len(p.manifest.Parts) { // those behind are of side outputs
			rows = int(p.manifest.Parts[i].Rows)
		}
		if !bytes.Equal(part.data, base.parts[i].data) {
			return fmt.Sprintf("%s differs (%d bytes, the baseline %d): %s", part.name, len(part.data), len(base.parts[i].data), diffRows(p.rows[at:], base.rows[min(at, len(base.rows)):]))
		}
		at += rows
	}
	return ""
}

// rowsEqual is what diffRows says when there is no difference.
const rowsEqual = "the rows are equal"

// diffRows names the first row that differs.
func diffRows(got, want []jobstest.Row) string {
	var g, w []byte
	for i := range min(len(got), len(want)) {
		if g, w = got[i].Append(g[:0]), want[i].Append(w[:0]); !bytes.Equal(g, w) {
			return fmt.Sprintf("row %d is %.300s, want %.300s", i, g, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d rows, want %d", len(got), len(want))
	}
	return rowsEqual
}

// sameRows compares rows with the oracle's; those of a job whose partitions are not in order are sorted first.
func (w workload) sameRows(got, want []jobstest.Row) string {
	if !w.sorted {
		got, want = inOrder(got), inOrder(want)
	}
	if d := diffRows(got, want); d != rowsEqual {
		return d
	}
	return ""
}

// inOrder are the rows in the order of their texts.
func inOrder(rows []jobstest.Row) []jobstest.Row {
	type told struct {
		text string
		row  jobstest.Row
	}
	all := make([]told, len(rows))
	for i, r := range rows {
		all[i] = told{r.String(), r}
	}
	slices.SortFunc(all, func(a, b told) int { return strings.Compare(a.text, b.text) })
	rows = make([]jobstest.Row, len(all))
	for i, t := range all {
		rows[i] = t.row
	}
	return rows
}

// rowsOnly is how tests begin that prove what readers and jobs give: beside others. They start no goroutines that TestEverySetting,
// TestLargeInput, TestFaults and the tests of the readers do not, so the race detector would see nothing new.
func rowsOnly(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("LEFT OUT: what other tests run under the race detector: -race")
	}
	t.Parallel()
}

// binary builds the millrace command, once for all tests, into a folder that TestMain removes.
var binary = sync.OnceValues(func() (path string, err error) {
	if path := os.Getenv(binEnv); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "millrace-e2e-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "millrace")
	out, err := exec.Command("go", "build", "-o", path, "github.com/millrace/millrace/cmd/millrace").CombinedOutput()
	if err != nil {
		return "", errors.Join(fmt.Errorf("build millrace: %w\n%s", err, out), os.RemoveAll(dir))
	}
	built.Store(&dir)
	return path, nil
})

// binEnv names the binary to tests in networks of their own, where none can be built.
const binEnv = "E2E_BINARY"

// built is the folder of the binary, once there is one.
var built atomic.Pointer[string]

// buildBinary returns the path of the millrace command.
func buildBinary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "master" || os.Args[1] == "worker") {
		os.Exit(runProcess(os.Args[1], os.Args[2:]))
	}
	code := m.Run()
	if dir := built.Load(); dir != nil {
		os.RemoveAll(*dir)
	}
	os.Exit(code)
}
