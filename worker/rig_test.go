package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
	"github.com/millrace/millrace/worker/program"
	"github.com/millrace/millrace/worker/shuffle"
)

// script is a Master that a test plays: it notes the polls and answers what the test has prepared.
type script struct {
	mu     sync.Mutex
	polls  []wire.PollArgs
	answer func(*wire.PollArgs) (*wire.PollReply, error) // of the next polls; nil: an empty answer, after the poll's wait
	job    func(*wire.JobArgs) (*wire.JobReply, error)
	runs   []wire.RunEvent
	maps   int
	term   uint64 // of runs
	over   error  // what Runs answers when there is nothing new
	more   chan struct{}
}

func (s *script) Poll(ctx context.Context, args *wire.PollArgs) (*wire.PollReply, error) {
	s.mu.Lock()
	s.polls = append(s.polls, *args)
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		if r, err := answer(args); r != nil || err != nil {
			return r, err
		}
	}
	if args.Leaving {
		return &wire.PollReply{}, nil
	}
	if !pause(ctx, args.Wait) {
		return nil, ctx.Err()
	}
	return &wire.PollReply{Needed: len(args.Holding) > 0}, nil
}

func (s *script) Job(_ context.Context, args *wire.JobArgs) (*wire.JobReply, error) {
	return s.job(args)
}

func (s *script) Runs(ctx context.Context, args *wire.RunsArgs) (*wire.RunsReply, error) {
	for {
		s.mu.Lock()
		cursor := args.Cursor
		if args.Term != s.term {
			cursor = 0
		}
		events, term, over, more := s.runs[min(cursor, len(s.runs)):], s.term, s.over, s.more
		s.mu.Unlock()
		if len(events) > 0 {
			return &wire.RunsReply{Events: events, Cursor: cursor + len(events), Term: term, Maps: s.maps}, nil
		}
		if over != nil {
			return nil, over
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// reply sets how polls are answered from now on.
func (s *script) reply(f func(*wire.PollArgs) (*wire.PollReply, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// once gives each of the answers to one poll, in turn; then polls wait again.
func (s *script) once(replies ...*wire.PollReply) {
	s.reply(func(*wire.PollArgs) (*wire.PollReply, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(replies) == 0 {
			return nil, nil
		}
		r := replies[0]
		replies = replies[1:]
		return r, nil
	})
}

// last is the newest poll.
func (s *script) last() wire.PollArgs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls[len(s.polls)-1]
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.polls)
}

// outcomes are all that were reported, in order, the repeated ones once.
func (s *script) outcomes() (all []wire.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[wire.AttemptID]bool{}
	for _, p := range s.polls {
		for _, o := range p.Done {
			if !seen[o.Attempt] {
				seen[o.Attempt] = true
				all = append(all, o)
			}
		}
	}
	return all
}

// rig is a worker in a synctest bubble, without its listener: a network would keep the bubble's time from passing.
type rig struct {
	*Worker
	t      *testing.T
	script *script
	bad    *storagetest.FaultyBackend
	gate   chan struct{} // lets the maps of job "slow" end
	cancel context.CancelFunc
	ended  chan error
}

func newRig(t *testing.T, o Options, more ...*jobs.Job) *rig {
	t.Helper()
	r := &rig{t: t, bad: storagetest.Faulty(memstore.New()), gate: make(chan struct{}), ended: make(chan error, 1)}
	o.Store = storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": r.bad.Opener()}})
	reg, err := program.NewRegistry("test", append(more, countJob(), slowJob(r.gate), brokenJob(), manyJob(), longJob(), wordyJob())...)
	if err != nil {
		t.Fatal(err)
	}
	r.script = &script{more: make(chan struct{}), maps: 1, job: func(args *wire.JobArgs) (*wire.JobReply, error) {
		name, shuffle, _ := strings.Cut(string(args.Job), "-")
		spec := plan.Spec{
			Job: name, Program: reg.Digest(name), Output: "mem://b/out", Reducers: 1, Compression: "none", Shuffle: cmp.Or(shuffle, "local"),
		}
		return &wire.JobReply{Spec: spec, Maps: 1, Sampled: true, Work: "mem://b/out/.work"}, nil
	}}
	o.Master, o.Programs = r.script, reg
	o.Slots, o.Memory = cmp.Or(o.Slots, 2), cmp.Or(o.Memory, 64<<20)
	if r.Worker, err = New(o); err != nil {
		t.Fatal(err)
	}
	r.dir, r.runs, r.runURL = t.TempDir(), shuffle.NewServer(), "http://self"
	if err := o.Store.Put(t.Context(), "mem://b/in", []byte("a b\nb\n"), false); err != nil {
		t.Fatal(err)
	}
	return r
}

// start begins to poll.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.cancel = cancel
	go func() { r.ended <- r.poll(ctx) }()
	synctest.Wait()
}

// stop ends the conversation.
func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
}

// let lets bubble time pass.
func let(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// row is what the test's jobs give.
type row struct {
	Word string
	N    int64
}

func words(line string, emit func(string, int64)) error {
	for w := range strings.FieldsSeq(line) {
		emit(w, 1)
	}
	return nil
}

func sums(word string, ns jobs.Values[int64], emit func(row)) error {
	emit(row{word, jobs.Total(ns)})
	return nil
}

func countJob() *jobs.Job { return jobs.New("count", words, sums) }

// slowJob's map function waits at the gate, as a function that hangs does: it hears of no cancel.
func slowJob(gate chan struct{}) *jobs.Job {
	return jobs.New("slow", func(line string, emit func(string, int64)) error {
		<-gate
		return words(line, emit)
	}, sums)
}

func brokenJob() *jobs.Job {
	return jobs.New("broken", func(string, func(string, int64)) error { panic("what now") }, sums)
}

// manyJob counts under more names than a job has.
func manyJob() *jobs.Job {
	return countingJob("many", func(task *jobs.Task) {
		for i := range jobs.MaxCounters + 1 {
			task.Counter(fmt.Sprint("item ", i)).Add(1)
		}
	})
}

// longJob counts under a name that no report has room for.
func longJob() *jobs.Job {
	return countingJob("long", func(task *jobs.Task) { task.Counter(strings.Repeat("n", maxCounterName+1)).Add(1) })
}

func countingJob(name string, count func(*jobs.Task)) *jobs.Job {
	return jobs.Define(name, func(task *jobs.Task, _ struct{}) (jobs.Code, error) {
		return jobs.MapReduce(
			func(line string, emit func(string, int64)) error { count(task); return words(line, emit) },
			func(word string, ns jobs.Values[int64], emit func(row)) error {
				count(task)
				return sums(word, ns, emit)
			},
		), nil
	})
}

// wordyJob fails with a long text.
func wordyJob() *jobs.Job {
	return jobs.New("wordy", func(string, func(string, int64)) error {
		return fmt.Errorf("no number: %s", strings.Repeat("x", 2*wire.MaxRequest))
	}, sums)
}

// mapTask is the map of the whole input.
func mapTask(job string, n int) wire.Task {
	return wire.Task{
		Attempt: wire.AttemptID{Task: wire.TaskID{Job: wire.JobID(job), Phase: wire.Map}, N: n},
		Split:   plan.Split{Pieces: []plan.Piece{{Object: plan.Object{URL: "mem://b/in", Size: 6}, Length: 6}}},
	}
}

func reduceTask(job string, n int) wire.Task {
	return wire.Task{Attempt: wire.AttemptID{Task: wire.TaskID{Job: wire.JobID(job), Phase: wire.Reduce}, N: n}}
}

func assign(tasks ...wire.Task) *wire.PollReply { return &wire.PollReply{Assign: tasks, Needed: true} }

// publish shows a finished map to the reducers.
func (s *script) publish(o wire.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, wire.RunEvent{Attempt: o.Attempt, Run: *o.Map})
	close(s.more)
	s.more = make(chan struct{})
}

// names are the objects and pending uploads of the output.
func (r *rig) names() (names []string) {
	r.t.Helper()
	ctx := context.WithoutCancel(r.t.Context())
	err := r.o.Store.List(ctx, "mem://b/out/", func(o storage.Info) bool {
		names = append(names, strings.TrimPrefix(o.URL, "mem://b/out/"))
		return true
	})
	if err == nil {
		err = r.o.Store.Uploads(ctx, "mem://b/out/", func(url, _ string, _ time.Time) bool {
			names = append(names, "pending "+strings.TrimPrefix(url, "mem://b/out/"))
			return true
		})
	}
	if err != nil {
		r.t.Error(err)
	}
	return names
}

func (r *rig) want(what string, names ...string) {
	r.t.Helper()
	if got := r.names(); !slices.Equal(got, names) {
		r.t.Errorf("%s: the output holds %q, want %q", what, got, names)
	}
}

// outcome is the one that was reported of an attempt.
func (r *rig) outcome(t wire.Task) wire.Outcome {
	r.t.Helper()
	for _, o := range r.script.outcomes() {
		if o.Attempt == t.Attempt {
			return o
		}
	}
	r.t.Fatal(fmt.Sprint("nothing is reported of ", t.Attempt))
	return wire.Outcome{}
}
