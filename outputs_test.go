package millrace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/output"
)

type item struct {
	Word string
	N    int64
}

// mapOnlyJob takes words apart: those of an even length are its rows, the others go to a side output.
func mapOnlyJob() *jobs.Job {
	return jobs.Define("even", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		odd, empty := jobs.Side[string](t, "odd"), jobs.Side[int64](t, "empty")
		lines := t.Counter("lines")
		return jobs.MapOnly(func(l jobs.Line, emit func(item)) error {
			lines.Add(1)
			for w := range strings.FieldsSeq(l.Text) {
				if len(w)%2 == 1 {
					odd.Emit(w)
					continue
				}
				emit(item{w, l.Offset})
			}
			if len(l.Text) > 1000 {
				empty.Emit(0)
			}
			return nil
		}), nil
	})
}

// sidesJob counts words; map and reduce functions write to side outputs, one of them both.
func sidesJob() *jobs.Job {
	return jobs.Define("sides", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		long, both := jobs.Side[string](t, "long"), jobs.Side[item](t, "both")
		return jobs.MapReduce(func(l jobs.Line, emit func(string, int64)) error {
			for w := range strings.FieldsSeq(l.Text) {
				emit(w, 1)
				if len(w) > 6 {
					long.Emit(w)
					both.Emit(item{w, l.Offset})
				}
			}
			return nil
		}, func(w string, ns jobs.Values[int64], emit func(item)) error {
			n := jobs.Total(ns)
			if n == 3 {
				both.Emit(item{w, n})
			}
			emit(item{w, n})
			return nil
		}, jobs.Combine(jobs.Sum[int64]), jobs.TotalOrder()), nil
	})
}

// texts are three objects of words, one of them without rows for any side output.
func texts() []jobstest.Object {
	var a, b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&a, "word%d and x%d, the %s\n", i%50, i, strings.Repeat("o", i%11))
		fmt.Fprintf(&b, "%d other words%d\n", i, i%7)
	}
	return []jobstest.Object{{URL: "mem://b/in/0", Data: []byte(a.String())}, {URL: "mem://b/in/1", Data: []byte("aa bb\n")}, {URL: "mem://b/in/2", Data: []byte(b.String())}}
}

// linesOf are rows as cat prints them.
func linesOf(t *testing.T, schema jobs.Schema, rows []jobstest.Row) string {
	t.Helper()
	var b strings.Builder
	for _, row := range rows {
		sep := "{"
		for i, v := range row {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s%q:%s", sep, schema.Fields[i].Name, text)
			sep = ","
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func catOf(t *testing.T, st *storage.Store, at string) string {
	t.Helper()
	out, err := output.Locate(t.Context(), st, at)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := console.Cat(t.Context(), &b, out, console.RowOptions{Format: console.FormatNDJSON}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The rows of a job of maps only, and those of side outputs, are the oracle's for every split size, number of workers, slots and
// reducers, memory budget and way of the runs: whatever parts they lie in, and in the same order.
func TestOutputsOfAnySettings(t *testing.T) {
	t.Parallel()
	objects := texts()
	for _, o := range []Options{
		{}, {SplitSize: 197, Workers: 3, Slots: 2}, {SplitSize: 4000, Slots: 4}, {SplitSize: 1 << 20, Workers: 2},
		{SplitSize: 700, Reducers: 5, Shuffle: "bucket"}, {SplitSize: 1300, Memory: 256 << 20, Compression: "zstd"},
	} {
		for _, job := range []*jobs.Job{mapOnlyJob(), sidesJob()} {
			t.Run(fmt.Sprintf("%s split %d reducers %d", job.Name(), o.SplitSize, o.Reducers), func(t *testing.T) {
				t.Parallel()
				checkOutputs(t, job, objects, o)
			})
		}
	}
}

func checkOutputs(t *testing.T, job *jobs.Job, objects []jobstest.Object, o Options) {
	t.Helper()
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := jobstest.Oracle(prog, objects, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
	for _, object := range objects {
		if err := st.Put(t.Context(), object.URL, object.Data, false); err != nil {
			t.Fatal(err)
		}
	}
	o.Store, o.Inputs, o.Output = st, []string{"mem://b/in/"}, "mem://b/out"
	if prog.Info().MapOnly {
		o.Reducers = 0
	}
	status, err := Run(t.Context(), job, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := catOf(t, st, o.Output); got != linesOf(t, want.Schema, want.Rows()) {
		t.Errorf("rows differ from the oracle's: got %d bytes", len(got))
	}
	for _, out := range prog.Info().Outputs {
		// What reduces write lies partition by partition: with a total order that is the order of the keys.
		if got, want := catOf(t, st, o.Output+"/"+out.Name), linesOf(t, out.Schema, want.Outputs[out.Name]); got != want {
			t.Errorf("output %s: got\n%s\nwant\n%s", out.Name, got, want)
		}
	}
	if status.Rows != int64(len(want.Rows())) || status.Records != want.Records || status.Counters["lines"] != want.Counters["lines"] {
		t.Errorf("status: %d rows, %d records, counters %v", status.Rows, status.Records, status.Counters)
	}
	for _, s := range status.Outputs {
		if s.Rows != int64(len(want.Outputs[s.Name])) || (s.Rows == 0) != (s.Parts == 0) {
			t.Errorf("status of %s: %+v, want %d rows", s.Name, s, len(want.Outputs[s.Name]))
		}
	}
}

// A job that fails leaves nothing of any output, though its attempts had written rows to all of them.
func TestFailedOutputs(t *testing.T) {
	t.Parallel()
	job := jobs.Define("fails", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		side := jobs.Side[string](t, "side")
		return jobs.MapOnly(func(l string, emit func(string)) error {
			side.Emit(l)
			emit(l)
			if l == "b" {
				return errors.New("no b")
			}
			return nil
		}), nil
	})
	st := memStore(t)
	_, err := Run(t.Context(), job, Options{Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Store: st})
	if !errors.Is(err, ErrJobFailed) || !strings.Contains(err.Error(), "map mem://b/in at byte 2: no b") {
		t.Errorf("got %v", err)
	}
	left := func(o storage.Info) bool { t.Errorf("%s is left", o.URL); return true }
	if err := st.List(t.Context(), "mem://b/out/", left); err != nil && !errors.Is(err, storage.ErrNotFound) {
		t.Error(err)
	}
	if err := st.Uploads(t.Context(), "mem://b/out/", func(url, _ string, _ time.Time) bool { t.Errorf("the upload of %s is left", url); return true }); err != nil {
		t.Error(err)
	}
}

// A job of maps only has no reducers to choose, and says so before anything begins.
func TestMapOnlyReducers(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), mapOnlyJob(), Options{Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Store: memStore(t), Reducers: 2})
	if err == nil || !strings.Contains(err.Error(), "reducers 2: the job has no reduce function") {
		t.Errorf("got %v", err)
	}
}
