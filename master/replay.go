package master

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

// Bounds of what is kept of ended jobs for those who run a task again: a thousand jobs are kept.
const (
	keptSums   = 2000 // checksums of runs
	keptListed = 200  // input objects, of a job without a manifest
)

// remember keeps of a job that ends what running its tasks again takes.
func (j *job) remember() {
	if j.chain != nil || j.plan.Objects == nil {
		return
	}
	j.digest = digest(j.plan.Objects)
	j.sums = j.runSums(keptSums)
	if j.state != sched.Done {
		j.listed = slices.Clone(j.plan.Objects[:min(len(j.plan.Objects), keptListed)])
	}
}

// runSums are the checksums of the first maps' runs, 0 of those that have none yet. Lost runs are made again with the same.
func (j *job) runSums(most int) []uint64 {
	sums := make([]uint64, min(j.plan.Maps, most))
	_ = j.runs.each(func(e wire.RunEvent) bool { // fails for no page of our own; a checksum less is one that cannot be compared
		if i := e.Attempt.Task.Index; i < len(sums) && !e.Lost {
			sums[i] = e.Run.Checksum
		}
		return true
	})
	return sums
}

// Task tells what running a task of a job again takes.
func (m *Master) Task(_ context.Context, args *wire.TaskArgs) (*wire.TaskReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.findLocked(args.Job)
	if err != nil {
		return nil, err
	}
	if err := m.goesOn(j.id); err != nil {
		return nil, err
	}
	if j.chain != nil {
		return nil, refuse(wire.ErrNoTask, "replay job "+string(j.id), "it is a chain, whose stages have tasks: name a stage, as in "+string(stageID(j.id, 0)))
	}
	if err := j.specGone(); err != nil {
		return nil, err
	}
	id, err := parseTask(j.id, args.Task)
	if err != nil {
		return nil, err
	}
	tasks := j.plan.Maps
	if id.Phase == sched.Reduce {
		tasks = j.plan.Reducers
	}
	if id.Index >= tasks {
		return nil, refuse(wire.ErrNoTask, "task "+taskName(id), fmt.Sprintf("job %s has %d %s tasks, numbered from 0", j.id, tasks, id.Phase))
	}
	r := &wire.TaskReply{Job: j.id, State: m.statusLocked(j).State, Task: id, Spec: j.spec, Objects: j.objects, Digest: j.digest, Listed: j.listed}
	if j.digest == "" {
		r.Digest = digest(j.plan.Objects)
		r.Listed = slices.Clone(j.plan.Objects[:min(len(j.plan.Objects), keptListed)])
	}
	sums := j.sums
	if sums == nil {
		sums = j.runSums(id.Index + 1)
	}
	if id.Phase == sched.Map && id.Index < len(sums) && sums[id.Index] != 0 {
		r.Selected, r.Checksum = true, sums[id.Index]
	}
	if left := j.parts[id.Phase]; id.Index < len(left) && left[id.Index].parts != nil {
		r.Selected, r.Parts = true, slices.Clone(left[id.Index].parts)
	}
	return r, nil
}

// ErrInputsChanged says that a job's inputs are not what they were when it ran.
var ErrInputsChanged = errors.New("the inputs are no longer what the job read")

// Replan makes the plan of a job that ran before: it lists the inputs of its spec again and leaves out what has come since.
// listed are the first of its objects, and sum the digest of all of them. An object that has changed or gone is an error that
// names it and wraps ErrInputsChanged. The spec must have its defaults, and Info.
func Replan(ctx context.Context, st *storage.Store, spec plan.Spec, listed []plan.Object, objects int, sum string) (*plan.Plan, error) {
	now, err := listInputs(ctx, st, spec)
	if err != nil {
		return nil, err
	}
	if err := sameSideInputs(now.Spec.SideInputs, spec.SideInputs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInputsChanged, err)
	}
	found := now.Objects
	if digest(found) != sum {
		if found, err = sameObjects(found, listed); err != nil {
			return nil, err
		}
		if len(listed) < objects || digest(found) != sum {
			return nil, fmt.Errorf("%w: of %d objects some have changed, come or gone since (the first %d are the same)", ErrInputsChanged, objects, len(listed))
		}
	}
	now.Objects = found
	return makePlan(ctx, st, now)
}

// sameObjects finds the listed objects among those that are there now, which bring what only the listing knows of them.
func sameObjects(now, listed []plan.Object) ([]plan.Object, error) {
	type place struct {
		url   string
		input int
	}
	at := make(map[place]plan.Object, len(now))
	for _, o := range now {
		at[place{o.URL, o.Input}] = o
	}
	out := make([]plan.Object, 0, len(listed))
	for _, o := range listed {
		n, there := at[place{o.URL, o.Input}]
		switch {
		case !there:
			return nil, fmt.Errorf("%w: %s is gone", ErrInputsChanged, o.URL)
		case n.Size != o.Size || n.ETag != o.ETag:
			return nil, fmt.Errorf("%w: %s has changed since: it has %d bytes and ETag %s, had %d and %s", ErrInputsChanged, o.URL, n.Size, n.ETag, o.Size, o.ETag)
		}
		out = append(out, n)
	}
	return out, nil
}

// ErrOldManifest says that an output's manifest does not tell enough to run its tasks again.
var ErrOldManifest = errors.New("an older millrace wrote this output, and did not say how its job was planned: its tasks cannot be run again")

// SpecOf returns the spec of the job that committed an output, without Info, and its objects as far as they are listed.
func SpecOf(m *manifest.Manifest) (plan.Spec, []plan.Object, error) {
	var spec plan.Spec
	if len(m.Spec) == 0 {
		return spec, nil, ErrOldManifest
	}
	if err := json.Unmarshal(m.Spec, &spec); err != nil {
		return spec, nil, fmt.Errorf("read the spec in the manifest of job %s: %w", m.ID, err)
	}
	listed := make([]plan.Object, len(m.Inputs.Listed))
	for i, o := range m.Inputs.Listed {
		listed[i] = plan.Object{URL: o.URL, Size: o.Size, ETag: o.ETag, Input: o.Input}
	}
	return spec, listed, nil
}

// TaskOf reads the name of a task of a plan, "map-00003".
func TaskOf(p *plan.Plan, name string) (wire.TaskID, error) {
	id, err := parseTask("", name)
	if err != nil {
		return id, err
	}
	tasks := p.Maps
	if id.Phase == sched.Reduce {
		tasks = p.Reducers
	}
	if id.Index >= tasks {
		return id, fmt.Errorf("task %s: the job has %d %s tasks, numbered from 0", name, tasks, id.Phase)
	}
	return id, nil
}
