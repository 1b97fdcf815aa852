package millrace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/worker/program"
)

// rewriting is a bucket in which the object "side" is written anew before a worker reads it for the first time.
type rewriting struct {
	storage.Backend
	content string
}

func (r *rewriting) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	if key == "side" && n != 0 && r.content != "" { // 0 is the master's look at it
		if _, err := r.Put(ctx, key, []byte(r.content), false); err != nil {
			return nil, storage.Object{}, err
		}
		r.content = ""
	}
	return r.Backend.Read(ctx, key, off, n, etag)
}

// sideStore is a store in memory with an input of so many lines, and a side input, which content replaces after the submission.
func sideStore(t *testing.T, lines int, content string) *storage.Store {
	t.Helper()
	b := &rewriting{memstore.New(), content}
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": func(context.Context, string) (storage.Backend, error) { return b, nil }}})
	for url, text := range map[string]string{"mem://b/in": strings.Repeat("a\nb\n", lines/2), "mem://b/side": "a=first\n"} {
		if err := st.Put(t.Context(), url, []byte(text), false); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// TestSideInputChanged proves that a side input that is written between the submission and the first task fails the job as a
// changed input does, and leaves nothing; and that it runs when nothing writes.
func TestSideInputChanged(t *testing.T) {
	t.Parallel()
	st := sideStore(t, 100, "a=other\n")
	o := Options{Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Params: map[string]string{"labels": "mem://b/side"}, Store: st, TempDir: t.TempDir(), SplitSize: 20}
	_, err := Run(t.Context(), labelled(), o)
	const want = "side input labels: input changed during the job: read mem://b/side: changed since it was listed"
	if !errors.Is(err, ErrJobFailed) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "run the job again when nothing writes to its input") {
		t.Errorf("got %v, want %s", err, want)
	}
	err = st.List(t.Context(), "mem://b/out/", func(o storage.Info) bool { t.Errorf("left: %s", o.URL); return true })
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		t.Error(err)
	}
	if _, err := Run(t.Context(), labelled(), o); err != nil {
		t.Errorf("the next run: %v", err)
	}
}

// TestSideInputRequests proves that one worker asks once for a side input, whatever the number of tasks and slots, that several
// ask once each, and that the estimate of a plan says so.
func TestSideInputRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ workers, slots, split, most int }{{1, 1, 400, 1}, {1, 4, 40, 1}, {3, 2, 40, 3}} {
		st := sideStore(t, 400, "")
		var x *Explanation
		o := Options{
			Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Params: map[string]string{"labels": "mem://b/side"}, Store: st, TempDir: t.TempDir(),
			Workers: test.workers, Slots: test.slots, SplitSize: int64(test.split), NoBackup: true, Explain: func(e *Explanation) { x = e },
		}
		reg, err := program.NewRegistry(Version, labelled())
		if err != nil {
			t.Fatal(err)
		}
		spec, err := o.Spec(reg, "labelled")
		if err != nil {
			t.Fatal(err)
		}
		p, err := master.Plan(t.Context(), st, spec)
		if err != nil {
			t.Fatal(err)
		}
		status, err := Run(t.Context(), labelled(), o)
		if err != nil || status.Retries > 0 {
			t.Fatalf("%v, %d retries", err, status.Retries)
		}
		extra := x.Tasks.Get - int64(p.Maps)
		if extra < 1 || extra > int64(test.most) {
			t.Errorf("%+v: %d GETs over those of %d maps", test, extra, p.Maps)
		}
		if got := master.EstimateRequests(p).Reading.Get; test.workers == 1 && got != x.Tasks.Get {
			t.Errorf("%+v: %d GETs are estimated, %d were made", test, got, x.Tasks.Get)
		}
	}
}

// TestSideInputUnparsed proves that a parse function that fails or panics ends the job at once: no second attempt calls it, and
// the error names the parameter and the file.
func TestSideInputUnparsed(t *testing.T) {
	t.Parallel()
	for want, parse := range map[string]func([]byte) (int, error){
		"bad side input labels (mem://b/side): parse: line 1 is odd": func([]byte) (int, error) { return 0, errors.New("line 1 is odd") },
		"bad side input labels (mem://b/side): parse: panic: oh":     func([]byte) (int, error) { panic("oh") },
	} {
		type params struct {
			Labels jobs.SideInput
		}
		var calls atomic.Int64
		job := jobs.Define("unparsed", func(t *jobs.Task, p params) (jobs.Code, error) {
			jobs.Shared(t, p.Labels, func(data []byte) (int, error) {
				calls.Add(1)
				return parse(data)
			})
			return jobs.MapOnly(func(line string, emit func(string)) error { emit(line); return nil }), nil
		})
		o := Options{
			Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Params: map[string]string{"labels": "mem://b/side"},
			Store: sideStore(t, 10, ""), TempDir: t.TempDir(), Workers: 1, Slots: 1,
		}
		_, err := Run(t.Context(), job, o)
		if !errors.Is(err, ErrJobFailed) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%s: parse was called %d times, want once", want, n)
		}
	}
}

// relabelled is a chain of two stages that read the same side input: the first one gives it to each line, the second one counts
// by it. Their map functions call first and last.
func relabelled(first, last func() error) *jobs.Job {
	type params struct {
		Labels jobs.SideInput
	}
	type row struct{ Line, Label string }
	labels := jobs.Define("label", func(t *jobs.Task, p params) (jobs.Code, error) {
		return jobs.MapOnly(func(line string, emit func(row)) error {
			emit(row{line, string(p.Labels.Bytes())})
			return first()
		}), nil
	})
	counts := jobs.Define("count", func(t *jobs.Task, p params) (jobs.Code, error) {
		return jobs.MapReduce(func(r row, emit func(string, int64)) error { emit(r.Label, 1); return last() },
			func(label string, ns jobs.Values[int64], emit func(string)) error {
				emit(fmt.Sprintf("%q %d %s", label, jobs.Total(ns), p.Labels.Bytes()))
				return nil
			}, jobs.Table()), nil
	})
	return jobs.DefineChain("relabelled", []*jobs.Job{labels, counts}, func(c *jobs.Chain, p params) error {
		side := map[string]string{"labels": p.Labels.URL()}
		c.Finish(counts, jobs.Stage{From: []*jobs.Done{c.Run(labels, jobs.Stage{Params: side})}, Params: side})
		return nil
	})
}

// TestSideInputOfStages proves that a chain's stages read what the chain was submitted with, and nothing else; and that --resume
// goes on from a stage only if it read the side input as it is now.
func TestSideInputOfStages(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	st := sideStore(t, 10, "")
	o := Options{Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Params: map[string]string{"labels": "mem://b/side"}, Store: st, TempDir: t.TempDir()}
	nothing, fails := func() error { return nil }, func() error { return errors.New("not yet") }
	if _, err := Run(ctx, relabelled(nothing, nothing), o); err != nil {
		t.Fatal(err)
	}
	writes := func() error { return st.Put(ctx, "mem://b/side", []byte("a=other\n"), false) }
	o.Output = "mem://b/changed"
	const want = "stage 2 (count): input changed during the job: side input mem://b/side is not what the chain began with"
	if _, err := Run(ctx, relabelled(writes, nothing), o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	o.Output = "mem://b/resumed"
	if _, err := Run(ctx, relabelled(nothing, fails), o); err == nil || !strings.Contains(err.Error(), "not yet") {
		t.Fatalf("got %v", err)
	}
	o.Resume = true
	reused := func() (reused bool) {
		t.Helper()
		status, err := Run(ctx, relabelled(nothing, fails), o)
		if err == nil || status == nil || len(status.Stages) == 0 {
			t.Fatalf("got %v, %+v", err, status)
		}
		return status.Stages[0].Reused
	}
	if !reused() {
		t.Error("the first stage ran again, though nothing has changed")
	}
	if err := st.Put(ctx, "mem://b/side", []byte("b=second\n"), false); err != nil {
		t.Fatal(err)
	}
	if reused() {
		t.Error("a stage that read another side input was taken for this one's")
	}
}
