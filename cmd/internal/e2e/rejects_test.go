package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/kmeans"
	"github.com/millrace/millrace/jobs/stats"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// dirty is input in which some records are bad, the same input without them, and where the bad ones are.
type dirty struct {
	all, clean []file
	bad        map[string][]int64 // offsets by file, in order
}

// add appends a record to the file that is written.
func (d *dirty) add(name, record string, bad bool) {
	i := slices.IndexFunc(d.all, func(f file) bool { return f.name == name })
	if i < 0 {
		i = len(d.all)
		d.all, d.clean = append(d.all, file{name: name}), append(d.clean, file{name: name})
	}
	if bad {
		d.bad[name] = append(d.bad[name], int64(len(d.all[i].data)))
	} else {
		d.clean[i].data = append(d.clean[i].data, record...)
	}
	d.all[i].data = append(d.all[i].data, record...)
}

// count is how many records are bad.
func (d *dirty) count() (n int64) {
	for _, list := range d.bad {
		n += int64(len(list))
	}
	return n
}

// dirtyLines are files of "key;value", of which about one line in each so many is bad in one way or another.
func dirtyLines(files, lines, each int) *dirty {
	rnd := rand.New(rand.NewPCG(uint64(files), uint64(lines)))
	d := &dirty{bad: map[string][]int64{}}
	for f := range files {
		for range lines {
			value, bad := fmt.Sprintf("%.1f", rnd.Float64()*100), rnd.IntN(each) == 0
			if bad {
				value = []string{"none", "", "12.0.1", "boom", "late"}[rnd.IntN(5)]
			}
			d.add(fmt.Sprintf("lines-%d.txt", f), fmt.Sprintf("station %d;%s\n", rnd.IntN(100), value), bad)
		}
	}
	return d
}

// dirtyCSV is CSV with line ends in quotes, and records that are ragged, or whose numbers are none.
func dirtyCSV() *dirty {
	rnd := rand.New(rand.NewPCG(3, 4))
	d := &dirty{bad: map[string][]int64{}}
	for f := range 2 {
		name := fmt.Sprintf("table-%d.csv", f)
		d.add(name, "key,value\n", false)
		for i := range 2000 {
			bad := rnd.IntN(20) == 0
			record := fmt.Sprintf("\"key\n%d\",%d\n", i%17, i)
			if bad {
				record = []string{"\"a\nb\",c,d\n", "\"a\n,b\",no\n", "boom,1\n", "only\n"}[rnd.IntN(4)]
			}
			d.add(name, record, bad)
		}
	}
	return d
}

// keyTotal is what the job of these tests counts for a key.
type keyTotal struct {
	Key string
	N   int64
	Sum float64
}

type keyValue struct {
	Key   string
	Value int64
}

// strict is a job that fails in every way on bad lines, often after it has done something.
func strict(name string, opts ...jobs.Option) *jobs.Job {
	return jobs.Define("strict-"+name, func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		lines, seen := t.Counter("lines"), jobs.Side[string](t, "seen")
		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
			lines.Add(1)
			seen.Emit(line)
			return strictRecord(line, emit)
		}, totalOfKey, opts...), nil
	})
}

// strictRecord emits what a line "key;value" holds.
func strictRecord(line string, emit func(string, int64)) error {
	key, value, _ := strings.Cut(line, ";")
	emit("all", 1)
	switch value {
	case "boom":
		panic("boom")
	case "late":
		for i := range 1000 {
			emit(key+strconv.Itoa(i), 1)
		}
		return errors.New("too late")
	}
	x, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return err
	}
	emit(key, int64(x*10))
	return nil
}

func totalOfKey(key string, ns jobs.Values[int64], emit func(keyTotal)) error {
	row := keyTotal{Key: key}
	for n := range ns.All() {
		row.N += n
		row.Sum += float64(n) / 8
	}
	emit(row)
	return nil
}

// strictLines is strict with several lines at once.
func strictLines() *jobs.Job {
	return jobs.New("strict-lines", func(lines jobs.Lines, emit func(string, int64)) error {
		for line := range lines.All() {
			if err := strictRecord(line.Text, emit); err != nil {
				return err
			}
		}
		return nil
	}, totalOfKey, jobs.Combine(jobs.Sum[int64]))
}

// strictCSV is a job over CSV that panics on a key.
func strictCSV() *jobs.Job {
	return jobs.New("strict-csv", func(r keyValue, emit func(string, int64)) error {
		emit(r.Key, r.Value)
		if r.Key == "boom" {
			panic("boom")
		}
		return nil
	}, totalOfKey, jobs.CSV(jobs.CSVOptions{}))
}

// rejectedIn reads the records that an output's job set aside, by file, and checks their bytes against the input.
func rejectedIn(ctx context.Context, t *testing.T, p place, out string, d *dirty) map[string][]int64 {
	t.Helper()
	o, err := output.Open(ctx, p.store, out)
	if err != nil {
		t.Fatal(err)
	}
	side, err := o.Side(manifest.Rejected)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]int64{}
	err = side.Batches(ctx, func(_ arrowfile.Schema, b arrowfile.Batch) bool {
		rows, err := jobstest.Decode(jobs.RejectedSchema(), jobs.Columns{Rows: b.Rows, Columns: columns(b.Columns)})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			url, at, record, text, stack := r[0].(string), r[1].(int64), r[4].([]byte), r[5].(string), r[6].(string)
			name := url[strings.LastIndexByte(url, '/')+1:]
			found[name] = append(found[name], at)
			if i := slices.IndexFunc(d.all, func(f file) bool { return f.name == name }); !bytes.HasPrefix(d.all[i].data[at:], record) || text == "" {
				t.Errorf("%s at byte %d: %q, %q", name, at, record, text)
			}
			if strings.Contains(text, "panic") != strings.Contains(stack, "rejects_test.go") {
				t.Errorf("%s at byte %d: %q with the stack %q", name, at, record, stack)
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A job that sets bad records aside gives the bytes that it gives over the same input without them, whatever the splits, slots,
// memory and partitions, and sets aside just these.
func TestRejects(t *testing.T) {
	t.Parallel()
	csv, lines := dirtyCSV(), dirtyLines(2, 3000, 20)
	combine := jobs.Combine(jobs.Sum[int64])
	for _, c := range []struct {
		job *jobs.Job
		d   *dirty
	}{
		{strict("plain"), lines},
		{strict("combining", combine), lines},
		{strict("total", combine, jobs.TotalOrder()), lines}, // whose sample meets bad records too
		{strict("ordered", jobs.OrderBy(func(n int64) int64 { return -n })), lines},
		{strictLines(), lines},
		{strictCSV(), csv},
	} {
		for i, o := range []millrace.Options{
			{Reducers: 1},
			{Reducers: 3, SplitSize: 1000, Workers: 2, Slots: 2},
			{Reducers: 2, SplitSize: 7777, Memory: 64 << 20},
		} {
			t.Run(fmt.Sprintf("%s/%d", c.job.Name(), i), func(t *testing.T) {
				t.Parallel()
				ctx, p := t.Context(), inMemory()
				run := func(name string, files []file, skip string) *millrace.JobStatus {
					o := o
					folder, err := workload{name: name, files: files}.write(ctx, p)
					if err != nil {
						t.Fatal(err)
					}
					o.Inputs, o.Output, o.Store, o.TempDir, o.SkipBadRecords = []string{folder}, p.root+"/out-"+name, p.store, t.TempDir(), skip
					s, err := millrace.Run(ctx, c.job, o)
					if err != nil {
						t.Fatal(err)
					}
					return s
				}
				want, got := run("clean", c.d.clean, ""), run("dirty", c.d.all, fmt.Sprint(c.d.count()))
				if got.Rejected != c.d.count() || got.Records != want.Records+got.Rejected || !slices.Equal(counts(got.Counters), counts(want.Counters)) {
					t.Errorf("%d set aside, %d records, counters %v; want %d, %d, %v",
						got.Rejected, got.Records, got.Counters, c.d.count(), want.Records+c.d.count(), want.Counters)
				}
				wantSameRows(ctx, t, p, got.Output, want.Output)
				if found := rejectedIn(ctx, t, p, got.Output, c.d); fmt.Sprint(found) != fmt.Sprint(c.d.bad) {
					t.Errorf("set aside were %v, want %v", found, c.d.bad)
				}
			})
		}
	}
}

func counts(m map[string]int64) (list []string) {
	for name, n := range m {
		list = append(list, fmt.Sprint(name, n))
	}
	slices.Sort(list)
	return list
}

// wantSameRows compares the parts of two outputs' rows by their checksums.
func wantSameRows(ctx context.Context, t *testing.T, p place, got, want string) {
	t.Helper()
	g, err := output.Open(ctx, p.store, got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := output.Open(ctx, p.store, want)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.Manifest.Parts, w.Manifest.Parts) {
		t.Errorf("parts %+v, want %+v", g.Manifest.Parts, w.Manifest.Parts)
	}
}

// The same holds for compressed input.
func TestRejectsCompressed(t *testing.T) {
	t.Parallel()
	d := dirtyLines(1, 3000, 20)
	ctx, p := t.Context(), inMemory()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(d.all[0].data); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, files := range map[string][]file{"packed": {{d.all[0].name, packed.Bytes()}}, "clean": d.clean} {
		folder, err := workload{name: name, files: files}.write(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := millrace.Run(ctx, strict("combining", jobs.Combine(jobs.Sum[int64])), millrace.Options{
			Inputs: []string{folder}, Output: p.root + "/out-" + name, Store: p.store, TempDir: t.TempDir(), SkipBadRecords: "10%",
		}); err != nil {
			t.Fatal(err)
		}
	}
	wantSameRows(ctx, t, p, p.root+"/out-packed", p.root+"/out-clean")
	if found := rejectedIn(ctx, t, p, p.root+"/out-packed", d); fmt.Sprint(found) != fmt.Sprint(d.bad) {
		t.Errorf("set aside were %v, want %v", found, d.bad)
	}
}

// One bad record more than is allowed fails the job, which names the first ones and leaves nothing.
func TestTooManyRejects(t *testing.T) {
	t.Parallel()
	d := dirtyLines(2, 500, 50)
	total := int64(1000)
	for _, skip := range []string{"", "0", fmt.Sprint(d.count() - 1), fmt.Sprintf("%.4f%%", float64(d.count()*1_000_000/total-1)/1e4)} {
		ctx, p := t.Context(), inMemory()
		folder, err := workload{name: "dirty", files: d.all}.write(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		_, err = millrace.Run(ctx, strict("combining", jobs.Combine(jobs.Sum[int64])), millrace.Options{
			Inputs: []string{folder}, Output: p.root + "/out", Store: p.store, TempDir: t.TempDir(), SplitSize: 500, SkipBadRecords: skip,
		})
		first := fmt.Sprintf("at byte %d", d.bad[d.all[0].name][0])
		if !errors.Is(err, millrace.ErrJobFailed) || len(skip) > 1 && (!strings.Contains(err.Error(), "too many bad records") || !strings.Contains(err.Error(), "allows "+strings.TrimSuffix(skip, "0"))) {
			t.Errorf("%q: %v", skip, err)
		}
		if strings.HasSuffix(skip, "%") && !strings.Contains(err.Error(), first) {
			t.Errorf("%q: %v, want %q in it", skip, err, first)
		}
		if left, err := leftovers(ctx, p, p.root+"/out"); err != nil || len(left) > 0 {
			t.Errorf("%q leaves %q, %v", skip, left, err)
		}
	}
}

// Each stage of a chain sets aside what it meets. The result is that of the clean input, and the stages that set
// records aside stay with these.
func TestRejectsChain(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	d := &dirty{bad: map[string][]int64{}}
	for range 500 {
		bad := rnd.IntN(50) == 0
		record := fmt.Sprintf("%.3f,%.3f\n", rnd.Float64()*10, rnd.Float64()*10)
		if bad {
			record = "x,y\n"
		}
		d.add("points.txt", record, bad)
	}
	ctx, p := t.Context(), inMemory()
	run := func(name string, files []file, skip string) *millrace.JobStatus {
		folder, err := workload{name: name, files: files}.write(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		s, err := millrace.Run(ctx, kmeans.Job(), millrace.Options{
			Inputs: []string{folder}, Output: p.root + "/out-" + name, Store: p.store, TempDir: t.TempDir(), SplitSize: 1000, SkipBadRecords: skip,
			Params: map[string]string{"k": "3", "separator": ",", "decimals": "3", "iterations": "2"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want, got := run("clean", d.clean, ""), run("dirty", d.all, fmt.Sprint(d.count()))
	if got.Rejected != d.count()*int64(got.NumStages) || got.NumStages != want.NumStages || len(got.First) == 0 {
		t.Errorf("%d records are set aside in %d stages, of which %q are first", got.Rejected, got.NumStages, got.First)
	}
	wantSameRows(ctx, t, p, got.Output, want.Output)
	if found := rejectedIn(ctx, t, p, got.Output, d); fmt.Sprint(found) != fmt.Sprint(d.bad) {
		t.Errorf("the last stage set aside %v, want %v", found, d.bad)
	}
	for out, kept := range map[string]bool{got.Output: true, want.Output: false} {
		left, err := leftovers(ctx, p, out)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(left, func(name string) bool { return strings.HasPrefix(name, "_stages/001-draw/rejected/map-") }) != kept {
			t.Errorf("%s holds %q", out, left)
		}
	}
}

// Workers die by kill -9, amid the maps and the reduces, with what their finished maps hold: just the bad records are set aside,
// each once.
func TestKillRejects(t *testing.T) {
	ctx := processes(t)
	lines := 300_000
	if testing.Short() {
		lines = 100_000
	}
	d := dirtyLines(2, lines, 1000)
	s := servers.MinIO(t)
	p := inBucket(t, "minio", s)
	clean, err := workload{name: "clean", files: d.clean}.write(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	all, err := workload{name: "all", files: d.all}.write(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	w := workload{name: "stats", job: stats.Job(), params: map[string]string{"decimals": "1"}, reducers: 3} // sums of floats depend on splits
	want, err := millrace.Run(ctx, w.job, millrace.Options{
		Inputs: []string{clean}, Output: p.root + "/want", Params: w.params, Reducers: w.reducers, Store: p.store, TempDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := startCluster(ctx, t, s, 4)
	id := c.submit(ctx, w, millrace.Options{Inputs: []string{all}, Output: p.root + "/out", SplitSize: 100_000, SkipBadRecords: fmt.Sprint(d.count())})
	for _, when := range []func(*wire.JobStatus) bool{
		func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/4 },
		func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks*3/4 },
		func(s *wire.JobStatus) bool { return s.Reduce.Running > 0 && s.Map.Done == s.Map.Tasks },
	} {
		c.await(ctx, id, "it is time to kill three of four workers", when)
		for range 3 {
			c.replace(0)
		}
	}
	got := c.finish(ctx, id)
	t.Logf("%d attempts tried again, in %.1f s", got.Retries, got.Ended.Sub(got.Submitted).Seconds())
	if lost := c.events(ctx, id, "lost:"); len(lost) == 0 {
		t.Error("the job ended before the master noticed that a worker was gone: it proves nothing")
	}
	if got.Rejected != d.count() || got.Records != want.Records+d.count() {
		t.Errorf("%d of %d records are set aside, want %d of %d", got.Rejected, got.Records, d.count(), want.Records+d.count())
	}
	wantSameRows(ctx, t, p, p.root+"/out", p.root+"/want")
	if found := rejectedIn(ctx, t, p, p.root+"/out", d); fmt.Sprint(found) != fmt.Sprint(d.bad) {
		t.Error("others than the bad records are set aside")
	}
	left, err := leftovers(ctx, p, p.root+"/out")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range left {
		if name != manifest.Name && !strings.HasSuffix(name, ".arrow") {
			t.Errorf("%s is left in the output", name)
		}
	}
	c.wantNoTemp()
}
