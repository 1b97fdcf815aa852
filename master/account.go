package master

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// account is where a job's time and requests went. It is for people: nothing is decided by it, and a next master begins it
// anew. Of a map task it keeps nothing but, while it is one of the slowest, its detail; of a reduce task two numbers.
type account struct {
	meter  *storage.Meter // of the master's own requests for the job
	phases [2]phaseAccount
	begun  map[sched.AttemptID]begun // running attempts
	in     []int64                   // run bytes fetched, by partition
	pairs  []int64                   // by partition
	hot    []wire.HotKey
	backup wire.Backups

	requests storage.Requests // of all attempts that ended
	read     int64
	written  int64
	missing  int
}

type begun struct {
	worker string
	at     time.Time
}

// phaseAccount is the tasks of one phase.
type phaseAccount struct {
	detail  wire.PhaseDetail // its sums; the spreads are made when they are asked for
	elapsed histogram
	bytes   histogram
	workers map[string]*pace
	ended   int // attempts, and how long they took in all
	took    time.Duration
	useful  time.Duration
}

// pace is how fast a worker is.
type pace struct {
	bytes int64
	took  time.Duration
}

// maxPaces bounds the workers whose pace is kept.
const maxPaces = 1000

func newAccount(reducers int) *account {
	a := &account{meter: new(storage.Meter), begun: map[sched.AttemptID]begun{}, in: make([]int64, reducers), pairs: make([]int64, reducers)}
	for i := range a.phases {
		a.phases[i].workers = map[string]*pace{}
	}
	return a
}

// phase is a phase's account, or nil of the sample task, which is too little to tell of.
func (a *account) phase(p sched.Phase) *phaseAccount {
	switch p {
	case sched.Map:
		return &a.phases[0]
	case sched.Reduce:
		return &a.phases[1]
	}
	return nil
}

// assigned notes that an attempt begins. An assignment is repeated when its answer was lost.
func (a *account) assigned(e sched.Assign, worker string, now time.Time) {
	if _, again := a.begun[e.Attempt]; again {
		return
	}
	a.begun[e.Attempt] = begun{worker, now}
	if e.Backup {
		a.backup.Started++
	}
}

// ended takes what any attempt reports at its end, once.
func (a *account) ended(o *wire.Outcome) {
	delete(a.begun, o.Attempt)
	if w := o.Work; w != nil {
		a.requests.Add(w.Requests)
		a.read += w.In
		a.written += w.Out
	}
	if p := a.phase(o.Attempt.Task.Phase); p != nil {
		p.ended++
		p.took += o.Elapsed
	}
}

// selected takes the result of the attempt that counts.
func (a *account) selected(e sched.Selected, worker string, o *wire.Outcome) {
	p := a.phase(e.Attempt.Task.Phase)
	if p == nil {
		return
	}
	task := e.Attempt.Task
	if task.Phase == sched.Reduce {
		a.in[task.Index], a.pairs[task.Index] = o.Bytes, o.Records
	}
	if o.Work == nil {
		a.missing++
		return
	}
	if e.Backup {
		a.backup.Won++
		a.backup.Saved += e.Saved
	}
	if len(a.hot) > 0 || len(o.Work.Hot) > 0 {
		a.hot = hottest(a.hot, taskName(task), o.Work.Hot)
	}
	p.selected(e.Attempt, worker, o)
}

func (p *phaseAccount) selected(id sched.AttemptID, worker string, o *wire.Outcome) {
	d := &p.detail
	d.Attempts++
	d.Time.Add(o.Work.Time)
	p.useful += o.Elapsed
	p.elapsed.add(int64(o.Elapsed))
	p.bytes.add(o.Bytes)
	if o.Spilled > 0 {
		d.Spilled++
	}
	w := p.workers[worker]
	if w == nil && len(p.workers) < maxPaces {
		w = new(pace)
		p.workers[worker] = w
	}
	if w != nil {
		w.bytes += o.Bytes
		w.took += o.Elapsed - o.Work.Time.Wait
	}
	var b [nameBytes]byte
	name := appendTaskName(b[:0], id.Task)
	d.Slowest = slices.DeleteFunc(d.Slowest, func(x wire.TaskDetail) bool { return x.Task == string(name) })
	if n := len(d.Slowest); n < wire.MaxSlowest || o.Elapsed >= d.Slowest[n-1].Elapsed { // of most tasks no detail is made
		d.Slowest = longest(d.Slowest, taskDetail(id, worker, o))
	}
}

// longest adds a task to a list of those that took longest, which stays sorted and short.
func longest(list []wire.TaskDetail, t wire.TaskDetail) []wire.TaskDetail {
	at, _ := slices.BinarySearchFunc(list, t, func(a, b wire.TaskDetail) int {
		return cmp.Or(cmp.Compare(b.Elapsed, a.Elapsed), cmp.Compare(a.Task, b.Task))
	})
	if at == wire.MaxSlowest {
		return list
	}
	list = slices.Insert(list, at, t)
	return list[:min(len(list), wire.MaxSlowest)]
}

// hottest merges a task's hot keys into the job's.
func hottest(list []wire.HotKey, task string, keys []wire.HotKey) []wire.HotKey {
	list = slices.DeleteFunc(list, func(k wire.HotKey) bool { return k.Task == task }) // the task ran before
	for _, k := range keys {
		k.Task = task
		list = append(list, k)
	}
	slices.SortStableFunc(list, func(a, b wire.HotKey) int {
		return cmp.Or(cmp.Compare(b.Pairs, a.Pairs), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Task, b.Task))
	})
	return list[:min(len(list), wire.MaxHotKeys)]
}

// taskDetail describes an attempt by its outcome.
func taskDetail(id sched.AttemptID, worker string, o *wire.Outcome) wire.TaskDetail {
	t := wire.TaskDetail{
		Task: taskName(id.Task), Attempt: id.N, Worker: worker, Elapsed: o.Elapsed, Time: o.Work.Time, Bytes: o.Bytes, Records: o.Records,
		Emitted: o.Work.Emitted, Groups: o.Work.Groups, Spilled: o.Spilled, Hot: o.Work.Hot, Counters: o.Counters, State: stateSelected,
	}
	t.Rows, t.Out = sizeOf(o.Parts)
	if o.Map != nil {
		t.Pairs, t.Out = o.Map.Pairs, t.Out+o.Map.Size
	}
	return t
}

// taskName is a task's name within its job, as logs print it.
func taskName(t sched.TaskID) string { return string(appendTaskName(nil, t)) }

// nameBytes is enough for the name of a task of any phase with an index of seven digits.
const nameBytes = 16

// appendTaskName appends taskName. It is compared for each task that ends.
func appendTaskName(b []byte, t sched.TaskID) []byte {
	b = append(append(b, t.Phase.String()...), '-')
	for least := 10_000; t.Index < least && least > 1; least /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(t.Index), 10)
}

// histogram counts figures by size, eight classes an octave, so that a median is within a tenth.
type histogram struct {
	classes       []int32
	n             int
	min, max, sum int64
}

const classesPerOctave = 8

func (h *histogram) add(v int64) {
	if h.n == 0 || v < h.min {
		h.min = v
	}
	h.max = max(h.max, v)
	h.sum += v
	h.n++
	class := 0
	if v > 0 {
		class = 1 + int(classesPerOctave*math.Log2(float64(v)))
	}
	for len(h.classes) <= class {
		h.classes = append(h.classes, 0)
	}
	h.classes[class]++
}

func (h *histogram) spread() wire.Spread {
	s := wire.Spread{Min: h.min, Max: h.max, Sum: h.sum}
	for class, before := 0, 0; class < len(h.classes); class++ {
		if before += int(h.classes[class]); before > (h.n-1)/2 {
			if class > 0 { // the middle of the class
				s.Median = int64(math.Exp2((float64(class) - 0.5) / classesPerOctave))
			}
			break
		}
	}
	s.Median = min(max(s.Median, s.Min), s.Max)
	return s
}

// spreadOf is the exact spread of a list.
func spreadOf(list []int64) (s wire.Spread) {
	if len(list) == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(list))
	for _, v := range sorted {
		s.Sum += v
	}
	s.Min, s.Median, s.Max = sorted[0], sorted[(len(sorted)-1)/2], sorted[len(sorted)-1]
	return s
}
