package console

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/millrace/millrace/storage/arrowfile"
)

func writeRows(t *testing.T, s arrowfile.Schema, o RowOptions, batches ...arrowfile.Batch) string {
	t.Helper()
	var out bytes.Buffer
	r, err := NewRows(&out, s, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if _, err := r.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// mixed is a batch with a column of each kind that is shown in a way of its own.
func mixed() (arrowfile.Schema, arrowfile.Batch) {
	field := func(name string, t arrowfile.Type, fields ...arrowfile.Field) arrowfile.Field {
		return arrowfile.Field{Name: name, Type: t, Fields: fields}
	}
	s := arrowfile.Schema{Fields: []arrowfile.Field{
		field("word", arrowfile.TypeString), field("n", arrowfile.TypeInt64), field("share", arrowfile.TypeFloat64),
		field("digest", arrowfile.TypeBytes), field("at", arrowfile.TypeTimestamp), {Name: "note", Type: arrowfile.TypeString, Nullable: true},
		field("seen", arrowfile.TypeList, field("item", arrowfile.TypeInt64)),
		field("pos", arrowfile.TypeStruct, field("x", arrowfile.TypeInt64)),
	}}
	note := textColumn("", "", "a, \"quoted\" note\nof two lines", evil[:20])
	note.Valid, note.Nulls = []byte{0b1110}, 1
	return s, arrowfile.Batch{Rows: 4, Columns: []arrowfile.Column{
		textColumn("the", "日本語", strings.Repeat("long ", 100), "x"), int64Column(1, -20, 300, math.MaxInt64),
		float64Column(0.1, math.NaN(), math.Inf(1), 1e-9), textColumn("ok", "\x00\xff", "", "line\n"),
		int64Column(0, 1772330584056000000, -1, 1), note,
		{Offsets: []int32{0, 0, 2, 3, 3}, Children: []arrowfile.Column{int64Column(7, 8, 9)}},
		{Children: []arrowfile.Column{int64Column(1, 2, 3, 4)}},
	}}
}

// Each format, with nulls, special floats, bytes, nested values, long text and text that would break a line.
func TestFormats(t *testing.T) {
	t.Parallel()
	s, b := mixed()
	for _, format := range []string{FormatTable, FormatCSV, FormatNDJSON} {
		golden(t, "rows-"+format, []byte(writeRows(t, s, RowOptions{Format: format, Terminal: true}, b)))
	}
	for _, width := range []int{120, 80, 40, 10} {
		got := writeRows(t, s, RowOptions{Width: width, Total: 10}, b)
		golden(t, fmt.Sprintf("rows-table-%d", width), []byte(got))
		for line := range strings.Lines(got) {
			if w := text.StringWidth(strings.TrimSuffix(line, "\n")); w > width && !strings.HasPrefix(line, "… ") {
				t.Errorf("a line of %d columns in a table of %d: %s", w, width, line)
			}
		}
	}
}

// What a program reads is exact: CSV reads back as it was, also control characters, and each line of ndjson is JSON.
func TestFormatsReadBack(t *testing.T) {
	t.Parallel()
	s, b := mixed()
	records, err := csv.NewReader(strings.NewReader(writeRows(t, s, RowOptions{Format: FormatCSV}, b))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 5 || records[0][0] != "word" || records[3][5] != "a, \"quoted\" note\nof two lines" || records[4][1] != "9223372036854775807" {
		t.Errorf("CSV reads back as %q", records)
	}
	if digest := records[2][3] + " " + records[4][3]; digest != "0x00ff line\n" {
		t.Errorf("bytes read back as %q", digest)
	}
	for line := range strings.Lines(writeRows(t, s, RowOptions{Format: FormatNDJSON}, b, b)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// Bytes that are text, such as a record of a TSV file, are shown as text is: in a table on one line, in CSV to the byte. Others are
// hexadecimal in both.
func TestBytesAsText(t *testing.T) {
	t.Parallel()
	values := []string{"a\tb", "one\r\ntwo", "a\tb\x1b[2J"}
	rows := func(kind arrowfile.Type, format string) string {
		s := arrowfile.Schema{Fields: []arrowfile.Field{{Name: "v", Type: kind}}}
		return writeRows(t, s, RowOptions{Format: format}, arrowfile.Batch{Rows: 2, Columns: []arrowfile.Column{textColumn(values[:2]...)}},
			arrowfile.Batch{Rows: 1, Columns: []arrowfile.Column{textColumn(values[2])}})
	}
	table := rows(arrowfile.TypeBytes, FormatTable)
	for _, want := range []string{"│ a b              │\n", "│ one  two         │\n", "│ 0x6109621b5b324a │\n"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table has no %q:\n%s", want, table)
		}
	}
	head, tail := "v\na\tb\n\"one\r\ntwo\"\n", "0x6109621b5b324a\n"
	if got := rows(arrowfile.TypeBytes, FormatCSV); got != head+tail {
		t.Errorf("CSV is %q, want %q", got, head+tail)
	}
	if got := rows(arrowfile.TypeString, FormatCSV); !strings.HasPrefix(got, head) {
		t.Errorf("CSV of text is %q, want %q and the last one as it is", got, head)
	}
}

// raw writes text with line ends and bytes without, and refuses rows of several columns by naming them.
func TestRaw(t *testing.T) {
	t.Parallel()
	one := func(t arrowfile.Type) arrowfile.Schema {
		return arrowfile.Schema{Fields: []arrowfile.Field{{Name: "v", Type: t, Nullable: true}}}
	}
	o := RowOptions{Format: FormatRaw}
	null := textColumn("a", "", "b")
	null.Valid, null.Nulls = []byte{0b101}, 1
	for _, c := range []struct {
		schema arrowfile.Schema
		o      RowOptions
		column arrowfile.Column
		want   string
	}{
		{one(arrowfile.TypeString), o, textColumn("a", "", "\x1bb"), "a\n\n\x1bb\n"},
		{one(arrowfile.TypeString), RowOptions{Format: FormatRaw, Terminal: true}, textColumn("a", "", "\x1bb"), "a\n\nb\n"},
		{one(arrowfile.TypeBytes), o, textColumn("a\n", "\xff", "\x00"), "a\n\xff\x00"},
		{one(arrowfile.TypeString), o, null, "a\n\nb\n"},
		{one(arrowfile.TypeBytes), o, null, "ab"},
		{one(arrowfile.TypeInt64), o, int64Column(1, -2, 3), "1\n-2\n3\n"},
	} {
		if got := writeRows(t, c.schema, c.o, arrowfile.Batch{Rows: 3, Columns: []arrowfile.Column{c.column}}); got != c.want {
			t.Errorf("raw is %q: want %q", got, c.want)
		}
	}
	if _, err := NewRows(io.Discard, wordSchema(), o); err == nil || !strings.Contains(err.Error(), "word utf8, n int64") {
		t.Errorf("error is %v: want one that names the columns", err)
	}
	if _, err := NewRows(io.Discard, wordSchema(), RowOptions{Format: "xml"}); err == nil || !strings.Contains(err.Error(), "want table, csv, ndjson, raw") {
		t.Errorf("error is %v: want one that lists the formats", err)
	}
}

// The limit holds over batches, in every format, and says when to stop reading.
func TestLimit(t *testing.T) {
	t.Parallel()
	for _, format := range []string{FormatTable, FormatCSV, FormatNDJSON} {
		var out bytes.Buffer
		r, err := NewRows(&out, wordSchema(), RowOptions{Format: format, Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{true, false, false} {
			more, err := r.Write(words("one", "two", "three"))
			if err != nil || more != want {
				t.Errorf("%s: after batch %d more is %t, %v: want %t", format, i, more, err, want)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "o"); n < 4 || strings.Count(out.String(), "two") != 2 || strings.Count(out.String(), "three") != 1 {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

// A table of many pages looks like one: a single head and foot, all lines of one width as long as the columns do not grow.
func TestPages(t *testing.T) {
	t.Parallel()
	batch := words("alpha", "beta", "gamma", "delta")
	var batches []arrowfile.Batch
	for range 2*tablePage/batch.Rows + 1 {
		batches = append(batches, batch)
	}
	got := writeRows(t, wordSchema(), RowOptions{Width: 80}, batches...)
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if want := 2*tablePage + 4 + 4; len(lines) != want {
		t.Errorf("%d lines: want %d", len(lines), want)
	}
	for i, line := range lines {
		if text.StringWidth(line) != text.StringWidth(lines[0]) {
			t.Fatalf("line %d is %q, the first one %q", i, line, lines[0])
		}
	}
	if n := strings.Count(got, "╭") + strings.Count(got, "├") + strings.Count(got, "╰"); n != 3 {
		t.Errorf("%d lines across the table: want 3", n)
	}
	golden(t, "rows-empty", []byte(writeRows(t, wordSchema(), RowOptions{})))
}

// The first rows of an output come from its parts' batches; an error of the reader is passed on.
func TestFirstRows(t *testing.T) {
	t.Parallel()
	left := []arrowfile.Batch{words("the", "of"), words("and", "to", "in"), words("never read")}
	next := func() (arrowfile.Batch, error) {
		if len(left) == 0 {
			return arrowfile.Batch{}, io.EOF
		}
		b := left[0]
		left = left[1:]
		return b, nil
	}
	var out bytes.Buffer
	if err := FirstRows(&out, wordSchema(), next, 4, 123_456, 80); err != nil {
		t.Fatal(err)
	}
	golden(t, "first-rows", out.Bytes())
	if len(left) != 1 {
		t.Errorf("%d batches are left unread: want 1", len(left))
	}
	broken := errors.New("connection reset")
	err := FirstRows(&out, wordSchema(), func() (arrowfile.Batch, error) { return arrowfile.Batch{}, broken }, 4, 5, 80)
	if !errors.Is(err, broken) {
		t.Errorf("error is %v: want %v", err, broken)
	}
}

// Columns give way from the widest down, text before numbers, and from the right when there is no room at all.
func TestFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		widest []int
		stiff  []bool
		width  int
		want   string
	}{
		{[]int{5, 50}, []bool{false, false}, 0, "[5 50] 2"},
		{[]int{5, 50}, []bool{false, false}, 100, "[5 50] 2"},
		{[]int{5, 50}, []bool{false, false}, 30, "[5 18] 2"},
		{[]int{40, 50}, []bool{false, false}, 47, "[20 20] 2"},
		{[]int{40, 19}, []bool{false, true}, 47, "[21 19] 2"},
		{[]int{10, 19}, []bool{false, true}, 27, "[6 14] 2"},
		{[]int{3, 3, 3, 3, 3}, []bool{false, true, false, true, false}, 20, "[3 3] 2"},
		{[]int{100}, []bool{true}, 8, "[4] 1"},
	} {
		widths, shown := fit(c.widest, c.stiff, c.width)
		if got := fmt.Sprintf("%v %d", widths[:shown], shown); got != c.want {
			t.Errorf("fit(%v, %d) is %s: want %s", c.widest, c.width, got, c.want)
		}
	}
}

func BenchmarkRows(b *testing.B) {
	var values []string
	for i := range 10_000 {
		values = append(values, fmt.Sprintf("word%d", i))
	}
	batch := words(values...)
	for _, format := range []string{FormatNDJSON, FormatCSV, FormatTable} {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewRows(io.Discard, wordSchema(), RowOptions{Format: format})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.Write(batch); err != nil {
					b.Fatal(err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
