package master

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
)

// An output is claimed twice: in the journal, which keeps the jobs of one cluster apart, and in the output itself, by an object that
// is written only where there is none, which keeps clusters apart and programs that run jobs by themselves. Some stores let two such
// writes win; so the object is read again just before the decision to commit, when the last one of them has long been written. A
// claim of another's is never removed, but by people who know that nothing is behind it.

// heldError refuses an output that another cluster, or another program, claims.
type heldError struct{ *refusal }

func (e *heldError) Unwrap() error { return e.refusal }

func isHeld(err error) bool { return errors.As(err, new(*heldError)) }

// claim takes a free output for a job.
func (m *Master) claim(ctx context.Context, spec plan.Spec, id sched.JobID) error {
	if err := m.checkFolder(ctx, spec.Output); err != nil {
		return err
	}
	if err := m.claimInJournal(ctx, spec.Output, id); err != nil {
		return err
	}
	err := m.hold(ctx, spec.Output, id)
	if err != nil {
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
		defer cancel()
		if storage.IsTransient(err) || ctx.Err() != nil { // it may have been written all the same
			_ = m.letGo(rctx, spec.Output, id) // the storage fails: what it says of that is the same
		}
		return errors.Join(err, m.journal.Release(rctx, spec.Output, id))
	}
	// Only now: a job that wrote there a moment ago has committed, and what it wrote is seen.
	if err := m.checkOutput(ctx, spec); err != nil {
		return errors.Join(err, m.release(ctx, spec.Output, id))
	}
	return nil
}

func (m *Master) claimInJournal(ctx context.Context, output string, id sched.JobID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout) // a claim that was given up may be made all the same
	defer cancel()
	err := m.journal.Claim(ctx, output, id)
	if claimed := new(journal.ClaimedError); errors.As(err, &claimed) {
		if freed, e := m.freeOrphan(ctx, claimed); e != nil {
			err = e
		} else if freed {
			err = m.journal.Claim(ctx, output, id)
		}
	}
	if errors.Is(err, journal.ErrClaimed) {
		return refuse(wire.ErrOutputTaken, "output "+output, "a running job writes there ("+err.Error()+"): wait for it, cancel it, or choose another output")
	}
	return err
}

// freeOrphan ends the claim of a submission that a master before did not come to the end of. It may be repeated just now: it is
// held meanwhile, or it would claim the output just before that is released.
func (m *Master) freeOrphan(ctx context.Context, claimed *journal.ClaimedError) (freed bool, err error) {
	m.mu.Lock()
	if m.claimsLocked(claimed.Job) {
		m.mu.Unlock()
		return false, nil
	}
	mine := &newcomer{over: make(chan struct{})}
	m.planning[claimed.Job] = mine
	m.mu.Unlock()
	defer m.endSubmit(claimed.Job, mine)
	return true, m.journal.Release(ctx, claimed.Output, claimed.Job)
}

// claims says whether a job of this cluster may claim an output: it runs, is cleaned up behind, or is being submitted.
func (m *Master) claims(id sched.JobID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claimsLocked(id)
}

func (m *Master) claimsLocked(id sched.JobID) bool {
	j := m.jobs[id]
	return j != nil && !j.swept || m.planning[id] != nil
}

// release ends a job's claims on an output, also when the one who asked for it is gone.
func (m *Master) release(ctx context.Context, output string, id sched.JobID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	return errors.Join(m.letGo(ctx, output, id), m.journal.Release(ctx, output, id))
}

// maxHolds bounds how often a claim is tried that is removed again and again, or whose process is gone.
const maxHolds = 3

// hold writes the claim into the output. The error is a heldError if it is another's.
func (m *Master) hold(ctx context.Context, output string, id sched.JobID) error {
	mine := m.claimOf(id)
	body, err := mine.Encode()
	if err != nil {
		return err
	}
	url := claimURL(output)
	for try := 1; ; try++ {
		err := m.o.Store.Put(ctx, url, body, true)
		if !errors.Is(err, storage.ErrPrecondition) {
			return err
		}
		holder, err := m.holder(ctx, output)
		switch {
		case errors.Is(err, storage.ErrNotFound) && try < maxHolds:
			continue
		case err != nil:
			return err
		case same(holder, mine):
			return nil
		case try == maxHolds:
			return taken(output, holder)
		}
		if !m.deserted(holder) {
			if err := m.spent(ctx, output, holder); err != nil {
				return err
			}
		}
		m.o.Log.Warn("the claim on an output is of a job that is gone", "output", output, "job", holder.Job, "since", holder.Since)
		if err := m.o.Store.Remove(ctx, url); err != nil {
			return err
		}
	}
}

// taken refuses an output that another cluster or program claims.
func taken(output string, holder manifest.Claim) error {
	text := fmt.Sprintf("%s: wait for it, or choose another output; if nothing of that is running any more, remove what it left with "+
		"'millrace gc %s --older-than 0s' (--overwrite does not take it)", holder.By(), output)
	return &heldError{&refusal{wire.ErrOutputTaken, "output " + output + ": " + text}}
}

func claimURL(output string) string { return output + "/" + manifest.ClaimName }

// claimOf is the claim of a job of this master.
func (m *Master) claimOf(id sched.JobID) manifest.Claim {
	c := manifest.Claim{Job: string(id), Since: m.o.Now().UTC()}
	c.Host, _ = os.Hostname() // for people
	if m.o.Server.Cluster != (wire.ClusterID{}) {
		c.Cluster = m.o.Server.Cluster.String()
	}
	if m.o.Volatile {
		p := thisProcess()
		c.Process = &p
	}
	return c
}

func same(a, b manifest.Claim) bool { return a.Job == b.Job && a.Cluster == b.Cluster }

// deserted says whether nothing can be behind a claim any more: this cluster knows no such job, or the process is gone with which it
// would end.
func (m *Master) deserted(c manifest.Claim) bool {
	if c.Cluster != "" && m.o.Server.Cluster != (wire.ClusterID{}) && c.Cluster == m.o.Server.Cluster.String() {
		return !m.claims(sched.JobID(c.Job))
	}
	return c.Process != nil && processGone(*c.Process)
}

// spentAfter is how long after it wrote its manifest a job has certainly done what follows, or never will: it removes its claim at
// once, a removal of its own that came late before that, and the clocks of the store and of this master may differ.
const spentAfter = 10 * time.Minute

// spent refuses an output that is claimed by a job that may need it still. One that has committed, as the manifest says, does not:
// its cluster or its process was lost before it removed its claim. Should it come back, it finds its claim gone, and writes nothing.
func (m *Master) spent(ctx context.Context, output string, c manifest.Claim) error {
	id, err := m.manifestID(ctx, output)
	if err != nil || id != c.Job {
		return cmp.Or(err, taken(output, c))
	}
	info, err := m.o.Store.Stat(ctx, output+"/"+manifest.Name)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return taken(output, c)
	case err != nil:
		return err
	case info.Modified.IsZero():
		return taken(output, c)
	case m.o.Now().Sub(info.Modified) < spentAfter:
		return &heldError{&refusal{wire.ErrOutputTaken, fmt.Sprintf("output %s: %s, and has committed at %s UTC: submit again when that is %v ago",
			output, c.By(), info.Modified.UTC().Format(time.DateTime), spentAfter)}}
	}
	return nil
}

// manifestID is the job whose manifest an output has; "" if it has none, "?" if it has one that this version cannot read.
func (m *Master) manifestID(ctx context.Context, folder string) (string, error) {
	out, err := output.Open(ctx, m.o.Store, folder)
	switch {
	case errors.Is(err, output.ErrNone):
		return "", nil
	case errors.Is(err, output.ErrForeign):
		return "?", nil
	case err != nil:
		return "", err
	}
	return out.Manifest.ID, nil
}

// holder reads who claims an output: ErrNotFound if nobody does.
func (m *Master) holder(ctx context.Context, output string) (c manifest.Claim, err error) {
	url := claimURL(output)
	body, _, err := m.o.Store.Read(ctx, url, 0, manifest.MaxClaim+1, "")
	if err != nil {
		return c, err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		return c, err
	}
	if c, err = manifest.ParseClaim(b); err != nil {
		return c, refuse(wire.ErrOutputTaken, url, err.Error()+": look what it is, and remove it if nobody needs it")
	}
	return c, nil
}

// holds says whether a job's claim on its output is still its own. One that was removed, by people or by gc, is written anew, again
// is set, and what was found in the output counts no more. The error is a heldError if it is another's. So it is if the job's commit
// was decided before: what the output holds now may be of another job, which has committed since, and must not be removed.
func (m *Master) holds(ctx context.Context, j *job) (again bool, err error) {
	output, id := j.claimed()
	holder, err := m.holder(ctx, output)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		if err := m.overtaken(ctx, j); err != nil {
			return false, err
		}
		m.o.Log.Warn("the claim on an output was removed: writing it again", "job", id, "output", output)
		return true, m.hold(ctx, output, id)
	case err != nil:
		return false, err
	case !same(holder, m.claimOf(id)):
		return false, taken(output, holder)
	}
	return false, nil
}

// overtaken refuses to go on with a decided commit that has lost its claim if the output has another job's manifest.
func (m *Master) overtaken(ctx context.Context, j *job) error {
	if !m.decided(j) {
		return nil
	}
	id, err := m.manifestID(ctx, j.spec.Output)
	if err != nil || id == "" || id == string(j.id) {
		return err
	}
	return &heldError{&refusal{wire.ErrOutputTaken, fmt.Sprintf("output %s: it holds what job %s committed, perhaps since the claim of this job was removed: "+
		"run this job again with --overwrite if it is to replace that", j.spec.Output, id)}}
}

// mayClean says whether a job's output is its own still, so that whatever lies there unfinished can go. If not, or if that cannot be
// told, another's may lie there.
func (m *Master) mayClean(ctx context.Context, j *job) bool {
	output, id := j.claimed()
	holder, err := m.holder(ctx, output)
	if err == nil && same(holder, m.claimOf(id)) {
		return true
	}
	m.o.Log.Warn("an output is no longer claimed for its job: what others may have there is left", "job", id, "output", output, "error", err)
	return false
}

// claimed is the output that is claimed for a job, and by which: the one of a stage by its chain.
func (j *job) claimed() (output string, id sched.JobID) {
	if j.parent != nil {
		j = j.parent
	}
	return j.spec.Output, j.id
}

// letGo removes a job's claim from an output, if it is that job's.
func (m *Master) letGo(ctx context.Context, output string, id sched.JobID) error {
	holder, err := m.holder(ctx, output)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !same(holder, m.claimOf(id)):
		return nil
	}
	return m.o.Store.Remove(ctx, claimURL(output))
}
