package master

import (
	"fmt"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// cuts checks that the pieces of each object were read as one text. A reader of CSV that begins amid an object has to guess
// whether it begins in quotes; the reader of the piece before knows where the next record begins. Where the two differ rows would
// be lost or made up, so that the job fails.
//
// Invariant: of an object's pieces, those before next[first].task fit together, and all reports are in found.
type cuts struct {
	found []wire.Cut // by map task; of those that are reported
	have  []bool
	next  map[int]cutChain // by the first map task of an object
}

// cutChain is how far the pieces of an object are known to fit together.
type cutChain struct {
	task  int   // the first one that is not known to
	begin int64 // where the next record begins
}

// cutObject says whether the split of map task i is a piece of an object that its reader reports a Cut of.
func cutObject(p *plan.Plan, i int) bool {
	if _, n := p.Cut(i); n == 1 {
		return false
	}
	f := p.Spec.Info.Inputs[p.Split(i).Pieces[0].Input].Format
	return f.Kind == jobs.FormatCSV && !f.NoQuotes
}

// add takes in what map task i reports, and says what is wrong if its object's pieces do not fit together.
func (c *cuts) add(p *plan.Plan, i int, report wire.Cut) string {
	if c.have == nil {
		c.found, c.have, c.next = make([]wire.Cut, p.Maps), make([]bool, p.Maps), map[int]cutChain{}
	}
	if c.have[i] && c.found[i] != report {
		return fmt.Sprintf("read %s: attempts at map task %d found records at different places: from byte %d to %d, and from %d to %d",
			p.Split(i).Pieces[0].URL, i, c.found[i].First, c.found[i].Next, report.First, report.Next)
	}
	c.found[i], c.have[i] = report, true
	first, n := p.Cut(i)
	chain, known := c.next[first]
	if !known {
		chain.task = first
	}
	for ; chain.task < first+n && c.have[chain.task]; chain.task++ {
		piece, at := p.Split(chain.task).Pieces[0], c.found[chain.task]
		end := piece.Offset + piece.Length
		switch {
		case at.First < 0 && chain.begin >= end:
		case at.First == chain.begin && at.Next >= end:
			chain.begin = at.Next
		default:
			return misfit(piece, chain.begin, at.First)
		}
	}
	c.next[first] = chain
	return ""
}

// misfit tells of a piece in which a record begins at another place than its reader found.
func misfit(piece plan.Piece, want, got int64) string {
	found := fmt.Sprintf("at byte %d", got)
	if got < 0 {
		found = "nowhere in it"
	}
	return fmt.Sprintf("read %s: the CSV records of this object cannot be told apart from byte %d on: read from the beginning, the next one begins at byte %d; "+
		"the reader of the split from there found it %s, since quotes near it are ambiguous or misplaced. No rows are lost: run the job again with a split size of "+
		"at least %d bytes (--split-size), which reads the object in one piece; in the job's code CSVOptions.WholeFiles does so for every object",
		piece.URL, piece.Offset, want, found, piece.Size)
}

// checkCutLocked takes the cut that a map attempt reports into the job's, and returns the job's failure if it does not fit.
func (m *Master) checkCutLocked(o *wire.Outcome) *sched.Failure {
	t := o.Attempt.Task
	j := m.jobs[t.Job]
	if j == nil || !j.ended.IsZero() || t.Phase != sched.Map || o.Cut == nil || t.Index < 0 || t.Index >= j.plan.Maps {
		return nil
	}
	if !cutObject(j.plan, t.Index) {
		return nil
	}
	if wrong := j.cuts.add(j.plan, t.Index, *o.Cut); wrong != "" {
		return &sched.Failure{Kind: sched.FailJob, Text: cut(wrong, maxFailure)}
	}
	return nil
}
