package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// lineJob maps lines to words counted, as f says.
func lineJob(f func(line string, emit func(string, int64)) error, opts ...jobs.Option) *jobs.Job {
	return jobs.New("lines", f, func(string, jobs.Values[int64], func(count)) error { return nil }, opts...)
}

// failOn fails on lines that begin with "bad", and emits others.
func failOn(line string, emit func(string, int64)) error {
	emit(line, 1)
	if strings.HasPrefix(line, "bad") {
		return errors.New(line)
	}
	return nil
}

func block(text string) jobs.Block { return jobs.Block{URL: "mem://in", Data: []byte(text)} }

// As many records as the limit says are set aside; one more fails the attempt, with the limit and the first ones. The first errors
// are listed, five at most, a short line each. Without a limit the first bad record fails it.
func TestSiftLimit(t *testing.T) {
	t.Parallel()
	text := "bad 1\nok\nbad 2\n" + strings.Repeat("bad\n", 5) + "ok\n"
	got, err := runMap(t, lineJob(failOn), 0, 7, []jobs.Block{block(text)})
	if err != nil || got.task.Rejected != 7 || got.task.Records != 9 || got.task.Pairs != 2 {
		t.Errorf("%v: %d rejected, %d records, %d pairs: want 7, 9, 2", err, got.task.Rejected, got.task.Records, got.task.Pairs)
	}
	if list := got.task.FirstRejected; len(list) != 5 || list[1] != "map mem://in at byte 9: bad 2" {
		t.Errorf("first: %q", list)
	}
	_, err = runMap(t, lineJob(failOn), 0, 1, []jobs.Block{block(text)})
	if !errors.Is(err, jobs.ErrRejects) {
		t.Fatalf("error is %v: want %v", err, jobs.ErrRejects)
	}
	want := "too many bad records: 2 or more, and --skip-bad-records allows 1; the first:\nmap mem://in at byte 0: bad 1\nmap mem://in at byte 9: bad 2\n" + jobs.RejectsRemedy
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	for _, limit := range []int64{0, -1} {
		got, err = runMap(t, lineJob(failOn), 0, limit, []jobs.Block{block(text)})
		var bad *jobs.RecordError
		if !errors.As(err, &bad) || bad.Offset != 0 || errors.Is(err, jobs.ErrRejects) || got.task.Rejected != 0 || len(got.rejected) > 0 {
			t.Errorf("limit %d: error is %v, %d are rejected: want the record's", limit, err, got.task.Rejected)
		}
	}
}

// Where the engine has no sink for them, bad records are counted and dropped.
func TestSiftWithoutSink(t *testing.T) {
	t.Parallel()
	prog := bind(t, lineJob(failOn))
	in := blocks{block("bad\na\nbad\n")}
	task := jobs.Task{Reducers: 1, MaxRejected: 2}
	out := &pairs{}
	if err := prog.Map(context.Background(), &task, &in, out); err != nil {
		t.Fatal(err)
	}
	if task.Rejected != 2 || task.Records != 3 || len(out.batches) != 1 || out.batches[0].Count != 1 {
		t.Errorf("%d rejected, %d records, %+v", task.Rejected, task.Records, out.batches)
	}
}

// brokenError is an error whose method panics, as that of a nil pointer in an interface does.
type brokenError struct{ text *string }

func (e *brokenError) Error() string { return *e.text }

// Of a record that is set aside the first 64 KiB are kept and its size; its error and stack are cut, are valid text, and are had
// even from an error that panics.
func TestRejectedIsCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 100_000)
	var broken *brokenError
	job := lineJob(func(line string, emit func(string, int64)) error {
		switch line {
		case "nil":
			return broken
		case "empty":
			return &brokenError{}
		case "raw":
			return errors.New("a\xffb\nsecond line")
		case "deep":
			return deepPanic(300)
		}
		return errors.New("x" + line)
	})
	got, err := runMap(t, job, 0, 10, []jobs.Block{block(long + "\nnil\nempty\nraw\ndeep\n")})
	if err != nil || len(got.rejected) != 5 {
		t.Fatalf("%v, %d are rejected", err, len(got.rejected))
	}
	cut := got.rejected[0]
	if cut.Size != int64(len(long)+1) || len(cut.Bytes) != 64<<10 || string(cut.Bytes) != long[:64<<10] {
		t.Errorf("%d of %d bytes are kept", len(cut.Bytes), cut.Size)
	}
	if n := len(cut.Error); n < 16<<10 || n > 16<<10+10 || !strings.HasPrefix(cut.Error, "xü") {
		t.Errorf("the error has %d bytes", n)
	}
	for i, want := range []string{"x", "<nil>", "PANIC", "a?b\nsecond line", "panic: deep"} {
		if r := got.rejected[i]; !strings.Contains(r.Error, want) || !utf8.ValidString(r.Error) || !utf8.ValidString(r.Stack) {
			t.Errorf("record %d: error %.100q: want %q", i, r.Error, want)
		}
	}
	if stack := got.rejected[4].Stack; len(stack) < 1000 || len(stack) > 16<<10+10 || !strings.Contains(stack, "deepPanic") {
		t.Errorf("the stack has %d bytes: %.200s", len(stack), stack)
	}
	for _, line := range got.task.FirstRejected {
		if len(line) > 410 || strings.Contains(line, "\n") || !utf8.ValidString(line) {
			t.Errorf("the line %q is listed", line)
		}
	}
}

func deepPanic(n int) error {
	if n == 0 {
		panic("deep")
	}
	return fmt.Errorf("%d: %w", n, deepPanic(n-1))
}

// An object without the columns that the job needs, or with a header that is no record, fails the job: that is no record's fault.
func TestSiftColumns(t *testing.T) {
	t.Parallel()
	csv := jobs.New("csv", func(r csvRow, emit func(string, int64)) error { emit(r.Script, 1); return nil },
		func(string, jobs.Values[int64], func(count)) error { return nil }, jobs.CSV(jobs.CSVOptions{}))
	for _, text := range []string{"id,note\n1,a\n", "id,\"script\"x,note\n1,a,b\n", "id,script,note,id\n1,a,b,2\n"} {
		if got, err := runMap(t, csv, 0, 10, []jobs.Block{block(text)}); !errors.Is(err, jobs.ErrColumns) || got.task.Rejected > 0 {
			t.Errorf("%q: error is %v, %d are rejected: want %v", text, err, got.task.Rejected, jobs.ErrColumns)
		}
	}
	schema, columns, err := jobs.ColumnsOf(struct{ ID int64 }{1})
	if err != nil {
		t.Fatal(err)
	}
	in := []jobs.Block{{URL: "mem://t", Schema: schema, Columns: columns}}
	reduce := func(string, jobs.Values[int64], func(count)) error { return nil }
	for name, job := range map[string]*jobs.Job{
		"struct": jobs.New("table", func(r tableRow, _ func(string, int64)) error { return nil }, reduce, jobs.Table()),
		"batch":  jobs.New("table", func(r jobs.Batch, _ func(string, int64)) error { return nil }, reduce, jobs.Table("script")),
	} {
		if got, err := runMap(t, job, 0, 10, in); !errors.Is(err, jobs.ErrColumns) || got.task.Rejected > 0 {
			t.Errorf("%s: error is %v, %d are rejected: want %v", name, err, got.task.Rejected, jobs.ErrColumns)
		}
	}
}

// A panic of the user's combiner is nobody's record's, whoever recovers it: the attempt fails, and the error names the record whose
// pair it was.
func TestSiftCombinerPanics(t *testing.T) {
	t.Parallel()
	for _, recovers := range []bool{false, true} {
		panicked := 0
		job := lineJob(func(line string, emit func(string, int64)) error {
			if recovers {
				defer func() { _ = recover() }()
			}
			emit("k", int64(len(line)))
			emit(line, 1)
			return nil
		}, jobs.Combine(func(a, b int64) int64 {
			if b == 3 && panicked == 0 {
				panicked++
				panic("combiner")
			}
			return a + b
		}))
		for _, text := range []string{"a\nbb\nccc\nd\ne\n", "a\nbb\nccc\n"} {
			panicked = 0
			got, err := runMap(t, job, 0, 10, []jobs.Block{block(text)})
			var bad *jobs.RecordError
			if !errors.As(err, &bad) || err.Error() != "map mem://in at byte 5: panic: combiner" || !strings.Contains(bad.Stack, "TestSiftCombinerPanics") || got.task.Rejected > 0 {
				t.Errorf("recovers %v: error is %v, %d are rejected: want the combiner's panic at byte 5", recovers, err, got.task.Rejected)
			}
		}
	}
}

// What a combiner counts stays, whatever becomes of the record under way when it runs.
func TestSiftCombinerCounts(t *testing.T) {
	t.Parallel()
	job := jobs.Define("counts", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		n := t.Counter("combined")
		return jobs.MapReduce(failOn, func(string, jobs.Values[int64], func(count)) error { return nil }, jobs.Combine(func(a, b int64) int64 {
			n.Add(1)
			t.Counter("first asked for by a combiner").Add(b)
			return a + b
		})), nil
	})
	want, err := runMap(t, job, 0, 0, []jobs.Block{block("a\na\nb\na\nb\n")})
	if err != nil || want.task.Counters()["combined"] != 3 {
		t.Fatal(err, want.task.Counters())
	}
	for _, text := range []string{"a\na\nbad\nb\na\nb\nbad\n", "bad\na\na\nb\nbad\na\nbad\nb\n"} {
		got, err := runMap(t, job, 0, 10, []jobs.Block{block(text)})
		if err != nil {
			t.Fatal(err)
		}
		sameEffects(t, text, got, want)
	}
}

// combiningSink is a PairSink that combines what it gets at once, as an engine may while the map function is in the middle of an emit.
type combiningSink struct {
	prog jobs.Program
	task *jobs.Task
}

func (s combiningSink) Put(b jobs.Pairs) (jobs.Pairs, error) {
	_, err := s.prog.Combine(context.Background(), s.task, b.Data, nil)
	return jobs.Pairs{}, err
}

// What a combiner counts for the engine, while an emit or the attempt's end hands pairs over, stays as well.
func TestSiftEngineCombines(t *testing.T) {
	t.Parallel()
	job := jobs.Define("counts", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		n := t.Counter("combined")
		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
			if line == "many" || line == "bad" {
				for range 9000 {
					emit(strings.Repeat("k", 40), 1)
				}
			}
			return failOn(line, emit)
		}, func(string, jobs.Values[int64], func(count)) error { return nil }, jobs.Combine(func(a, b int64) int64 {
			n.Add(1)
			t.Counter("asked for by a combiner").Add(1)
			return a + b
		})), nil
	})
	for text, want := range map[string]int64{"a\na\n": 1, "many\nmany\n": 2 * 8999, "bad\na\nbad\na\nbad\n": 1, "bad\nmany\nbad\nmany\n": 2 * 8999} {
		prog := bind(t, job)
		task := &jobs.Task{Reducers: 1, Memory: -1, MaxRejected: 10}
		if err := prog.Map(t.Context(), task, &blocks{block(text)}, combiningSink{prog, task}); err != nil {
			t.Fatal(err)
		}
		if got := task.Counters(); got["combined"] != want || got["asked for by a combiner"] != want {
			t.Errorf("%q: counters are %v: want %d twice", text, got, want)
		}
	}
}

// Texts that a combiner was given never change: it may keep them.
func TestSiftCombinerKeeps(t *testing.T) {
	t.Parallel()
	var kept []string
	job := jobs.New("keeps", func(line string, emit func([]byte, string)) error {
		emit([]byte("k"), strings.ToUpper(line))
		return failOn(line, func(string, int64) {})
	}, func([]byte, jobs.Values[string], func(count)) error { return nil }, jobs.Combine(func(a, b string) string {
		kept = append(kept, b)
		return a
	}))
	if _, err := runMap(t, job, 0, 10, []jobs.Block{block("a\nbb\nbad\ncc\ndd\nbad\nee\n")}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(kept) != "[BB CC DD EE]" {
		t.Errorf("the combiner kept %q", kept)
	}
}

// A counter that a bad record asked for first counts what later records add to it, and shows from then on, also if they add nothing.
func TestSiftKeepsCounters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"bad\nbad\n": "map[]", "bad\nadd\n": "map[kept:1]", "bad\nadd\nbad\nadd\n": "map[kept:2]", "bad\nask\n": "map[kept:0]",
		"ask\nbad\n": "map[kept:0]", "add\nbad\n": "map[kept:1]", "bad\nask\nbad\nadd\n": "map[kept:1]",
	} {
		job := jobs.Define("counts", func(task *jobs.Task, _ struct{}) (jobs.Code, error) {
			var n *jobs.Counter
			return jobs.MapReduce(func(line string, _ func(string, int64)) error {
				if n == nil || line == "ask" {
					n = task.Counter("kept")
				}
				if line != "ask" {
					n.Add(1)
				}
				if line == "bad" {
					return errors.New(line)
				}
				return nil
			}, func(string, jobs.Values[int64], func(count)) error { return nil }), nil
		})
		got, err := runMap(t, job, 0, 10, []jobs.Block{block(text)})
		if err != nil || fmt.Sprint(got.task.Counters()) != want {
			t.Errorf("%q: %v, %v: want %s", text, err, got.task.Counters(), want)
		}
	}
}

// A record of which more than 64 MiB must be held fails the job, in words that name it; of many lines that come together, only if
// one of them alone emits as much. It does so too where the function recovers it.
func TestSiftHolds(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 1<<20)
	fill := func(line string, emit func(string)) {
		if line == "much" || line == "some" {
			for range map[string]int{"much": 70, "some": 40}[line] {
				emit(big)
			}
		}
	}
	reduce := func(string, jobs.Values[string], func(count)) error { return nil }
	pair := func(emit func(string, string)) func(string) { return func(s string) { emit("k", s) } }
	lines := func(line string, emit func(string, string)) error { fill(line, pair(emit)); return nil }
	keep := jobs.Combine(func(a, _ string) string { return a })
	for name, job := range map[string]*jobs.Job{
		"pairs":    jobs.New("j", lines, reduce),
		"combined": jobs.New("j", lines, reduce, keep),
		"rows":     jobs.NewMapOnly("j", func(line string, emit func(string)) error { fill(line, emit); return nil }),
		"recovers": jobs.New("j", func(line string, emit func(string, string)) error {
			defer func() { _ = recover() }()
			return lines(line, emit)
		}, reduce, keep),
		"together": jobs.New("j", func(l jobs.Lines, emit func(string, string)) error {
			for line := range l.All() {
				fill(line.Text, pair(emit))
			}
			return nil
		}, reduce, keep),
	} {
		if testing.Short() && name != "recovers" && name != "rows" {
			continue // one goroutine: under the race detector each takes seconds
		}
		got, err := dropMap(t, job, "a\nsome\nb\nsome\nc\n")
		if err != nil || got.Rejected > 0 || got.Records != 5 || got.Pairs+got.Rows != 80 {
			t.Errorf("%s: %v: %d rejected, %d records, %d pairs", name, err, got.Rejected, got.Records, got.Pairs)
		}
		got, err = dropMap(t, job, "a\nmuch\nb\n")
		if err == nil || !strings.HasPrefix(err.Error(), "map mem://in at byte 2: it emits more than 64 MiB") || got.Rejected > 0 {
			t.Errorf("%s: error is %v, %d are rejected: want that it emits too much", name, err, got.Rejected)
		}
	}
}

// dropMap runs a map attempt and drops what it gives.
func dropMap(t *testing.T, job *jobs.Job, text string) (*jobs.Task, error) {
	t.Helper()
	task := &jobs.Task{Reducers: 1, MaxRejected: 10, Sinks: jobs.Sinks{Rows: noRows{}, Rejected: noRows{}}}
	in := blocks{block(text)}
	return task, bind(t, job).Map(t.Context(), task, &in, discard{})
}

// failingRows is a RowSink that fails.
type failingRows struct{ err error }

func (f failingRows) Put(jobs.Columns) error { return f.err }

// Errors of sinks and sources and a context that is over are the engine's, and come back as they are, whichever record is under way
// and whoever recovers them.
func TestSiftEngineErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	many := func(line string, emit func(string, int64)) error {
		defer func() { _ = recover() }()
		for i := range 10_000 {
			emit(fmt.Sprintf("%040d", i), 1)
		}
		return nil
	}
	manyRows := func(line string, emit func(sideRow)) error {
		defer func() { _ = recover() }()
		for i := range 66_000 {
			emit(sideRow{N: int64(i)})
		}
		return nil
	}
	text := strings.Repeat("a\n", 4)
	run := func(job *jobs.Job, in jobs.BlockSource, out jobs.PairSink, sinks jobs.Sinks) error {
		return bind(t, job).Map(context.Background(), &jobs.Task{Reducers: 1, MaxRejected: 1000, Sinks: sinks}, in, out)
	}
	check := func(name string, err error) {
		t.Helper()
		if err != broken {
			t.Errorf("%s: error is %v: want %v as it is", name, err, broken)
		}
	}
	one := func() *blocks { return &blocks{block(text)} }
	for at := 2; at < 5; at++ {
		check("pairs", run(lineJob(many), one(), &pairs{at: at, err: broken}, jobs.Sinks{}))
	}
	check("combined pairs", run(lineJob(many, jobs.Combine(jobs.Sum[int64])), one(), &pairs{at: 2, err: broken}, jobs.Sinks{}))
	check("rows", run(jobs.NewMapOnly("j", manyRows), one(), nil, jobs.Sinks{Rows: failingRows{broken}}))
	check("side", run(withSides(), &blocks{block("a 1\nb x\n")}, &pairs{}, jobs.Sinks{Sides: []jobs.RowSink{failingRows{broken}, failingRows{broken}, failingRows{broken}}}))
	bad := &blocks{block(strings.Repeat("bad\n", 200)), block(strings.Repeat("bad\n", 200))}
	check("rejected", run(lineJob(failOn), bad, &pairs{}, jobs.Sinks{Rejected: failingRows{broken}}))
	check("source", run(lineJob(failOn), brokenBlocks{broken}, &pairs{}, jobs.Sinks{}))

	ctx, cancel := context.WithCancel(context.Background())
	job := lineJob(func(line string, emit func(string, int64)) error { cancel(); return errors.New("bad") })
	task := &jobs.Task{Reducers: 1, MaxRejected: 1000}
	if err := bind(t, job).Map(ctx, task, &blocks{block("a\n"), block("b\n")}, &pairs{}); err != context.Canceled || task.Rejected != 1 {
		t.Errorf("error is %v, %d are rejected: want %v", err, task.Rejected, context.Canceled)
	}
}

// Records behind one whose error the function recovered come again, and are not taken for it, also if they do no more than count.
func TestSiftAfterRecovery(t *testing.T) {
	t.Parallel()
	job := jobs.Define("recovers", func(task *jobs.Task, _ struct{}) (jobs.Code, error) {
		n, side := task.Counter("n"), jobs.Side[sideRow](task, "side")
		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
			defer func() { _ = recover() }()
			n.Add(1)
			if line == "count" {
				return nil
			}
			emit(line, 1)
			if strings.HasPrefix(line, "bad") {
				side.Emit(sideOf("\xff", 1))
			}
			return nil
		}, func(string, jobs.Values[int64], func(count)) error { return nil }), nil
	})
	for _, text := range []string{"a\nbad\ncount\ncount\nb\n", "bad\ncount\nbad\ncount\na\nb\n", "a\nb\ncount\ncount\nbad\n"} {
		want, err := runMap(t, job, 0, 0, []jobs.Block{block(strings.ReplaceAll(text, "bad\n", ""))})
		if err != nil {
			t.Fatal(err)
		}
		got, err := runMap(t, job, 0, 10, []jobs.Block{block(text)})
		if err != nil {
			t.Fatal(err)
		}
		sameEffects(t, text, got, want)
		for i, r := range got.rejected {
			if string(r.Bytes) != "bad" || !strings.HasPrefix(text[r.Offset:], "bad\n") {
				t.Errorf("%q: rejected record %d is %q at %d", text, i, r.Bytes, r.Offset)
			}
		}
		if len(got.rejected) != strings.Count(text, "bad") {
			t.Errorf("%q: %d are rejected", text, len(got.rejected))
		}
	}
}

// Batches that a record filled go at its end: of one that fails after thousands of rows or pairs, nothing has gone.
func TestSiftTakesBackBatches(t *testing.T) {
	t.Parallel()
	rows := 0
	puts := countPuts{&rows}
	job := jobs.NewMapOnly("rows", func(line string, emit func(int64)) error {
		for i := range 70_000 {
			emit(int64(i))
		}
		return failOn(line, func(string, int64) {})
	})
	task := &jobs.Task{MaxRejected: 3, Sinks: jobs.Sinks{Rows: puts}}
	if err := bind(t, job).Map(t.Context(), task, &blocks{block("bad\nok\nbad\nok\nbad\n")}, nil); err != nil {
		t.Fatal(err)
	}
	if rows != 140_000 || task.Rows != 140_000 || task.Rejected != 3 || task.Records != 5 {
		t.Errorf("%d rows came, %d are counted: want 140000", rows, task.Rows)
	}
}

type countPuts struct{ rows *int }

func (c countPuts) Put(b jobs.Columns) error { *c.rows += b.Rows; return nil }

// Bad records of several inputs, compressed objects and rows are named as errors name them.
func TestSiftPlaces(t *testing.T) {
	t.Parallel()
	fails := func(string, func(string, int64)) error { return errors.New("bad") }
	job := jobs.NewFrom("two", jobs.Inputs(jobs.From("a", fails), jobs.From("b", func(r tableRow, _ func(string, int64)) error { panic(r.Script) }, jobs.Table())),
		func(string, jobs.Values[int64], func(count)) error { return nil })
	schema, columns, err := jobs.ColumnsOf(tableRow{1, "x", nil}, tableRow{2, "y", nil})
	if err != nil {
		t.Fatal(err)
	}
	got, err := runMap(t, job, 0, 10, []jobs.Block{
		{URL: "mem://\xff", Offset: 7, From: 100, Data: []byte("a\n")},
		{URL: "mem://t", Input: 1, Offset: 50, Schema: schema, Columns: columns},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"map mem://? at byte 7 of what decompresses from its byte 100 on: bad",
		"map mem://t at row 50: panic: x", "map mem://t at row 51: panic: y",
	}
	if fmt.Sprint(got.task.FirstRejected) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got.task.FirstRejected, want)
	}
	if r := got.rejected; len(r) != 3 || r[0].File != "mem://?" || r[0].From != 100 || r[2].Offset != 51 || string(r[2].Bytes) != `{"id":2,"script":"y","flag":null}` {
		t.Errorf("rejected: %+v", r)
	}
	if got.task.Records != 3 {
		t.Errorf("%d records: want 3", got.task.Records)
	}
}

// Records that were set aside are the input of a job that looks at them: the schema is that of the record type.
func TestRejectedIsARecord(t *testing.T) {
	t.Parallel()
	job := jobs.New("causes", func(r jobs.Rejected, emit func(string, int64)) error { emit(r.Error, r.Size); return nil },
		func(cause string, sizes jobs.Values[int64], emit func(count)) error {
			emit(count{cause, jobs.Total(sizes)})
			return nil
		}, jobs.Table())
	rows := jobstest.RunTables(t, job, nil, jobstest.TableOf("rejected", jobs.Rejected{Error: "a", Size: 3}, jobs.Rejected{Error: "a", Size: 4}))
	jobstest.Equal(t, rows, jobstest.Row{"a", int64(7)})
	var names []string
	for _, f := range jobs.RejectedSchema().Fields {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "file offset from size bytes error stack" {
		t.Errorf("columns are %s", got)
	}
}
