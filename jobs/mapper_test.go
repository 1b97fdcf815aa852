package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// cut returns the pairs of all batches, checking each batch's count and partitions.
func cut(t *testing.T, batches []jobs.Pairs, partitions bool) (keys, values []string) {
	t.Helper()
	for _, b := range batches {
		rest := b.Data
		for range b.Count {
			k, v, after, err := jobs.CutPair(rest, nil)
			if err != nil {
				t.Fatal(err)
			}
			keys, values, rest = append(keys, string(k)), append(values, string(v)), after
		}
		if len(rest) > 0 {
			t.Fatalf("%d bytes after %d pairs", len(rest), b.Count)
		}
		if n := len(b.Partitions); partitions && n != b.Count || !partitions && b.Partitions != nil {
			t.Fatalf("%d partitions for %d pairs", n, b.Count)
		}
	}
	return keys, values
}

func bind(t testing.TB, job *jobs.Job) jobs.Program {
	t.Helper()
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

// records maps blocks with a function of record type R that notes each record, and returns the notes.
func records[R any](t *testing.T, note func(R) string, in []jobs.Block, opts ...jobs.Option) []string {
	t.Helper()
	var got []string
	m := func(r R, emit func(string, int)) error { got = append(got, note(r)); return nil }
	r := func(string, jobs.Values[int], func(string)) error { return nil }
	source, task := blocks(in), &jobs.Task{Reducers: 1}
	if err := bind(t, jobs.New("job", m, r, opts...)).Map(context.Background(), task, &source, &pairs{}); err != nil {
		t.Fatal(err)
	}
	if task.Records != int64(len(got)) {
		t.Errorf("counted %d records, want %d", task.Records, len(got))
	}
	return got
}

// A block's records: lines without LF or CRLF, the last with or without its end, empty lines too; records of fixed length;
// whole files. Line tells where it begins.
func TestRecords(t *testing.T) {
	t.Parallel()
	in := []jobs.Block{{URL: "u", Offset: 100, Data: []byte("a\r\n\nb c\n\r\nlone\rcr\n")}, {URL: "v", Data: []byte("last\r")}}
	lines := []string{"a", "", "b c", "", "lone\rcr", "last\r"}
	if got := records(t, func(s string) string { return s }, in); !slices.Equal(got, lines) {
		t.Errorf("string: got %q, want %q", got, lines)
	}
	if got := records(t, func(b []byte) string { return string(append(b, "!"...))[:len(b)] }, in); !slices.Equal(got, lines) {
		t.Errorf("[]byte: got %q, want %q", got, lines)
	}
	want := []string{"u 100 a", "u 103 ", "u 104 b c", "u 108 ", "u 110 lone\rcr", "v 0 last\r"}
	if got := records(t, func(l jobs.Line) string { return fmt.Sprint(l.URL, " ", l.Offset, " ", l.Text) }, in); !slices.Equal(got, want) {
		t.Errorf("Line: got %q, want %q", got, want)
	}
	files := []jobs.Block{{URL: "u", Data: []byte("a\nb")}, {URL: "empty"}}
	if got := records(t, func(f jobs.File) string { return f.URL + " " + string(f.Data) }, files); !slices.Equal(got, []string{"u a\nb", "empty "}) {
		t.Errorf("File: got %q", got)
	}
	fixed := []jobs.Block{{Data: []byte("aab\nc\r")}}
	if got := records(t, func(b []byte) string { return string(b) }, fixed, jobs.FixedLength(2)); !slices.Equal(got, []string{"aa", "b\n", "c\r"}) {
		t.Errorf("fixed: got %q", got)
	}
}

// combinedBy maps lines of "key number", keyed by make, with a combiner or without, and returns the sums by encoded key
// and the number of pairs that crossed.
func combinedBy[K comparable](t *testing.T, text string, key func(string) K, memory int64) (map[string]int64, int) {
	t.Helper()
	m := func(line string, emit func(K, int64)) error { emit(key(line), int64(len(line))); return nil }
	r := func(K, jobs.Values[int64], func(int64)) error { return nil }
	prog := bind(t, jobs.New("job", m, r, jobs.Combine(jobs.Sum[int64])))
	out, task := &pairs{}, &jobs.Task{Reducers: 1, Memory: memory}
	if err := prog.Map(context.Background(), task, &blocks{{Data: []byte(text)}}, out); err != nil {
		t.Fatal(err)
	}
	if want := int64(strings.Count(text, "\n")); task.Pairs != want {
		t.Errorf("counted %d pairs, want %d", task.Pairs, want)
	}
	sums, crossed := map[string]int64{}, 0
	for _, b := range out.batches {
		rest := b.Data
		for range b.Count {
			k, v, after, err := jobs.CutPair(rest, nil)
			if err != nil {
				t.Fatal(err)
			}
			n := int64(v[0]>>1) | int64(0)
			if len(v) > 1 {
				n = 0
				for i, b := range v {
					n |= int64(b&0x7f) << (7 * i)
				}
				n >>= 1
			}
			sums[string(k)] += n
			rest = after
			crossed++
		}
	}
	return sums, crossed
}

// The combine table changes no sum, for any kind of key and any memory: what crosses sums up to what was emitted.
func TestCombineTableKeepsSums(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	rng := rand.New(rand.NewPCG(5, 5))
	for range 30_000 {
		fmt.Fprintf(&b, "key %s\n", strings.Repeat("x", int(rng.ExpFloat64()*20)))
	}
	text := b.String()
	type pair struct {
		A string
		B int8
	}
	t.Run("string", func(t *testing.T) { sumsAgree(t, text, func(l string) string { return l }) })
	t.Run("int", func(t *testing.T) { sumsAgree(t, text, func(l string) int { return -len(l) }) })
	t.Run("uint64", func(t *testing.T) { sumsAgree(t, text, func(l string) uint64 { return uint64(len(l)) << 40 }) })
	t.Run("int16", func(t *testing.T) { sumsAgree(t, text, func(l string) int16 { return int16(len(l)) }) })
	t.Run("float", func(t *testing.T) { sumsAgree(t, text, func(l string) float64 { return 1 / float64(len(l)) }) })
	t.Run("struct", func(t *testing.T) { sumsAgree(t, text, func(l string) pair { return pair{l, int8(len(l))} }) })
	t.Run("array", func(t *testing.T) { sumsAgree(t, text, func(l string) [2]byte { return [2]byte{byte(len(l)), 1} }) })
	t.Run("unique", func(t *testing.T) {
		n := uint64(0)
		sumsAgree(t, text, func(string) uint64 { n = (n + 1) % 30_000; return n })
	})
}

func sumsAgree[K comparable](t *testing.T, text string, key func(string) K) {
	t.Helper()
	want, all := combinedBy(t, text, key, -1)
	if lines := strings.Count(text, "\n"); all != lines {
		t.Errorf("without a table %d pairs cross, want all %d", all, lines)
	}
	for _, memory := range []int64{1, 5_000, 50_000, 0} {
		got, crossed := combinedBy(t, text, key, memory)
		if !maps.Equal(got, want) {
			t.Errorf("memory %d: the sums differ", memory)
		}
		if memory == 0 && crossed != len(want) {
			t.Errorf("%d pairs cross, want %d: one a key", crossed, len(want))
		}
	}
}

// Values that lead to memory are the table's own: a map function may use its slice again after emit, and the combiner may
// return either argument.
func TestCombineTableOwnsValues(t *testing.T) {
	t.Parallel()
	var buf []byte
	m := func(line string, emit func(string, []byte)) error {
		buf = append(buf[:0], line...)
		emit("longest", buf)
		return nil
	}
	longer := func(a, b []byte) []byte {
		if len(b) > len(a) {
			return b
		}
		return a
	}
	out := &pairs{}
	prog := bind(t, jobs.New("job", m, func(string, jobs.Values[[]byte], func(string)) error { return nil }, jobs.Combine(longer)))
	if err := prog.Map(context.Background(), &jobs.Task{Reducers: 1}, &blocks{{Data: []byte("a\nlong\nb\nc\n")}}, out); err != nil {
		t.Fatal(err)
	}
	if _, values := cut(t, out.batches, false); !slices.Equal(values, []string{"long"}) {
		t.Errorf("got %q", values)
	}
}

// Growing values stay within the table's memory: strings that are joined, and slices.
func TestCombineTableMeasuresValues(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a 0123456789\nb 0123456789\n", 5_000)
	m := func(line string, emit func(string, string)) error { emit(line[:1], line[2:]); return nil }
	join := func(a, b string) string { return a + b }
	prog := bind(t, jobs.New("job", m, func(string, jobs.Values[string], func(string)) error { return nil }, jobs.Combine(join)))
	out := &pairs{}
	if err := prog.Map(context.Background(), &jobs.Task{Reducers: 1, Memory: 20_000}, &blocks{{Data: []byte(text + "c c\n")}}, out); err != nil {
		t.Fatal(err)
	}
	total := 0
	_, values := cut(t, out.batches, false)
	for _, v := range values {
		total += len(v)
	}
	if total != 100_001 {
		t.Errorf("%d bytes crossed, want 100001", total)
	}
}

// Partition states the partition of every pair, with a table and without; a result out of range is an error that names the
// key and the record that brought it.
func TestPartition(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]jobs.Option{nil, {jobs.Combine(jobs.Sum[int64])}} {
		byLength := jobs.Partition(func(k string, n int) int { return len(k) - 1 })
		prog := bind(t, jobs.New("job", countMap, countReduce, append(opts, byLength)...))
		out := &pairs{}
		if err := prog.Map(context.Background(), &jobs.Task{Reducers: 3}, &blocks{{Data: []byte("a bb ccc\na bb\n")}}, out); err != nil {
			t.Fatal(err)
		}
		keys, _ := cut(t, out.batches, true)
		for i, k := range keys {
			if p := out.batches[0].Partitions[i]; int(p) != len(k)-1 {
				t.Errorf("key %s goes to partition %d", k, p)
			}
		}
		err := prog.Map(context.Background(), &jobs.Task{Reducers: 3}, &blocks{{URL: "u", Data: []byte("a\nb dddd\n")}}, &pairs{})
		re, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || re.Offset != 2 || !strings.Contains(err.Error(), `the Partition function gave 3 for key "dddd": it must be from 0 to 2`) {
			t.Errorf("got error %v", err)
		}
	}
}

// failing is a job whose map function fails at the line "bad", in the way f does.
func failing(f func(emit func(string, int64)) error, opts ...jobs.Option) *jobs.Job {
	return jobs.New("job", func(line string, emit func(string, int64)) error {
		if line == "bad" {
			return f(emit)
		}
		emit(line, 1)
		return nil
	}, countReduce, opts...)
}

func explode() { panic("boom") }

// An error or a panic of the map function becomes a *RecordError that names the object and the record's offset; the stack of
// a panic holds the user's frames only.
func TestMapErrors(t *testing.T) {
	t.Parallel()
	user := errors.New("no good")
	var null *count
	for name, tt := range map[string]struct {
		f     func(emit func(string, int64)) error
		opts  []jobs.Option
		want  string
		stack string
	}{
		"error":    {func(func(string, int64)) error { return user }, nil, "map u at byte 103: no good", ""},
		"panic":    {func(func(string, int64)) error { explode(); return nil }, nil, "map u at byte 103: panic: boom", "jobs_test.explode"},
		"nil":      {func(func(string, int64)) error { null.N++; return nil }, nil, "map u at byte 103: panic: runtime error: invalid memory address", "jobs_test.TestMapErrors"},
		"combiner": {func(emit func(string, int64)) error { emit("ok", 1); return nil }, []jobs.Option{jobs.Combine(func(a, b int64) int64 { explode(); return a })}, "map u at byte 103: panic: boom", "jobs_test.explode"},
	} {
		err := bind(t, failing(tt.f, tt.opts...)).Map(context.Background(), &jobs.Task{Reducers: 1}, &blocks{{URL: "u", Offset: 100, Data: []byte("ok\nbad\n")}}, &pairs{})
		re, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || !strings.HasPrefix(err.Error(), tt.want) {
			t.Fatalf("%s: got error %v, want %q", name, err, tt.want)
		}
		if name == "error" && !errors.Is(err, user) {
			t.Error("the error does not wrap the user's")
		}
		if !strings.HasPrefix(re.Stack, "github.com/millrace/millrace/"+tt.stack) && !strings.Contains(re.Stack, tt.stack) {
			t.Errorf("%s: stack %q does not hold %s", name, re.Stack, tt.stack)
		}
		for _, foreign := range []string{"millrace/jobs.", "runtime.", "testing."} {
			if strings.Contains(re.Stack, foreign) {
				t.Errorf("%s: the stack holds frames of %s:\n%s", name, foreign, re.Stack)
			}
		}
	}
}

// An error of the sink surfaces as itself, at whichever put it comes, and ends the user's function at its next emit, even
// when that recovers panics.
func TestSinkErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk full")
	calls := 0
	flood := func(line string, emit func(string, int64)) error {
		for range 100_000 {
			func() {
				defer func() { recover() }()
				emit("key", 1)
				calls++
			}()
		}
		return errors.New("the user's own")
	}
	for at := 1; at <= 3; at++ {
		calls = 0
		out := &pairs{at: at, err: broken}
		err := bind(t, jobs.New("job", flood, countReduce)).Map(context.Background(), &jobs.Task{Reducers: 1}, &blocks{{Data: []byte("line\n")}}, out)
		if err != broken || out.puts != at {
			t.Errorf("put %d fails: got %v after %d puts", at, err, out.puts)
		}
		if calls > 100_000-1 {
			t.Errorf("put %d fails: every emit returned", at)
		}
	}
	out := &pairs{at: 2, err: broken}
	err := bind(t, jobs.New("job", countMap, countReduce, jobs.Combine(jobs.Sum[int64]))).Map(context.Background(), &jobs.Task{Reducers: 1}, &blocks{{Data: []byte("a\n")}}, out)
	if err != broken {
		t.Errorf("at the end: %v", err)
	}
}

// brokenBlocks fails at once.
type brokenBlocks struct{ err error }

func (b brokenBlocks) Next() (jobs.Block, error) { return jobs.Block{}, b.err }

// Errors of the source, a cancelled context and blocks that are no whole records end the attempt.
func TestMapEngineErrors(t *testing.T) {
	t.Parallel()
	prog := bind(t, jobs.New("job", countMap, countReduce))
	lost := errors.New("connection lost")
	if err := prog.Map(context.Background(), &jobs.Task{Reducers: 1}, brokenBlocks{lost}, &pairs{}); err != lost {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := prog.Map(ctx, &jobs.Task{Reducers: 1}, &blocks{{Data: []byte("a")}}, &pairs{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	fixed := bind(t, with[[]byte, string, int, string](jobs.FixedLength(4)))
	err := fixed.Map(context.Background(), &jobs.Task{Reducers: 1}, &blocks{{URL: "u", Data: []byte("12345")}}, &pairs{})
	if err == nil || !strings.Contains(err.Error(), "a block of 5 bytes is no whole number of 4-byte records") {
		t.Errorf("got %v", err)
	}
}
