package millrace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/jobs/wordcount"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/worker"
	"github.com/millrace/millrace/worker/program"
)

// countRow is a row of the jobs of these tests.
type countRow struct {
	Word string
	N    int64
}

// partitionedJob counts words, and chooses the partition of each by its length.
func partitionedJob() *jobs.Job {
	return jobs.New("partitioned", func(line string, emit func(string, int64)) error {
		for w := range strings.FieldsSeq(line) {
			emit(w, 1)
		}
		return nil
	}, func(w string, ns jobs.Values[int64], emit func(countRow)) error {
		emit(countRow{w, jobs.Total(ns)})
		return nil
	}, jobs.Partition(func(w string, n int) int { return len(w) % n }))
}

// replays is a committed job over mem://b/in, ready to have its tasks run again.
type replays struct {
	t     *testing.T
	st    *storage.Store
	reg   *program.Registry
	spec  plan.Spec
	out   *output.Output
	found []plan.Object
}

func newReplays(t *testing.T, job *jobs.Job, o Options) *replays {
	t.Helper()
	r := &replays{t: t, st: storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})}
	for i := range 3 {
		var b strings.Builder
		for j := range 4000 {
			fmt.Fprintf(&b, "%s number %d\n", strings.Repeat(string(rune('a'+j%26)), 1+j%5), (i+j*7919)%3001)
		}
		r.put(fmt.Sprintf("in/%d", i), b.String())
	}
	o.Inputs, o.Output, o.Store, o.Reducers, o.SplitSize, o.TempDir = []string{"mem://b/in/"}, "mem://b/out", r.st, 3, 20_000, t.TempDir()
	if _, err := Run(t.Context(), job, o); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.reg, err = program.NewRegistry(Version, job); err != nil {
		t.Fatal(err)
	}
	if r.out, err = output.Open(t.Context(), r.st, "mem://b/out"); err != nil {
		t.Fatal(err)
	}
	if r.spec, r.found, err = master.SpecOf(r.out.Manifest); err != nil {
		t.Fatal(err)
	}
	code, err := r.reg.Load(r.spec)
	if err != nil {
		t.Fatal(err)
	}
	r.spec.Info = code.Info()
	return r
}

func (r *replays) put(key, body string) {
	r.t.Helper()
	if err := r.st.Put(r.t.Context(), "mem://b/"+key, []byte(body), false); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replays) read(url string) []byte {
	r.t.Helper()
	body, _, err := r.st.Read(r.t.Context(), url, 0, -1, "")
	if err != nil {
		r.t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *replays) plan(ctx context.Context) (*plan.Plan, error) {
	in := r.out.Manifest.Inputs
	return master.Replan(ctx, r.st, r.spec, r.found, in.Objects, in.Digest)
}

func (r *replays) run(ctx context.Context, p *plan.Plan, phase wire.Phase, index int) (*wire.Outcome, error) {
	return worker.Replay(ctx, worker.Options{Programs: r.reg, Store: r.st, Slots: 2, Memory: 16 << 20, TempDir: r.t.TempDir()},
		p, wire.TaskID{Job: "replayed", Phase: phase, Index: index}, "mem://b/again")
}

// Every reduce task that is run again from the manifest alone gives its part byte for byte, and every map task the same run
// each time: by hash, with a combiner, in total order and with a partitioner of the job's own.
func TestReplay(t *testing.T) {
	t.Parallel()
	for name, job := range map[string]*jobs.Job{"combined": wordcount.Job(), "in order": sortrecords.Job(), "partitioned": partitionedJob()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReplays(t, job, Options{})
			r.put("in/9-came-later", "not read then\n")
			p, err := r.plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if p.Maps < 5 || p.Reducers != 3 {
				t.Fatalf("%d maps, %d reducers: it proves little", p.Maps, p.Reducers)
			}
			records := int64(0)
			for i := range p.Maps {
				first, err := r.run(t.Context(), p, wire.Map, i)
				if err != nil {
					t.Fatal(err)
				}
				run := r.read(first.Map.URL)
				again, err := r.run(t.Context(), p, wire.Map, i)
				if err != nil || again.Map.Checksum != first.Map.Checksum || int64(len(run)) != first.Map.Size || !bytes.Equal(run, r.read(again.Map.URL)) {
					t.Errorf("map %d gives %+v and then %+v, %v", i, first.Map, again.Map, err)
				}
				records += first.Records
			}
			if want := r.out.Manifest.Inputs.Records; records != want {
				t.Errorf("the maps read %d records, the job %d", records, want)
			}
			for i, part := range r.out.Manifest.Parts {
				out, err := r.run(t.Context(), p, wire.Reduce, i)
				if err != nil {
					t.Fatal(err)
				}
				if d := out.Parts; len(d) != 1 || d[0].Pending.Size != part.Bytes || d[0].Pending.CRC32C != part.CRC32C || d[0].Rows != part.Rows ||
					!bytes.Equal(r.read("mem://b/again/"+part.Name), r.read("mem://b/out/"+part.Name)) {
					t.Errorf("reduce %d gives %+v, the manifest has %+v", i, d, part)
				}
			}
		})
	}
}

// An input that has changed since, or is gone, is named, and nothing is run.
func TestReplayOfChangedInputs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*replays)
		want   string
	}{
		"changed": {func(r *replays) { r.put("in/1", "other lines\n") }, "mem://b/in/1 has changed since"},
		"gone": {func(r *replays) {
			if err := r.st.Remove(r.t.Context(), "mem://b/in/2"); err != nil {
				r.t.Fatal(err)
			}
		}, "mem://b/in/2 is gone"},
		"unlisted": {func(r *replays) { r.put("in/1", "other lines\n"); r.found = r.found[:1] }, "of 3 objects some have changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReplays(t, wordcount.Job(), Options{})
			test.change(r)
			if _, err := r.plan(t.Context()); !errors.Is(err, master.ErrInputsChanged) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
	// One that changes after the look at it is found when it is read.
	r := newReplays(t, wordcount.Job(), Options{})
	p, err := r.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.put("in/0", "other lines\n")
	if _, err := r.run(t.Context(), p, wire.Map, 0); !errors.Is(err, storage.ErrChanged) || !strings.Contains(err.Error(), "map-00000: an input is no longer what the job read") {
		t.Errorf("got %v", err)
	}
}

// A function that fails fails again, at the same record and with its stack, and names the map task also when that runs for a
// reduce task; nothing pending is left.
func TestReplayFails(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	job := jobs.New("breaks", func(l jobs.Line, emit func(string, int64)) error {
		if broken.Load() && strings.HasSuffix(l.URL, "/1") && l.Offset > 100 {
			panic("what a line")
		}
		emit(l.Text, 1)
		return nil
	}, func(w string, ns jobs.Values[int64], emit func(countRow)) error {
		emit(countRow{w, jobs.Total(ns)})
		return nil
	})
	r := newReplays(t, job, Options{})
	p, err := r.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	at := -1
	for i := range p.Maps {
		if pieces := p.Split(i).Pieces; strings.HasSuffix(pieces[0].URL, "/1") {
			at = i
			break
		}
	}
	for phase, index := range map[wire.Phase]int{wire.Map: at, wire.Reduce: 1} {
		_, err := r.run(t.Context(), p, phase, index)
		record, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || record.URL != "mem://b/in/1" || record.Offset <= 100 || !strings.Contains(err.Error(), "what a line") ||
			!strings.Contains(err.Error(), "replay_test.go:") || !strings.Contains(err.Error(), "map-") {
			t.Errorf("%v: got %v", phase, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	broken.Store(false)
	if _, err := r.run(ctx, p, wire.Reduce, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a replay that is cancelled ends with %v", err)
	}
}

// An output of an older version, whose manifest says too little, is told from one that can be run again.
func TestReplayOfOldManifest(t *testing.T) {
	t.Parallel()
	if _, _, err := master.SpecOf(&manifest.Manifest{Version: 1, ID: "x"}); !errors.Is(err, master.ErrOldManifest) {
		t.Errorf("got %v", err)
	}
	if _, _, err := master.SpecOf(&manifest.Manifest{Version: 1, ID: "x", Spec: []byte("[]")}); err == nil || !strings.Contains(err.Error(), "job x") {
		t.Errorf("got %v", err)
	}
}
