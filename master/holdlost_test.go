package master

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/storagetest"
)

// runs runs a job that replaces what the output holds.
func (l *leader) runs(id wire.JobID) {
	l.t.Helper()
	s := spec()
	s.Overwrite = true
	l.mustSubmit(id, s)
	h := l.hire("of "+wire.WorkerID(id), 4)
	h.work(wire.Map, 3)
	h.work(wire.Reduce, 2)
	l.status(id, wire.Done)
}

// ofJob says whose manifest an output has.
func (w *world) ofJob() string {
	w.t.Helper()
	out, err := output.Open(w.t.Context(), w.st, "mem://b/out")
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Manifest.ID
}

// A cluster that crashed after the decision, and whose claim was removed since, leaves what another job committed there meanwhile:
// its own output is overtaken. Nothing of its uploads becomes visible.
func TestOvertakenCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wa, wb := twoClusters(t)
		a, b := wa.lead(false), wb.lead(false)
		s := spec()
		s.Overwrite = true
		a.mustSubmit(jobA, s)
		h := a.hire("w", 4)
		h.work(wire.Map, 3)
		wa.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
		h.work(wire.Reduce, 2)
		a.status(jobA, wire.Committing)
		a.depose()
		wa.bad.Plan()
		wa.remove("out/" + manifest.ClaimName)
		b.runs(jobB)

		a = wa.lead(false)
		st := a.status(jobA, wire.JobFailed)
		for _, want := range []string{"job " + string(jobB), "claim", "--overwrite"} {
			if !strings.Contains(st.Error, want) {
				t.Errorf("got %q, want %q in it", st.Error, want)
			}
		}
		wa.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		if got := wa.ofJob(); got != string(jobB) {
			t.Errorf("the output is of job %s", got)
		}
		b.runs("cccccccc")
		a.end()
		b.end()
	})
}

// A commit that is tried again looks first whether the output is its job's still.
func TestClaimLostInCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		s := spec()
		s.Overwrite = true
		l.mustSubmit(jobA, s)
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpPut, Key: "out/" + manifest.Name, Times: -1, Err: errors.New("no")})
		h.work(wire.Reduce, 2)
		l.status(jobA, wire.Committing)
		synctest.Wait() // a try has failed, and the next one is waited for
		w.bad.Plan()
		w.claim("out", manifest.Claim{Job: "eeeeeeee", Cluster: "another"})
		w.put("out/"+manifest.Name, `{"version": 1, "id": "eeeeeeee"}`)
		st := l.status(jobA, wire.JobFailed)
		if !strings.Contains(st.Error, "job eeeeeeee of cluster another") || !strings.Contains(st.Error, "may be visible") {
			t.Errorf("error %q", st.Error)
		}
		if names := w.names("out/"); len(names) < 2 || names[0] != manifest.ClaimName || names[1] != manifest.Name {
			t.Errorf("the other's claim and manifest are gone: %q", names)
		}
		l.end()
	})
}

// A claim whose job has committed, as the output's manifest says, is taken over after a while: its cluster, or its process, was lost
// before it could remove it. One of another job is not, nor is one whose job may be removing it just now.
func TestClaimOfCommittedJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wa, wb := twoClusters(t)
		a, b := wa.lead(false), wb.lead(false)
		a.runs(jobA)
		wa.claim("out", manifest.Claim{Job: string(jobA), Cluster: wa.cluster.String(), Since: time.Now()}) // as if it had crashed
		a.end()
		s := spec()
		wantError(t, "at once", b.submit(jobB, s), wire.ErrOutputTaken, string(jobA), "has committed", spentAfter.String())
		wa.want("out/", manifest.ClaimName, manifest.Name, "part-00000.arrow", "part-00001.arrow")
		time.Sleep(spentAfter)
		wantError(t, "later, without --overwrite", b.submit(jobB, s), wire.ErrOutputTaken, "finished output", "--overwrite")
		wa.claim("out", manifest.Claim{Job: "eeeeeeee", Cluster: wa.cluster.String()})
		s.Overwrite = true
		wantError(t, "of a job that has not committed", b.submit(jobB, s), wire.ErrOutputTaken, "eeeeeeee", "millrace gc")
		wa.claim("out", manifest.Claim{Job: string(jobA), Cluster: wa.cluster.String()})
		b.runs(jobB)
		if got := wa.ofJob(); got != string(jobB) {
			t.Errorf("the output is of job %s", got)
		}
		b.end()
	})
}
