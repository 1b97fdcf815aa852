package master

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/output"
)

// A chain is a job that has no tasks: one goroutine asks its code for the next stage, submits that as a job of its own, and
// waits for its end, until the code says that the chain is complete.
//
//	Advance(what is done) -> a stage -> its job, committed in a folder of its own -> the stage is done, durably -> Advance ...
//
// The stages' jobs are hidden behind the chain's: their ids are the chain's with a number, they are not listed, a cancel of
// the chain is one of the stage under way, and its status is made of theirs. All but the last write to folders below
// StagesFolder in the chain's output, which the chain has claimed; the last one writes the output itself.
//
// A master that takes over replays what is done, asks the code again, and finds the stage under way among its jobs, or
// committed: no finished stage runs twice.

// Programs is the code of chains. *program.Registry is one.
type Programs interface {
	// Advance returns the stage that a chain runs next, nil when it is complete: see jobs.Job.Advance.
	Advance(spec plan.Spec, done []jobs.StageResult) (*jobs.StageSpec, error)
	// Stage states a stage of a chain as a job: its name, parameters and the digest and Info of its code.
	Stage(chain plan.Spec, s *jobs.StageSpec) (plan.Spec, error)
}

// StagesFolder is where a chain keeps what its stages write, in its output. Readers of Arrow datasets take no notice of
// names that begin so.
const StagesFolder = "_stages"

// chain is what a job has that is a chain. Master.mu guards it.
type chain struct {
	digest  string // of the input objects: they must be the same for each stage that reads them
	done    []jobs.StageResult
	stages  []wire.StageStatus // of done
	current *job               // the stage under way, nil between two
	stopped bool               // its user wants it to end, durably
	ending  sync.Mutex         // held while it is noted that the chain is to end, or has; taken before Master.mu
}

// stageID is the id of the job that runs a chain's stage n. People count stages from 1.
func stageID(chain sched.JobID, n int) sched.JobID {
	return sched.JobID(fmt.Sprintf("%s.%d", chain, n+1))
}

// chainOf is the id of the chain that a job of that id is a stage of; "" if the id is none of a stage.
func chainOf(id sched.JobID) sched.JobID {
	if i := strings.LastIndexByte(string(id), '.'); i >= 0 {
		return id[:i]
	}
	return ""
}

// submitChain takes a chain: its inputs and output are looked at as those of any job, and its code is asked for a first stage.
func (m *Master) submitChain(ctx context.Context, args *wire.SubmitArgs) error {
	if m.o.Programs == nil {
		return refuse(wire.ErrBadSpec, "submit "+args.Spec.Job, "this master carries no chains of jobs")
	}
	if _, err := m.o.Programs.Advance(args.Spec, nil); err != nil {
		return asRefusal(err)
	}
	j, err := m.newChain(ctx, args)
	if err != nil {
		return asRefusal(err)
	}
	ctx = context.WithoutCancel(ctx) // from here on the chain's fate does not hang on its submitter
	spec, err := records.AppendPlan(nil, &j.spec, nil)
	if err != nil {
		return errors.Join(err, m.release(ctx, j.spec.Output, j.id))
	}
	if err := m.reserve(j); err != nil {
		return errors.Join(err, m.release(ctx, j.spec.Output, j.id))
	}
	block, err := m.chainBlock(ctx, j, chainEntry{At: j.submitted, User: j.user, Version: m.o.Version, Objects: j.objects, Bytes: j.plan.InBytes, Digest: j.chain.digest}, spec)
	if err != nil {
		return errors.Join(asRefusal(err), m.giveUp(ctx, j))
	}
	if err := m.note(ctx, j.id, block); err != nil { // it may be durable all the same: see Submit
		if m.o.Volatile {
			_ = m.giveUp(ctx, j)
		}
		return refuse(wire.ErrShuttingDown, "submit", "the master is stopping")
	}
	m.mu.Lock()
	m.jobs[j.id] = j
	m.order = append(m.order, j.id)
	m.mu.Unlock()
	m.o.Log.Info("chain submitted", "job", j.id, "name", j.spec.Job, "output", j.spec.Output, "user", j.user)
	select {
	case m.chains <- j:
		return nil
	case <-m.stopped:
		return refuse(wire.ErrShuttingDown, "submit", "the master is stopping")
	}
}

// newChain lists a chain's inputs, checks that its output is free, and claims it.
func (m *Master) newChain(ctx context.Context, args *wire.SubmitArgs) (*job, error) {
	p, err := listInputs(ctx, m.o.Store, args.Spec)
	if err != nil {
		return nil, err
	}
	if err := plan.CheckOutput(p.Spec, p.Objects); err != nil {
		return nil, err
	}
	if err := m.claim(ctx, p.Spec, args.Job); err != nil {
		return nil, err
	}
	j := newJob(args.Job, p, m.o.Now())
	j.user, j.chain = args.User, &chain{digest: digest(p.Objects)}
	return j, nil
}

// runChains starts the chains that are submitted, until ctx ends.
func (m *Master) runChains(ctx context.Context) error {
	for {
		select {
		case j := <-m.chains:
			m.startChain(ctx, j)
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Master) startChain(ctx context.Context, j *job) {
	m.background.Go(func() error {
		err := m.runChain(ctx, j)
		if ctx.Err() == nil && !errors.Is(err, errStopped) { // otherwise a successor goes on with it
			m.endChain(m.outliving(ctx), j, err)
		}
		return nil
	})
}

// runChain runs stage after stage. It returns nil when the chain is complete.
func (m *Master) runChain(ctx context.Context, j *job) error {
	m.mu.Lock()
	begins := len(j.chain.done) == 0 && m.jobs[stageID(j.id, 0)] == nil
	m.mu.Unlock()
	if begins && !j.spec.Resume { // what a chain that failed left, which --overwrite replaces
		if _, err := m.holds(ctx, j); err != nil { // it may be another's by now
			return err
		}
		if err := m.o.Store.RemoveFolder(ctx, j.spec.Output+"/"+StagesFolder); err != nil {
			return fmt.Errorf("remove old stages: %w", err)
		}
	}
	for {
		if err := m.stopStage(ctx, j); err != nil {
			return err
		}
		m.mu.Lock()
		done, stages := slices.Clone(j.chain.done), slices.Clone(j.chain.stages)
		m.mu.Unlock()
		next, err := m.o.Programs.Advance(j.spec, done)
		if err != nil || next == nil {
			return err
		}
		if !j.spec.KeepStages {
			for _, n := range next.Drop {
				if stages[n].Rejected > 0 { // they are to be looked at
					continue
				}
				if err := m.o.Store.RemoveFolder(ctx, j.stageFolder(done[n].Spec)); err != nil {
					return fmt.Errorf("remove stage %d: %w", n+1, err)
				}
			}
		}
		result, status, err := m.runStage(ctx, j, next)
		if errors.Is(err, errCancelled) {
			return err
		}
		if err != nil {
			return fmt.Errorf("stage %d (%s): %w", next.N+1, next.Job, err)
		}
		if err := m.noteChain(ctx, j, chainEntry{At: m.o.Now(), Done: result, Status: status}, nil); err != nil {
			return err
		}
		m.mu.Lock()
		j.stageDone(*result, *status)
		m.mu.Unlock()
	}
}

// stageDone takes a stage that is done into the chain.
func (j *job) stageDone(r jobs.StageResult, s wire.StageStatus) {
	j.chain.done = append(j.chain.done, r)
	j.chain.stages = append(j.chain.stages, s)
	j.chain.current = nil
	j.touch()
}

// stageFolder is where a stage writes.
func (j *job) stageFolder(s jobs.StageSpec) string {
	if s.Last {
		return j.spec.Output
	}
	return fmt.Sprintf("%s/%s/%03d-%s", j.spec.Output, StagesFolder, s.N+1, s.Job)
}

// runStage runs a stage to its end, or finds it done.
func (m *Master) runStage(ctx context.Context, j *job, s *jobs.StageSpec) (*jobs.StageResult, *wire.StageStatus, error) {
	child := m.stageUnderWay(j, s.N)
	if child == nil {
		p, err := m.planStage(ctx, j, s)
		if err != nil {
			return nil, nil, err
		}
		if j.spec.Resume && !s.Last {
			result, status, err := m.reuse(ctx, s, p)
			if result != nil || err != nil {
				return result, status, err
			}
		}
		if child, err = m.submitStage(ctx, j, s, p); err != nil {
			return nil, nil, err
		}
	}
	state, reason, err := m.awaitEnd(ctx, child)
	switch {
	case err != nil:
		return nil, nil, err
	case state == sched.Cancelled:
		return nil, nil, errCancelled
	case state != sched.Done:
		return nil, nil, errors.New(reason)
	}
	out, err := output.Open(ctx, m.o.Store, child.spec.Output)
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	status := m.stageStatusLocked(child, s)
	m.mu.Unlock()
	result, err := m.stageResult(ctx, s, out)
	return result, &status, err
}

// stageUnderWay finds the job of a stage that an earlier master submitted. It was planned then: its input may have changed since, or
// may not be listed now, and that is its tasks' to say.
func (m *Master) stageUnderWay(j *job, n int) *job {
	m.mu.Lock()
	defer m.mu.Unlock()
	child := m.jobs[stageID(j.id, n)]
	if child != nil {
		j.chain.current = child
	}
	return child
}

// planStage plans the job of a stage. What it reads is what the stages before it wrote, or the chain's input, unchanged.
func (m *Master) planStage(ctx context.Context, j *job, s *jobs.StageSpec) (*plan.Plan, error) {
	spec, err := m.o.Programs.Stage(j.spec, s)
	if err != nil {
		return nil, err
	}
	spec.Inputs, spec.Output, spec.Reducers = j.spec.Inputs, j.stageFolder(*s), s.Reducers
	spec.Overwrite = j.spec.Overwrite || !s.Last // what a chain that failed left there
	spec.SplitSize, spec.Shuffle, spec.Backup = j.spec.SplitSize, j.spec.Shuffle, j.spec.Backup
	spec.MaxAttempts, spec.Weight = j.spec.MaxAttempts, j.spec.Weight
	spec.Decompress, spec.MaxDecompressed = j.spec.Decompress, j.spec.MaxDecompressed
	spec.SkipBad = j.spec.SkipBad
	if s.Last {
		spec.Compression = j.spec.Compression
		spec.Resume = true // the stages that lie in its output are this chain's
	}
	spec.Exclude = j.spec.Exclude
	if len(s.From) > 0 {
		spec.Inputs, spec.Exclude = nil, nil
	}
	if n := len(spec.Info.Inputs); n > 1 && n != len(s.From) {
		return nil, fmt.Errorf("the stage's job has %d inputs: give it as many stages to read from, in their order; it has %d", n, len(s.From))
	}
	for _, n := range s.From {
		m.mu.Lock()
		from := j.chain.done[n].Spec
		m.mu.Unlock()
		if spec.Inputs = append(spec.Inputs, j.stageFolder(from)+"/"); len(spec.Info.Inputs) > 1 {
			spec.InputOf = append(spec.InputOf, len(spec.InputOf))
		}
	}
	listed, err := listInputs(ctx, m.o.Store, spec)
	if err != nil {
		return nil, err
	}
	if len(s.From) == 0 && digest(listed.Objects) != j.chain.digest {
		return nil, fmt.Errorf("input changed during the job: its objects are not those that the chain began with: run it again when nothing writes to its input")
	}
	if err := chainSideInputs(listed.Spec.SideInputs, j.spec.SideInputs); err != nil {
		return nil, err
	}
	return makePlan(ctx, m.o.Store, listed)
}

// submitStage hands the job of a stage to the scheduler.
func (m *Master) submitStage(ctx context.Context, j *job, s *jobs.StageSpec, p *plan.Plan) (*job, error) {
	id := stageID(j.id, s.N)
	if err := m.checkOutput(ctx, p.Spec); err != nil {
		return nil, err
	}
	child := newJob(id, p, m.o.Now())
	child.parent = j
	if err := m.openLog(ctx, child); err != nil {
		return nil, err
	}
	stopped := false
	err := m.step(ctx, child.submitEvent(), func() bool {
		if stopped = j.chain.stopped; stopped {
			return false
		}
		m.jobs[id], child.unborn = child, true
		m.order = append(m.order, id)
		j.chain.current = child
		j.logf(m.o.Now(), "", "", fmt.Sprintf("stage %d (%s) begins as job %s", s.N+1, s.Job, id))
		return true
	})
	if err == nil && stopped { // after an error the loop may still be about to say so
		return nil, errCancelled
	}
	return child, err
}

// awaitEnd waits until a job has ended and was cleaned up behind.
func (m *Master) awaitEnd(ctx context.Context, j *job) (sched.JobState, string, error) {
	for {
		m.mu.Lock()
		swept, state, reason, changed := j.swept, j.state, j.reason, j.changes()
		m.mu.Unlock()
		if swept {
			return state, reason, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, "", ctx.Err()
		}
	}
}

// reuse returns the result of a stage that an earlier chain left in the output, if it is the same stage: the same code and
// parameters over the same input.
func (m *Master) reuse(ctx context.Context, s *jobs.StageSpec, p *plan.Plan) (*jobs.StageResult, *wire.StageStatus, error) {
	out, err := output.Open(ctx, m.o.Store, p.Spec.Output)
	if errors.Is(err, output.ErrNone) || errors.Is(err, output.ErrForeign) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	f := out.Manifest
	if f.Job != p.Spec.Job || f.Program != p.Spec.Program || f.Inputs.Digest != digest(p.Objects) || !sameParams(f.Params, p.Spec.Params) ||
		!slices.Equal(f.Inputs.Side, manifestSideInputs(p.Spec.SideInputs)) || len(f.Parts) != rowsParts(p) {
		return nil, nil, nil
	}
	if f.Rejected > 0 && !p.Spec.SkipBad.Allows(f.Rejected, f.Inputs.Records) {
		return nil, nil, nil
	}
	status := wire.StageStatus{
		N: s.N, Job: s.Job, State: sched.Done, Reused: true, Objects: f.Inputs.Objects, InBytes: f.Inputs.Bytes, Records: f.Inputs.Records,
		Rows: f.Rows, OutBytes: f.Bytes, NumParts: len(f.Parts), Rejected: f.Rejected,
	}
	result, err := m.stageResult(ctx, s, out)
	return result, &status, err
}

// sameParams compares parameters; none at all and an empty set are the same.
func sameParams(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, value := range a {
		if other, ok := b[name]; !ok || other != value {
			return false
		}
	}
	return true
}

// stageResult reads off a committed output what a chain's code may ask for.
func (m *Master) stageResult(ctx context.Context, s *jobs.StageSpec, out *output.Output) (*jobs.StageResult, error) {
	result := &jobs.StageResult{Spec: *s, Rows: out.Manifest.Rows, Counters: out.Manifest.Counters}
	if s.Collect == 0 {
		return result, nil
	}
	err := json.Unmarshal(out.Manifest.Schema, &result.Schema)
	if err != nil {
		return nil, fmt.Errorf("%s: schema: %w", out.URL, err)
	}
	result.Collected, err = collect(ctx, out, s.Collect)
	return result, err
}

// endChain ends a chain, nil for its completion, and cleans up behind it.
func (m *Master) endChain(ctx context.Context, j *job, err error) {
	state, reason := sched.Done, ""
	switch {
	case errors.Is(err, errCancelled):
		state = sched.Cancelled
	case err != nil:
		state, reason = sched.JobFailed, cut(err.Error(), maxFailure)
	}
	m.mu.Lock()
	kept := j.keepsStages(state)
	m.mu.Unlock()
	if kept && state == sched.JobFailed {
		reason += fmt.Sprintf(": its finished stages are kept in %s/%s: submit it again with --resume to go on from there, or with --overwrite to begin anew", j.spec.Output, StagesFolder)
	}
	if !m.noteEnd(ctx, j, state, reason) {
		return // this master has lost its term: a successor ends the chain
	}
	m.o.Log.Info("chain ended", "job", j.id, "state", state.String(), "reason", reason)
	m.afterChain(ctx, j, kept)
}

// keepsStages says whether what a chain's stages wrote stays when it ends so, as its user may have asked for.
func (j *job) keepsStages(state sched.JobState) bool {
	return j.spec.KeepStages || j.noSpec || state == sched.JobFailed && len(j.chain.done) > 0
}

// afterChain cleans up behind a chain that has ended.
func (m *Master) afterChain(ctx context.Context, j *job, kept bool) {
	m.dropStages(ctx, j, kept)
	m.conclude(ctx, j)
}

// dropStages removes what a chain's stages wrote, unless it is kept.
func (m *Master) dropStages(ctx context.Context, j *job, kept bool) {
	if kept || !m.mayClean(ctx, j) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	if err := m.removeStages(ctx, j); err != nil {
		m.o.Log.Warn("remove stages", "job", j.id, "output", j.spec.Output, "error", err)
	}
}

// removeStages removes what a chain's stages wrote. Of a chain that is complete those stay that set records aside.
func (m *Master) removeStages(ctx context.Context, j *job) error {
	var gone []string
	all := true
	m.mu.Lock()
	for i, s := range j.chain.stages {
		switch {
		case j.chain.done[i].Spec.Last:
		case s.Rejected > 0 && j.state == sched.Done:
			all = false
		default:
			gone = append(gone, j.stageFolder(j.chain.done[i].Spec))
		}
	}
	m.mu.Unlock()
	if all { // of a stage that was not done, too
		gone = []string{j.spec.Output + "/" + StagesFolder}
	}
	for _, folder := range gone {
		if err := m.o.Store.RemoveFolder(ctx, folder); err != nil {
			return err
		}
	}
	return nil
}

// chainStatusLocked makes a chain's status of those of its stages: what it read is the first one's, what it wrote the last
// one's, and what lies between is of all together.
func (m *Master) chainStatusLocked(j *job, s *wire.JobStatus) {
	stages := slices.Clone(j.chain.stages)
	if c := j.chain.current; c != nil && !c.unborn {
		now := m.stageStatusLocked(c, &jobs.StageSpec{N: len(stages), Job: stageName(c)})
		stages = append(stages, now)
		child := m.statusLocked(c)
		s.Map, s.Reduce = child.Map, child.Reduce
		s.Shuffled = child.Shuffled // of the stage under way: progress is told by it
		s.Counters = child.Counters
		if c.spec.Output == j.spec.Output && child.State == sched.Committing {
			s.State = sched.Committing
		}
	}
	for i, st := range stages {
		s.Pairs += st.Pairs
		s.Rejected += st.Rejected
		for _, text := range st.First { // stages that read the chain's input all meet the same
			if len(s.First) < wire.MaxFirstRejected && !slices.Contains(s.First, text) {
				s.First = append(s.First, text)
			}
		}
		s.Spilled += st.Spilled
		s.Retries += st.Retries
		if i == 0 {
			s.Records = st.Records
		}
		s.Rows, s.OutBytes, s.NumParts, s.Outputs = st.Rows, st.OutBytes, st.NumParts, st.Outputs
		if j.chain.current == nil {
			s.Shuffled += st.Shuffled
		}
	}
	if n := len(j.chain.done); n > 0 && j.chain.current == nil {
		s.Counters = j.chain.done[n-1].Counters
	}
	s.NumStages = len(stages)
	s.Stages = stages[max(0, len(stages)-wire.MaxStagesShown):]
}

// stageName is a stage's name within its chain.
func stageName(j *job) string {
	_, stage := jobs.SplitStage(j.spec.Job)
	return stage
}

// stageStatusLocked describes a stage by its job.
func (m *Master) stageStatusLocked(c *job, s *jobs.StageSpec) wire.StageStatus {
	st := m.statusLocked(c)
	end := st.Ended
	if end.IsZero() {
		end = m.o.Now()
	}
	return wire.StageStatus{
		N: s.N, Job: s.Job, State: st.State, Objects: st.Objects, InBytes: st.InBytes, Records: st.Records, Pairs: st.Pairs,
		Shuffled: st.Shuffled, Spilled: st.Spilled, Rows: st.Rows, OutBytes: st.OutBytes, NumParts: st.NumParts, Outputs: st.Outputs, Retries: st.Retries,
		Rejected: st.Rejected, First: st.First,
		Elapsed: max(0, end.Sub(st.Submitted).Round(time.Millisecond)),
	}
}
