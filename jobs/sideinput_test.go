package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// names are parameters of two side inputs, one of which may be left out.
type names struct {
	Names jobs.SideInput `help:"lines id=name"`
	Skip  jobs.SideInput `default:"" max:"8B" help:"ids to leave out"`
}

// parseNames parses lines id=name.
func parseNames(data []byte) (map[string]string, error) {
	out := map[string]string{}
	for n, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		id, name, ok := strings.Cut(line, "=")
		if !ok && line != "" {
			return nil, fmt.Errorf("line %d: %q has no '='", n+1, line)
		}
		out[id] = name
	}
	return out, nil
}

// named counts ids by name. Every function that a task calls reads a side input: map, combine, partition and reduce.
func named(parse func([]byte) (map[string]string, error)) *jobs.Job {
	return jobs.Define("named", func(t *jobs.Task, p names) (jobs.Code, error) {
		table := jobs.Shared(t, p.Names, parse)
		m := func(id string, emit func(string, int64)) error {
			if !strings.Contains(string(p.Skip.Bytes()), id) {
				emit(id, 1)
			}
			return nil
		}
		r := func(id string, ns jobs.Values[int64], emit func(string)) error {
			emit(fmt.Sprintf("%s %d of %d", table.Get()[id], jobs.Total(ns), len(p.Names.Bytes())))
			return nil
		}
		return jobs.MapReduce(m, r, jobs.Combine(jobs.Sum[int64]),
			jobs.Partition(func(_ string, n int) int { return len(p.Names.Bytes()) % n })), nil
	})
}

// A job reads a side input in each of its functions, as bytes and parsed; one that is not given is empty.
func TestSideInput(t *testing.T) {
	t.Parallel()
	files := jobstest.Files{"a.txt": "1=one\n2=two\n", "b.txt": "2"}
	got := jobstest.RunWith(t, named(parseNames), map[string]string{"names": "a.txt"}, files, "2\n1\n2\n")
	jobstest.Equal(t, got, jobstest.Row{"one 1 of 12"}, jobstest.Row{"two 2 of 12"})
	got = jobstest.RunWith(t, named(parseNames), map[string]string{"names": "a.txt", "skip": "b.txt"}, files, "2\n1\n2\n")
	jobstest.Equal(t, got, jobstest.Row{"one 1 of 12"})
	files["a.txt"] = ""
	got = jobstest.RunWith(t, named(parseNames), map[string]string{"names": "a.txt"}, files, "1")
	jobstest.Equal(t, got, jobstest.Row{" 1 of 0"})
}

// The engine is told which files the parameters name, and how large they may be.
func TestSideFiles(t *testing.T) {
	t.Parallel()
	prog, err := named(parseNames).Bind(map[string]string{"names": "s3://b/a.txt", "skip": "x"})
	if err != nil {
		t.Fatal(err)
	}
	want := "[{names s3://b/a.txt 67108864} {skip x 8}]"
	if got := fmt.Sprint(prog.Info().SideInputs); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	p := named(parseNames).Params()
	if p[0].Type != "file" || !p[0].Required || p[1].Max != 8 || p[1].Required {
		t.Errorf("parameters: %+v", p)
	}
}

// Mistakes are named: in the declaration, the parameters, the bytes that the test gives, the file's content.
func TestSideInputMistakes(t *testing.T) {
	t.Parallel()
	broken := func(build func(t *jobs.Task, p names) any) *jobs.Job {
		return jobs.Define("named", func(t *jobs.Task, p names) (jobs.Code, error) {
			build(t, p)
			return jobs.MapOnly(func(s string, emit func(string)) error { emit(s); return nil }), nil
		})
	}
	panics := func([]byte) (map[string]string, error) { panic("oh") }
	files := jobstest.Files{"a": "1=one\nno\n", "long": "123456789"}
	for _, tt := range []struct {
		job    *jobs.Job
		params map[string]string
		want   string
	}{
		{named(parseNames), nil, "job named: parameter names is missing: give names=FILE, lines id=name"},
		{named(parseNames), map[string]string{"names": "b"}, "oracle: parameter names names the side input b, whose bytes are not given: pass them to RunWith"},
		{named(parseNames), map[string]string{"names": "a", "skip": "long"}, "oracle: parameter skip: the side input long has 9 bytes, more than the 8"},
		{named(parseNames), map[string]string{"names": "a"}, `job named: bad side input names (a): parse: line 2: "no" has no '='`},
		{named(panics), map[string]string{"names": "a"}, "job named: bad side input names (a): parse: panic: oh\n"},
		{named(nil), map[string]string{"names": "a"}, "job named: side input names: the function given to Shared is nil"},
		{broken(func(_ *jobs.Task, p names) any { return p.Names.Bytes() }), map[string]string{"names": "a"},
			"job named: the build function panicked: side input names is read before a task runs: read it in a map, combine or reduce function, or give it to jobs.Shared"},
		{broken(func(t *jobs.Task, p names) any { return jobs.Shared(t, p.Names, parseNames).Get() }), map[string]string{"names": "a"},
			"job named: the build function panicked: the parsed side input names is asked for before a task runs"},
	} {
		_, err := jobstest.RunObjects(tt.job, tt.params, append(files.Objects(), jobstest.Objects("1")...), 1)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	type bad struct {
		N int `max:"3"`
	}
	type none struct {
		In jobs.SideInput `max:"0"`
	}
	for want, job := range map[string]*jobs.Job{
		"field N: the tag max is for a jobs.SideInput alone":         jobs.Define("x", func(*jobs.Task, bad) (c jobs.Code, err error) { return }),
		`field In: the tag max: "0" is not a size of 1 byte or more`: jobs.Define("x", func(*jobs.Task, none) (c jobs.Code, err error) { return }),
	} {
		if _, err := job.Bind(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Many attempts at once parse a side input once and share what came out; a parse that fails is tried anew; another job's data, and
// one of other side inputs, are apart.
func TestSharedOnce(t *testing.T) {
	t.Parallel()
	var calls, fails atomic.Int64
	fails.Store(1)
	job := named(func(data []byte) (map[string]string, error) {
		calls.Add(1)
		if fails.Add(-1) >= 0 {
			return nil, errors.New("not now")
		}
		return parseNames(data)
	})
	prog, err := job.Bind(map[string]string{"names": "a"})
	if err != nil {
		t.Fatal(err)
	}
	run := func(d *jobs.SideData) error {
		return prog.Map(context.Background(), &jobs.Task{Reducers: 1, Side: d}, ended{}, ended{})
	}
	data := jobs.NewSideData([]byte("1=one"))
	if err := run(data); !errors.Is(err, jobs.ErrSideInput) || !strings.Contains(err.Error(), "not now") {
		t.Fatalf("got %v", err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := run(data); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := calls.Load(); n != 2 {
		t.Errorf("parse was called %d times, want 2", n)
	}
	if err := run(jobs.NewSideData([]byte("2=two"))); err != nil || calls.Load() != 3 {
		t.Errorf("other data: %v, %d calls", err, calls.Load())
	}
	for _, d := range []*jobs.SideData{nil, jobs.NewSideData()} {
		if err := run(d); err == nil || !strings.Contains(err.Error(), "the engine gives its side inputs no bytes") {
			t.Errorf("got %v", err)
		}
	}
}

// A build function that declares another form than it did before is told so: nobody gets a value of the wrong type.
func TestSharedDiffers(t *testing.T) {
	t.Parallel()
	first := true
	job := jobs.Define("fickle", func(t *jobs.Task, p names) (jobs.Code, error) {
		if first {
			jobs.Shared(t, p.Names, parseNames)
		} else {
			jobs.Shared(t, p.Names, func(b []byte) (int, error) { return len(b), nil })
		}
		return jobs.MapReduce(func(string, func(int, int)) error { return nil }, func(int, jobs.Values[int], func(int)) error { return nil }), nil
	})
	prog, err := job.Bind(map[string]string{"names": "a"})
	if err != nil {
		t.Fatal(err)
	}
	data := jobs.NewSideData([]byte("1=one"))
	for _, want := range []string{"", "side input names: the build function declares another Shared than before"} {
		err := prog.Map(context.Background(), &jobs.Task{Reducers: 1, Side: data}, ended{}, ended{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		first = false
	}
}

// ended is an input without blocks, and a sink that wants nothing.
type ended struct{}

func (ended) Next() (jobs.Block, error)            { return jobs.Block{}, io.EOF }
func (ended) Put(p jobs.Pairs) (jobs.Pairs, error) { return jobs.Pairs{}, nil }

// A chain hands a side input on to its stages by its URL.
func TestSideInputOfChain(t *testing.T) {
	t.Parallel()
	stage := named(parseNames)
	chain := jobs.DefineChain("chain", []*jobs.Job{stage}, func(c *jobs.Chain, p names) error {
		c.Finish(stage, jobs.Stage{Params: map[string]string{"names": p.Names.URL()}})
		return nil
	})
	got := jobstest.RunWith(t, chain, map[string]string{"names": "a"}, jobstest.Files{"a": "1=one"}, "1\n1\n")
	jobstest.Equal(t, got, jobstest.Row{"one 2 of 5"})
	if f, err := chain.SideFiles(map[string]string{"names": "a"}); err != nil || len(f) != 1 || f[0].URL != "a" {
		t.Errorf("got %v, %v", f, err)
	}
	reads := jobs.DefineChain("reads", []*jobs.Job{stage}, func(c *jobs.Chain, p names) error {
		p.Names.Bytes()
		return nil
	})
	if _, err := reads.Advance(map[string]string{"names": "a"}, nil); err == nil || !strings.Contains(err.Error(), "is read before a task runs") {
		t.Errorf("got %v", err)
	}
}
