package master

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

// Submit plans a job and hands it to the scheduler. Submitting an id again is the same job: nothing happens twice.
func (m *Master) Submit(ctx context.Context, args *wire.SubmitArgs) (*wire.SubmitReply, error) {
	if len(args.Job) < 8 || chainOf(args.Job) != "" {
		return nil, refuse(wire.ErrBadSpec, "submit", fmt.Sprintf("job id %q is too short, or has a dot in it: use 32 hexadecimal digits", args.Job))
	}
	if err := m.o.Allow.Check(args.Spec, "this master"); err != nil {
		return nil, refuse(wire.ErrBadSpec, "submit "+args.Spec.Job, err.Error())
	}
	args.User = cut(args.User, maxUser)
	known, done, err := m.beginSubmit(ctx, args.Job, args.User)
	if known || err != nil {
		return &wire.SubmitReply{Job: args.Job}, err
	}
	defer done()
	planned, err := m.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer planned()
	if args.Spec.Chain {
		return &wire.SubmitReply{Job: args.Job}, m.submitChain(ctx, args)
	}
	j, err := m.planJob(ctx, args)
	if err != nil {
		return nil, asRefusal(err)
	}
	// From here on the job's fate does not hang on its submitter: it is taken, or its claim released.
	ctx = context.WithoutCancel(ctx)
	if err := m.openLog(ctx, j); err != nil {
		return nil, errors.Join(asRefusal(err), m.giveUp(ctx, j))
	}
	tasks := j.plan // the job's is the loop's from the step on: a short job may end before the log has its line
	var refused error
	err = m.step(ctx, j.submitEvent(), func() bool {
		if refused = m.nestedLocked(j.spec.Output); refused == nil {
			refused = m.roomForTasksLocked(j)
		}
		if refused != nil {
			return false
		}
		m.jobs[j.id], j.unborn = j, true
		m.order = append(m.order, j.id)
		return true
	})
	if refused != nil {
		return nil, errors.Join(refused, m.giveUp(ctx, j))
	}
	if err != nil {
		// The record may be durable all the same: then the claims and the plan are a job's, which the next master knows. Without it
		// that one finds claims of a job that it does not know.
		if m.o.Volatile {
			_ = m.giveUp(ctx, j)
		}
		return nil, refuse(wire.ErrShuttingDown, "submit", "the master is stopping")
	}
	m.o.Log.Info("job submitted", "job", j.id, "name", j.spec.Job, "output", j.spec.Output, "maps", tasks.Maps, "reducers", tasks.Reducers, "user", j.user)
	return &wire.SubmitReply{Job: j.id}, nil
}

// giveUp takes back what was done for a job that is not to be.
func (m *Master) giveUp(ctx context.Context, j *job) error {
	m.removeBulk(ctx, j)
	return m.release(ctx, j.spec.Output, j.id)
}

// nestedLocked refuses an output that lies inside or around that of a running job: each would take the other's files for
// foreign ones.
func (m *Master) nestedLocked(output string) error {
	nested := func(o string) bool {
		return o != "" && o != output && (strings.HasPrefix(o, output+"/") || strings.HasPrefix(output, o+"/"))
	}
	taken := func(id sched.JobID, o string) error {
		return refuse(wire.ErrOutputTaken, "output "+output, "job "+string(id)+" is running and writes to "+o+": choose a folder beside it, or wait for it")
	}
	for _, id := range m.order {
		if j := m.jobs[id]; !j.swept && nested(j.spec.Output) {
			return taken(id, j.spec.Output)
		}
	}
	for id, s := range m.planning { // one of them is as good as another
		if nested(s.output) {
			return taken(id, s.output)
		}
	}
	return nil
}

// reserve keeps others from the folders inside and around the output of a chain while its record is being made durable.
func (m *Master) reserve(j *job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.nestedLocked(j.spec.Output); err != nil {
		return err
	}
	m.planning[j.id].output = j.spec.Output
	return nil
}

// planJob lists the inputs, plans the tasks, checks that the output is free and claims it.
func (m *Master) planJob(ctx context.Context, args *wire.SubmitArgs) (*job, error) {
	meter := new(storage.Meter)
	ctx = storage.WithMeter(ctx, meter)
	p, err := Plan(ctx, m.o.Store, args.Spec)
	if err != nil {
		return nil, err
	}
	if err := m.claim(ctx, p.Spec, args.Job); err != nil {
		return nil, err
	}
	j := newJob(args.Job, p, m.o.Now())
	j.user, j.account.meter = args.User, meter
	return j, nil
}

// Plan lists a spec's inputs and cuts them into tasks, and fills in the spec's defaults. It is what Submit runs and what
// `millrace plan` shows.
func Plan(ctx context.Context, st *storage.Store, spec plan.Spec) (*plan.Plan, error) {
	listed, err := listInputs(ctx, st, spec)
	if err != nil {
		return nil, err
	}
	p, err := makePlan(ctx, st, listed)
	if err != nil {
		return nil, err
	}
	return p, plan.CheckOutput(p.Spec, p.Objects)
}

func (j *job) submitEvent() sched.Submit {
	ev := sched.Submit{
		Job: j.id, Weight: max(1, j.spec.Weight), Sample: !j.sampled,
		Reducers: j.plan.Reducers, MaxAttempts: j.spec.MaxAttempts, Backup: j.spec.Backup, Durable: j.spec.Shuffle == "bucket",
	}
	if j.plan.Maps > 0 {
		ev.Maps = j.plan.SplitSizes()
	}
	return ev
}

// needsSample says whether the job's partition boundaries come from a sample of its input.
func needsSample(p *plan.Plan) bool { return p.Spec.Info.TotalOrder && p.Reducers > 1 && p.InBytes > 0 }

// checkFolder refuses an output that is a file.
func (m *Master) checkFolder(ctx context.Context, output string) error {
	if strings.HasPrefix(output, "file://") { // in a bucket an object and a folder may have the same name
		if _, err := m.o.Store.Stat(ctx, output); err == nil {
			return refuse(wire.ErrOutputTaken, "output "+output, "it is a file: choose a folder")
		}
	}
	return nil
}

// checkOutput refuses an output folder that holds anything, unless it is to be overwritten; and then anything that no
// millrace job wrote.
func (m *Master) checkOutput(ctx context.Context, spec plan.Spec) error {
	if err := m.checkFolder(ctx, spec.Output); err != nil {
		return err
	}
	success, stages, foreign := false, false, ""
	folder := spec.Output + "/"
	err := m.o.Store.List(ctx, folder, func(o storage.Info) bool {
		switch name := strings.TrimPrefix(o.URL, folder); {
		case name == manifest.Name:
			success = true
		case isHidden(name):
		case isPart(name) && spec.Overwrite:
		case strings.HasPrefix(name, StagesFolder+"/"):
			stages = true
		default:
			foreign = name
		}
		return foreign == ""
	})
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	case foreign != "" && spec.Overwrite && !isPart(foreign):
		return refuse(wire.ErrOutputTaken, "output "+spec.Output, "it holds "+foreign+", which no job wrote: --overwrite replaces only outputs of millrace; choose another output")
	case success && !spec.Overwrite:
		return refuse(wire.ErrOutputTaken, "output "+spec.Output, "it holds a finished output already: choose another output, or pass --overwrite to replace it")
	case stages && !spec.Overwrite && !spec.Resume:
		return refuse(wire.ErrOutputTaken, "output "+spec.Output, "it holds stages of a chain that did not finish: go on from them with --resume, begin anew with --overwrite, or choose another output")
	case foreign != "":
		return refuse(wire.ErrOutputTaken, "output "+spec.Output, "the folder is not empty (it holds "+foreign+"): choose another output")
	}
	return nil
}

// asRefusal gives an error that crosses the wire its code. Its text names the thing already.
func asRefusal(err error) error {
	var r *refusal
	switch {
	case errors.As(err, &r), storage.IsTransient(err): // a storage that fails is no fault of the job
		return err
	case errors.Is(err, journal.ErrFenced), errors.Is(err, context.Canceled):
		return refuse(wire.ErrShuttingDown, "submit", "the master is stopping")
	}
	return &refusal{wire.ErrBadSpec, err.Error()}
}

// afterEnd cleans up behind a job: nothing of it may stay but, if it committed, its parts and manifest.
func (m *Master) afterEnd(ctx context.Context, j *job, state sched.JobState, helpers []helper) {
	if state != sched.Done { // a commit sweeps before it writes the manifest
		m.quiet(ctx, j.id, helpers)
		m.sweep(ctx, j)
	}
	m.conclude(ctx, j)
}

// afterEnds cleans up behind the jobs that ended under an earlier master, which may not have come to it. An output that
// another job claims now has been cleaned, or is that job's to clean.
func (m *Master) afterEnds(ctx context.Context, ended []*job) error {
	for _, j := range ended {
		err := m.journal.Claim(ctx, j.spec.Output, j.id)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && j.summed != nil:
			m.conclude(ctx, j)
		case err == nil && j.chain != nil:
			m.afterChain(ctx, j, j.keepsStages(j.state))
		case err == nil:
			m.afterEnd(ctx, j, j.state, nil)
		case errors.Is(err, journal.ErrClaimed) && m.lastOfOpenChain(j):
			m.afterEnd(ctx, j, j.state, nil)
		case errors.Is(err, journal.ErrClaimed):
			kept := m.replaceLog(ctx, j)
			if kept {
				m.removeBulk(ctx, j)
			}
			m.sweptNow(j)
			m.cleaned(ctx, j, kept)
		default:
			m.o.Log.Warn("claim output", "job", j.id, "output", j.spec.Output, "error", err)
			m.sweptNow(j)
			m.cleaned(ctx, j, false)
		}
	}
	return nil
}

// lastOfOpenChain says whether a job is a stage that writes the output of its chain, and that one has not ended: the claim is the chain's,
// and what the stage left is for nobody else to remove.
func (m *Master) lastOfOpenChain(j *job) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return j.parent != nil && j.parent.ended.IsZero() && j.parent.spec.Output == j.spec.Output
}

// quiet waits until none of the workers that worked for an ended job does so any more: what an attempt writes after the
// sweep would stay. A worker that has not told so in quietTimeout is stopped or cut off.
func (m *Master) quiet(ctx context.Context, id sched.JobID, helpers []helper) {
	timeout := time.NewTimer(quietTimeout)
	defer timeout.Stop()
	for _, w := range helpers {
		for {
			m.mu.Lock()
			busy := m.workers[w.id] == w.workerState && !w.refused && (w.seq == w.last || w.runs(id))
			polls := w.wake
			m.mu.Unlock()
			if !busy {
				break
			}
			select {
			case <-polls:
			case <-timeout.C:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// helper is a worker that was given attempts of an ended job, and the number of its last poll before the end.
type helper struct {
	*workerState
	id   sched.WorkerID
	last uint64
}

// helpersLocked lists the workers that were given attempts of a job that ends now, and forgets that they were.
func (m *Master) helpersLocked(id sched.JobID) (list []helper) {
	for name, w := range m.workers { // all are waited for: the order does not show
		if w.given[id] {
			delete(w.given, id)
			list = append(list, helper{w, name, w.seq})
		}
	}
	return list
}
