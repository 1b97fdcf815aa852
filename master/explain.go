package master

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// The states of a task that is told of.
const (
	stateSelected = "selected"
	stateRunning  = "running"
	stateWaiting  = "waiting"
)

// maxDetailCounters bounds the counters that each of the slowest tasks is shown with; one that is asked for has all.
const maxDetailCounters = 20

// Explain tells where a job's time went.
func (m *Master) Explain(_ context.Context, args *wire.ExplainArgs) (*wire.Explanation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.findLocked(args.Job)
	if err != nil {
		return nil, err
	}
	if err := m.goesOn(j.id); err != nil {
		return nil, err
	}
	x := j.explained
	if x == nil {
		x = j.explain()
		m.explainRunningLocked(j, x)
	}
	reply := *x
	reply.Status = *m.statusLocked(j)
	reply.Master = j.requests()
	if args.Task == "" {
		return &reply, nil
	}
	id, err := parseTask(j.id, args.Task)
	if err != nil {
		return nil, err
	}
	reply.Task, err = m.explainTaskLocked(j, &reply, id)
	return &reply, err
}

// parseTask reads a task's name as logs print it: "map-00003", "ID/map-00003.0".
func parseTask(job sched.JobID, name string) (sched.TaskID, error) {
	short := name[strings.LastIndexByte(name, '/')+1:]
	short, _, _ = strings.Cut(short, ".")
	phase, number, _ := strings.Cut(short, "-")
	index, err := strconv.Atoi(number)
	for _, p := range []sched.Phase{sched.Map, sched.Reduce} {
		if err == nil && index >= 0 && phase == p.String() {
			return sched.TaskID{Job: job, Phase: p, Index: index}, nil
		}
	}
	return sched.TaskID{}, refuse(wire.ErrNoTask, fmt.Sprintf("task %q", name), "no name of a task: write map-00003 or reduce-00001, as the logs do")
}

// explain tells of what has ended.
func (j *job) explain() *wire.Explanation {
	a := j.account
	x := &wire.Explanation{
		Map: a.phases[0].explain(), Reduce: a.phases[1].explain(), HotKeys: slices.Clone(a.hot), Backups: a.backup,
		Tasks: a.requests, Read: a.read, Written: a.written, Counters: j.counterSpreads(), Missing: a.missing,
	}
	var in, rows, out []int64
	for p, left := range j.parts[sched.Reduce] {
		if left.parts == nil {
			continue // it has not ended
		}
		part := left.parts[0] // of the job's rows
		in, rows, out = append(in, a.in[p]), append(rows, part.Rows), append(out, part.Pending.Size)
		x.Reduced += a.pairs[p]
	}
	x.In, x.Rows, x.Out = spreadOf(in), spreadOf(rows), spreadOf(out)
	return x
}

func (p *phaseAccount) explain() wire.PhaseDetail {
	d := p.detail
	d.Elapsed, d.Bytes = p.elapsed.spread(), p.bytes.spread()
	d.Wasted, d.Loss = max(0, p.ended-d.Attempts), max(0, p.took-p.useful)
	var all pace
	for _, w := range p.workers {
		all.bytes += w.bytes
		all.took += w.took
	}
	d.Slowest = slices.Clone(d.Slowest)
	for i := range d.Slowest {
		t := &d.Slowest[i]
		if w := p.workers[t.Worker]; w != nil && w.bytes > 0 && w.took > 0 && len(p.workers) > 1 {
			t.Speed = float64(w.bytes) / float64(w.took) / (float64(all.bytes) / float64(all.took))
		}
		if len(t.Counters) > maxDetailCounters {
			few := map[string]int64{}
			for _, name := range slices.Sorted(maps.Keys(t.Counters))[:maxDetailCounters] {
				few[name] = t.Counters[name]
			}
			t.Counters = few
		}
	}
	return d
}

// explainRunningLocked adds the attempts that run, those first that have run longest.
func (m *Master) explainRunningLocked(j *job, x *wire.Explanation) {
	now := m.o.Now()
	for _, w := range m.workers { // the order does not show: longest sorts
		for _, p := range w.running {
			b, known := j.account.begun[p.Attempt]
			if !known || p.Attempt.Task.Job != j.id {
				continue
			}
			t := runningDetail(p, b, now)
			switch p.Attempt.Task.Phase {
			case sched.Map:
				x.Map.Running = longest(x.Map.Running, t)
			case sched.Reduce:
				x.Reduce.Running = longest(x.Reduce.Running, t)
			}
		}
	}
}

func runningDetail(p sched.Progress, b begun, now time.Time) wire.TaskDetail {
	return wire.TaskDetail{
		Task: taskName(p.Attempt.Task), Attempt: p.Attempt.N, Worker: b.worker, Elapsed: now.Sub(b.at), Bytes: p.Bytes, State: stateRunning,
	}
}

// counterSpreads tells how the user's counters are spread over the tasks.
func (j *job) counterSpreads() []wire.CounterSpread {
	list := make([]wire.CounterSpread, len(j.counters.names))
	at := map[string]*wire.CounterSpread{}
	for i, name := range j.counters.names {
		list[i] = wire.CounterSpread{Name: name, Total: j.counters.sums[i]}
		at[name] = &list[i]
	}
	for phase, shares := range map[sched.Phase][]share{sched.Map: j.maps, sched.Reduce: j.reduces} {
		for i, s := range shares {
			for _, c := range s.counters {
				if x := at[c.name]; x != nil { // or the name was dropped later
					x.Tasks++
					name := taskName(sched.TaskID{Job: j.id, Phase: phase, Index: i})
					if x.Task == "" || c.n > x.Most || c.n == x.Most && name < x.Task {
						x.Most, x.Task = c.n, name
					}
				}
			}
		}
	}
	return list
}

// explainTaskLocked tells of one task: all of one of the slowest and of those that run, and the figures that its job adds up
// of every other one.
func (m *Master) explainTaskLocked(j *job, x *wire.Explanation, id sched.TaskID) (*wire.TaskDetail, error) {
	phase, shares, tasks := &x.Map, j.maps, j.plan.Maps
	if id.Phase == sched.Reduce {
		phase, shares, tasks = &x.Reduce, j.reduces, j.plan.Reducers
	}
	name := taskName(id)
	if id.Index >= tasks {
		return nil, refuse(wire.ErrNoTask, "task "+name, fmt.Sprintf("job %s has %d %s tasks, numbered from 0", j.id, tasks, id.Phase))
	}
	t := &wire.TaskDetail{Task: name, Attempt: -1, State: stateWaiting}
	for _, list := range [][]wire.TaskDetail{phase.Running, phase.Slowest} {
		for _, d := range list {
			if d.Task == name {
				t = &d
			}
		}
	}
	if shares == nil { // an old job's
		if t.State == stateWaiting {
			return nil, refuse(wire.ErrNoTask, "task "+name, "of a job that ended so long ago only the slowest tasks are kept")
		}
		return t, nil
	}
	s := &shares[id.Index]
	if !s.known() {
		return t, nil
	}
	if t.State == stateWaiting {
		t.State = stateSelected
		if a, _, ok := m.sched.Selected(id); ok {
			t.Attempt = a.N
		}
		t.Records, t.Pairs, t.Spilled = s.records, s.pairs, s.spilled
		t.Rows, t.Out = sizeOf(j.leftBy(id))
		t.Out += s.shuffled
		if id.Phase == sched.Reduce {
			t.Bytes, t.Records = j.account.in[id.Index], j.account.pairs[id.Index]
		}
	}
	t.Counters = map[string]int64{}
	for _, c := range s.counters {
		t.Counters[c.name] = c.n
	}
	return t, nil
}
