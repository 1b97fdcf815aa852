package sched

import "time"

// attemptsPerTerm is how many attempt numbers of a task belong to one term. A task cannot use them up: its charged and
// its uncharged failures are both limited far below.
const attemptsPerTerm = 1000

// refusedKept bounds the memory of lost incarnations. One that is forgotten joins as a new worker with nothing assigned,
// and what it runs is killed: harmless.
const refusedKept = 10_000

// endedKept bounds how many ended jobs are kept for the views; a Submit of a forgotten one would run it again.
const endedKept = 10_000

// Options tunes a scheduler. A field that is zero or negative gets its default.
type Options struct {
	// Term is the number of this reign, from 0; it must be above that of every earlier State of the same records, as
	// attempts that an earlier term gave but did not record are still out there under their numbers.
	Term int

	// Lease is how long a worker may be silent before it is lost: 15 s, five heartbeats of 3 s.
	Lease time.Duration
	// MaxHeartbeats is how many polls a second all workers together may make with nothing to say: 2,500, a quarter of a core.
	// Where there are more workers than that, each polls less often (see State.Heartbeat), and its lease is at least five times
	// as long as the pause. So the loss of one of many workers is noticed later.
	MaxHeartbeats int
	// Grace is how long after Replay the workers that hold selected runs may take to come back: 60 s, so that a change
	// of masters does not throw away the work of workers that are slow to find the new one.
	Grace time.Duration
	// Settle is how long after Replay nothing is assigned, so that workers report what runs before it is given to
	// others: 500 ms. A worker whose master dies looks for the next one at once, and is there within that time.
	Settle time.Duration
	// Muster is how much longer that takes at most, while workers that hold selected runs are not back yet: 2 s after
	// Replay. Those whose master was stopped or cut off notice only when an answer is overdue; one that died together with
	// its master must not hold up the others.
	Muster time.Duration

	// MaxAttempts is how many charged failures of one task end its job, where Submit does not say: 4.
	MaxAttempts int
	// MaxUncharged is how many attempts of one task may be lost without its fault (lost worker, failed fetch, returned,
	// part lost) before the job is ended: 100. It is generous, for workers on spot machines; it exists because a job
	// that never ends is worse than one that fails by name.
	MaxUncharged int
	// MaxWorkerFailures is how many charged failures of one job make it leave the worker out: 3.
	MaxWorkerFailures int
	// Rest is for how long a job leaves a worker out the first time; it doubles from time to time, up to 16 times as long: four
	// leases, 60 s. A worker whose disk was full or whose settings were wrong comes back to use when that is mended.
	Rest time.Duration
	// MaxFetchFailures is how many different runs of one worker must be given up as unreadable within FetchWindow before
	// all its runs are: 3 in 3 min, as it takes a reducer up to half a minute to find out. Reports one by one would cost the job a
	// round of reducers each. It is also how long a job remembers which workers cannot reach each other.
	MaxFetchFailures int
	FetchWindow      time.Duration

	// BackupMinRuntime is how long an attempt runs before a backup attempt is considered: 2 s, two heartbeats, so that its
	// progress has been heard of. Longer would make jobs of short tasks wait for a slow worker for a good part of their time;
	// backups take only slots that can do nothing else.
	BackupMinRuntime time.Duration
	// BackupFraction bounds the backup attempts of a job as a part of the slots of all workers: 0.1; as many as the largest
	// worker has slots are always allowed, since one slow worker makes all its attempts late.
	BackupFraction float64
	// BackupSlowness is how many times the median duration of its phase an attempt's estimated time left must be: 2. A
	// backup started now takes about one median.
	BackupSlowness float64

	without guard // 0: every guard is there
}

func (o Options) filled() Options {
	o.Term = max(o.Term, 0)
	fill(&o.Lease, 15*time.Second)
	fill(&o.MaxHeartbeats, 2500)
	fill(&o.Grace, 60*time.Second)
	fill(&o.Settle, 500*time.Millisecond)
	fill(&o.Muster, 2*time.Second)
	fill(&o.MaxAttempts, 4)
	fill(&o.MaxUncharged, 100)
	fill(&o.MaxWorkerFailures, 3)
	fill(&o.Rest, 4*o.Lease)
	fill(&o.MaxFetchFailures, 3)
	fill(&o.FetchWindow, 3*time.Minute)
	fill(&o.BackupMinRuntime, 2*time.Second)
	fill(&o.BackupFraction, 0.1)
	fill(&o.BackupSlowness, 2)
	return o
}

func fill[T int | time.Duration | float64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
