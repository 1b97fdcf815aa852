package master

import (
	"strings"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
)

// Estimate is what a run of a plan asks of an S3-compatible service when no request fails and no attempt runs twice. It takes
// a run to be no larger than its split, and all parts together no larger than the input: jobs that shrink their data ask
// for fewer parts of uploads, jobs that grow it for more. That the workers read lines beyond a split's end needs no requests
// of its own, unless a line is longer than 64 KiB. A side input is read once by each worker: one worker is reckoned with.
type Estimate struct {
	Planning   storage.Requests // without listing the inputs, which whoever made the plan has counted
	Sampling   storage.Requests // of a totally ordered job
	Reading    storage.Requests
	Shuffling  storage.Requests // where runs lie in the bucket
	Writing    storage.Requests
	Committing storage.Requests
}

const (
	// uploadPart is the size of an upload's parts, bytes; only those of more than 8 GB have larger ones.
	uploadPart = 8 << 20
	// tailPartitions is how many partitions' places the first read of a run covers: see storage/runfile.
	tailPartitions = 101
)

// EstimateRequests computes the estimate of a plan, whose spec must have its defaults.
func EstimateRequests(p *plan.Plan) Estimate {
	var e Estimate
	if needsSample(p) {
		e.Sampling.Get = reads(p.Sample())
	}
	for i := range p.Maps {
		e.Reading.Get += reads(p.Split(i))
	}
	for _, s := range p.Spec.SideInputs {
		if !local(s.URL) {
			e.Reading.Get++
		}
	}
	if !local(p.Spec.Output) {
		e.output(p)
	}
	return e
}

// output adds what goes to the output and the runs beside it.
func (e *Estimate) output(p *plan.Plan) {
	r := int64(p.Reducers)
	parts := int64(rowsParts(p))
	bucket := p.Spec.Shuffle == "bucket" && r > 0
	e.Planning.List = 1 // of the output
	e.Planning.Put = 1  // the claim on it
	for i := range p.Maps {
		if bucket {
			e.Shuffling.Create++
			e.Shuffling.Part += uploadParts(p.SplitBytes(i))
			e.Shuffling.List++ // the parts, before they are completed
			e.Shuffling.Complete++
			e.Shuffling.Get += 2 * r // the tail and the section, for each reducer
			if r > tailPartitions {
				e.Shuffling.Get += r - tailPartitions
			}
			e.Committing.Delete++
		}
	}
	e.Writing.Create = parts
	e.Writing.Part = parts * uploadParts(p.InBytes/parts)
	e.Committing.List = 2*parts + 2 // each part's upload, before the decision and after it; the output; pending uploads
	e.Committing.Complete = parts
	e.Committing.Get = 3 // the claim, before the decision and at the end; the manifest, if there is one
	e.Committing.Put = 1
	e.Committing.Delete++ // the claim
	if bucket {
		e.Committing.List++ // the runs
	}
	if p.Spec.Overwrite {
		e.Committing.Delete++
		e.Committing.List++
	}
}

// Total is the sum of the stages.
func (e Estimate) Total() (sum storage.Requests) {
	for _, r := range []storage.Requests{e.Planning, e.Sampling, e.Reading, e.Shuffling, e.Writing, e.Committing} {
		sum.Add(r)
	}
	return sum
}

// reads is the number of requests for a split: one for each piece that holds a byte.
func reads(s plan.Split) (n int64) {
	for _, p := range s.Pieces {
		if p.Length > 0 && !local(p.URL) {
			n++
		}
	}
	return n
}

// local says whether a URL is that of a local file, of which nobody is asked for money.
func local(url string) bool { return strings.HasPrefix(url, "file://") }

func uploadParts(bytes int64) int64 { return max(1, (bytes-1)/uploadPart+1) }
