package records

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

const job = sched.JobID("0123456789abcdef0123456789abcdef")

// item is a record with its outcome.
type item struct {
	rec sched.Record
	o   *wire.Outcome
}

// maker makes what real jobs report: random names and checksums, and figures that differ by some percent.
type maker struct {
	*rand.Rand
	uploads string // whose ids: "minio", "aws" or ""
	workers int
}

func (m *maker) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return fmt.Sprintf("%x", b)
}

func (m *maker) near(n int64) int64 { return n*9/10 + m.Int64N(n/5) }

// uploadID is as MinIO makes them: of its deployment's id, a UUID and the time, in base64; or as AWS does: 128 random characters.
func (m *maker) uploadID() string {
	if m.uploads == "aws" {
		b := make([]byte, 128)
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._"[m.IntN(64)]
		}
		return string(b)
	}
	u := m.hex(16)
	uuid := u[:8] + "-" + u[8:12] + "-" + u[12:16] + "-" + u[16:20] + "-" + u[20:]
	text := fmt.Sprintf("d6a2f1b0-9c7e-4c39-8a52-6a1be1d5a0fe.%sx%d", uuid, 1790000000000000000+m.Int64N(1e12))
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func (m *maker) part(name string) wire.Part {
	return wire.Part{Name: name, Rows: m.near(50_000), Pending: storage.Pending{
		URL: "s3://bucket/2026/out/" + name, ID: m.uploadID(), Parts: 3, Size: m.near(20 << 20), CRC32C: m.Uint32(), ETag: m.hex(16) + "-3",
	}}
}

func (m *maker) item(phase sched.Phase, index int) item {
	a := sched.AttemptID{Task: sched.TaskID{Job: job, Phase: phase, Index: index}, N: 1000}
	w := m.IntN(m.workers)
	o := &wire.Outcome{Attempt: a, Records: m.near(800_000), Counters: map[string]int64{
		"lines read": m.near(800_000), "lines without a date": m.Int64N(50), "bytes of text": m.near(64 << 20),
	}}
	it := item{sched.Record{Kind: sched.RecordSelected, Job: job, Attempt: a, Worker: sched.WorkerID(fmt.Sprintf("node-%03d.cluster.local/4711-%016x", w, w*7919)), Checksum: m.Uint64()}, o}
	switch {
	case phase == sched.Reduce:
		o.Reduce, o.Bytes = &wire.ReduceResult{Groups: m.near(9000)}, m.near(30<<20)
		o.Parts, it.rec.Checksum = []wire.Part{m.part(manifest.PartName(index))}, 0
	case m.uploads != "":
		o.Parts = []wire.Part{m.part(manifest.PartName(index))}
	default:
		o.Map = &wire.MapResult{URL: fmt.Sprintf("http://10.0.3.%d:40123/runs/%s", w, m.hex(16)), Size: m.near(20 << 20), Pairs: m.near(900_000), Checksum: it.rec.Checksum}
	}
	return it
}

// roundTrip writes items, so many to a block, and returns the blocks and what is read of them.
func roundTrip(t testing.TB, items []item, perBlock int) (blocks [][]byte, got []item) {
	t.Helper()
	c := NewCodec()
	w := NewWriter(c)
	at := time.UnixMilli(1_790_000_000_123).UTC()
	for i, it := range items {
		w.Add(at, it.rec, it.o)
		if (i+1)%perBlock == 0 || i == len(items)-1 {
			blocks = append(blocks, w.Blocks()...)
		}
	}
	r := NewReader(job)
	for _, b := range blocks {
		k, body, err := c.Open(b)
		if err != nil || k != Tasks {
			t.Fatalf("%v, %v", k, err)
		}
		err = r.Tasks(body, func(when time.Time, rec sched.Record, o *wire.Outcome) error {
			if !when.Equal(at) {
				t.Errorf("at %v, want %v", when, at)
			}
			got = append(got, item{rec, o})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return blocks, got
}

func same(t *testing.T, what string, got, want []item) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: read %d records of %d", what, len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			g, _ := json.Marshal(got[i].o)
			w, _ := json.Marshal(want[i].o)
			t.Fatalf("%s: record %d\n got %+v\n     %s\nwant %+v\n     %s", what, i, got[i].rec, g, want[i].rec, w)
		}
	}
}

// odd are records and texts that no honest job has, or few.
func odd() (list []item) {
	a := func(p sched.Phase, i, n int) sched.AttemptID {
		return sched.AttemptID{Task: sched.TaskID{Job: job, Phase: p, Index: i}, N: n}
	}
	selected := func(id sched.AttemptID, o wire.Outcome) {
		o.Attempt = id
		list = append(list, item{sched.Record{Kind: sched.RecordSelected, Job: job, Attempt: id, Worker: "w", Checksum: 7}, &o})
	}
	selected(a(sched.Sample, 0, 0), wire.Outcome{Sample: &wire.SampleResult{Bounds: [][]byte{[]byte("a"), {0, 255}}}})
	selected(a(sched.Sample, 0, 1), wire.Outcome{Sample: &wire.SampleResult{}})
	for i, url := range []string{
		"", "/", "x", "http://h/runs/" + strings.Repeat("a", 32), strings.Repeat("0", 32), strings.Repeat("0", 33), "http://h/" + strings.Repeat("f", 64) + "/r",
		"s3://b/out/.millrace-x/map-00006.0.run", "s3://b/out/.millrace-x/map-00007.1.run", "map-00008", "00009", "http://h/runs/", strings.Repeat("long/", 2000),
		"http://h/" + strings.Repeat("y", 9000), "http://h/00014/00014", "UPPER/" + strings.Repeat("A", 32), "\xff\x00/\xfe",
	} {
		selected(a(sched.Map, i, 3), wire.Outcome{Map: &wire.MapResult{URL: url, Size: -1, Pairs: 1 << 62, Checksum: uint64(i)}, Records: -5, Spilled: 9, CountersCut: true})
		list = append(list, item{rec: sched.Record{Kind: sched.RecordLost, Job: job, Attempt: a(sched.Map, i, 3)}}, item{rec: sched.Record{Kind: sched.RecordRemake, Job: job, Attempt: a(sched.Map, 2_000_000-i, 99_999)}})
	}
	selected(a(sched.Map, 1, 0), wire.Outcome{Cut: &wire.Cut{First: -1, Next: 12}, FirstRejected: []string{"line 3: no", ""}, Counters: map[string]int64{"": -1, "a/b": 2}})
	selected(a(sched.Map, 2, 0), wire.Outcome{Counters: map[string]int64{"": 5, "a/b": 1 << 60}})
	selected(a(sched.Map, 3, 0), wire.Outcome{Counters: map[string]int64{"a/b": 1}})
	for _, id := range []string{"upload-1", "upload-12", "", "upload-1"} {
		p := wire.Part{Name: "errors/map-00004.arrow", Rows: -3, Pending: storage.Pending{URL: "mem://b/o/errors/map-00004.arrow", ID: id, Parts: 4, Size: 5, CRC32C: 6, ETag: "12-ab-" + id}}
		q := wire.Part{Name: "x", Pending: storage.Pending{URL: "elsewhere", ID: id, Parts: 10_000}}
		selected(a(sched.Map, 4, 0), wire.Outcome{Parts: []wire.Part{p, q}})
	}
	selected(a(sched.Reduce, 9999, 0), wire.Outcome{Reduce: &wire.ReduceResult{Groups: 3}, Bytes: 1 << 40, Parts: []wire.Part{{Name: manifest.PartName(9999)}}})
	for s := sched.Running; s <= sched.Cancelled; s++ {
		list = append(list, item{rec: sched.Record{Kind: sched.RecordState, Job: job, State: s, Reason: strings.Repeat("why ", int(s))}})
	}
	return list
}

// What is written is read again, whatever it is and however it is cut into blocks, also where texts are of other forms, no longer fit
// what is remembered, or came from a hostile worker.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, uploads := range []string{"", "minio", "aws"} {
		m := &maker{rand.New(rand.NewPCG(1, 2)), uploads, 40}
		items := odd()
		for i := range 300 {
			items = append(items, m.item(sched.Map, i*3%200))
			if i%50 == 0 {
				items = append(items, m.item(sched.Reduce, i), odd()[i%30])
			}
		}
		for _, perBlock := range []int{1, 7, len(items)} {
			_, got := roundTrip(t, items, perBlock)
			same(t, fmt.Sprintf("%s, %d to a block", uploads, perBlock), got, items)
		}
	}
	var many []item // more names than are remembered
	for i := range maxTexts + 100 {
		o := &wire.Outcome{Map: &wire.MapResult{URL: fmt.Sprintf("http://host-%d:1/runs/%032x", i, i)}}
		o.Attempt = sched.AttemptID{Task: sched.TaskID{Job: job, Phase: sched.Map, Index: i}}
		many = append(many, item{sched.Record{Kind: sched.RecordSelected, Job: job, Attempt: o.Attempt, Worker: "w"}, o})
	}
	_, got := roundTrip(t, many, 1000)
	same(t, "many names", got, many)
}

// A task costs the journal few bytes, whether many are written at once or few, as jobs of real clusters have them: 50 workers,
// three counters, runs with random names, uploads of MinIO and AWS.
func TestSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		uploads   string
		phase     sched.Phase
		few, many float64 // bytes a task, with 8 and 2000 to a block
	}{
		{"maps with reduce", "", sched.Map, 59, 48},
		{"reduces, MinIO", "minio", sched.Reduce, 133, 107},
		{"reduces, AWS", "aws", sched.Reduce, 185, 166},
		{"maps only, MinIO", "minio", sched.Map, 133, 107},
		{"maps only, AWS", "aws", sched.Map, 185, 166},
	} {
		const tasks = 10_000
		m := &maker{rand.New(rand.NewPCG(3, 4)), c.uploads, 50}
		var items []item
		asJSON := 0
		for i := range tasks {
			items = append(items, m.item(c.phase, i))
			if i < 1000 {
				b, err := json.Marshal(struct {
					R sched.Record
					O *wire.Outcome
				}{items[i].rec, items[i].o})
				if err != nil {
					t.Fatal(err)
				}
				asJSON += len(b)
			}
		}
		for perBlock, limit := range map[int]float64{8: c.few, 2000: c.many} {
			blocks, _ := roundTrip(t, items, perBlock)
			size := float64(len(bytes.Join(blocks, nil))) / tasks
			t.Logf("%s, %d to a block: %.1f bytes a task (JSON %d)", c.name, perBlock, size, asJSON/1000)
			if size > limit {
				t.Errorf("%s, %d to a block: %.1f bytes a task, want at most %v", c.name, perBlock, size, limit)
			}
		}
	}
}

// What no version wrote is an error, and never more than that; what a newer one wrote is told as that.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	tasks := func(body ...byte) []byte { return c.block(Tasks, append([]byte{anew, 0}, body...)) }
	for name, test := range map[string]struct {
		block []byte
		want  error
		text  string
	}{
		"nothing":             {nil, ErrDamaged, "0 bytes"},
		"JSON":                {[]byte(`{"record":{}}`), ErrNewer, "format 123"},
		"a newer version":     {[]byte{2, 1, 0}, ErrNewer, "format 2"},
		"a newer kind":        {[]byte{1, 9, 0}, ErrNewer, "kind 9"},
		"another packing":     {[]byte{1, 1, 2}, ErrNewer, "packing 2"},
		"no frame":            {[]byte{1, 2, 1, 5, 1, 2, 3}, ErrDamaged, "tasks of 5 bytes"},
		"an endless length":   {append([]byte{1, 2, 1}, 255, 255, 255, 255, 255, 1), ErrDamaged, "impossible length"},
		"a newer mark":        {c.block(Tasks, []byte{2, 0}), ErrNewer, "mark 2"},
		"goes on":             {c.block(Tasks, []byte{0, 0}), ErrDamaged, "which are missing"},
		"a newer record":      {tasks(6), ErrNewer, "record 0: kind 6"},
		"a submission in it":  {tasks(1), ErrNewer, "kind 1"},
		"a phase":             {tasks(0x32, 0, 0), ErrDamaged, "phase 3"},
		"cut off":             {tasks(0x12, 0), ErrDamaged, "cut off"},
		"a negative index":    {tasks(0x13, 1, 0), ErrDamaged, "task -1"},
		"a long reason":       {tasks(4, 3, 200, 1), ErrDamaged, "200 bytes are announced"},
		"a text to come":      {tasks(0x12, 0, 0, 8), ErrDamaged, "text 0 of 0"},
		"fields to come":      {tasks(0x12, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 128, 128, 1), ErrNewer, "0x4000"},
		"an upload's far end": {tasks(0x12, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, hasParts, 0, 1, 4, 0, 4, 9, 0, 0, 0, 0, 0, 0, 4, 0), ErrDamaged, "shares 9 bytes with one of 0"},
		"a million parts":     {tasks(0x12, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, hasParts, 0, 192, 132, 61), ErrDamaged, "1000000 things"},
	} {
		k, body, err := c.Open(test.block)
		if err == nil && k == Tasks {
			err = NewReader(job).Tasks(body, func(time.Time, sched.Record, *wire.Outcome) error { return nil })
		}
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %v with %q", name, err, test.want, test.text)
		}
	}
}

// The error of who takes the records is handed on as it is, and ends the reading.
func TestYieldFails(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	c := NewCodec()
	w := NewWriter(c)
	for range 3 {
		w.Add(time.Now(), sched.Record{Kind: sched.RecordState, State: sched.Done}, nil)
	}
	_, body, err := c.Open(w.Blocks()[0])
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	err = NewReader(job).Tasks(body, func(time.Time, sched.Record, *wire.Outcome) error { calls++; return no })
	if !errors.Is(err, no) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if again := w.Blocks(); again != nil {
		t.Errorf("%d blocks of nothing", len(again))
	}
}

// Documents come back, short and long; what does not shrink is kept as it is.
func TestDocuments(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	noise := make([]byte, 5000)
	rnd := rand.New(rand.NewPCG(5, 6))
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for _, body := range [][]byte{{}, []byte("short"), []byte(strings.Repeat(`{"a":1},`, 100_000)), noise} {
		for k := Submission; k <= Bulk; k++ {
			b := c.Document(k, body)
			gotKind, got, err := c.Open(b)
			if err != nil || gotKind != k || !bytes.Equal(got, body) || len(b) > len(body)+3 {
				t.Errorf("%v of %d bytes: %v, %d bytes in %d, %v", k, len(body), gotKind, len(got), len(b), err)
			}
		}
	}
	if got := Kind(9).String() + Summary.String(); got != "Kind(9)summary" {
		t.Errorf("names: %s", got)
	}
}

// A plan comes back, and takes few bytes an object where names are alike. A damaged one is told as that.
func TestPlan(t *testing.T) {
	t.Parallel()
	m := &maker{Rand: rand.New(rand.NewPCG(9, 10))}
	spec := plan.Spec{Job: "count", Info: jobs.Info{Inputs: make([]jobs.Input, 2), MapOnly: true}, Inputs: []string{"s3://b/in/**", "x"}, InputOf: []int{0, 1}, Output: "s3://b/out", SplitSize: 5}
	objects := []plan.Object{{}, {URL: "file:///x", Size: -1, ETag: "1-2-3", Input: 1, Encoding: "gzip"}, {URL: "file:///", ETag: m.hex(32)}}
	for i := range 3000 {
		objects = append(objects, plan.Object{URL: fmt.Sprintf("s3://logs/2026/11/%02d/host-%04d/access.log", i/1000, i), Size: m.near(1 << 30), ETag: m.hex(16), Encoding: "seekable zstd"})
	}
	for _, objects := range [][]plan.Object{nil, objects[:1], objects} {
		b, err := AppendPlan(nil, &spec, objects)
		if err != nil {
			t.Fatal(err)
		}
		gotSpec, got, err := ReadPlan(b)
		if err != nil || !reflect.DeepEqual(gotSpec, spec) || !reflect.DeepEqual(got, objects) {
			t.Errorf("%d objects: got %d and %+v, %v", len(objects), len(got), gotSpec, err)
		}
		if n := len(b) / max(1, len(objects)); len(objects) > 1000 && n > 50 {
			t.Errorf("%d bytes an object", n)
		}
		for _, cut := range []int{0, 3, len(b) - 1} {
			if _, _, err := ReadPlan(b[:cut]); !errors.Is(err, ErrDamaged) && len(objects) > 0 {
				t.Errorf("%d of %d bytes: %v", cut, len(b), err)
			}
		}
	}
	if _, _, err := ReadPlan([]byte{2, '{', '}', 5, 0}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "shares 5 bytes") {
		t.Errorf("got %v", err)
	}
}

// FuzzOpen: whatever a block is, reading it ends without a panic and within bounds.
func FuzzOpen(f *testing.F) {
	m := &maker{rand.New(rand.NewPCG(7, 8)), "minio", 3}
	items := append(odd(), m.item(sched.Map, 1), m.item(sched.Reduce, 2))
	for _, perBlock := range []int{1, len(items)} {
		blocks, _ := roundTrip(f, items, perBlock)
		for _, b := range blocks {
			f.Add(b)
		}
	}
	c := NewCodec()
	p, err := AppendPlan(nil, &plan.Spec{Job: "x"}, []plan.Object{{URL: "a/b", Size: 1, ETag: "e"}, {URL: "a/c", Input: 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Document(Submission, p))
	f.Add(c.Document(Summary, []byte(strings.Repeat("{}", 500))))
	f.Fuzz(func(t *testing.T, block []byte) {
		k, body, err := c.Open(block)
		if err == nil && k == Submission {
			_, _, _ = ReadPlan(body)
		}
		if err != nil || k != Tasks {
			return
		}
		_ = readBoth(t, NewReader(job), NewReader(job), new(Batch), body)
	})
}

// FuzzTexts: texts of any kind come back, in any order.
func FuzzTexts(f *testing.F) {
	f.Add("http://h/runs/0123456789abcdef0123456789abcdef", "http://h/runs/", "00012", 12)
	f.Add("a/b", "a/", "", 0)
	f.Add(strings.Repeat("f", 33), "/", "00000", -1)
	f.Fuzz(func(t *testing.T, x, y, z string, index int) {
		var w writerTexts
		var b []byte
		list := []string{x, y, z, x + y, y + z, x, z + "/" + x, x}
		for _, s := range list {
			b = w.appendText(b, s, index)
			b = w.appendRest(b, s)
		}
		r, d := new(texts), &decoder{b: b}
		for _, want := range list {
			for range 2 {
				if got := r.text(d, index); got != want || d.err != nil {
					t.Fatalf("got %q, %v, want %q", got, d.err, want)
				}
			}
		}
	})
}
