package command

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// plainPairs is the plain reference of appendPairs.
func plainPairs(lines []byte) (list []line) {
	for text := range strings.Lines(string(lines)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\t")
		list = append(list, line{[]byte(key), []byte(value)})
	}
	return list
}

// pairsIn reads a batch.
func pairsIn(t *testing.T, batch []byte) (list []line) {
	t.Helper()
	for len(batch) > 0 {
		key, value, rest, err := jobs.CutPair(batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		list, batch = append(list, line{key, value}), rest
	}
	return list
}

// FuzzPairs proves that lines become the pairs of the plain reference however small the batches, and that these pairs become the same
// lines again, with a tab in each.
func FuzzPairs(f *testing.F) {
	for _, seed := range []string{"", "\n", "a", "a\tb\n", "a\tb\tc\n\n\t\nx", "\x00\t\xff\n" + strings.Repeat("long", 100) + "\t" + strings.Repeat("v", 300) + "\n"} {
		f.Add([]byte(seed), 1)
		f.Add([]byte(seed), 50)
	}
	f.Fuzz(func(t *testing.T, text []byte, limit int) {
		var got []line
		for rest := text; len(rest) > 0; {
			var batch []byte
			var n int
			batch, rest, n = appendPairs(nil, rest, max(limit, 1))
			list := pairsIn(t, batch)
			if n != len(list) || n == 0 {
				t.Fatalf("a batch of %d pairs is said to have %d", len(list), n)
			}
			got = append(got, list...)
		}
		want := plainPairs(text)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		var back, lines []byte
		for _, l := range got {
			back = appendLines(back, l.key, l.value)
			lines = fmt.Appendf(lines, "%s\t%s\n", l.key, l.value)
		}
		if !bytes.Equal(back, lines) {
			t.Fatalf("got %q back, want %q", back, lines)
		}
	})
}

// Several lines of a key that stand in one pair come back as they were, and so does none.
func TestCombinedValues(t *testing.T) {
	t.Parallel()
	for _, list := range [][]string{{}, {""}, {"x"}, {"", ""}, {"a", "", "b\tc"}} {
		var lines []line
		want := ""
		for _, v := range list {
			lines = append(lines, line{[]byte("k"), []byte(v)})
			want += "k\t" + v + "\n"
		}
		if got := appendLines(nil, []byte("k"), values(nil, lines)); string(got) != want {
			t.Errorf("%q: got %q, want %q", list, got, want)
		}
	}
}

// plainRows is the plain reference of rowWriter: a line's fields as jobstest prints them, or false if it is no row.
func plainRows(c columns, text string) ([]string, bool) {
	fields := strings.Split(text, "\t")
	switch {
	case c.pair:
		key, value, _ := strings.Cut(text, "\t")
		fields = []string{key, value}
	case len(c.list) == 1:
		fields = []string{text}
	case len(fields) != len(c.list):
		return nil, false
	}
	var out []string
	for i, col := range c.list {
		var v any = fields[i]
		var err error
		number := strings.Trim(fields[i], " ")
		switch col.kind {
		case "string":
			if !utf8.ValidString(fields[i]) {
				return nil, false
			}
		case "int64":
			v, err = strconv.ParseInt(number, 10, 64)
		case "float64":
			var f float64
			f, err = strconv.ParseFloat(number, 64)
			v = math.Float64bits(f)
		case "bool":
			v, err = strconv.ParseBool(number)
		}
		if err != nil {
			return nil, false
		}
		out = append(out, fmt.Sprint(v))
	}
	return out, true
}

// shownRows keeps rows in the form of plainRows.
type shownRows struct {
	columns columns
	rows    [][]string
}

func (s *shownRows) Put(c jobs.Columns) error {
	for r := range c.Rows {
		var row []string
		for i, col := range c.Columns {
			var v any
			switch s.columns.list[i].kind {
			case "int64":
				v = int64(binary.LittleEndian.Uint64(col.Data[8*r:]))
			case "float64":
				v = binary.LittleEndian.Uint64(col.Data[8*r:])
			case "bool":
				v = col.Data[r/8]>>(r%8)&1 == 1
			default:
				v = string(col.Data[col.Offsets[r]:col.Offsets[r+1]])
			}
			row = append(row, fmt.Sprint(v))
		}
		s.rows = append(s.rows, row)
	}
	return nil
}

// FuzzRows proves that lines become the rows of the plain reference, and that what that takes for no row is an error.
func FuzzRows(f *testing.F) {
	for _, spec := range []string{"", "line:string", "a:bytes,b:string", "n:int64,f:float64,b:bool", "b:bool"} {
		for _, text := range []string{"", "a", "a\tb\nc", "1\t2.5\ttrue\n-3\tNaN\t0\n", "true\n0\nT\n1\nf\n", " 9 \t 1e400\tx\n", "\xff\t\xff\n"} {
			f.Add(spec, text)
		}
	}
	f.Fuzz(func(t *testing.T, spec, text string) {
		c, err := parseColumns(spec)
		if err != nil || len(c.list) > 20 {
			return
		}
		var want [][]string
		valid := true
		for l := range strings.Lines(text) {
			row, ok := plainRows(c, strings.TrimSuffix(l, "\n"))
			want = append(want, row)
			valid = valid && ok
		}
		out := &shownRows{columns: c}
		task := new(jobs.Task)
		w := newRowWriter(c, task, out)
		if err = w.lines([]byte(text)); err == nil {
			err = w.end()
		}
		if (err == nil) != valid {
			t.Fatalf("%q as %s: error %v, want one: %v", text, c, err, !valid)
		}
		if valid && (fmt.Sprint(out.rows) != fmt.Sprint(want) || int(task.Rows) != len(want)) {
			t.Fatalf("%q as %s: got %q, want %q", text, c, out.rows, want)
		}
	})
}

// Batches of rows end at as many rows or bytes, and nothing of one is seen in the next.
func TestRowBatches(t *testing.T) {
	t.Parallel()
	c, err := parseColumns("s:string,b:bool")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1<<20)
	for _, row := range []struct {
		field string
		rows  int
		want  []int
	}{
		{"x", 2*jobs.BatchRows + 3, []int{jobs.BatchRows, jobs.BatchRows, 3}},
		{long, 20, []int{8, 8, 4}}, // of 1 MiB and 5 bytes each
		{"x", 0, nil},
	} {
		var sizes []int
		kept := &keptRows{}
		task := new(jobs.Task)
		w := newRowWriter(c, task, notedRows{kept, new(noRows)})
		for i := range row.rows {
			if err := w.lines(fmt.Appendf(nil, "%s\t%t\n", row.field, i%3 == 0)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		if sizes = kept.sizes; fmt.Sprint(sizes) != fmt.Sprint(row.want) || task.Rows != int64(row.rows) {
			t.Errorf("%d rows of %.3s: batches of %v, want %v", row.rows, row.field, sizes, row.want)
		}
	}
}

// sample is some megabytes of lines.
func sample() []byte {
	r := rand.New(rand.NewPCG(1, 1))
	var b []byte
	for len(b) < 4<<20 {
		b = fmt.Appendf(b, "key%d\t%d\n", r.IntN(100_000), r.IntN(10))
	}
	return b
}

// Neither way allocates for a line.
func TestHotAllocations(t *testing.T) {
	text := sample()
	text = text[:bytes.LastIndexByte(text[:256<<10], '\n')+1]
	batch := make([]byte, 0, 2*len(text))
	c, err := parseColumns("key:string,n:int64")
	if err != nil {
		t.Fatal(err)
	}
	w := newRowWriter(c, new(jobs.Task), new(noRows))
	for range 5 { // so that the buffers of a batch have grown
		if err := w.lines(text); err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range map[string]func(){
		"pairs": func() { appendPairs(batch, text, math.MaxInt) },
		"lines": func() { appendLines(batch[:0], text[:10], text[:20]) },
		"rows": func() {
			if err := w.lines(text); err != nil {
				t.Fatal(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(2, f); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

type noRows struct{}

func (*noRows) Put(jobs.Columns) error { return nil }

func BenchmarkPairs(b *testing.B) {
	text := sample()
	batch := make([]byte, 0, 2*len(text))
	b.Run("hot", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			appendPairs(batch, text, math.MaxInt)
		}
	})
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			out := batch
			for l := range bytes.Lines(text) {
				key, value, _ := bytes.Cut(bytes.TrimSuffix(l, []byte{'\n'}), []byte{'\t'})
				out = jobs.AppendPair(out, key, value)
			}
		}
	})
}

func BenchmarkRows(b *testing.B) {
	text := sample()
	c, err := parseColumns("key:string,n:int64")
	if err != nil {
		b.Fatal(err)
	}
	w := newRowWriter(c, new(jobs.Task), new(noRows))
	b.Run("hot", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if err := w.lines(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			for l := range strings.Lines(string(text)) {
				if _, ok := plainRows(c, strings.TrimSuffix(l, "\n")); !ok {
					b.Fatal(l)
				}
			}
		}
	})
}
