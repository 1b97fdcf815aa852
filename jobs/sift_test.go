package jobs_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// attempt is a map attempt and all that it has left.
type attempt struct {
	task     jobs.Task
	pairs    []byte   // of all batches, end to end
	parts    []uint32 // of the pairs, if the job states them
	rows     []jobstest.Row
	side     []jobstest.Row
	rejected []jobs.Rejected
}

// Put keeps a batch of pairs and spoils it, as it is the engine's from then on.
func (a *attempt) Put(b jobs.Pairs) (jobs.Pairs, error) {
	a.pairs = append(a.pairs, b.Data...)
	a.parts = append(a.parts, b.Partitions...)
	for i := range b.Data {
		b.Data[i] = 0xee
	}
	return jobs.Pairs{Data: b.Data[:0], Partitions: b.Partitions[:0]}, nil
}

// rowsTo is a RowSink that decodes.
type rowsTo struct {
	schema jobs.Schema
	rows   *[]jobstest.Row
}

func (s rowsTo) Put(c jobs.Columns) error {
	rows, err := jobstest.Decode(s.schema, c)
	*s.rows = append(*s.rows, rows...)
	return err
}

// runMap runs a map attempt that may set so many records aside.
func runMap(t testing.TB, job *jobs.Job, memory, limit int64, in []jobs.Block) (*attempt, error) {
	t.Helper()
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &attempt{task: jobs.Task{Reducers: 4, Memory: memory, MaxRejected: limit}}
	info := prog.Info()
	a.task.Sinks.Rows = rowsTo{info.Schema, &a.rows}
	for _, o := range info.Outputs {
		a.task.Sinks.Sides = append(a.task.Sinks.Sides, rowsTo{o.Schema, &a.side})
	}
	var rejected []jobstest.Row
	a.task.Sinks.Rejected = rowsTo{jobs.RejectedSchema(), &rejected}
	source := blocks(in)
	err = prog.Map(context.Background(), &a.task, &source, a)
	for _, r := range rejected {
		a.rejected = append(a.rejected, jobs.Rejected{
			File: r[0].(string), Offset: r[1].(int64), From: r[2].(int64), Size: r[3].(int64), Bytes: r[4].([]byte), Error: r[5].(string), Stack: r[6].(string),
		})
	}
	return a, err
}

// sameEffects compares what an attempt that has set records aside left with what one over the good records alone did.
func sameEffects(t testing.TB, name string, got, want *attempt) {
	t.Helper()
	differ := func(what string, got, want any) {
		t.Helper()
		t.Fatalf("%s: %s differ:\ngot  %.2000v\nwant %.2000v", name, what, got, want)
	}
	if !bytes.Equal(got.pairs, want.pairs) {
		differ("pairs", cutAll(t, got.pairs), cutAll(t, want.pairs))
	}
	if !slices.Equal(got.parts, want.parts) {
		differ("partitions", got.parts, want.parts)
	}
	if g, w := fmt.Sprint(got.rows), fmt.Sprint(want.rows); g != w {
		differ("rows", g, w)
	}
	if g, w := fmt.Sprint(got.side), fmt.Sprint(want.side); g != w {
		differ("side rows", g, w)
	}
	if g, w := got.task.Counters(), want.task.Counters(); !maps.Equal(g, w) {
		differ("counters", g, w)
	}
	if g, w := got.task.Pairs, want.task.Pairs; g != w {
		differ("numbers of pairs", g, w)
	}
	if g, w := got.task.Rows, want.task.Rows; g != w {
		differ("numbers of rows", g, w)
	}
	if g, w := got.task.Records, want.task.Records+got.task.Rejected; g != w {
		differ("numbers of records", g, w)
	}
}

// cutAll is the pairs of a batch for a message.
func cutAll(t testing.TB, data []byte) (out []string) {
	t.Helper()
	for len(data) > 0 {
		key, value, rest, err := jobs.CutPair(data, nil)
		if err != nil {
			return append(out, fmt.Sprintf("%v at %q", err, data))
		}
		out, data = append(out, fmt.Sprintf("%.40q=%.40q", key, value)), rest
	}
	return out
}

// record is one of a generated input.
type record struct {
	script string // what the map function does with it, see script.run
	raw    string // its bytes, line end included
	null   bool   // of a table: a null in a field that takes none
	err    string // what its error must have in it, if it is bad
	panics bool
}

// placed is a bad record as it must show among those set aside.
type placed struct {
	record
	url    string
	offset int64
}

// good are those of the records that are not bad.
func good(in []record) []record {
	return slices.DeleteFunc(slices.Clone(in), func(r record) bool { return r.err != "" })
}

// checkRejected compares the records set aside with the bad ones.
func checkRejected(t testing.TB, name string, got *attempt, want []placed) {
	t.Helper()
	if len(got.rejected) != len(want) || got.task.Rejected != int64(len(want)) {
		t.Fatalf("%s: %d records are set aside and %d counted, want %d: %.2000v", name, len(got.rejected), got.task.Rejected, len(want), got.rejected)
	}
	for i, w := range want {
		g := got.rejected[i]
		if g.File != w.url || g.Offset != w.offset || string(g.Bytes) != withoutEnd(w.raw) || g.Size != int64(len(w.raw)) {
			t.Fatalf("%s: rejected record %d is %s at %d, %d bytes %q:\nwant %s at %d, %d bytes %q", name, i, g.File, g.Offset, g.Size, g.Bytes, w.url, w.offset, len(w.raw), withoutEnd(w.raw))
		}
		if !strings.Contains(g.Error, w.err) || w.panics != (g.Stack != "") {
			t.Fatalf("%s: rejected record %d has the error %q and the stack %q: want %q", name, i, g.Error, g.Stack, w.err)
		}
	}
	first := got.task.FirstRejected
	if len(first) != min(5, len(want)) {
		t.Fatalf("%s: the first %d errors are listed: %q", name, len(first), first)
	}
	for i, line := range first {
		if !strings.Contains(line, want[i].url) || strings.Contains(line, "\n") {
			t.Fatalf("%s: error %d is listed as %q: want a line with %s", name, i, line, want[i].url)
		}
	}
}

// withoutEnd is what is shown of a record that may end with its line.
func withoutEnd(raw string) string {
	if line, ended := strings.CutSuffix(raw, "\n"); ended {
		return strings.TrimSuffix(line, "\r")
	}
	return raw
}

// layout makes a record of a script, and blocks of records: each record type has one.
type layout struct {
	raw func(rnd *rand.Rand, script string) string
	odd func(rnd *rand.Rand) (raw, err string)                     // a record that cannot be decoded; nil: there is none
	cut func(rnd *rand.Rand, in []record) ([]jobs.Block, []placed) // blocks of random sizes
}

const wordsOf = "abcst"

// generate makes records, some of them bad.
func generate(rnd *rand.Rand, l layout, bad []failure, n int) (out []record) {
	rate := []float64{0.02, 0.2, 0.6, 1}[rnd.IntN(4)]
	for range n {
		var words []string
		for range rnd.IntN(6) {
			words = append(words, fmt.Sprintf("%c%d", wordsOf[rnd.IntN(len(wordsOf))], rnd.IntN(20)))
		}
		if rnd.IntN(100) == 0 {
			words = append(words, "+much")
		}
		r := record{}
		switch {
		case rnd.Float64() >= rate:
		case l.odd != nil && rnd.IntN(4) == 0:
			r.raw, r.err = l.odd(rnd)
			r.null = r.raw == ""
		default:
			f := bad[rnd.IntN(len(bad))]
			if f.words[0] == "!much" && rnd.IntN(4) > 0 { // it takes long
				f = bad[0]
			}
			words = slices.Insert(words, rnd.IntN(len(words)+1), f.words...)
			r.err, r.panics = f.err, f.panics
		}
		if r.raw == "" {
			r.script = strings.Join(words, " ")
			r.raw = l.raw(rnd, r.script)
		}
		out = append(out, r)
	}
	return out
}

// Whatever the type of record, the way of the pairs and of failing: of an attempt that sets records aside, everything is as of one
// over the same input without the bad records, and the bad ones lie aside, each with place, bytes, error and stack.
func TestSift(t *testing.T) {
	t.Parallel()
	rounds := 25
	if testing.Short() {
		rounds = 6
	}
	for _, c := range slices.Concat(
		casesOf("string", textLines(), one(func(r string) string { return r })),
		casesOf("bytes", textLines(), one(func(r []byte) string { return string(r) })),
		casesOf("line", textLines(), one(func(r jobs.Line) string { return r.Text })),
		casesOf("lines", textLines(), func(r jobs.Lines, f func(string) error) error {
			for line := range r.All() {
				if err := f(line.Text); err != nil {
					return err
				}
			}
			return nil
		}),
		casesOf("fixed", fixedRecords(), one(func(r []byte) string { return string(r) }), jobs.FixedLength(fixedLength)),
		casesOf("file", wholeFiles(), one(func(r jobs.File) string { return string(r.Data) })),
		casesOf("csv", csvRecords(true, true), one(func(r csvRow) string { return r.Script }), jobs.CSV(jobs.CSVOptions{})),
		casesOf("csv without header", csvRecords(false, true), one(func(r csvRow) string { return r.Script }), jobs.CSV(jobs.CSVOptions{NoHeader: true})),
		casesOf("csv without quotes", csvRecords(true, false), one(func(r csvRow) string { return r.Script }), jobs.CSV(jobs.CSVOptions{NoQuotes: true})),
		casesOf("cells", csvRecords(true, true), one(func(r jobs.Cells) string { s, _ := r.Get("script"); return s }), jobs.CSV(jobs.CSVOptions{})),
		casesOf("table", tableRows(true), one(func(r tableRow) string { return r.Script }), jobs.Table()),
		casesOf("batch", tableRows(false), func(r jobs.Batch, f func(string) error) error {
			_, c, _ := r.Column("script")
			for i := range r.Rows {
				if err := f(string(c.Data[c.Offsets[i]:c.Offsets[i+1]])); err != nil {
					return err
				}
			}
			return nil
		}, jobs.Table()),
	) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for range rounds {
				seed := rand.Uint64()
				name := fmt.Sprintf("%s, seed %#x", c.name, seed)
				rnd := rand.New(rand.NewPCG(seed, 1))
				in := generate(rnd, c.layout, c.bad, 1+rnd.IntN(30))
				memory := []int64{0, 0, 64 << 10, -1}[rnd.IntN(4)]
				cutGood, _ := c.layout.cut(rnd, good(in))
				want, err := runMap(t, c.job, memory, 0, cutGood)
				if err != nil {
					t.Fatalf("%s: without bad records: %v", name, err)
				}
				cut, bad := c.layout.cut(rnd, in)
				got, err := runMap(t, c.job, memory, int64(len(in)), cut)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				sameEffects(t, name, got, want)
				checkRejected(t, name, got, bad)
			}
		})
	}
}
