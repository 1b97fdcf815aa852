package master

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
)

// csvSpec is a job over CSV in splits of a third of each object.
func csvSpec() plan.Spec {
	s := spec()
	s.Info.Inputs[0].Format = jobs.Format{Kind: jobs.FormatCSV, Comma: ','}
	s.SplitSize = 40
	return s
}

// csvPlan is two objects of 100 bytes: the map tasks 0 to 2, and 3 to 5; a third that is not cut is task 6.
func csvPlan(t *testing.T) *plan.Plan {
	t.Helper()
	p, err := plan.Make(csvSpec(), []plan.Object{{URL: "mem://b/x", Size: 100}, {URL: "mem://b/y", Size: 100}, {URL: "mem://b/z", Size: 30}})
	if err != nil || p.Maps != 7 {
		t.Fatalf("%d maps, %v", p.Maps, err)
	}
	return p
}

// Pieces that fit together are taken in any order, and again; where two of one object differ it is said, whichever comes last.
func TestCuts(t *testing.T) {
	t.Parallel()
	none := wire.Cut{First: -1}
	for name, c := range map[string]struct {
		cuts []wire.Cut // of tasks 0 to 5
		want string
	}{
		"fit":                      {[]wire.Cut{{First: 0, Next: 41}, {First: 41, Next: 80}, {First: 80, Next: 100}, {First: 0, Next: 40}, {First: 40, Next: 99}, {First: 99, Next: 100}}, ""},
		"a long record":            {[]wire.Cut{{First: 0, Next: 90}, none, {First: 90, Next: 100}, {First: 0, Next: 100}, none, none}, ""},
		"begins too early":         {[]wire.Cut{{First: 0, Next: 60}, {First: 50, Next: 80}, {First: 80, Next: 100}, {First: 0, Next: 40}, {First: 40, Next: 80}, {First: 80, Next: 100}}, "read mem://b/x: the CSV records of this object cannot be told apart from byte 40 on"},
		"begins too late":          {[]wire.Cut{{First: 0, Next: 41}, {First: 41, Next: 80}, {First: 80, Next: 100}, {First: 0, Next: 41}, {First: 41, Next: 85}, {First: 86, Next: 100}}, "at byte 85; the reader of the split from there found it at byte 86"},
		"a record that is not":     {[]wire.Cut{{First: 0, Next: 90}, {First: 45, Next: 90}, {First: 90, Next: 100}, {First: 0, Next: 100}, none, none}, "from byte 40 on"},
		"a record that is missing": {[]wire.Cut{{First: 0, Next: 45}, none, {First: 90, Next: 100}, {First: 0, Next: 100}, none, none}, "found it nowhere in it"},
		"ends before its piece":    {[]wire.Cut{{First: 0, Next: 30}, {First: 30, Next: 80}, {First: 80, Next: 100}, {First: 0, Next: 100}, none, none}, "from byte 0 on"},
	} {
		p := csvPlan(t)
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			order := rnd.Perm(6)
			var c2 cuts
			var wrong []string
			for _, i := range slices.Concat(order, order[:3]) {
				if text := c2.add(p, i, c.cuts[i]); text != "" {
					wrong = append(wrong, text)
				}
			}
			switch {
			case c.want == "" && len(wrong) > 0, c.want != "" && (len(wrong) == 0 || !strings.Contains(wrong[0], c.want)):
				t.Fatalf("%s, order %v: got %q, want %q", name, order, wrong, c.want)
			case c.want != "" && !strings.Contains(wrong[0], "--split-size") && !strings.Contains(wrong[0], "WholeFiles"):
				t.Fatalf("%s: %q does not say what to do", name, wrong[0])
			}
		}
	}
	p := csvPlan(t)
	var c cuts
	if text := c.add(p, 1, wire.Cut{First: 41, Next: 80}); text != "" {
		t.Error(text)
	}
	if text := c.add(p, 1, wire.Cut{First: 41, Next: 81}); !strings.Contains(text, "attempts at map task 1 found records at different places: from byte 41 to 80, and from 41 to 81") {
		t.Errorf("another result of the same task: got %q", text)
	}
	for i, want := range []bool{true, true, true, true, true, true, false} {
		if got := cutObject(p, i); got != want {
			t.Errorf("task %d: got %v, want %v", i, got, want)
		}
	}
}

// csvMaps does map tasks of a job over CSV: it reports that records begin where splits do, but for the task wrong.
func (h *hand) csvMaps(n, wrong int) {
	h.l.t.Helper()
	for range n {
		task := h.get(wire.Map)
		o := h.result(task)
		p := task.Split.Pieces[0]
		o.Cut = &wire.Cut{First: p.Offset, Next: p.Offset + p.Length}
		if task.Attempt.Task.Index == wrong {
			o.Cut.First++
		}
		h.args.Done = append(h.args.Done, o)
	}
	if err := h.poll(); err != nil {
		h.l.t.Fatal(err)
	}
}

// A job whose pieces fit together is committed; one in which they do not fails, by the object and what to do, even when all of
// them come in one report, and when the master that had the first of them is another one.
func TestCutsOfJob(t *testing.T) {
	for _, wrong := range []int{-1, 1, 8} {
		for _, succession := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.lead(false)
				s := csvSpec()
				l.mustSubmit(jobA, s)
				h := l.hire("w", 9)
				maps := 9
				if succession {
					h.csvMaps(1, wrong)
					l.depose()
					l, maps = w.lead(false), 8
					h.l, h.c = l, l.dial(wire.RoleWorker)
					if err := h.poll(); err != nil { // to hear which of its tasks are still its own
						t.Fatal(err)
					}
				}
				h.csvMaps(maps, wrong)
				if wrong < 0 {
					h.work(wire.Reduce, 2)
					l.status(jobA, wire.Done)
				} else {
					text := l.status(jobA, wire.JobFailed).Error
					for _, want := range []string{fmt.Sprintf("mem://b/in/%d", wrong/3), fmt.Sprintf("at byte %d", wrong%3*40), "No rows are lost", "--split-size"} {
						if !strings.Contains(text, want) {
							t.Errorf("task %d wrong, succession %v: %q is not in %q", wrong, succession, want, text)
						}
					}
				}
				l.end()
			})
		}
	}
}

// A map attempt on a piece of CSV that does not tell where its records begin is refused.
func TestCutMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, csvSpec())
		h := l.hire("w", 1)
		for range 4 {
			h.work(wire.Map, 1)
		}
		if text := l.status(jobA, wire.JobFailed).Error; !strings.Contains(text, "does not tell where the records of its split begin") {
			t.Errorf("got %q", text)
		}
		l.end()
	})
}
