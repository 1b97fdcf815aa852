package wire

import (
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/storage"
)

type (
	JobID     = sched.JobID
	WorkerID  = sched.WorkerID
	TaskID    = sched.TaskID
	AttemptID = sched.AttemptID
	Progress  = sched.Progress
	Failure   = sched.Failure
)

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

type PollReply struct {
	Term   uint64
	Assign []Task // a worker ignores attempts that it has had before
	Kill   []AttemptID
	Ended  []JobID // their runs and temporary files can go; repeated until they are not in a poll's Holding
	Needed bool    // the worker's runs are still needed: a draining worker stays
}

type Task struct {
	Attempt AttemptID
	Split   plan.Split // of a map or sample task
}

type Outcome struct {
	Attempt  AttemptID
	Failure  *Failure
	Sample   *SampleResult
	Map      *MapResult
	Reduce   *ReduceResult
	Counters map[string]int64 // the user's
	Records  int64            // map: records read; reduce: pairs read
	Bytes    int64            // map: input bytes; reduce: run bytes fetched
	Spilled  int64            // bytes written to disk beyond the run
	Elapsed  time.Duration
}

type SampleResult struct {
	Bounds [][]byte // ascending, fewer than Reducers, at most 64 bytes each
}

type MapResult struct {
	URL      string // of the run: http on the worker, or the bucket's
	Size     int64
	Checksum uint64
	Pairs    int64
}

type ReduceResult struct {
	Part   storage.Pending
	Rows   int64
	Groups int64
}

type JobArgs struct{ Job JobID }

type JobReply struct {
	Spec    plan.Spec // Reducers, Shuffle and Compression filled in
	Maps    int
	Sampled bool     // Bounds are final: the job has been sampled, or needs no sample
	Bounds  [][]byte // of a totally ordered job, once sampled
	Work    string   // URL of the job's own folder for runs in the bucket
}

type RunsArgs struct {
	Job    JobID
	Cursor int
	Max    int
	Wait   time.Duration // when there is nothing new
}

type RunsReply struct {
	Events []RunEvent
	Cursor int
	Maps   int
}

type RunEvent struct {
	Attempt AttemptID
	Lost    bool
	Run     MapResult
}

type SubmitArgs struct {
	Job  JobID
	Spec plan.Spec
}

type SubmitReply struct{ Job JobID }

type WatchArgs struct {
	Job     JobID // a unique prefix of the id will do
	Version uint64
	Wait    time.Duration
}

type JobStatus struct {
	Version   uint64
	ID        JobID
	Job       string
	Params    map[string]string
	Inputs    []string
	Output    string
	State     sched.JobState
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
	Parts     []string // URLs of the committed parts, at most MaxPartsShown
	NumParts  int
	Counters  map[string]int64
}

type PhaseStatus struct {
	Tasks, Done, Running, Failed int
	Bytes, BytesDone             int64
}

type ListArgs struct{ Max int }

type ListReply struct {
	Jobs []JobStatus // without Counters, Inputs and Parts
	More bool
}

type CancelArgs struct{ Job JobID }

type CancelReply struct{ State sched.JobState }

type LogsArgs struct {
	Job    JobID
	Cursor int
	Wait   time.Duration
}

type LogsReply struct {
	Lines  []LogLine
	Cursor int
	End    bool // the job has ended and nothing follows
}

type LogLine struct {
	Time    time.Time
	Attempt string // "" when it concerns no single attempt
	Worker  string
	Text    string
}
