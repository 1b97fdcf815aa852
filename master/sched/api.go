// Package sched decides which worker runs which attempt of which task. It is a pure state machine: Step takes the time
// and one event and returns the effects; it has no clock, I/O, goroutine, lock or randomness, and knows no splits, URLs,
// messages or files. The master's loop feeds it and carries out what it returns; replaying its records rebuilds it.
package sched

import (
	"fmt"
	"time"
)

// JobID names a job: 128 random bits in hexadecimal, made by the submitter so that a repeated Submit is the same job.
type JobID string

// WorkerID names one incarnation of a worker process: a worker that was declared lost comes back under a new one.
type WorkerID string

// Phase is a stage of a job.
type Phase uint8

const (
	Sample Phase = iota // one task: keys from fixed places of the input become the partition boundaries
	Map                 // one task per split
	Reduce              // one task per partition
)

// TaskID names a task.
type TaskID struct {
	Job   JobID
	Phase Phase
	Index int // split or partition; 0 for Sample
}

// AttemptID names one try at a task.
type AttemptID struct {
	Task TaskID
	N    int // from 0 in term 0, from 1000 in term 1, ...: no two attempts of a task share it
}

// Event is what happened. The concrete types are below.
type Event interface{ event() }

// Submit adds a job. The same Job a second time changes nothing. A job without maps goes straight to its reduces; one without
// reducers is done with its maps.
type Submit struct {
	Job         JobID
	Weight      int     // share of the slots, at least 1
	Sample      bool    // run the sample task before the maps
	Maps        []int64 // input bytes of each map task
	Reducers    int     // 0: a job of maps only, whose results do not lie on their workers
	MaxAttempts int     // charged failures of one task that end the job; 0: Options.MaxAttempts
	Backup      bool    // run backup attempts
	Durable     bool    // runs are stored in the bucket: they survive the worker that made them
}

// Poll is a worker's heartbeat, report and request in one. An unknown worker joins by it. Attempts that the scheduler
// gave the worker and that are neither Running nor Done are assigned again (the answer was lost); attempts that are
// Running but not the worker's are killed, unless an earlier term gave them and their tasks still wait: those go on. A
// killed attempt holds its slot until a Poll shows it no more.
type Poll struct {
	Worker   WorkerID
	Slots    int
	Draining bool // take nothing new
	Running  []Progress
	Done     []Outcome
}

// Progress is how far a running attempt is.
type Progress struct {
	Attempt AttemptID
	Bytes   int64 // of its input
	Total   int64 // expected; 0 while unknown
	// Slow is a run that a reduce attempt waits for, of a worker whose runs come far more slowly to it than all others', and Left
	// how long it takes until they are all there, as far as can be told. No such run: 0.
	Slow AttemptID
	Left time.Duration
}

// Outcome is an attempt's end.
type Outcome struct {
	Attempt  AttemptID
	Failure  *Failure // nil: it succeeded
	Checksum uint64   // of a map attempt's run
}

// Failure says why an attempt did not succeed.
type Failure struct {
	Kind FailureKind
	Run  AttemptID // the map attempt whose run could not be fetched, for FailFetch and FailReach
	Text string    // for people
}

// FailureKind says whose fault a failure is.
type FailureKind uint8

const (
	FailTask     FailureKind = iota // the code, its input or whatever else: charged to task and worker
	FailFetch                       // a run is not there, or damaged: not charged, the run is made again
	FailReturned                    // handed back by a draining worker, or killed: not charged
	FailJob                         // no attempt can succeed (the input changed, ...): ends the job
	FailWorker                      // the worker's own machine (its disk is full, ...): charged to the worker; to the task if no other could try it
	FailReach                       // a run cannot be read from this worker, which others may read: not charged, another worker tries
)

// Leave ends a worker at once: it drained, or its supervisor saw it die.
type Leave struct{ Worker WorkerID }

// Tick lets time pass: leases end, backup attempts start.
type Tick struct{}

// Cancel ends a job at its user's wish. It has no effect once the decision to commit is made.
type Cancel struct{ Job JobID }

// Fail ends a job that cannot go on, for a reason outside of its tasks.
type Fail struct {
	Job    JobID
	Reason string
}

// PartsLost says that pending uploads are gone which the attempts left that count for their tasks, maps or reduces: those
// tasks run again. It answers a Commit and comes before Decided; after that it has no effect.
type PartsLost struct {
	Job      JobID
	Attempts []AttemptID
}

// Decided says that the decision to commit is durable: a cancel loses from here on. While the decision is being written,
// the loop holds back the job's Cancel and Fail.
type Decided struct{ Job JobID }

// Committed says that the output is visible as a whole.
type Committed struct{ Job JobID }

// CommitFailed ends a job after its decision: a pending upload that was to be completed is gone.
type CommitFailed struct {
	Job    JobID
	Reason string
}

func (Submit) event()       {}
func (Poll) event()         {}
func (Leave) event()        {}
func (Tick) event()         {}
func (Cancel) event()       {}
func (Fail) event()         {}
func (PartsLost) event()    {}
func (Decided) event()      {}
func (Committed) event()    {}
func (CommitFailed) event() {}

// Effect is what must be done, in the order given: everything after a Record only once that record is durable.
type Effect interface{ effect() }

// Assign gives an attempt to a worker.
type Assign struct {
	Worker  WorkerID
	Attempt AttemptID
	Backup  bool
}

// Kill makes a worker give an attempt up.
type Kill struct {
	Worker  WorkerID
	Attempt AttemptID
	Reason  string
}

// Selected says that this attempt's result counts, and no other of its task, until it is lost.
type Selected struct {
	Worker  WorkerID
	Attempt AttemptID
	Backup  bool
	Saved   time.Duration // of a backup attempt: how much longer the other one is estimated to need
}

// RunLost takes back a Selected map attempt: its run can be fetched no more, and the task will run again if needed.
type RunLost struct {
	Attempt AttemptID
	Worker  WorkerID
}

// Commit says that every reduce task, or in a job of maps only every map task, has a selected attempt. It is given again after
// PartsLost are made up for, and by the first Step after Replay, then for a job that is Committing too.
type Commit struct {
	Job   JobID
	Parts []AttemptID // by partition, or by map
}

// Ended says that a job reached its last state. Runs of the job are needed no more.
type Ended struct {
	Job    JobID
	State  JobState
	Reason string
}

// Failed reports a failed attempt, charged or not, for the job's log.
type Failed struct {
	Worker  WorkerID
	Attempt AttemptID
	Failure Failure
	Charged int // failures charged to the task so far
	Max     int
}

// Refused tells a worker that it was declared lost: it must give up all that it runs and come back under a new id.
type Refused struct{ Worker WorkerID }

// Noted reports something else worth a line in the log: a worker joined, was lost or was excluded from a job, a backup
// attempt started or won.
type Noted struct {
	Job    JobID // "" when it concerns no single job
	Worker WorkerID
	Text   string
	Warn   bool // the job's user should know, though the job goes on
}

// Record must be durable before the effects after it are carried out. Replay takes the records back.
type Record struct {
	Kind     RecordKind
	Submit   *Submit   // RecordSubmit
	Job      JobID     // all but RecordSubmit
	Attempt  AttemptID // RecordSelected, RecordLost, RecordRemake
	Worker   WorkerID  // RecordSelected
	Checksum uint64    // RecordSelected
	State    JobState  // RecordState, RecordEnded
	Reason   string    // RecordState, RecordEnded
}

// RecordKind is what a record says. The numbers are stored: append only.
type RecordKind uint8

const (
	RecordSubmit   RecordKind = 1
	RecordSelected RecordKind = 2
	RecordLost     RecordKind = 3 // a selected map run or part is gone
	RecordState    RecordKind = 4
	RecordRemake   RecordKind = 5 // a map attempt's parts are gone: the task runs again, whether or not its run is needed
	// RecordEnded is a job that has ended, of which nothing else need be known: a journal may hold it in place of all that it has of
	// the job. A State never gives it.
	RecordEnded RecordKind = 6
)

func (Assign) effect()   {}
func (Kill) effect()     {}
func (Selected) effect() {}
func (RunLost) effect()  {}
func (Commit) effect()   {}
func (Ended) effect()    {}
func (Failed) effect()   {}
func (Refused) effect()  {}
func (Noted) effect()    {}
func (Record) effect()   {}

// JobState is where a job stands. The numbers are stored: append only.
type JobState uint8

const (
	Running    JobState = 1 // from Submit; then Committing, Failed or Cancelled
	Committing JobState = 2 // from the durable decision; then Done, or JobFailed when a pending upload is gone
	Done       JobState = 3
	JobFailed  JobState = 4
	Cancelled  JobState = 5
)

// Ended says whether nothing follows s.
func (s JobState) Ended() bool { return s >= Done }

func (s JobState) String() string {
	switch s {
	case Running:
		return "running"
	case Committing:
		return "committing"
	case Done:
		return "committed"
	case JobFailed:
		return "failed"
	case Cancelled:
		return "cancelled"
	}
	return fmt.Sprintf("JobState(%d)", uint8(s))
}

func (p Phase) String() string { return [...]string{"sample", "map", "reduce"}[p] }

func (t TaskID) String() string { return fmt.Sprintf("%s/%s-%05d", t.Job, t.Phase, t.Index) }

func (a AttemptID) String() string { return fmt.Sprintf("%s.%d", a.Task, a.N) }
