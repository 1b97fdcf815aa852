package sched

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Backup attempts follow LATE (Zaharia et al., OSDI 2008): what counts is when an attempt will end, estimated from its
// rate, not how far it is; only a few are started, and only on slots that have nothing else to do, or nothing but to wait for
// the very task.

// durationsKept is how many finished attempts of a phase its typical duration is taken from: the latest, as later tasks
// may see another load.
const durationsKept = 64

// durationsEnough is how many make a median worth more than the estimates of running attempts.
const durationsEnough = 3

// durations holds how long the attempts took that finished last.
type durations struct {
	list []time.Duration
	next int
}

func (d *durations) add(v time.Duration) {
	if len(d.list) < durationsKept {
		d.list = append(d.list, v)
		return
	}
	d.list[d.next] = v
	d.next = (d.next + 1) % durationsKept
}

// straggler is an attempt whose task may deserve a backup.
type straggler struct {
	attempt *attempt
	left    time.Duration
}

// backUp starts backup attempts on slots for which no task waits.
func (s *State) backUp() {
	if s.anyWaiting() || !slices.ContainsFunc(s.idle, (*worker).canTake) {
		return
	}
	for _, j := range s.active {
		if j.state != Running || !j.spec.Backup {
			continue
		}
		limit := s.backupLimit()
		for _, late := range s.stragglers(j) {
			if j.backups >= limit {
				break
			}
			s.backUpOne(j, late.attempt)
		}
	}
}

func (s *State) backUpOne(j *job, late *attempt) {
	for _, w := range s.idle {
		if w.canTake() && w != late.worker && late.task().failedOn != w && !s.excluded(j, w) {
			s.take(w, choice{job: j, phase: late.phase, index: int(late.index), late: late})
			return
		}
	}
}

// backupLimit is how many backup attempts a job may have.
func (s *State) backupLimit() int {
	slots, largest := 0, 1
	for _, w := range s.roster {
		if w.able() {
			slots += w.slots
			largest = max(largest, w.slots)
		}
	}
	return max(largest, int(s.o.BackupFraction*float64(slots)))
}

// findLate finds the maps that hold up their job's reduces. A job would give any slot of its own to a reduce that can only wait for
// them: pick gives it to a backup attempt instead, and preempt takes it from such a reduce.
func (s *State) findLate() {
	for _, j := range s.active {
		j.late = nil
		maps, reduces := j.maps(), j.reduces()
		if j.state != Running || !j.spec.Backup || maps.count[running] == 0 || maps.count[waiting] > 0 || reduces.count[waiting]+reduces.count[running] == 0 {
			continue
		}
		for _, late := range s.stragglers(j) {
			j.late = append(j.late, late.attempt)
		}
	}
}

func (s *State) anyLate() bool {
	return slices.ContainsFunc(s.active, func(j *job) bool { return len(j.late) > 0 })
}

// lateFor is the map that w is to run a backup attempt of, or nil.
func (s *State) lateFor(j *job, w *worker) *attempt {
	for _, a := range j.late {
		if a.wantsBackup() && a.worker != w && a.task().failedOn != w && j.backups < s.backupLimit() {
			return a
		}
	}
	return nil
}

// wantsBackup says whether an attempt that was late still runs alone.
func (a *attempt) wantsBackup() bool { return a.place >= 0 && a.twin == nil && !a.backup }

// restsAsLong is how many times as long as it was seen to be slow a worker is left out for that: a moment's trouble costs it moments.
const restsAsLong = 4

// overtaken leaves a worker out for a while whose attempt took more than twice as long as a backup attempt and has not ended: the
// job's next tasks would be late there, too.
func (s *State) overtaken(a *attempt) {
	slow := a.twin
	if slow == nil {
		return
	}
	took, ran := s.now-max(a.since, a.phase.ready), s.now-max(slow.since, a.phase.ready)
	if 2*took < ran {
		s.leaveOut(a.job, slow.worker, min(s.o.Rest, restsAsLong*ran), false, "is slow", fmt.Sprintf("%s ran there for %v, and elsewhere took %v",
			a.id().Task.short(), ran.Round(time.Second/10), took.Round(time.Second/10)))
	}
}

// stragglers returns the attempts that deserve a backup, those with the most time left first.
func (s *State) stragglers(j *job) []straggler {
	var list []straggler
	for k := range j.phases {
		p := &j.phases[k]
		if p.kind == Sample || p.count[running] == 0 || p.kind == Reduce && !j.maps().done() {
			continue // a reduce that waits for maps is not slow itself
		}
		typical, ok := s.typical(j, p)
		if !ok {
			continue
		}
		for _, a := range j.running {
			ran := s.now - max(a.since, p.ready)
			if a.phase != p || a.twin != nil || a.backup || ran < s.o.BackupMinRuntime {
				continue
			}
			if left := s.left(a); float64(left) > s.o.BackupSlowness*float64(typical) {
				list = append(list, straggler{attempt: a, left: left})
			}
		}
	}
	slices.SortFunc(list, func(a, b straggler) int {
		return cmp.Or(cmp.Compare(b.left, a.left), cmp.Compare(a.attempt.phase.kind, b.attempt.phase.kind),
			cmp.Compare(a.attempt.index, b.attempt.index))
	})
	return list
}

// typical is the median duration of the phase's finished attempts, or while there are few, of what the running ones are
// estimated to take. A phase with one task has nothing to compare with.
func (s *State) typical(j *job, p *phase) (time.Duration, bool) {
	list := slices.Clone(p.took.list)
	if len(list) < durationsEnough {
		for _, a := range j.running {
			if a.phase == p {
				list = append(list, s.now-max(a.since, p.ready)+s.left(a))
			}
		}
	}
	if len(list) < 2 {
		return 0, false
	}
	slices.Sort(list)
	return list[(len(list)-1)/2], true
}

// left estimates how much longer an attempt runs: at its rate so far or at the lower one of late, since a worker may be in trouble only
// now, but no less than it has stood still. Without any figures, as long again as it has run.
func (s *State) left(a *attempt) time.Duration {
	ran := s.now - max(a.since, a.phase.ready)
	total := a.total
	if total == 0 && a.phase.kind == Map {
		total = a.phase.bytes[a.index]
	}
	stood := s.now - max(a.moved, a.phase.ready)
	if total <= 0 || a.bytes <= 0 {
		return max(ran, stood)
	}
	rest := max(total-a.bytes, 0)
	return max(atRate(rest, a.bytes, ran), s.leftOfLate(a, rest), stood)
}

// leftOfLate is the same by the half or so of its time in which the attempt ran last. Two heartbeats are too few to tell a rate.
func (s *State) leftOfLate(a *attempt, rest int64) time.Duration {
	from := a.marks[0]
	if from.at < max(a.since, a.phase.ready) || a.told-from.at < s.o.BackupMinRuntime || a.bytes <= from.bytes {
		return 0
	}
	return atRate(rest, a.bytes-from.bytes, a.told-from.at)
}

// atRate is how long so many bytes take where some took a known time.
func atRate(rest, bytes int64, took time.Duration) time.Duration {
	return time.Duration(min(float64(took)*float64(rest)/float64(bytes), math.MaxInt64/4))
}
