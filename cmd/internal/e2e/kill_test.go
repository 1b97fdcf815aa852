package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/cmd/internal/gen"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/jobs/wordcount"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// killBudget bounds each of these tests; none takes a third of it on two quiet cores.
const killBudget = 2 * time.Minute

// killSeed chooses whom the killers kill.
const killSeed = 20

// killSize is the input of the jobs during which a worker dies every second, bytes: with what must be done again, some ten
// seconds' work for four small workers. The other tests choose their moments by what the job has done, and need less.
const killSize, smallSize = 24_000_000, 12_000_000

func killWordcount(t testing.TB, size int64) workload {
	return workload{
		name: "wordcount", job: wordcount.Job(), reducers: 3, files: []file{killInput(t, "text", size), killInput(t, "text", size/10)},
	}
}

func killSort(t testing.TB, size int64) workload {
	return workload{
		name: "sort", job: sortrecords.Job(), params: map[string]string{"format": "records"}, reducers: 3, sorted: true,
		files: []file{killInput(t, "records", size)},
	}
}

func killInput(t testing.TB, kind string, size int64) file {
	t.Helper()
	var b bytes.Buffer
	if err := gen.Write(&b, kind, size, uint64(size)); err != nil {
		t.Fatal(err)
	}
	return file{fmt.Sprintf("%s-%d", kind, size), b.Bytes()}
}

// undisturbed is what a workload gives in this process, where nobody dies.
func undisturbed(ctx context.Context, t testing.TB, w workload, p place, in string, split int64) *product {
	t.Helper()
	out := p.root + "/undisturbed-" + w.name
	_, err := millrace.Run(ctx, w.job, millrace.Options{
		Inputs: w.stated(in), Output: out, Params: w.params, Reducers: w.reducers, Store: p.store, TempDir: t.TempDir(), SplitSize: split,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w.read(ctx, t, p, out)
}

// read reads an output, which must hold its parts and manifest and nothing else.
func (w workload) read(ctx context.Context, t testing.TB, p place, out string) *product {
	t.Helper()
	schema, err := w.schema(ctx, p, out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readProduct(ctx, p, out, schema)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// schema is that of the job's rows; a chain has no rows of its own, so the manifest of what it made is asked.
func (w workload) schema(ctx context.Context, p place, out string) (schema jobs.Schema, err error) {
	if !w.job.IsChain() {
		code, err := w.job.Bind(w.params)
		if err != nil {
			return schema, err
		}
		return code.Info().Schema, nil
	}
	made, err := output.Open(ctx, p.store, out)
	if err != nil {
		return schema, err
	}
	return schema, json.Unmarshal(made.Manifest.Schema, &schema)
}

// selection is all cases, and with -short the first of them.
func selection[T any](cases ...T) []T {
	if testing.Short() {
		return cases[:1]
	}
	return cases
}

// processes is how tests begin that run processes of the real binary: beside others, and with a context that ends with killBudget. The
// race detector does not watch that binary, and such processes under it would show nothing that they do not show without; those that it
// does watch are of this test's own binary (process_test.go).
func processes(t *testing.T) context.Context {
	t.Helper()
	return processesWithin(t, killBudget)
}

// processesWithin is processes with another limit.
func processesWithin(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	if raceDetector {
		t.Skip("LEFT OUT: processes that the race detector does not watch: -race")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// killed is the scene of these tests: a server, a workload's input on it, and what must come out.
type killed struct {
	p    place
	s    *servers.Server
	in   string
	want *product
}

func stage(ctx context.Context, t testing.TB, w workload) killed {
	t.Helper()
	return stageCut(ctx, t, w, 0)
}

// stageCut is stage with splits of a size, which shows in how many parts a job's maps write.
func stageCut(ctx context.Context, t testing.TB, w workload, split int64) killed {
	t.Helper()
	return stageAt(ctx, t, w, servers.MinIO(t), split)
}

// stageAt is stageCut on a server that runs.
func stageAt(ctx context.Context, t testing.TB, w workload, s *servers.Server, split int64) killed {
	t.Helper()
	p := inBucket(t, "minio", s)
	in, err := w.write(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	return killed{p, s, in, undisturbed(ctx, t, w, p, in, split)}
}

// options are those of a job over the workload's input.
func (k killed) options(out string, split int64) millrace.Options {
	return millrace.Options{Inputs: []string{k.in}, Output: out, SplitSize: split}
}

// wantSame checks an output against the undisturbed one. Its counters and records must be right as well, however often
// tasks ran.
func (k killed) wantSame(ctx context.Context, t testing.TB, w workload, out string) {
	t.Helper()
	got := w.read(ctx, t, k.p, out)
	if d := got.diff(k.want); d != "" {
		t.Error(d)
	}
	if g, want := got.manifest.Inputs.Records, k.want.manifest.Inputs.Records; g != want {
		t.Errorf("%d records, want %d", g, want)
	}
}

// Workers that die by kill -9, one every second, while others take their places, change nothing of the result: the same
// bytes, nothing beside them, and no temporary files when the cluster has ended.
func TestKill(t *testing.T) {
	ctx := processesWithin(t, 2*killBudget)
	for _, make := range selection(killWordcount, killSort) {
		w := make(t, killSize)
		t.Run(w.name, func(t *testing.T) {
			k := stage(ctx, t, w)
			c := startCluster(ctx, t, k.s, 4)
			out := k.p.root + "/out"
			id := c.submit(ctx, w, k.options(out, 1<<20))
			c.await(ctx, id, "all workers are at work", func(s *wire.JobStatus) bool { return s.Map.Running == 4 || s.Map.Done >= 8 })
			stop := c.kill(rand.New(rand.NewPCG(killSeed, 0)), time.Second)
			s := c.finish(ctx, id)
			t.Logf("%d workers were killed, %d attempts tried again, in %.1f s", stop(), s.Retries, s.Ended.Sub(s.Submitted).Seconds())
			if lost := c.events(ctx, id, "lost:"); len(lost) == 0 {
				t.Error("the job ended before the master noticed that a worker was gone: it proves nothing")
			}
			k.wantSame(ctx, t, w, out)
			c.wantNoTemp()
		})
	}
}

// All workers die at once, after some maps and in the middle of the reduces. The master has nobody for a while, and the job
// goes on with those that come.
func TestKillAll(t *testing.T) {
	ctx := processes(t)
	w := killWordcount(t, smallSize)
	k, c := stageCluster(ctx, t, w, 3)
	out := k.p.root + "/out"
	id := c.submit(ctx, w, k.options(out, 500_000))
	for _, when := range []func(*wire.JobStatus) bool{
		func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/2 },
		func(s *wire.JobStatus) bool { return s.Reduce.Running > 0 && s.Map.Done == s.Map.Tasks },
	} {
		c.await(ctx, id, "it is time to kill all workers", when)
		for range 3 {
			c.replace(0)
		}
	}
	s := c.finish(ctx, id)
	t.Logf("%d attempts tried again, in %.1f s", s.Retries, s.Ended.Sub(s.Submitted).Seconds())
	k.wantSame(ctx, t, w, out)
	c.wantNoTemp()
}

// With --shuffle=bucket a finished map outlives its worker: after all workers died, no finished map runs again.
func TestKillKeepsRunsInBucket(t *testing.T) {
	ctx := processes(t)
	w := killWordcount(t, smallSize)
	k, c := stageCluster(ctx, t, w, 3)
	out := k.p.root + "/out"
	o := k.options(out, 500_000)
	o.Shuffle = "bucket"
	id := c.submit(ctx, w, o)
	before := c.await(ctx, id, "half of the maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/2 })
	for range 3 {
		c.replace(0)
	}
	// Until the master has noticed, a job's status may only grow; afterwards it must not have shrunk either.
	least := before.Map.Done
	s := c.await(ctx, id, "it has ended", func(s *wire.JobStatus) bool {
		if s.Map.Done < least {
			t.Errorf("%d maps are done, there were %d before", s.Map.Done, least)
		}
		least = max(least, s.Map.Done)
		return !s.Ended.IsZero()
	})
	if s.State != wire.Done {
		t.Fatalf("the job is %v: %s", s.State, s.Error)
	}
	k.wantSame(ctx, t, w, out)
	c.wantNoTemp()
}

// A worker that is stopped beyond its lease and goes on after the job committed changes nothing: not its maps, not its
// reduces, which hold pending uploads. It notices that it was lost, comes back as another one, and works on the next job.
func TestZombie(t *testing.T) {
	t.Parallel()
	for _, shuffle := range selection("bucket", "local") {
		t.Run(shuffle, func(t *testing.T) {
			ctx := processes(t)
			w := killSort(t, smallSize)
			k, c := stageCluster(ctx, t, w, 3)
			out := k.p.root + "/out"
			o := k.options(out, 500_000)
			o.Shuffle = shuffle
			id := c.submit(ctx, w, o)
			mapper, reducer := c.workers[0], c.workers[1]
			c.await(ctx, id, "all maps are given out", func(s *wire.JobStatus) bool { return s.Map.Done+s.Map.Running == s.Map.Tasks })
			pause(t, mapper) // in its last map, or when it is asked for its runs: the reduces wait for it until it is lost
			c.await(ctx, id, "two reduces hold pending uploads", func(s *wire.JobStatus) bool {
				left, err := leftovers(ctx, k.p, out)
				if err != nil {
					t.Error(err)
				}
				return s.Reduce.Running >= 2 && strings.Count(strings.Join(left, " "), "pending part-") >= 2
			})
			pause(t, reducer)
			c.finish(ctx, id)
			k.wantSame(ctx, t, w, out)
			before := listing(ctx, t, k.p)

			for _, p := range []signaller{mapper, reducer} {
				if err := p.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
			}
			c.logged(ctx, mapper, "starting anew")
			c.logged(ctx, reducer, "starting anew")
			// Nothing is wrong at any moment of the next job, and they work on it: the third worker is stopped now.
			pause(t, c.workers[2])
			o.Output = k.p.root + "/again"
			id = c.submit(ctx, w, o)
			c.finish(ctx, id)
			k.wantSame(ctx, t, w, o.Output)
			after := slices.DeleteFunc(listing(ctx, t, k.p), func(s string) bool { return strings.Contains(s, "/again/") })
			if !slices.Equal(after, before) {
				t.Errorf("after the dead came back the bucket holds\n%s\nbefore it held\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
			}
			if err := c.workers[2].Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			c.wantNoTemp()
		})
	}
}

// signaller is a process.
type signaller interface{ Signal(syscall.Signal) error }

func pause(t testing.TB, p signaller) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// listing is everything in a place: objects with their ETags and times, and pending uploads.
func listing(ctx context.Context, t testing.TB, p place) (all []string) {
	t.Helper()
	err := p.store.List(ctx, p.root+"/", func(o storage.Info) bool {
		all = append(all, fmt.Sprint(o.URL, " ", o.Size, " ", o.ETag, " ", o.Modified.UnixNano()))
		return true
	})
	if err == nil {
		err = p.store.Uploads(ctx, p.root+"/", func(url, id string, _ time.Time) bool {
			all = append(all, "pending "+url+" "+id)
			return true
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}
