package wire

import (
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/storage"
)

// The words of the scheduler that workers and the CLI use, who must not import it.
type (
	JobID       = sched.JobID
	WorkerID    = sched.WorkerID
	Phase       = sched.Phase
	TaskID      = sched.TaskID
	AttemptID   = sched.AttemptID
	Progress    = sched.Progress
	Failure     = sched.Failure
	FailureKind = sched.FailureKind
	JobState    = sched.JobState
)

const (
	Sample = sched.Sample
	Map    = sched.Map
	Reduce = sched.Reduce

	FailTask     = sched.FailTask
	FailFetch    = sched.FailFetch
	FailReturned = sched.FailReturned
	FailJob      = sched.FailJob
	FailWorker   = sched.FailWorker
	FailReach    = sched.FailReach

	Running    = sched.Running
	Committing = sched.Committing
	Done       = sched.Done
	JobFailed  = sched.JobFailed
	Cancelled  = sched.Cancelled
)

// PollArgs is a worker's heartbeat, report and request. A worker has one Poll waiting at a time; when it has something
// to report meanwhile, it sends the next one, and the master answers the older one empty.
type PollArgs struct {
	Worker   WorkerID
	Seq      uint64 // counts the worker's polls
	Host     string // the worker's host and process, for people
	RunsURL  string // where it serves its runs, "http://host:port"
	Slots    int
	Draining bool
	Leaving  bool // the last poll: it is gone after this
	Running  []Progress
	Done     []Outcome // resent until a poll that carried them was answered
	Holding  []JobID   // jobs of which it keeps runs or temporary files
	Wait     time.Duration
}

// PollReply is the master's answer.
type PollReply struct {
	Term   uint64
	Assign []Task // a worker ignores attempts that it has had before
	Kill   []AttemptID
	// Selected are those of the report's reduce attempts whose parts count: what the worker's runs hold for them can go. It is
	// told once, and lost with an answer that does not arrive.
	Selected []AttemptID
	Ended    []JobID // their runs and temporary files can go; repeated until they are not in a poll's Holding
	Needed   bool    // the worker's runs are still needed: a draining worker stays
	// Heartbeat is how long the next polls should wait when there is nothing to say, if that is longer than the worker would
	// have them wait: many workers do so less often each, and their leases are longer.
	Heartbeat time.Duration
}

// Task is an attempt to run.
type Task struct {
	Attempt AttemptID
	Split   plan.Split // of a map or sample task
}

// Outcome is an attempt's end.
type Outcome struct {
	Attempt  AttemptID
	Failure  *Failure
	Sample   *SampleResult
	Map      *MapResult
	Reduce   *ReduceResult
	Cut      *Cut             // of a map attempt on a piece of a CSV object whose beginning its reader had to find
	Parts    []Part           // of a map or reduce attempt: the job's rows first, if it makes any
	Counters map[string]int64 // the user's
	Records  int64            // map: records read; reduce: pairs read
	Bytes    int64            // map: input bytes; reduce: run bytes fetched
	Spilled  int64            // bytes written to disk beyond the run
	Elapsed  time.Duration
	// CountersCut says that the task used more names of counters than jobs.MaxCounters, of which Counters are the first.
	CountersCut bool `json:",omitempty"`
	// FirstRejected are the errors of the first records that a map attempt set aside, a line each, MaxFirstRejected at most.
	FirstRejected []string `json:",omitempty"`
	// Work is for people. A journal has no room for it: some 500 bytes a task.
	Work *Work `json:"-"`
}

// SampleResult is the partition boundaries: partition p gets the keys from Bounds[p-1] on and below Bounds[p].
type SampleResult struct {
	Bounds [][]byte // ascending, fewer than Reducers, at most 64 bytes each
}

// MapResult is a finished run.
type MapResult struct {
	URL      string // of the run: http on the worker, or the bucket's
	Size     int64
	Checksum uint64
	Pairs    int64
}

// Cut is where the records of a piece of an object begin and end, as its reader found.
type Cut struct {
	First int64 // where the first record begins; -1 if none begins in the piece
	Next  int64 // where the record after the last one begins, or the object ends
}

// ReduceResult is a finished reduce task; what it made is in Outcome.Parts.
type ReduceResult struct {
	Groups int64
}

// Part is a finished file of the output, not visible yet.
type Part struct {
	Name    string // in the output folder, see package manifest
	Pending storage.Pending
	Rows    int64
}

// JobArgs asks for what a worker must know of a job before it runs a task of it.
type JobArgs struct{ Job JobID }

// JobReply describes a job to a worker.
type JobReply struct {
	Spec    plan.Spec // Reducers, Shuffle and Compression filled in
	Maps    int
	Sampled bool     // Bounds are final: the job has been sampled, or needs no sample
	Bounds  [][]byte // of a totally ordered job, once sampled
	Work    string   // URL of the job's own folder for runs in the bucket
}

// RunsArgs asks for the job's run log from Cursor on.
type RunsArgs struct {
	Job    JobID
	Cursor int
	Term   uint64 // of the reply that gave Cursor, 0 with none: in another term the log is read from its beginning
	Max    int
	Wait   time.Duration // when there is nothing new
	Pause  time.Duration // news before it make no answer, unless all maps have a run: many runs make one call
	Packed bool          // the reply may have Packed
}

// RunsReply is a page of the run log. Reading it from 0 and applying the events in order gives the runs to read now. Each
// term has a log of its own, of the same runs, in an order of its own: a reader that goes from one to the next may be told
// again of what it knows.
type RunsReply struct {
	Packed [][]byte // pages of events that come before Events: see PackRuns and All
	Events []RunEvent
	Cursor int
	Term   uint64 // of the log
	Maps   int
}

// RunEvent says that a map task's run can be read, or can be read no more.
type RunEvent struct {
	Attempt AttemptID
	Lost    bool
	Run     MapResult
}

// SubmitArgs submits a job under an id that the client made: submitting it again is the same job.
type SubmitArgs struct {
	Job  JobID
	Spec plan.Spec
	User string // who submits, as they say; a limit on the jobs of one user goes by it
}

// SubmitReply acknowledges a job.
type SubmitReply struct{ Job JobID }

// WatchArgs asks for a job's status once it is newer than Version, or after Wait.
type WatchArgs struct {
	Job     JobID // a unique prefix of the id will do
	Version uint64
	Wait    time.Duration
	Pause   time.Duration // news before it make no answer, unless the job has ended: many changes make one call
}

// MaxPartsShown and MaxInputsShown bound JobStatus.Parts and Inputs; the manifest has them all.
const (
	MaxPartsShown  = 100
	MaxInputsShown = 100
)

// JobStatus is what people want to know of a job.
type JobStatus struct {
	Version   uint64
	ID        JobID
	Job       string
	Params    map[string]string
	Inputs    []string // as NAME=URL if the job has several; the first MaxInputsShown
	NumInputs int
	Side      []plan.SideInput // as they were found when the job was submitted
	Output    string
	State     JobState
	Error     string // of a failed job: the whole message
	Submitted time.Time
	Ended     time.Time // zero while it runs
	Map       PhaseStatus
	Reduce    PhaseStatus
	Workers   int
	Retries   int // failed attempts that were tried again
	Objects   int
	InBytes   int64
	Records   int64
	Pairs     int64
	Shuffled  int64 // bytes of the selected runs
	Spilled   int64
	Rows      int64
	OutBytes  int64
	Parts     []string // URLs of the committed parts of the job's rows, at most MaxPartsShown
	NumParts  int
	Outputs   []OutputStatus // beside those rows, by name
	Rejected  int64          // bad records that were set aside; of a chain in all stages that ran
	SkipBad   string         // how many may be, as the submitter stated it; "" for none
	First     []string       // the errors of the first ones, MaxFirstRejected at most
	Stages    []StageStatus  // of a chain: the newest ones that have begun, at most MaxStagesShown, the one under way last
	NumStages int            // of a chain: those that have begun
	Counters  map[string]int64
	Warnings  []string // what its user should know though the job goes on; a line each
}

// MaxFirstRejected bounds the errors of bad records that are told, of an attempt and of a job.
const MaxFirstRejected = 5

// MaxStagesShown bounds JobStatus.Stages.
const MaxStagesShown = 100

// StageStatus is what is known of a stage of a chain.
type StageStatus struct {
	N        int      // its place in the chain, from 0
	Job      string   // its name within the chain
	State    JobState // of the stage's own job
	Reused   bool     // an earlier chain ran it
	Objects  int
	InBytes  int64
	Records  int64
	Pairs    int64
	Shuffled int64
	Spilled  int64
	Rows     int64
	OutBytes int64
	NumParts int
	Outputs  []OutputStatus
	Retries  int
	Rejected int64    // records that it set aside
	First    []string // the errors of the first ones
	Elapsed  time.Duration
}

// OutputStatus is what the selected attempts have put into a side output.
type OutputStatus struct {
	Name        string
	Parts       int
	Rows, Bytes int64
}

// PhaseStatus is the state of the tasks of one phase.
type PhaseStatus struct {
	Tasks, Done, Running, Failed int
	Bytes, BytesDone             int64
}

// ListArgs asks for the jobs that the master knows, the newest first.
type ListArgs struct {
	Max  int
	Open bool // only those that have not ended, or are still cleaned up behind
}

// ListReply is a page of jobs.
type ListReply struct {
	Jobs []JobStatus // without Counters, Inputs and Parts
	More bool
}

// CancelArgs cancels a job.
type CancelArgs struct{ Job JobID }

// CancelReply says what the job's state is after the request.
type CancelReply struct{ State JobState }

// LogsArgs asks for a job's log from line Cursor on, waiting up to Wait for something new.
type LogsArgs struct {
	Job    JobID
	Cursor int
	Term   uint64 // of the reply that gave Cursor, 0 with none: in another term the log is read from its beginning
	Wait   time.Duration
}

// LogsReply is a page of a job's log.
type LogsReply struct {
	Lines  []LogLine
	Cursor int
	Term   uint64 // of the log: that of another term has lines of its own, and some of this one
	End    bool   // the job has ended and nothing follows
}

// LogLine is one event of a job.
type LogLine struct {
	Time    time.Time
	Attempt string // "" when it concerns no single attempt
	Worker  string
	Text    string
}
