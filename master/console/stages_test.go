package console

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// chain is a chain's status with n stages of which the last one runs, unless ended says that none does.
func chain(n int, ended bool) wire.JobStatus {
	st := running(10)
	st.Job, st.NumStages = "pagerank", n
	for i := range n {
		s := wire.StageStatus{N: i, Job: "spread", State: wire.Done, Records: 1000, Rows: 900, OutBytes: 12_000, Elapsed: time.Second}
		if i == 0 {
			s.Job, s.Reused = "start", true
		}
		if i == n-1 && !ended {
			s.State = wire.Running
		}
		st.Stages = append(st.Stages, s)
	}
	if ended {
		st.State = wire.Done
	}
	return st
}

// follow shows a chain of four stages.
func follow(p *Progress, clock *fakeClock) {
	for n := 1; n <= 4; n++ {
		for range 3 {
			clock.advance(4 * time.Second)
			p.Update(chain(n, false))
		}
	}
	clock.advance(time.Second)
	p.Update(chain(4, true))
	p.Close()
}

// A chain's progress has a line for each stage when it is done, and a bar, or lines from time to time, for the one under way.
func TestStagesProgress(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{"stages-plain": {}, "stages-bar": {TTY: true, NoColor: true}} {
		var out bytes.Buffer
		clock := &fakeClock{at: start}
		o.Now = clock.now
		follow(New(&out, o), clock)
		golden(t, name, bytes.ReplaceAll(out.Bytes(), []byte("\r"), []byte("\n")))
		if n := strings.Count(out.String(), "done: "); n != 4 {
			t.Errorf("%s: %d stages are told of, want 4", name, n)
		}
	}
}

// Status and summary show a chain's stages; of very many the newest. The report has them as JSON, and no other job has any.
func TestStagesShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := StatusText(&out, chain(3, false), start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := Summary(&out, "millrace", chain(30, true), time.Minute); err != nil {
		t.Fatal(err)
	}
	golden(t, "stages-shown", out.Bytes())
	var report struct {
		NumStages int `json:"num_stages"`
		Stages    []struct {
			N      int
			Job    string
			Reused bool
			Rows   int64
		}
	}
	out.Reset()
	if err := NewReport(chain(2, true), time.Minute).Write(&out); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.NumStages != 2 || len(report.Stages) != 2 ||
		report.Stages[0].N != 1 || report.Stages[0].Job != "start" || !report.Stages[0].Reused || report.Stages[1].Rows != 900 {
		t.Errorf("got %+v, %v", report, err)
	}
	out.Reset()
	if err := NewReport(finished(), time.Minute).Write(&out); err != nil || strings.Contains(out.String(), "stages") {
		t.Errorf("got %v and %s", err, out.String())
	}
}
