// Package journal is the log of what must survive the leader: for each job a list of records, and which job has claimed
// which output. It makes records durable in order, many in one write, and only for as long as its term lasts. It knows
// neither what a record says (the master's loop encodes the scheduler's records) nor where it is kept: that is behind
// Backend, which memha implements in memory and etcdha on etcd. The master's loop calls it.
//
// # Group commit
//
// A write to a replicated store takes milliseconds whether it carries one record or a thousand. The naive way, one write
// per Append, would make the slowest machine's disk the limit of the scheduler. So an Append that finds no write in
// flight writes at once, and those that come meanwhile wait in a queue; when the write has ended, the first of them
// writes all that have gathered. No goroutine and no timer is needed for it, and an idle journal adds no delay.
//
//	Append ──► queue ──► first in the queue leads: takes a batch ──► Backend.Append ──► wakes the batch
//	                           ▲                                                   │
//	                           └──────────── hands the lead to the next ◄──────────┘
//
// Invariant: while the queue is not empty, exactly one Append leads or has been handed the lead.
package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/master/sched"
)

// JobID is the scheduler's name for a job.
type JobID = sched.JobID

// ErrFenced is a write of a term that is over: another leader may be at work. Nothing was written.
var ErrFenced = errors.New("the term is over")

// ErrClaimed is a claim on an output that another job holds; the error is a *ClaimedError.
var ErrClaimed = errors.New("the output is claimed by another job")

// ClaimedError names who holds an output.
type ClaimedError struct {
	Output string
	Job    JobID
}

func (e *ClaimedError) Error() string {
	return fmt.Sprintf("output %s: %v: job %s", e.Output, ErrClaimed, e.Job)
}

func (e *ClaimedError) Unwrap() error { return ErrClaimed }

// Entry is a batch of one job's records, the unit in which a Backend keeps them.
type Entry struct {
	Job     JobID
	Seq     uint64 // counts the job's entries from 0
	Records [][]byte
}

// Backend keeps entries and claims. Every write carries the term it belongs to and fails with ErrFenced, changing nothing,
// when that is not the current one. A write is durable when it returns without an error; after an error other than
// ErrFenced it may have happened or not. All methods may be called concurrently.
type Backend interface {
	// Append adds entries of different jobs, all of them or none. Each entry must be its job's next; another Seq is an
	// error and changes nothing. The backend does not keep the records' memory.
	Append(ctx context.Context, term uint64, entries []Entry) error
	// Load calls yield for all entries until it returns false: a job's in the order of Seq, jobs in the order of their
	// first entries; one that was replaced may come where it was or as if it began then.
	Load(ctx context.Context, yield func(Entry) bool) error
	// Claim gives output to job unless another job holds it, and returns the holder.
	Claim(ctx context.Context, term uint64, output string, job JobID) (holder JobID, err error)
	// Release ends job's claim on output; a claim that job does not hold is no error.
	Release(ctx context.Context, term uint64, output string, job JobID) error
	// Replace makes records, all at once, the job's entry 0 in place of all that it had. Without records the job has no entries
	// afterwards; one that had none is no error.
	Replace(ctx context.Context, term uint64, job JobID, records [][]byte) error
}

// Options are a Journal's settings.
type Options struct {
	// Interval is the time between the beginnings of two writes, unless a batch is full: it bounds the writes a second that a
	// replicated backend must carry. 0: as soon as the last has ended.
	Interval time.Duration
	// Burst is how many writes may begin as soon as they can after a pause of as many Intervals: what a small job does one after
	// the other is not slowed down. 0: 1.
	Burst int
	// MaxRecord is the longest record, bytes. 0: 1 MiB, which fits a request to etcd. Bulk belongs into the storage, with
	// a pointer here.
	MaxRecord int
	// WriteTimeout bounds one write. 0: 10 s.
	WriteTimeout time.Duration
}

// What one write carries at most, unless one Append alone is more. etcd takes 128 conditions and 1.5 MiB in one
// transaction, and etcdha needs two conditions for a job and two more.
const (
	maxBatchRecords = 1000
	maxBatchBytes   = 1 << 20
	maxBatchJobs    = 60
)

// Journal writes the records of one term. After an Append, a Claim or a Release that leaves open what is durable, or will be
// when a request that is still under way arrives, it writes nothing more: the master gives its term up, which fences that
// request, and the next leader's Load tells. A claim that came late would hold an output for ever, and a release that came late
// would free that of a job which had claimed it again.
type Journal struct {
	b    Backend
	term Term
	o    Options

	mu      sync.Mutex
	queue   []*request
	queued  int // records in queue
	leading bool
	full    chan struct{}    // wakes a leader that waits for Interval; holds one signal
	due     time.Time        // when the next write may begin, if all writes before it had waited for theirs
	next    map[JobID]uint64 // Seq of each job's next entry; nil before Load
	err     error            // why nothing can be written any more
	failed  chan struct{}    // closed when err is set
}

// Batch is records of one job.
type Batch struct {
	Job     JobID
	Records [][]byte
}

// request is one batch that waits.
type request struct {
	job     JobID
	records [][]byte
	bytes   int
	lead    chan struct{} // signalled when it is to write
	done    chan error    // its outcome, when another has written
}

// New returns the journal of a term. Load must be called before the first Append.
func New(b Backend, term Term, o Options) *Journal {
	if o.MaxRecord == 0 {
		o.MaxRecord = 1 << 20
	}
	o.Burst = max(o.Burst, 1)
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	return &Journal{b: b, term: term, o: o, full: make(chan struct{}, 1), failed: make(chan struct{})}
}

// Term is the term in which the journal writes.
func (j *Journal) Term() Term { return j.term }

// Failed is closed when the journal can write no more; Err says why.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err is why the journal can write no more; nil while it can.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

func (j *Journal) failLocked(err error) {
	if j.err == nil {
		j.err = err
		close(j.failed)
	}
}

// Log is all that the journal holds of one job.
type Log struct {
	Job     JobID
	Records [][]byte
}

// Load reads the whole journal: jobs in the order of their first records.
func (j *Journal) Load(ctx context.Context) ([]Log, error) {
	var logs []Log
	at := map[JobID]int{}
	next := map[JobID]uint64{}
	var gap error
	err := j.b.Load(ctx, func(e Entry) bool {
		if e.Seq != next[e.Job] {
			gap = fmt.Errorf("job %s: entry %d is missing", e.Job, next[e.Job])
			return false
		}
		next[e.Job]++
		i, ok := at[e.Job]
		if !ok {
			i = len(logs)
			at[e.Job] = i
			logs = append(logs, Log{Job: e.Job})
		}
		logs[i].Records = append(logs[i].Records, e.Records...)
		return true
	})
	if err = errors.Join(err, gap); err != nil {
		return nil, fmt.Errorf("load journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next = next
	return logs, nil
}

// Append adds records to a job's log and returns when they are durable. Appends of one goroutine keep their order.
// When ctx ends before the write begins, its error is returned and nothing will be written; later, the write's outcome
// counts. The caller may use the records' memory again afterwards.
func (j *Journal) Append(ctx context.Context, job JobID, records [][]byte) error {
	return j.AppendAll(ctx, []Batch{{job, records}})
}

// AppendAll is an Append for each of the batches, in their order, that waits once for all of them: they share a write as far as
// they fit. After an error some may be durable.
func (j *Journal) AppendAll(ctx context.Context, batches []Batch) error {
	var reqs []*request
	for _, b := range batches {
		list, err := j.requests(b)
		if err != nil {
			return err
		}
		reqs = append(reqs, list...)
	}
	if len(reqs) == 0 {
		return nil
	}
	leads, err := j.enqueue(reqs)
	if err != nil {
		return err
	}
	for i, req := range reqs {
		if e := j.await(ctx, req, leads && i == 0); err == nil {
			err = e
		}
	}
	return err
}

// requests makes requests of a batch, each of which a write can carry.
func (j *Journal) requests(b Batch) (list []*request, err error) {
	var req *request
	for i, r := range b.Records {
		if len(r) > j.o.MaxRecord {
			return nil, fmt.Errorf("journal job %s: record %d is %d bytes long, the limit is %d", b.Job, i, len(r), j.o.MaxRecord)
		}
		if req == nil || req.bytes+len(r) > maxBatchBytes {
			req = &request{job: b.Job, lead: make(chan struct{}, 1), done: make(chan error, 1)}
			list = append(list, req)
		}
		req.records = append(req.records, r)
		req.bytes += len(r)
	}
	return list, nil
}

// await waits until a request is durable, and writes if it is the one to do so.
func (j *Journal) await(ctx context.Context, req *request, leads bool) error {
	if leads {
		return j.write(ctx, req)
	}
	select {
	case err := <-req.done:
		return err
	case <-req.lead:
		return j.write(ctx, req)
	case <-ctx.Done():
		return j.withdraw(ctx, req, false)
	}
}

// enqueue puts requests into the queue and says whether the first of them leads.
func (j *Journal) enqueue(reqs []*request) (leads bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.err != nil:
		return false, j.err
	case j.next == nil:
		return false, errors.New("journal: Append before Load")
	}
	j.queue = append(j.queue, reqs...)
	for _, r := range reqs {
		j.queued += len(r.records)
	}
	if j.queued >= maxBatchRecords {
		select {
		case j.full <- struct{}{}:
		default:
		}
	}
	leads = !j.leading
	j.leading = true
	return leads, nil
}

// withdraw takes a request whose context has ended out of the queue; one that is being written waits for the outcome.
func (j *Journal) withdraw(ctx context.Context, req *request, leads bool) error {
	j.mu.Lock()
	i := slices.Index(j.queue, req)
	if i < 0 {
		j.mu.Unlock()
		return <-req.done
	}
	j.queue = slices.Delete(j.queue, i, i+1)
	j.queued -= len(req.records)
	select {
	case <-req.lead:
		leads = true
	default:
	}
	if leads {
		j.handOverLocked()
	}
	j.mu.Unlock()
	return fmt.Errorf("journal job %s: %w", req.job, ctx.Err())
}

// handOverLocked gives the lead to the first in the queue.
func (j *Journal) handOverLocked() {
	if len(j.queue) == 0 {
		j.leading = false
		return
	}
	j.queue[0].lead <- struct{}{}
}

// write writes a batch that begins with req, which leads, and hands the lead on. The write belongs to all in the batch, so
// it does not end with the leader's context.
func (j *Journal) write(ctx context.Context, req *request) error {
	if !j.pace(ctx) {
		return j.withdraw(ctx, req, true)
	}
	batch, entries := j.take()
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.o.WriteTimeout)
	defer cancel()
	err := j.b.Append(limited, j.term.N, entries)

	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("journal term %d: %w", j.term.N, err)
		j.failLocked(err)
		batch = append(batch, j.queue...)
		j.queue, j.queued = nil, 0
	}
	for _, e := range entries {
		j.next[e.Job] = e.Seq + 1
	}
	for _, r := range batch {
		if r != req {
			r.done <- err
		}
	}
	j.handOverLocked()
	return err
}

// Pause is how long a write that is not full would wait now, by Interval and Burst. Who has more to append by then may wait for it.
func (j *Journal) Pause() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.pauseLocked()
}

func (j *Journal) pauseLocked() time.Duration {
	return max(0, time.Until(j.due.Add(-time.Duration(j.o.Burst-1)*j.o.Interval)))
}

// pace waits until a write may begin, by Interval and Burst, or a batch is full. It returns false when ctx ended.
func (j *Journal) pace(ctx context.Context) bool {
	j.mu.Lock()
	pause := j.pauseLocked()
	full := j.queued >= maxBatchRecords
	j.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	if pause <= 0 || full {
		return true
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-j.full:
	case <-ctx.Done():
		return false
	}
	return true
}

// take takes a batch off the queue and makes one entry of each job's records.
func (j *Journal) take() ([]*request, []Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var entries []Entry
	at := map[JobID]int{}
	n, records, bytes := 0, 0, 0
	for _, r := range j.queue {
		i, known := at[r.job]
		if n > 0 && (records+len(r.records) > maxBatchRecords || bytes+r.bytes > maxBatchBytes || !known && len(at) == maxBatchJobs) {
			break
		}
		if !known {
			i = len(entries)
			at[r.job] = i
			entries = append(entries, Entry{Job: r.job, Seq: j.next[r.job]})
		}
		entries[i].Records = append(entries[i].Records, r.records...)
		n, records, bytes = n+1, records+len(r.records), bytes+r.bytes
	}
	batch := slices.Clone(j.queue[:n])
	j.queue = slices.Delete(j.queue, 0, n)
	j.queued -= records
	select {
	case <-j.full: // it spoke of what was taken
	default:
	}
	if j.queued >= maxBatchRecords {
		j.full <- struct{}{}
	}
	now := time.Now()
	if j.due.Before(now) {
		j.due = now
	}
	j.due = j.due.Add(j.o.Interval)
	if most := now.Add(time.Duration(j.o.Burst) * j.o.Interval); j.due.After(most) { // a full batch did not wait
		j.due = most
	}
	return batch, entries
}

// Claim gives an output to a job; again for the same job is no error. A *ClaimedError names the job that holds it.
// The output is compared as it is: the caller brings URLs to one form.
func (j *Journal) Claim(ctx context.Context, output string, job JobID) error {
	var holder JobID
	err := j.guarded(ctx, func(ctx context.Context) (err error) {
		holder, err = j.b.Claim(ctx, j.term.N, output, job)
		return err
	})
	if err != nil {
		return fmt.Errorf("claim %s for job %s: %w", output, job, err)
	}
	if holder != job {
		return &ClaimedError{Output: output, Job: holder}
	}
	return nil
}

// guarded does a write that is not an Append. As there, its outcome counts once it has begun, whatever becomes of ctx.
func (j *Journal) guarded(ctx context.Context, write func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := j.Err(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.o.WriteTimeout)
	defer cancel()
	err := write(limited)
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.failLocked(fmt.Errorf("journal term %d: %w", j.term.N, err))
	}
	return err
}

// Release ends a job's claim on an output. A claim that the job does not hold is no error.
func (j *Journal) Release(ctx context.Context, output string, job JobID) error {
	err := j.guarded(ctx, func(ctx context.Context) error { return j.b.Release(ctx, j.term.N, output, job) })
	if err != nil {
		return fmt.Errorf("release %s of job %s: %w", output, job, err)
	}
	return nil
}

// Replace makes records a job's whole log, or removes it if there are none. They are bounded as those of one Append are. No
// Append for the job may be under way.
func (j *Journal) Replace(ctx context.Context, job JobID, records [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, j.o.WriteTimeout)
	defer cancel()
	if err := j.b.Replace(ctx, j.term.N, job, records); err != nil {
		return fmt.Errorf("replace the log of job %s: %w", job, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.next, job)
	if len(records) > 0 {
		j.next[job] = 1
	}
	return nil
}
