package wire

import (
	"strings"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
)

// Work is what an attempt did with its time and what it moved, for people who look into a job. Nothing is decided by it, and
// it is not kept for a next master.
type Work struct {
	Time     Times
	Emitted  int64 // map: pairs, before any combining
	Groups   int64 // reduce
	Requests storage.Requests
	In, Out  int64 // bytes of objects read and written
	Hot      []HotKey
}

// Times are the steps of an attempt; together they are its Elapsed. Which it has depends on its phase.
type Times struct {
	Wait    time.Duration // reduce: for maps that had no run yet
	Read    time.Duration // map: for input
	Map     time.Duration // the map function, and the program's table that combines
	Combine time.Duration // of sorted pairs
	Sort    time.Duration // partitioning and sorting
	Spill   time.Duration // writing temporary files, for lack of memory
	Fetch   time.Duration // reduce: for runs
	Merge   time.Duration
	Reduce  time.Duration // the reduce function
	Write   time.Duration // of the run or part
	Other   time.Duration
}

// Step is a step's name and time.
type Step struct {
	Name string
	Time time.Duration
}

// Steps are the times in the order of the work.
func (t Times) Steps() []Step {
	return []Step{
		{"wait", t.Wait}, {"read", t.Read}, {"map", t.Map}, {"sort", t.Sort}, {"combine", t.Combine}, {"spill", t.Spill},
		{"fetch", t.Fetch}, {"merge", t.Merge}, {"reduce", t.Reduce}, {"write", t.Write}, {"other", t.Other},
	}
}

// Add adds the times of o.
func (t *Times) Add(o Times) {
	t.Wait += o.Wait
	t.Read += o.Read
	t.Map += o.Map
	t.Combine += o.Combine
	t.Sort += o.Sort
	t.Spill += o.Spill
	t.Fetch += o.Fetch
	t.Merge += o.Merge
	t.Reduce += o.Reduce
	t.Write += o.Write
	t.Other += o.Other
}

// Total is the sum of the steps.
func (t Times) Total() (sum time.Duration) {
	for _, s := range t.Steps() {
		sum += s.Time
	}
	return sum
}

// HotKey is a key with many pairs.
type HotKey struct {
	Key   string // printable
	Pairs int64  // that came to its reduce task
	Task  string // "reduce-00003"; the master fills it in
}

// Bounds of an Explanation.
const (
	MaxSlowest = 5  // tasks of a phase
	MaxHotKeys = 10 // of a job, and of a report
)

// ExplainArgs asks where a job's time went. With Task it asks for one task, "map-00003".
type ExplainArgs struct {
	Job  JobID
	Task string
}

// Explanation is where a job's time went, as far as this master has seen it.
type Explanation struct {
	Status   JobStatus
	Map      PhaseDetail
	Reduce   PhaseDetail
	In       Spread // of the partitions: bytes of runs
	Rows     Spread // of the partitions
	Out      Spread // of the parts, bytes
	HotKeys  []HotKey
	Reduced  int64 // pairs that came to the reduce tasks
	Backups  Backups
	Tasks    storage.Requests // of all attempts, also those that failed or lost
	Master   storage.Requests // planning and committing
	Read     int64            // bytes of objects, of all attempts
	Written  int64
	Counters []CounterSpread // by name
	Missing  int             // selected tasks of which nothing is known: they ended under another master
	Task     *TaskDetail     // the one that was asked for
}

// PhaseDetail is a phase's tasks.
type PhaseDetail struct {
	Attempts int    // that were selected, and are in the figures: several of a map whose run was lost
	Time     Times  // sum over those
	Elapsed  Spread // nanoseconds of an attempt; the median is within a tenth
	Bytes    Spread // of a task's input; the median is within a tenth
	Spilled  int    // tasks that spilled
	Slowest  []TaskDetail
	Running  []TaskDetail // the longest
	Wasted   int          // attempts that failed, lost or were given up
	Loss     time.Duration
}

// Spread is how a figure is spread over tasks.
type Spread struct{ Min, Median, Max, Sum int64 }

// Backups are a job's backup attempts.
type Backups struct {
	Started, Won int
	Saved        time.Duration // how much longer the slow attempts were estimated to need when their backups won
}

// TaskDetail is one task, by its selected attempt.
type TaskDetail struct {
	Task     string // "map-00003"
	Attempt  int
	Worker   string
	Elapsed  time.Duration // so far, of a running one
	Time     Times
	Bytes    int64 // of its input, or of the runs that it fetched; of a running one, so far
	Records  int64 // map: records; reduce: pairs
	Pairs    int64 // map: in its run
	Emitted  int64
	Groups   int64
	Rows     int64
	Out      int64 // bytes of its run or part
	Spilled  int64
	Speed    float64 // bytes a second of its worker's tasks of the phase, relative to those of all workers; 0: unknown
	Hot      []HotKey
	Counters map[string]int64
	State    string // "selected" or "running"; of a task asked for, also "waiting"
}

// Phase is the phase of the task.
func (t TaskDetail) Phase() Phase {
	if strings.HasPrefix(t.Task, Reduce.String()) {
		return Reduce
	}
	return Map
}

// CounterSpread is one of the user's counters over the tasks.
type CounterSpread struct {
	Name  string
	Total int64
	Tasks int    // that counted under it
	Most  int64  // of one task
	Task  string // that one; the first of several
}

// TaskArgs asks for what running a task again takes.
type TaskArgs struct {
	Job  JobID
	Task string // "map-00003"
}

// TaskReply is a job as its tasks saw it. Who asks lists the inputs again, and finds by the digest that they are the same.
type TaskReply struct {
	Job      JobID
	State    JobState
	Task     TaskID
	Spec     plan.Spec     // with its defaults
	Objects  int           // input objects
	Digest   string        // of them
	Listed   []plan.Object // the first of them, to name those that have changed
	Selected bool          // the task has a result, as far as is known still
	Checksum uint64        // of the selected run
	Parts    []Part        // of the selected attempt
}
