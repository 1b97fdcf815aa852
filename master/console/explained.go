package console

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// Explained is where a job's time went, for scripts: what explain --json writes. Fields are added to it but never renamed
// or removed. Times are seconds, sizes bytes.
type Explained struct {
	ID             string             `json:"id"`
	Job            string             `json:"job"`
	State          string             `json:"state"`
	Map            ExplainedPhase     `json:"map"`
	Reduce         ExplainedPhase     `json:"reduce"`
	Partitions     ExplainedSkew      `json:"partitions"`
	HotKeys        []ExplainedKey     `json:"hot_keys"`      // those with the most pairs of all that came to reduce tasks
	ReducedPairs   int64              `json:"reduced_pairs"` // that came to reduce tasks
	Spilled        int64              `json:"spilled"`
	Retries        int                `json:"retries"`
	BackupsStarted int                `json:"backups_started"`
	BackupsWon     int                `json:"backups_won"`
	BackupsSaved   float64            `json:"backups_saved_seconds"`
	BytesRead      int64              `json:"bytes_read"` // from the storage, by all attempts
	BytesWritten   int64              `json:"bytes_written"`
	Requests       ExplainedRequests  `json:"requests"`        // of the tasks' attempts
	MasterRequests ExplainedRequests  `json:"master_requests"` // planning and committing
	Dollars        float64            `json:"dollars"`
	PriceBasis     string             `json:"price_basis"`
	Counters       []ExplainedCounter `json:"counters"`
	Warnings       []string           `json:"warnings"`
	Missing        int                `json:"missing_tasks"` // that ended under another master: nothing is known of them
	Task           *ExplainedTask     `json:"task,omitempty"`
}

// ExplainedPhase is one phase.
type ExplainedPhase struct {
	Attempts      int                `json:"attempts"` // that count
	Seconds       map[string]float64 `json:"seconds"`  // by step, of those attempts
	Elapsed       ExplainedSpread    `json:"elapsed_seconds"`
	Bytes         ExplainedSpread    `json:"bytes"`
	Spilled       int                `json:"spilled_tasks"`
	Slowest       []ExplainedTask    `json:"slowest"`
	Running       []ExplainedTask    `json:"running"`
	InVain        int                `json:"attempts_in_vain"`
	InVainSeconds float64            `json:"seconds_in_vain"`
}

// ExplainedSpread is a figure over tasks or partitions.
type ExplainedSpread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Sum    float64 `json:"sum"`
}

// ExplainedSkew is how even the partitions are.
type ExplainedSkew struct {
	BytesIn  ExplainedSpread `json:"bytes_in"`
	Rows     ExplainedSpread `json:"rows"`
	BytesOut ExplainedSpread `json:"bytes_out"`
}

// ExplainedKey is a key with many pairs.
type ExplainedKey struct {
	Key   string `json:"key"`
	Pairs int64  `json:"pairs"`
	Task  string `json:"task,omitempty"`
}

// ExplainedTask is one task.
type ExplainedTask struct {
	Task     string             `json:"task"`
	Attempt  int                `json:"attempt"` // -1: none yet, or not known
	State    string             `json:"state"`
	Worker   string             `json:"worker"`
	Elapsed  float64            `json:"elapsed_seconds"`
	Seconds  map[string]float64 `json:"seconds"`
	Bytes    int64              `json:"bytes"`
	Records  int64              `json:"records"`
	Emitted  int64              `json:"emitted"`
	Pairs    int64              `json:"pairs"`
	Groups   int64              `json:"groups"`
	Rows     int64              `json:"rows"`
	BytesOut int64              `json:"bytes_out"`
	Spilled  int64              `json:"spilled"`
	HotKeys  []ExplainedKey     `json:"hot_keys"`
	Counters map[string]int64   `json:"counters"`
	Why      []string           `json:"why"`
}

// ExplainedRequests are numbers of requests by kind.
type ExplainedRequests struct {
	Get      int64 `json:"get"`
	Head     int64 `json:"head"`
	List     int64 `json:"list"`
	Put      int64 `json:"put"`
	Delete   int64 `json:"delete"`
	Create   int64 `json:"multipart_create"`
	Part     int64 `json:"multipart_part"`
	Complete int64 `json:"multipart_complete"`
	Abort    int64 `json:"multipart_abort"`
}

// ExplainedCounter is one of the user's counters over the tasks.
type ExplainedCounter struct {
	Name  string `json:"name"`
	Total int64  `json:"total"`
	Tasks int    `json:"tasks"` // that counted under it
	Most  int64  `json:"most"`  // of one task
	Task  string `json:"task"`  // that one
}

// NewExplained returns the form for scripts.
func NewExplained(x *wire.Explanation) *Explained {
	st := x.Status
	all := x.Tasks
	all.Add(x.Master)
	e := &Explained{
		ID: string(st.ID), Job: st.Job, State: st.State.String(), Map: explainedPhase(x.Map), Reduce: explainedPhase(x.Reduce),
		Partitions: ExplainedSkew{explainedSpread(x.In, 1), explainedSpread(x.Rows, 1), explainedSpread(x.Out, 1)},
		HotKeys:    explainedKeys(x.HotKeys), ReducedPairs: x.Reduced, Spilled: st.Spilled, Retries: st.Retries,
		BackupsStarted: x.Backups.Started, BackupsWon: x.Backups.Won, BackupsSaved: seconds(x.Backups.Saved),
		BytesRead: x.Read, BytesWritten: x.Written, Requests: explainedRequests(x.Tasks), MasterRequests: explainedRequests(x.Master),
		Dollars: math.Round(1e9*all.Dollars()) / 1e9, PriceBasis: storage.PriceBasis, Counters: []ExplainedCounter{},
		Warnings: append([]string{}, st.Warnings...), Missing: x.Missing,
	}
	for _, c := range x.Counters {
		e.Counters = append(e.Counters, ExplainedCounter(c))
	}
	if x.Task != nil {
		phase := x.Map
		if x.Task.Phase() == wire.Reduce {
			phase = x.Reduce
		}
		t := explainedTask(*x.Task, phase)
		e.Task = &t
	}
	return e
}

// Write writes it as one indented JSON object and a line end.
func (e *Explained) Write(out io.Writer) error {
	if err := WriteJSON(out, e); err != nil {
		return fmt.Errorf("write explanation of job %s: %w", e.ID, err)
	}
	return nil
}

func seconds(d time.Duration) float64 { return math.Round(1e6*d.Seconds()) / 1e6 }

func explainedPhase(p wire.PhaseDetail) ExplainedPhase {
	return ExplainedPhase{
		Attempts: p.Attempts, Seconds: explainedTimes(p.Time), Elapsed: explainedSpread(p.Elapsed, time.Second), Bytes: explainedSpread(p.Bytes, 1),
		Spilled: p.Spilled, Slowest: explainedTasks(p.Slowest, p), Running: explainedTasks(p.Running, p), InVain: p.Wasted, InVainSeconds: seconds(p.Loss),
	}
}

func explainedTimes(t wire.Times) map[string]float64 {
	m := map[string]float64{}
	for _, s := range t.Steps() {
		m[s.Name] = seconds(s.Time)
	}
	return m
}

func explainedSpread(s wire.Spread, unit time.Duration) ExplainedSpread {
	u := float64(unit)
	return ExplainedSpread{float64(s.Min) / u, float64(s.Median) / u, float64(s.Max) / u, float64(s.Sum) / u}
}

func explainedKeys(list []wire.HotKey) []ExplainedKey {
	out := []ExplainedKey{}
	for _, k := range list {
		out = append(out, ExplainedKey(k))
	}
	return out
}

func explainedRequests(r storage.Requests) ExplainedRequests { return ExplainedRequests(r) }

func explainedTasks(list []wire.TaskDetail, p wire.PhaseDetail) []ExplainedTask {
	out := []ExplainedTask{}
	for _, t := range list {
		out = append(out, explainedTask(t, p))
	}
	return out
}

func explainedTask(t wire.TaskDetail, p wire.PhaseDetail) ExplainedTask {
	e := ExplainedTask{
		Task: t.Task, Attempt: t.Attempt, State: t.State, Worker: t.Worker, Elapsed: seconds(t.Elapsed), Seconds: explainedTimes(t.Time),
		Bytes: t.Bytes, Records: t.Records, Emitted: t.Emitted, Pairs: t.Pairs, Groups: t.Groups, Rows: t.Rows, BytesOut: t.Out, Spilled: t.Spilled,
		HotKeys: explainedKeys(t.Hot), Counters: t.Counters, Why: append([]string{}, reasons(t, p)...),
	}
	if e.Counters == nil {
		e.Counters = map[string]int64{}
	}
	return e
}
