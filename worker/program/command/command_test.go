package command

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/wordcount"
)

// words splits lines into words, a pair with a 1 for each; sums adds the numbers of each key.
const (
	words = `awk '{ for (i = 1; i <= NF; i++) print $i "\t1" }'`
	sums  = `awk -F '\t' 'NR > 1 && $1 != key { print key "\t" n; n = 0 } { key = $1; n += $2 } END { if (NR > 0) print key "\t" n }'`
)

func program(t testing.TB, p Params) *Program {
	t.Helper()
	prog, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

// byLength puts keys into partitions.
func byLength(key []byte, n int) int { return len(key) % n }

// rows are the rows that the commands give for the texts of some objects, partition by partition.
func rows(t *testing.T, p Params, reducers int, texts ...string) string {
	t.Helper()
	r, err := jobstest.Oracle(program(t, p), jobstest.Objects(texts...), reducers, byLength)
	if err != nil {
		t.Fatal(err)
	}
	return printed(r)
}

func printed(r *jobstest.Result) string {
	var b strings.Builder
	for _, row := range r.Rows() {
		b.WriteString(row.String() + "\n")
	}
	return b.String()
}

// The contract: lines go in as they are, each key's pairs come sorted and together, and fields become columns. The programs of any Unix
// system are mappers and reducers.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		p     Params
		texts []string
		want  string
	}{
		"word count": {
			Params{Mapper: words, Reducer: sums, Columns: "word:string,n:int64"}, []string{"the cat\nthe dog\n", "a cat"},
			`{"a" 1}` + "\n" + `{"cat" 2}` + "\n" + `{"dog" 1}` + "\n" + `{"the" 2}` + "\n",
		},
		"cat both ways":                     {Params{Mapper: "cat", Reducer: "cat"}, []string{"b\t2\na\t1\nno tab\n"}, `{"a" "1"}{"b" "2"}{"no tab" ""}`},
		"the value is all behind one tab":   {Params{Mapper: "cat", Reducer: "cat"}, []string{"k\t1\t2\t\n"}, `{"k" "1\t2\t"}`},
		"an empty line is an empty key":     {Params{Mapper: "cat", Reducer: "cat"}, []string{"\n\tv\n"}, `{"" ""}{"" "v"}`},
		"values keep the maps' order":       {Params{Mapper: "cat", Reducer: "cat"}, []string{"k\tb\nk\ta\n", "k\t0\n"}, `{"k" "b"}{"k" "a"}{"k" "0"}`},
		"NONE is no reducer":                {Params{Mapper: "sort", Reducer: "NONE"}, []string{"b\t1\na", "c"}, `{"a" ""}{"b" "1"}{"c" ""}`},
		"maps only, one column":             {Params{Mapper: "tr a-z A-Z", Columns: "line:string"}, []string{"a\tb\n"}, `{"A\tB"}`},
		"wc as mapper, an object at a time": {Params{Mapper: "wc -l", Columns: "n:int64"}, []string{"1\n2\n3", "1\n"}, "{3}{1}"},
		"wc as reducer":                     {Params{Mapper: "cat", Reducer: "wc -l", Columns: "n:int64"}, []string{"1\n2\n3", "1\n"}, "{4}"},
		"wc as reducer of nothing":          {Params{Mapper: "grep x || true", Reducer: "wc -l", Columns: "n:int64"}, []string{"1\n2\n3"}, "{0}"},
		"uniq -c as reducer":                {Params{Mapper: "cut -c 1", Reducer: "uniq -c", Columns: "line:string"}, []string{"ab\nbc\nac\n"}, `{"      2 a\t"}{"      1 b\t"}`},
		"sort as mapper":                    {Params{Mapper: "sort -r", Columns: "line:string"}, []string{"a\nc\nb\n"}, `{"c"}{"b"}{"a"}`},
		"sort and uniq as reducer":          {Params{Mapper: "cat", Reducer: "cut -f 1 | sort | uniq -c | sort -rn", Columns: "line:string"}, []string{"a\nb\nb\n"}, `{"      2 b"}{"      1 a"}`},
		"a pipe, and a shell's variables":   {Params{Mapper: `x=y; cat | sed "s/a/$x/"`}, []string{"a\n"}, `{"y" ""}`},
		"CR LF becomes LF":                  {Params{Mapper: `sed 's/$/|/'`, Columns: "line:string"}, []string{"a\r\nb\rc\r\n\r\n"}, `{"a|"}{"b\rc|"}{"|"}`},
		"a last line without an end":        {Params{Mapper: "while read x; do echo $x; done"}, []string{"a\nb"}, `{"a" ""}{"b" ""}`},
		"the end of output without one":     {Params{Mapper: "printf 'k\t1\nl\t2'", Reducer: "printf 'x\t1\ny\t2'"}, []string{"a\n"}, `{"x" "1"}{"y" "2"}`},
		"all types": {
			Params{Mapper: "cat", Columns: "s:string,b:bytes,i:int64,f:float64,o:bool"}, []string{"é\t\xff\t -7\t2.5e3\ttrue\n\t\t9223372036854775807 \t-inf\tFalse\n"},
			`{"é" 0xff -7 2500 true}{"" 0x 9223372036854775807 -Inf false}`,
		},
		"bytes of a pair":            {Params{Mapper: "cat", Reducer: "cat", Columns: "k:bytes,v:bytes"}, []string{"\xff\xfe\t\x00\n"}, "{0xfffe 0x00}"},
		"zero bytes are text":        {Params{Mapper: "cat", Reducer: "cat"}, []string{"a\x00b\t\x00\n"}, `{"a\x00b" "\x00"}`},
		"it need not read its input": {Params{Mapper: "head -n 1"}, []string{strings.Repeat("line\n", 1<<20), "other\n"}, `{"line" ""}{"other" ""}`},
		"nor any of it":              {Params{Mapper: "cat", Reducer: "echo done"}, []string{strings.Repeat("line\n", 1<<15)}, `{"done" ""}`},
		"output may end before":      {Params{Mapper: "exec >&-; cat >/dev/null"}, []string{strings.Repeat("line\n", 1<<18)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rows(t, row.p, 1, row.texts...)
			if want := strings.ReplaceAll(strings.ReplaceAll(row.want, "}\n", "}"), "}{", "}\n{"); strings.TrimSpace(got) != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// A word count by awk gives the rows of the Go job in the same order, in the same batches, with the same schema.
func TestSameAsGo(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&text, "w%c%c%c x%[1]c%[2]c%[3]c%[4]c\n", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26, 'a'+i/17576)
	}
	code, err := wordcount.Job().Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	var results [2]*jobstest.Result
	var sizes [2]string
	for i, code := range []jobs.Program{code, program(t, Params{Mapper: words, Reducer: sums, Columns: "word:string,n:int64"})} {
		kept := &keptRows{Program: code}
		if results[i], err = jobstest.Oracle(kept, jobstest.Objects(text.String(), "one wabc"), 1, nil); err != nil {
			t.Fatal(err)
		}
		sizes[i] = fmt.Sprint(kept.sizes)
	}
	want, got := results[0], results[1]
	if len(want.Rows()) < 5000 {
		t.Fatalf("%d rows are too few to prove anything", len(want.Rows()))
	}
	if fmt.Sprint(got.Schema) != fmt.Sprint(want.Schema) || sizes[0] != sizes[1] {
		t.Errorf("the schema is %v, batches %s; want %v, %s", got.Schema, sizes[1], want.Schema, sizes[0])
	}
	if printed(got) != printed(want) || got.Records != want.Records || got.Pairs != want.Pairs {
		t.Errorf("%d rows of %d records, %d pairs; want %d of %d, %d", len(got.Rows()), got.Records, got.Pairs, len(want.Rows()), want.Records, want.Pairs)
	}
}
