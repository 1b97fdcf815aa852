package master

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/storagetest"
)

// A job id that is submitted again, also at the same moment, is the same job: it is planned once.
func TestSubmitTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := l.submit(jobA, spec()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := l.bad.Calls(storagetest.OpList); n > 3 {
			t.Errorf("five submissions of one job list %d times", n)
		}
		r, err := l.c.List(t.Context(), &wire.ListArgs{})
		if err != nil || len(r.Jobs) != 1 || r.Jobs[0].Map.Tasks != 3 {
			t.Errorf("List gives %+v, %v", r, err)
		}
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		l.mustSubmit(jobA, spec()) // ended is known, too
		l.status(jobA, wire.Cancelled)
		l.end()
	})
}

// What cannot be run is refused by name, with the remedy, and claims nothing.
func TestSubmitRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		for want, change := range map[string]func(*plan.Spec){
			"no such input":                       func(s *plan.Spec) { s.Inputs = []string{"mem://b/none"} },
			"unknown scheme":                      func(s *plan.Spec) { s.Inputs = []string{"ftp://b/none"} },
			"shuffle \"x\"":                       func(s *plan.Spec) { s.Shuffle = "x" },
			"split size":                          func(s *plan.Spec) { s.SplitSize = -1 },
			"mem://b/in":                          func(s *plan.Spec) { s.Output = "mem://b/in" },
			"output":                              func(s *plan.Spec) { s.Output = "" },
			"10000 are possible;":                 func(s *plan.Spec) { s.Reducers = 1 << 20 },
			"--allow builtin,command admits them": func(s *plan.Spec) { s.Job = plan.Command },
		} {
			s := spec()
			change(&s)
			err := l.submit(jobA, s)
			if err == nil || errors.Is(err, wire.ErrOutputTaken) {
				t.Errorf("%s: got %v", want, err)
			}
		}
		wantError(t, "a short id", l.submit("a", spec()), wire.ErrBadSpec, "32 hexadecimal digits")
		l.mustSubmit(jobA, spec())
		l.end()
	})
}

// An output is free, a finished output that may be replaced, or refused; what no job wrote is never replaced.
func TestOutputChecks(t *testing.T) {
	const none, plain, always = "", "without --overwrite", "always"
	for _, test := range []struct {
		name, refused, text string
		files               []string
	}{
		{"nothing", none, "", nil},
		{"files beside it", none, "", []string{"outside"}},
		{"what a dead job left", none, "", []string{"out/.millrace-0123/map-00001.0.run", "out/.part-00000.arrow.tmp"}},
		{"a finished output", plain, "a finished output", []string{"out/" + manifest.Name, "out/part-00000.arrow"}},
		{"a finished output of nothing", plain, "a finished output", []string{"out/" + manifest.Name}},
		{"parts without a manifest", plain, "not empty", []string{"out/part-00000.arrow", "out/part-123456.arrow"}},
		{"a foreign file", always, "notes.txt", []string{"out/notes.txt"}},
		{"a foreign folder", always, "deep/er", []string{"out/deep/er"}},
		{"a foreign file beside a finished output", always, "", []string{"out/" + manifest.Name, "out/part-00000.arrow", "out/part-1.arrow"}},
	} {
		for _, overwrite := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				l := newWorld(t).lead(true)
				for _, f := range test.files {
					l.put(f, "")
				}
				s := spec()
				s.Overwrite = overwrite
				err := l.submit(jobA, s)
				if refused := test.refused == always || test.refused == plain && !overwrite; !refused && err != nil {
					t.Errorf("%s, overwrite %v: %v", test.name, overwrite, err)
				} else if refused && test.text != "a finished output" {
					wantError(t, test.name, err, wire.ErrOutputTaken, test.text, "choose another output")
				} else if refused {
					wantError(t, test.name, err, wire.ErrOutputTaken, "finished output", "--overwrite")
				}
				l.end()
			})
		}
	}
}

// One running job writes to an output at a time. A refused submission leaves no claim behind.
func TestClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.put("out/strange", "")
		wantError(t, "an output in use", l.submit(jobA, spec()), wire.ErrOutputTaken)
		if err := l.st.Remove(t.Context(), "mem://b/out/strange"); err != nil {
			t.Fatal(err)
		}
		l.mustSubmit(jobA, spec())
		s := spec()
		s.Overwrite = true
		s.Output += "/" // the same
		wantError(t, "a second job", l.submit(jobB, s), wire.ErrOutputTaken, "a running job writes there", string(jobA))
		s.Output = "mem://b/out2"
		l.mustSubmit("bbbbbbbb", s)
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		l.mustSubmit(jobB, spec())
		l.end()
	})
}

// A storage that fails while a job is planned refuses the job by name.
func TestSubmitWithoutStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpList, Err: fmt.Errorf("%w: no", storage.ErrDenied), Times: -1})
		wantError(t, "a denied listing", l.submit(jobA, spec()), nil, "mem://b/in")
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpList, Key: "out/*", Err: fmt.Errorf("%w: no", storage.ErrDenied), Times: -1})
		wantError(t, "a denied output", l.submit(jobA, spec()), nil, "mem://b/out")
		l.bad.Plan()
		l.mustSubmit(jobA, spec())
		l.end()
	})
}

// A sampled job's workers get the boundaries once they are known, and its maps start only then.
func TestSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		s := spec()
		s.Info.TotalOrder = true
		l.mustSubmit(jobA, s)
		h := l.hire("w", 4)
		sample := h.get(wire.Sample)
		if len(sample.Split.Pieces) == 0 || len(h.tasks) != 0 {
			t.Errorf("the sample has the pieces %v, and %v is given beside it", sample.Split.Pieces, h.tasks)
		}
		if r, err := h.c.Job(t.Context(), &wire.JobArgs{Job: jobA}); err != nil || r.Sampled || r.Bounds != nil || r.Maps != 3 {
			t.Errorf("before the sample: %+v, %v", r, err)
		}
		h.args.Done = []wire.Outcome{h.result(sample)}
		h.work(wire.Map, 3)
		if r, err := h.c.Job(t.Context(), &wire.JobArgs{Job: jobA}); err != nil || !r.Sampled || len(r.Bounds) != 1 {
			t.Errorf("after the sample: %+v, %v", r, err)
		}
		l.end()
	})
}

// Options that cannot work are named.
func TestNew(t *testing.T) {
	mem := memha.New()
	for want, o := range map[string]Options{
		"Options.Store":    {Backend: mem, Election: mem},
		"Options.Backend":  {Store: storage.New(storage.Options{}), Election: mem},
		"Options.Election": {Store: storage.New(storage.Options{}), Backend: mem},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

// A master that allows some commands takes jobs of those, and no others.
func TestSubmitCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).leadAs(Options{Volatile: true, Allow: plan.Allow{Commands: []string{"python3 *.py"}}})
		s := spec()
		s.Job, s.Params = plan.Command, map[string]string{"mapper": "python3 map.py", "reducer": "sh"}
		wantError(t, "submit", l.submit(jobA, s), wire.ErrBadSpec, "submit command: this master does not run the reducer", `"sh"`, "--allow-command")
		s.Params["reducer"] = "python3 reduce.py"
		l.mustSubmit(jobA, s)
		l.cancel(jobA)
		l.end()
	})
	if _, err := New(Options{Store: newWorld(t).st, Backend: memha.New(), Election: memha.New(), Allow: plan.Allow{Kinds: []string{"wasm"}}}); err == nil || !strings.Contains(err.Error(), `master: allow: "wasm" is no kind of code`) {
		t.Errorf("got %v", err)
	}
}
