package millrace

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/jobs/wordcount"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/worker/program"
)

// The estimate of a plan is what a run of it then asks for, request by request, with runs on workers and in the bucket, with and
// without a sample, for cut and for packed objects.
func TestEstimateIsWhatARunAsksFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options Options
		objects int
		lines   int
	}{
		{"one object, cut", Options{SplitSize: 10_000}, 1, 20_000},
		{"many objects, packed", Options{SplitSize: 10_000}, 50, 100},
		{"runs in the bucket", Options{SplitSize: 20_000, Shuffle: "bucket"}, 3, 5_000},
		{"in total order", Options{SplitSize: 30_000, Params: map[string]string{"format": "bytes"}}, 3, 5_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
			for i := range test.objects {
				var body strings.Builder
				for j := range test.lines {
					fmt.Fprintln(&body, (i*test.lines+j)*7919%10_007, strings.Repeat(string(rune('a'+j%26)), 1+j%7))
				}
				if err := st.Put(t.Context(), fmt.Sprintf("mem://b/in/%03d", i), []byte(body.String()), false); err != nil {
					t.Fatal(err)
				}
			}
			x, p := explainedRun(t, st, test.options)
			if p.Maps < 2 || x.Status.Retries > 0 {
				t.Fatalf("%d maps, %d retries: the run proves nothing", p.Maps, x.Status.Retries)
			}
			e := master.EstimateRequests(p)
			tasks := e.Sampling
			tasks.Add(e.Reading)
			tasks.Add(e.Shuffling)
			tasks.Add(e.Writing)
			if x.Tasks != tasks {
				t.Errorf("the tasks asked for\n%+v, estimated were\n%+v", x.Tasks, tasks)
			}
			planning := new(storage.Meter) // listing the inputs is counted, not estimated
			if _, err := master.Plan(storage.WithMeter(context.Background(), planning), st, p.Spec); err != nil {
				t.Fatal(err)
			}
			want := planning.Requests()
			want.Add(e.Planning)
			want.Add(e.Committing)
			if x.Master != want {
				t.Errorf("the master asked for\n%+v, estimated were\n%+v", x.Master, want)
			}
			all := e.Total()
			if all.Total() != e.Planning.Total()+tasks.Total()+e.Committing.Total() {
				t.Errorf("the total is %+v", all)
			}
		})
	}
}

// explainedRun runs a job over mem://b/in, and returns its plan and what came of it.
func explainedRun(t *testing.T, st *storage.Store, o Options) (x *Explanation, p *plan.Plan) {
	t.Helper()
	job := wordcount.Job()
	if o.Params != nil {
		job = sortrecords.Job()
	}
	o.Inputs, o.Output, o.Store, o.Reducers, o.NoBackup, o.TempDir = []string{"mem://b/in/*"}, "mem://b/out", st, 3, true, t.TempDir()
	reg, err := program.NewRegistry(Version, job)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := o.Spec(reg, job.Name())
	if err == nil {
		p, err = master.Plan(t.Context(), st, spec)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Explain = func(got *Explanation) { x = got }
	if _, err := Run(t.Context(), job, o); err != nil {
		t.Fatal(err)
	}
	return x, p
}
