package master

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// These tests run in synctest bubbles: a master, its clients and its workers talk over pipes, and time passes when all of
// them wait, so that leases, long polls and backoffs take no time and no luck.

// world is what outlives a master: a bucket that can be told to fail, and the journal.
type world struct {
	t   *testing.T
	st  *storage.Store
	bad *storagetest.FaultyBackend
	mem *memha.Store
	// cluster is that of its masters.
	cluster wire.ClusterID
	cut     func(op string) error // what becomes of a write to the journal; nil: it succeeds
	// afterAppend is what is answered to an append that was done; nil: that.
	afterAppend func() error
}

// cutBackend is a journal of which writes can be cut off.
type cutBackend struct {
	*memha.Store
	w *world
}

func (b cutBackend) do(op string, write func() error) error {
	if b.w.cut != nil {
		if err := b.w.cut(op); err != nil {
			return err
		}
	}
	return write()
}

func (b cutBackend) Append(ctx context.Context, term uint64, entries []journal.Entry) error {
	return b.do("append", func() error {
		err := b.Store.Append(ctx, term, entries)
		if err == nil && b.w.afterAppend != nil {
			err = b.w.afterAppend()
		}
		return err
	})
}

func (b cutBackend) Replace(ctx context.Context, term uint64, job journal.JobID, records [][]byte) error {
	return b.do("replace", func() error { return b.Store.Replace(ctx, term, job, records) })
}

func (b cutBackend) Release(ctx context.Context, term uint64, output string, job journal.JobID) error {
	return b.do("release", func() error { return b.Store.Release(ctx, term, output, job) })
}

func newWorld(t *testing.T) *world {
	bad := storagetest.Faulty(memstore.New())
	w := &world{t: t, bad: bad, mem: memha.New()}
	w.st = storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": bad.Opener()}})
	for i := range 3 {
		w.put(fmt.Sprintf("in/%d", i), strings.Repeat("some words\n", 10))
	}
	return w
}

func (w *world) put(key, body string) {
	w.t.Helper()
	if err := w.st.Put(w.t.Context(), "mem://b/"+key, []byte(body), false); err != nil {
		w.t.Fatal(err)
	}
}

// names lists what lies below a key, and the pending uploads there.
func (w *world) names(prefix string) (names []string) {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	prefix = "mem://b/" + prefix
	err := w.st.List(ctx, prefix, func(o storage.Info) bool {
		names = append(names, strings.TrimPrefix(o.URL, prefix))
		return true
	})
	if err == nil {
		err = w.st.Uploads(ctx, prefix, func(url, _ string, _ time.Time) bool {
			names = append(names, "pending "+strings.TrimPrefix(url, prefix))
			return true
		})
	}
	if err != nil {
		w.t.Error(err)
	}
	slices.Sort(names)
	return names
}

func (w *world) want(prefix string, want ...string) {
	w.t.Helper()
	if got := w.names(prefix); !slices.Equal(got, want) {
		w.t.Errorf("%s holds %q, want %q", prefix, got, want)
	}
}

// leader is a running master and a client of it.
type leader struct {
	*world
	p    *Process
	pipe *wire.PipeListener
	c    *wire.Client
	stop func() error
}

func (w *world) lead(volatile bool) *leader {
	w.t.Helper()
	return w.leadAs(Options{Volatile: volatile})
}

// leadAs is lead with other options.
func (w *world) leadAs(o Options) *leader {
	w.t.Helper()
	o.Store, o.Backend, o.Election, o.Programs, o.Scheduler = w.st, cutBackend{w.mem, w}, &oneTerm{Store: w.mem}, chains, sched.Options{Lease: 5 * time.Second}
	o.Server.Cluster = w.cluster
	p, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	l := &leader{world: w, p: p, pipe: wire.Pipe()}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, l.pipe) }()
	stopped, result := false, error(nil)
	l.stop = func() error {
		if !stopped {
			cancel()
			l.c.Close()
			stopped, result = true, <-done
		}
		return result
	}
	l.c = l.dial(wire.RoleClient)
	synctest.Wait() // it leads
	return l
}

// m is the master of its term.
func (l *leader) m() *Master {
	m, _, _ := l.p.state()
	return m
}

// oneTerm is an election that elects its candidate once: the next term is another's.
type oneTerm struct {
	*memha.Store
	led bool
}

func (o *oneTerm) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	if o.led {
		<-ctx.Done()
		return journal.Term{}, ctx.Err()
	}
	o.led = true
	return o.Store.Campaign(ctx, c)
}

func (l *leader) dial(role wire.Role) *wire.Client {
	l.t.Helper()
	c, err := wire.Dial(l.t.Context(), []string{"pipe"}, wire.ClientOptions{Role: role, Dial: l.pipe.Dial, RetryFor: time.Second})
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// end stops the master, which must have worked until then.
func (l *leader) end() {
	l.t.Helper()
	if err := l.stop(); err != nil {
		l.t.Errorf("Run: %v", err)
	}
}

// spec is a job of one map for each of the three inputs and two reduces.
func spec() plan.Spec {
	return plan.Spec{Job: "count", Info: jobs.Info{Inputs: make([]jobs.Input, 1)}, Inputs: []string{"mem://b/in/*"}, Output: "mem://b/out", Reducers: 2, SplitSize: 110}
}

const jobA, jobB = wire.JobID("aaaaaaaa01"), wire.JobID("aaaaaaaa02")

func (l *leader) submit(id wire.JobID, s plan.Spec) error {
	_, err := l.c.Submit(l.t.Context(), &wire.SubmitArgs{Job: id, Spec: s})
	return err
}

func (l *leader) mustSubmit(id wire.JobID, s plan.Spec) {
	l.t.Helper()
	if err := l.submit(id, s); err != nil {
		l.t.Fatal(err)
	}
}

// status waits until a job is in a state; an ended one must have been cleaned up.
func (l *leader) status(id wire.JobID, state wire.JobState) *wire.JobStatus {
	l.t.Helper()
	args := &wire.WatchArgs{Job: id, Wait: time.Minute}
	for range 1000 {
		s, err := l.c.Watch(l.t.Context(), args)
		if err != nil {
			l.t.Fatal(err)
		}
		if s.State == state && (!state.Ended() || !s.Ended.IsZero()) {
			return s
		}
		if !s.Ended.IsZero() {
			l.t.Fatalf("job %s is %v: %s, want %v", id, s.State, s.Error, state)
		}
		args.Version = s.Version
	}
	l.t.Fatalf("job %s does not become %v", id, state)
	return nil
}

func (l *leader) cancel(id wire.JobID) wire.JobState {
	l.t.Helper()
	r, err := l.c.Cancel(l.t.Context(), &wire.CancelArgs{Job: id})
	if err != nil {
		l.t.Fatal(err)
	}
	return r.State
}

// cancelAfter cancels a job later; the test must call wait before it ends.
func (l *leader) cancelAfter(d time.Duration, id wire.JobID) (wait func()) {
	done := make(chan struct{})
	time.AfterFunc(d, func() { defer close(done); l.cancel(id) })
	return func() { <-done }
}

// hand is a worker that is told what to do: it fabricates runs and makes real pending parts.
type hand struct {
	l     *leader
	c     *wire.Client
	args  wire.PollArgs
	tasks []wire.Task // given and not done
	had   map[wire.AttemptID]bool
	reply *wire.PollReply
	sides bool // its maps and reduces leave parts in the side output errors, of 3 and 4 rows
}

func (l *leader) hire(id wire.WorkerID, slots int) *hand {
	l.t.Helper()
	return &hand{
		l: l, c: l.dial(wire.RoleWorker), had: map[wire.AttemptID]bool{},
		args: wire.PollArgs{Worker: id, Host: "host-" + string(id), Slots: slots, Wait: 100 * time.Millisecond},
	}
}

// poll reports, and takes the answer.
func (h *hand) poll() error {
	h.args.Seq++
	h.args.Running = nil
	for _, t := range h.tasks {
		h.args.Running = append(h.args.Running, wire.Progress{Attempt: t.Attempt})
	}
	reply, err := h.c.Poll(h.l.t.Context(), &h.args)
	if err != nil {
		return err
	}
	h.args.Done, h.reply = nil, reply
	for _, t := range reply.Assign {
		if !h.had[t.Attempt] {
			h.had[t.Attempt] = true
			h.tasks = append(h.tasks, t)
		}
	}
	for _, k := range reply.Kill {
		h.tasks = slices.DeleteFunc(h.tasks, func(t wire.Task) bool { return t.Attempt == k })
	}
	return nil
}

// get polls until it has a task of the phase, and takes it out of its tasks.
func (h *hand) get(phase wire.Phase) wire.Task {
	h.l.t.Helper()
	for range 200 {
		for i, t := range h.tasks {
			if t.Attempt.Task.Phase == phase {
				h.tasks = slices.Delete(h.tasks, i, i+1)
				return t
			}
		}
		if err := h.poll(); err != nil {
			h.l.t.Fatal(err)
		}
	}
	h.l.t.Fatalf("no %v task is given", phase)
	return wire.Task{}
}

// result is what a task ends with: a run with a checksum of its own, or a part with 10 rows.
func (h *hand) result(t wire.Task) wire.Outcome {
	h.l.t.Helper()
	o := wire.Outcome{Attempt: t.Attempt, Counters: map[string]int64{"n": 1}}
	index := t.Attempt.Task.Index
	switch t.Attempt.Task.Phase {
	case wire.Sample:
		o.Sample = &wire.SampleResult{Bounds: [][]byte{[]byte("m")}}
	case wire.Map:
		o.Records = 10
		if h.sides {
			o.Parts = []wire.Part{h.part("out", manifest.MapSideName("errors", index), 3)}
		}
		o.Map = &wire.MapResult{URL: fmt.Sprintf("http://%s/runs/%d", h.args.Worker, index), Size: 100, Checksum: uint64(index), Pairs: 5}
	case wire.Reduce:
		j, err := h.c.Job(h.l.t.Context(), &wire.JobArgs{Job: t.Attempt.Task.Job})
		if err != nil {
			h.l.t.Fatal(err)
		}
		out := strings.TrimPrefix(j.Spec.Output, "mem://b/")
		o.Reduce = &wire.ReduceResult{}
		o.Parts = []wire.Part{h.part(out, manifest.PartName(index), 10)}
		if h.sides {
			o.Parts = append(o.Parts, h.part(out, manifest.SideName("errors", index), 4))
		}
	}
	return o
}

// part makes a part with so many rows, in an output folder.
func (h *hand) part(folder, name string, rows int64) wire.Part {
	h.l.t.Helper()
	return wire.Part{Name: name, Pending: h.l.pending(folder+"/"+name, "part 0"), Rows: rows}
}

// pending makes a pending upload.
func (w *world) pending(key, body string) storage.Pending {
	w.t.Helper()
	up, err := w.st.Create(w.t.Context(), "mem://b/"+key, storage.UploadOptions{})
	if err == nil {
		_, err = up.Write([]byte(body))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := up.Finish(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (h *hand) do(phase wire.Phase) wire.Outcome {
	h.l.t.Helper()
	o := h.result(h.get(phase))
	h.args.Done = append(h.args.Done, o)
	return o
}

// work does n tasks of a phase and reports them.
func (h *hand) work(phase wire.Phase, n int) {
	h.l.t.Helper()
	for range n {
		h.do(phase)
	}
	if err := h.poll(); err != nil {
		h.l.t.Fatal(err)
	}
}

// beat keeps a worker alive, and quiet, while something else is waited for.
func (h *hand) beat(until func() bool) {
	h.l.t.Helper()
	for range 2000 {
		if until() {
			return
		}
		if err := h.poll(); err != nil {
			h.l.t.Fatal(err)
		}
	}
	h.l.t.Fatal("it does not happen")
}

func wantError(t *testing.T, what string, err, decision error, texts ...string) {
	t.Helper()
	if decision != nil && !errors.Is(err, decision) || err == nil {
		t.Errorf("%s: got %v, want %v", what, err, decision)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %q, want %q in it", what, err, text)
		}
	}
}

// goroutines are the stacks of those in the test's bubble. runtime.NumGoroutine would not do: it counts the other tests' too, and one
// that has ended until the runtime has put its memory away, which synctest.Wait does not wait for.
func goroutines(t *testing.T) (stacks []string) {
	t.Helper()
	b := make([]byte, 1<<20)
	n := runtime.Stack(b, true)
	_, bubble, ok := strings.Cut(string(b[:n]), "synctest bubble ") // this goroutine comes first
	if bubble, _, _ = strings.Cut(bubble, "]"); !ok || n == len(b) {
		t.Fatalf("no bubble, or too many stacks in %d bytes", n)
	}
	for _, s := range strings.Split(string(b[:n]), "\n\n") {
		if head, _, _ := strings.Cut(s, "\n"); strings.Contains(head, "synctest bubble "+bubble+"]") {
			stacks = append(stacks, s)
		}
	}
	return stacks
}
