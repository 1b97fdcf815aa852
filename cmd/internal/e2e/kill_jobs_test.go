package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/join"
	"github.com/millrace/millrace/jobs/kmeans"
	"github.com/millrace/millrace/master/wire"
)

// killTime is when workers are killed during a job: how many of the three, as soon as its status is so.
type killTime struct {
	what string
	ok   func(*wire.JobStatus) bool
	n    int
}

// The moments at which jobs lose workers. Each holds from then on, so that none is missed; a chain's are of the stage under way.
var (
	atWork = killTime{"a map is done and others are at work", func(s *wire.JobStatus) bool {
		return s.NumStages > 1 || s.Map.Done > 0 && s.Map.Running > 0 || s.Map.Done > 1
	}, 1}
	halfMapped  = killTime{"half of the maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/2 }, 3}
	reducing    = killTime{"reduces are at work", func(s *wire.JobStatus) bool { return s.Map.Done == s.Map.Tasks && s.Reduce.Running+s.Reduce.Done > 0 }, 2}
	secondStage = killTime{"the second stage is at work", func(s *wire.JobStatus) bool { return s.NumStages > 1 && s.Map.Running+s.Map.Done > 0 }, 3}
	thirdStage  = killTime{"the third stage is at work", func(s *wire.JobStatus) bool { return s.NumStages > 2 && s.Map.Running+s.Map.Done > 0 }, 1}
)

// TestKillEveryKind proves of every kind of job that workers which die by kill -9, one, two or all of them, change no byte of what it
// gives: parts of a job with side outputs, of one without reduces, of one with several inputs, and of chains. No counter counts twice
// what ran twice, and nothing lies beside the output.
func TestKillEveryKind(t *testing.T) {
	t.Parallel()
	for _, test := range selection(
		killCase{"side outputs", func(t testing.TB) workload {
			return workload{name: "sides", job: sidesJob(), reducers: 3, files: []file{killInput(t, "text", smallSize/2)}}
		}, []killTime{atWork, halfMapped, reducing}, true},
		killCase{"maps only", func(t testing.TB) workload {
			return workload{name: "long-lines", job: longLines(), files: []file{killInput(t, "text", smallSize/4)}}
		}, []killTime{atWork, halfMapped}, true},
		killCase{"join", killJoin, []killTime{atWork, halfMapped, reducing}, false},
		killCase{"chain that loops", func(t testing.TB) workload {
			points := bytes.ReplaceAll(killInput(t, "measurements", smallSize/4).data, []byte(";"), []byte(";1,"))
			return workload{name: "kmeans", job: kmeans.Job(), params: map[string]string{"centers": "1,3;1,9;1,30", "iterations": "3"}, files: []file{{"points", afterMarks(points)}}}
		}, []killTime{atWork, secondStage, thirdStage}, false},
		killCase{"chain that joins its stages", func(t testing.TB) workload {
			return workload{name: "both-ways", job: bothWays(), files: []file{killInput(t, "text", smallSize/2)}}
		}, []killTime{halfMapped, secondStage, thirdStage}, true},
	) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // much of it is waiting for leases to end
			test.run(t)
		})
	}
}

// killSplit is the size of splits, bytes: small enough for a few rounds of maps on three workers.
const killSplit = 200_000

// killCase is a job and when its workers die.
type killCase struct {
	name  string
	make  func(testing.TB) workload
	times []killTime
	own   bool // a job of these tests, which the millrace binary does not carry
}

func (test killCase) run(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), killBudget)
	defer cancel()
	w := test.make(t)
	k := stageCut(ctx, t, w, killSplit)
	bin := ""
	if test.own {
		var err error
		if bin, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	} else {
		bin = buildBinary(t)
	}
	want, err := w.oracle(k.p)
	if err != nil {
		t.Fatal(err)
	}
	if d := w.sameRows(k.want.rows, want.Rows()); d != "" {
		t.Fatalf("undisturbed it is not what the oracle says: %s", d)
	}
	if got := k.want.manifest.Counters; !maps.Equal(got, want.Counters) || test.own && len(got) == 0 {
		t.Fatalf("undisturbed it counts %v, the oracle %v", got, want.Counters)
	}
	c := startClusterOf(ctx, t, k.s, 3, bin)
	out := k.p.root + "/out"
	id := c.submit(ctx, w, millrace.Options{Inputs: w.stated(k.in), Output: out, SplitSize: killSplit})
	for i, when := range test.times {
		s := c.await(ctx, id, when.what, func(s *wire.JobStatus) bool { return when.ok(s) || i > 0 && s.State == wire.Done })
		if s.State == wire.Done {
			t.Logf("it ended before %s", when.what) // on a machine that looks rarely; the kills before count
			break
		}
		for range when.n {
			c.replace(0)
		}
	}
	s := c.finish(ctx, id)
	t.Logf("it took %.1f s", s.Ended.Sub(s.Submitted).Seconds())
	lost := len(c.events(ctx, id, "lost:"))
	for n := 1; n <= s.NumStages; n++ {
		lost += len(c.events(ctx, wire.JobID(fmt.Sprintf("%s.%d", id, n)), "lost:"))
	}
	if lost == 0 {
		t.Error("the job ended before the master noticed that a worker was gone: it proves nothing")
	}
	k.wantSame(ctx, t, w, out)
	got := w.read(ctx, t, k.p, out)
	if !maps.Equal(got.manifest.Counters, want.Counters) || !maps.Equal(s.Counters, want.Counters) {
		t.Errorf("the manifest counts %v, the status %v, want %v", got.manifest.Counters, s.Counters, want.Counters)
	}
	for i, side := range k.want.manifest.Outputs {
		if len(want.Outputs[side.Name]) != int(side.Rows) || got.manifest.Outputs[i].Rows != side.Rows || side.Rows == 0 {
			t.Errorf("side output %s: %d rows, undisturbed %d, the oracle has %d", side.Name, got.manifest.Outputs[i].Rows, side.Rows, len(want.Outputs[side.Name]))
		}
	}
	if len(k.want.manifest.Outputs) != len(want.Outputs) {
		t.Errorf("%d side outputs, the oracle has %d", len(k.want.manifest.Outputs), len(want.Outputs))
	}
	c.wantNoTemp()
}

// killJoin is a join of requests with what is known of some clients.
func killJoin(t testing.TB) workload {
	log := killInput(t, "access-log", smallSize/4)
	var clients bytes.Buffer
	for i, line := range bytes.SplitAfter(log.data, []byte("\n")) {
		if ip, _, found := bytes.Cut(line, []byte(" ")); found && i%97 == 0 {
			clients.Write(append(ip, " is a client\n"...))
		}
	}
	return workload{
		name: "join", job: join.Job(), params: map[string]string{"type": "full", "left-separator": " ", "right-separator": " "}, reducers: 3,
		files: []file{{"left/clients", clients.Bytes()}, {"right/log", log.data}}, inputs: []string{"left", "right"},
	}
}

// afterMarks is what stands behind the first semicolon of each line.
func afterMarks(lines []byte) []byte {
	var out []byte
	for line := range bytes.Lines(lines) {
		_, after, _ := bytes.Cut(line, []byte(";"))
		out = append(out, after...)
	}
	return out
}
