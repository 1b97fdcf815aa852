package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/storage/storagetest"
)

// folder is a data directory, and what the master on it knows.
type folder struct {
	Options
	jobs []string
}

// history is what becomes of a cluster's data directories and its bucket of snapshots.
type history struct {
	t       *testing.T
	v       vault
	rnd     *rand.Rand
	folders []*folder
	latest  *folder  // the one that led last; nil: it is lost
	saved   []string // the jobs that the newest snapshot knows
	term    uint64   // the last
	log     []string

	refused, led int
}

func (h *history) add(jobs []string) *folder {
	f := &folder{Options: h.v.keeps(fast(h.t, filepath.Join(h.t.TempDir(), "data"))), jobs: slices.Clone(jobs)}
	h.folders = append(h.folders, f)
	return f
}

func (h *history) pick() *folder { return h.folders[h.rnd.IntN(len(h.folders))] }

// run starts a master on a folder, and if it starts lets it lead, take on a job and save it. away is that the bucket does not answer
// at the start.
func (h *history) run(f *folder, bump uint64, away bool) {
	if away {
		h.v.Plan(storagetest.Fault{Times: -1, Err: errors.New("away")})
	}
	s, err := live(h.t, f.Options, bump)
	h.v.Plan()
	var term journal.Term
	if err == nil {
		if term, err = s.Campaign(h.t.Context(), journal.Candidate{Address: "master:1"}); err != nil {
			s.abandon()
		}
	}
	if err != nil {
		h.refused++
		if f == h.latest || bump >= h.term {
			h.t.Errorf("refused, though it has the newest state, or was said to be meant: %v\n%q", err, h.log)
		}
		return
	}
	h.led++
	if term.N <= h.term {
		h.t.Errorf("term %d comes after %d\n%q", term.N, h.term, h.log)
	}
	for _, job := range h.saved {
		if bump == 0 && !slices.Contains(f.jobs, job) {
			h.t.Errorf("it leads without %s, which the bucket knew\n%q", job, h.log)
		}
	}
	job := fmt.Sprintf("job-%d", term.N)
	s.note(term, journal.JobID(job))
	f.jobs = append(f.jobs, job)
	got, want := strings.Fields(s.jobs()), slices.Clone(f.jobs)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		h.t.Errorf("it knows %q, want %q\n%q", got, want, h.log)
	}
	h.v.snapshot(h.t, s)
	h.latest, h.saved, h.term = f, slices.Clone(f.jobs), term.N
	s.stop()
}

// abandon ends a state whose Run may have failed.
func (l *lives) abandon() {
	l.end()
	<-l.ended
	if err := l.Close(); err != nil {
		l.t.Error(err)
	}
	l.State = nil
}

// restore makes a folder of the newest snapshot, or of any other.
func (h *history) restore(any bool) {
	url := h.v.String()
	has, err := h.v.Look(h.t.Context(), h.cluster())
	if err != nil {
		h.t.Fatal(err)
	}
	if any {
		url = has.Snapshots[h.rnd.IntN(len(has.Snapshots))].URL
	}
	f := h.add(nil)
	r, err := restore(h.t, h.v, url, f.DataDir)
	if err != nil {
		h.t.Fatal(err)
	}
	if !any && r.Older != nil {
		h.t.Errorf("the newest snapshot is said to be old: %v", r.Older)
	}
	d, err := Open(h.t.Context(), f.Options)
	if err != nil {
		h.t.Fatal(err)
	}
	err = d.Load(h.t.Context(), func(e journal.Entry) bool { f.jobs = append(f.jobs, string(e.Job)); return true })
	if err := errors.Join(err, d.Close()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) cluster() string {
	c, err := h.v.Cluster(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return c.Cluster
}

// step is something that happens.
func (h *history) step() {
	n, f := h.rnd.IntN(10), h.pick()
	h.log = append(h.log, fmt.Sprint(n, slices.Index(h.folders, f)))
	switch {
	case n < 3:
		h.run(f, 0, false)
	case n < 4:
		h.run(f, 0, true)
	case n < 5:
		h.run(f, h.term, h.rnd.IntN(2) == 0)
	case n < 7:
		h.restore(n == 6)
	case n < 9: // a copy, from which the original does not differ
		c := h.add(f.jobs)
		if err := os.CopyFS(c.DataDir, os.DirFS(f.DataDir)); err != nil {
			h.t.Fatal(err)
		}
	default: // a loss
		if err := os.RemoveAll(f.DataDir); err != nil {
			h.t.Fatal(err)
		}
		if _, err := live(h.t, f.Options, 0); !errors.Is(err, ErrWouldForget) {
			h.t.Errorf("on an empty folder: %v, want ErrWouldForget\n%q", err, h.log)
		}
		h.folders = slices.DeleteFunc(h.folders, func(x *folder) bool { return x == f })
		if h.latest == f {
			h.latest = nil
		}
		if len(h.folders) == 0 {
			h.restore(false)
		}
	}
}

// However data directories are lost, copied, put back and restored, of whichever snapshot, and whether or not the bucket answers at the
// start: a master that leads without being told to knows all that the newest snapshot does; terms never repeat; nobody begins anew; and
// who has the newest state, or is told that his is meant, leads.
func TestHistory(t *testing.T) {
	t.Parallel()
	refused, led := 0, 0
	for seed := range uint64(2) {
		h := &history{t: t, v: newVault(t), rnd: rand.New(rand.NewPCG(seed, 11))}
		h.run(h.add(nil), 0, false)
		for range 15 {
			h.step()
		}
		refused, led = refused+h.refused, led+h.led
	}
	if t.Logf("%d were refused, %d led", refused, led); refused < 3 || led < 8 {
		t.Errorf("%d were refused and %d led: it proves little", refused, led)
	}
}
