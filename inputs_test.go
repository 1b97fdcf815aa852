package millrace

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/worker/program"
)

// twoSides is a row of the job "sides".
type twoSides struct{ Key, Values string }

// twoInputs reads two inputs, lines and records of two bytes, and shows the values of each key in the order in which they come.
func twoInputs(opts ...jobs.Option) *jobs.Job {
	left := func(l jobs.Line, emit func(string, string)) error {
		emit(l.Text[:1], "L"+l.Text[1:])
		return nil
	}
	right := func(r []byte, emit func(string, string)) error {
		emit(string(r[:1]), "R"+string(r[1:]))
		return nil
	}
	reduce := func(k string, vs jobs.Values[string], emit func(twoSides)) error {
		row := twoSides{Key: k}
		for v := range vs.All() {
			row.Values += v
		}
		emit(row)
		return nil
	}
	return jobs.NewFrom("sides", jobs.Inputs(jobs.From("left", left), jobs.From("right", right, jobs.FixedLength(2))), reduce, opts...)
}

// putAll writes objects.
func putAll(t *testing.T, st *storage.Store, objects map[string]string) {
	t.Helper()
	for url, data := range objects {
		if err := st.Put(t.Context(), url, []byte(data), false); err != nil {
			t.Fatal(err)
		}
	}
}

// rowsIn reads an output.
func rowsIn(t *testing.T, st *storage.Store, folder string) (text []string, m *manifest.Manifest) {
	t.Helper()
	out, err := output.Open(t.Context(), st, folder)
	if err != nil {
		t.Fatal(err)
	}
	err = out.Batches(t.Context(), func(_ arrowfile.Schema, b arrowfile.Batch) bool {
		for i := range b.Rows {
			row := ""
			for _, c := range b.Columns {
				row += " " + string(c.Data[c.Offsets[i]:c.Offsets[i+1]])
			}
			text = append(text, row[1:])
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return text, out.Manifest
}

// A job with several inputs reads each with its own map function, whatever the order in which they are stated and listed; values
// come by input. The manifest says which objects belonged to which input, the status what was named for it.
func TestNamedInputs(t *testing.T) {
	t.Parallel()
	st := memStore(t)
	data := map[string]string{"mem://b/z/1": "a1\nb2\n", "mem://b/z/2": "a3\n", "mem://b/y": "c4\n", "mem://b/a/r": "b5a6", "mem://b/a/skip.tmp": "odd"}
	putAll(t, st, data)
	for i, o := range []Options{
		{Inputs: []string{"right=mem://b/a/", "left=mem://b/z/", "left=mem://b/y"}},
		{Named: map[string][]string{"right": {"mem://b/a/*"}, "left": {"mem://b/z/*", "mem://b/y"}}, SplitSize: 3},
		{Inputs: []string{"left=@mem://b/list"}, Named: map[string][]string{"right": {"mem://b/a"}}, Workers: 2, Slots: 2},
	} {
		putAll(t, st, map[string]string{"mem://b/list": "# what is left\n\n  mem://b/z/\r\nmem://b/y\n"})
		o.Output, o.Store, o.Reducers, o.Exclude = fmt.Sprintf("mem://b/out%d", i), st, 1, []string{"*.tmp"}
		status, err := Run(t.Context(), twoInputs(), o)
		if err != nil {
			t.Fatal(err)
		}
		rows, m := rowsIn(t, st, o.Output)
		if want := []string{"a L1L3R6", "b L2R5", "c L4"}; !slices.Equal(rows, want) {
			t.Errorf("options %d: rows %q, want %q", i, rows, want)
		}
		if len(m.Inputs.Named) != 2 || m.Inputs.Named[0].Name != "left" || m.Inputs.Named[0].Objects != 3 || m.Inputs.Named[0].Bytes != 12 ||
			m.Inputs.Named[1].Name != "right" || m.Inputs.Named[1].Objects != 1 || m.Inputs.Named[1].Bytes != 4 {
			t.Errorf("options %d: the manifest names %+v", i, m.Inputs.Named)
		}
		if last := m.Inputs.Listed[len(m.Inputs.Listed)-1]; last.Input != 1 || last.URL != "mem://b/a/r" || !slices.Equal(m.Inputs.Exclude, []string{"*.tmp"}) {
			t.Errorf("options %d: the manifest lists %+v without %q", i, m.Inputs.Listed, m.Inputs.Exclude)
		}
		if !slices.Contains(status.Inputs, "left=mem://b/y") || status.NumInputs != len(status.Inputs) {
			t.Errorf("options %d: the status has inputs %q", i, status.Inputs)
		}
	}
}

// The result of a job with several inputs, ordered or not, is the oracle's, for all sizes of splits and numbers of reducers.
func TestNamedInputsAsOracle(t *testing.T) {
	t.Parallel()
	var left, right strings.Builder
	for i := range 300 {
		fmt.Fprintf(&left, "%c%d\n", 'a'+i*i%7, i%50)
		fmt.Fprintf(&right, "%c%d", 'a'+i%9, i%10)
	}
	st := memStore(t)
	putAll(t, st, map[string]string{"mem://b/l": left.String(), "mem://b/r": right.String()})
	for _, job := range []*jobs.Job{twoInputs(), twoInputs(jobs.OrderByDescending(func(v string) string { return v[1:] })), twoInputs(jobs.TotalOrder())} {
		for _, test := range []Options{{SplitSize: 1, Reducers: 1}, {SplitSize: 1000, Reducers: 3, Slots: 3, Workers: 2}, {SplitSize: 64, Reducers: 2, Shuffle: "bucket"}} {
			want, err := jobstest.RunObjects(job, nil, []jobstest.Object{{URL: "r", Input: 1, Data: []byte(right.String())}, {URL: "l", Data: []byte(left.String())}}, 1)
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, row := range want.Rows() {
				all = append(all, fmt.Sprint(row[0], " ", row[1]))
			}
			test.Inputs, test.Output, test.Store, test.Overwrite = []string{"right=mem://b/r", "left=mem://b/l"}, "mem://b/out", st, true
			if _, err := Run(t.Context(), job, test); err != nil {
				t.Fatal(err)
			}
			got, _ := rowsIn(t, st, "mem://b/out")
			if slices.Sort(got); !slices.Equal(got, all) {
				t.Errorf("%+v: got %q, want %q", test, got, all)
			}
		}
	}
}

// spec states a job to a master as the commands do.
func specOf(ctx context.Context, job *jobs.Job, o Options, stdin string) ([]string, error) {
	reg, err := program.NewRegistry(Version, job)
	if err != nil {
		return nil, err
	}
	if err := o.ReadLists(ctx, reg, job.Name(), strings.NewReader(stdin)); err != nil {
		return nil, err
	}
	o.Output = "mem://b/out"
	spec, err := o.Spec(reg, job.Name())
	return spec.NamedInputs(), err
}

// Inputs that say not what they belong to, names that the job does not have, and inputs for which nothing is named, are errors
// that list the names. Of a job with one input, a name with a "=" is a file's.
func TestInputErrors(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		"input mem://b/x: to which input does it belong? job sides reads left=INPUT right=INPUT": {Inputs: []string{"mem://b/x"}},
		`there is no input "lefft": job sides reads left=INPUT right=INPUT`:                      {Inputs: []string{"lefft=mem://b/x"}},
		"input ./left=x: to which input":                                                         {Inputs: []string{"./left=x"}},
		"nothing is named for input right: job sides reads left=INPUT right=INPUT":               {Inputs: []string{"left=mem://b/x"}},
		"nothing is named for input left, right":                                                 {},
		"input left: nothing is named: write left=FILE":                                          {Inputs: []string{"left=", "right=x"}},
		`there is no input "up": job sides reads`:                                                {Named: map[string][]string{"up": {"x"}}},
		"input: bad URL":        {Inputs: []string{"left=s3:/b/x", "right=x"}},
		`exclude "[a": bad URL`: {Inputs: []string{"left=x", "right=y"}, Exclude: []string{"[a"}},
	} {
		if _, err := specOf(t.Context(), twoInputs(), o, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if got, err := specOf(t.Context(), countJob(), Options{Inputs: []string{"mem://b/left=x", "mem://b/y=@z"}}, ""); err != nil || !slices.Equal(got, []string{"mem://b/left=x", "mem://b/y=@z"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := specOf(t.Context(), countJob(), Options{Named: map[string][]string{"left": {"x"}}}, ""); err == nil || !strings.Contains(err.Error(), "job count has one input: leave the name out") {
		t.Errorf("got %v", err)
	}
	if _, err := specOf(t.Context(), countJob(), Options{Inputs: slices.Repeat([]string{"mem://b/" + strings.Repeat("x", 1000)}, 2200)}, ""); err == nil || !strings.Contains(err.Error(), "more than 2MiB: use folders and globs") {
		t.Errorf("got %v", err)
	}
}

// Lists are read from objects and standard input; a mistake in one names its line.
func TestLists(t *testing.T) {
	t.Parallel()
	st := memStore(t)
	putAll(t, st, map[string]string{
		"mem://b/good": "mem://b/x\n\t# a comment\n\nmem://b/y z \r\nmem://b/#1", "mem://b/nested": "mem://b/x\n@mem://b/good\n",
		"mem://b/bad": "\nmem:/b/x\n", "mem://b/empty": "# none\n",
	})
	read := func(stdin string, inputs ...string) ([]string, error) {
		return specOf(t.Context(), countJob(), Options{Inputs: inputs, Store: st}, stdin)
	}
	got, err := read("mem://b/in\n", "mem://b/0", "@mem://b/good", "@-")
	if want := []string{"mem://b/0", "mem://b/x", "mem://b/y z", "mem://b/#1", "mem://b/in"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for input, want := range map[string]string{
		"@mem://b/nested": `line 2: "@mem://b/good" names a list`, "@mem://b/bad": "@mem://b/bad: line 2: bad URL", "@mem://b/empty": "it names none",
		"@mem://b/none": "list of inputs @mem://b/none", "@": "name the file behind the @",
	} {
		if _, err := read("", input); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", input, err, want)
		}
	}
	if _, err := read("mem://b/x", "@-", "@-"); err == nil || !strings.Contains(err.Error(), "has been read already") {
		t.Errorf("got %v", err)
	}
	if _, err := read(strings.Repeat("# much\n", maxListBytes/7+1), "@-"); err == nil || !strings.Contains(err.Error(), "larger than 64MiB") {
		t.Errorf("got %v", err)
	}
}

func FuzzList(f *testing.F) {
	f.Add("a\n# b\n\n c \r\n")
	f.Add("@x")
	f.Add("\x00\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := (&lists{stdin: strings.NewReader(text)}).read(t.Context(), "@-")
		if (err == nil) == (len(entries) == 0) {
			t.Fatalf("%q: %q, %v", text, entries, err)
		}
		for _, e := range entries {
			if e != strings.TrimSpace(e) || strings.ContainsAny(e[:1], "#@") || !strings.Contains(text, e) {
				t.Fatalf("%q gives %q", text, e)
			}
		}
	})
}

// fileNames is a job that shows which objects it is given.
func fileNames() *jobs.Job {
	return jobs.New("names", func(f jobs.File, emit func(string, int)) error { emit(f.URL, len(f.Data)); return nil },
		func(url string, _ jobs.Values[int], emit func(string)) error { emit(url); return nil })
}

// The output of an earlier job is read as its manifest says: the parts that it names, whatever lies beside them. Parts that are
// missing, changed or of no finished job are refused by name, and so is an output as the input of a job that reads text.
func TestOutputAsInput(t *testing.T) {
	t.Parallel()
	st := memStore(t)
	if _, err := Run(t.Context(), countJob(), Options{Inputs: []string{"mem://b/in"}, Output: "mem://b/first", Reducers: 3, Store: st}); err != nil {
		t.Fatal(err)
	}
	names := func(o Options) ([]string, error) {
		o.Output, o.Store, o.Overwrite, o.Reducers = "mem://b/second", st, true, 1
		if _, err := Run(t.Context(), fileNames(), o); err != nil {
			return nil, err
		}
		rows, _ := rowsIn(t, st, "mem://b/second")
		return rows, nil
	}
	parts := []string{"mem://b/first/part-00000.arrow", "mem://b/first/part-00001.arrow", "mem://b/first/part-00002.arrow"}
	putAll(t, st, map[string]string{"mem://b/first/rejected/part.arrow": "beside", "mem://b/first/notes.txt": "beside", "mem://b/spark/_SUCCESS": "", "mem://b/spark/part-00000.parquet": "x"})
	for in, want := range map[string][]string{
		"mem://b/first": parts, "mem://b/first/": parts, "mem://b/fir*": parts, "mem://b/first/part-*1.arrow": parts[1:2], parts[2]: parts[2:],
		"mem://b/spark/": {"mem://b/spark/part-00000.parquet"}, // another engine's manifest says nothing
	} {
		if got, err := names(Options{Inputs: []string{in}}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %q, %v, want %q", in, got, err, want)
		}
	}
	if got, err := names(Options{Inputs: []string{"mem://b/first"}, Exclude: []string{"*-00001*"}}); err != nil || !slices.Equal(got, []string{parts[0], parts[2]}) {
		t.Errorf("excluded: read %q, %v", got, err)
	}
	if _, err := names(Options{Inputs: []string{"mem://b/first"}, Exclude: []string{"first/"}}); err == nil || !strings.Contains(err.Error(), "exclude: of 3 input objects, mem://b/first/part-00000.arrow the first, the patterns leave none") {
		t.Errorf("all excluded: got %v", err)
	}
	for _, in := range []string{"mem://b/first", "mem://b/first/*.arrow"} {
		_, err := Run(t.Context(), countJob(), Options{Inputs: []string{in}, Output: "mem://b/third", Store: st})
		if err == nil || !strings.Contains(err.Error(), "input mem://b/first/: it is the output of job count, which is Arrow files, but this job reads lines of text") {
			t.Errorf("%s as text: got %v", in, err)
		}
	}
	putAll(t, st, map[string]string{"mem://b/first/part-00007.arrow": "of an older output", "mem://b/going/part-00000.arrow": "of a job that failed"})
	if got, err := names(Options{Inputs: []string{"mem://b/first"}}); err != nil || !slices.Equal(got, parts) {
		t.Errorf("with a stray part: read %q, %v", got, err)
	}
	for in, want := range map[string]string{
		"mem://b/first/*.arrow": "part-00007.arrow: the manifest beside it names no such part", "mem://b/going": "mem://b/going/part-00000.arrow: it looks like a part of an output, but there is no _SUCCESS beside it",
	} {
		if _, err := names(Options{Inputs: []string{in}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	putAll(t, st, map[string]string{parts[1]: "short"})
	if _, err := names(Options{Inputs: []string{"mem://b/first"}}); err == nil || !strings.Contains(err.Error(), parts[1]+": it has 5 bytes, but the manifest of job count says") {
		t.Errorf("changed: got %v", err)
	}
	if err := st.Remove(t.Context(), parts[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := names(Options{Inputs: []string{"mem://b/first"}}); err == nil || !strings.Contains(err.Error(), parts[1]+": it is missing, but the manifest of job count names it") {
		t.Errorf("missing: got %v", err)
	}
	putAll(t, st, map[string]string{"mem://b/newer/_SUCCESS": `{"version": 99}`})
	if _, err := names(Options{Inputs: []string{"mem://b/newer"}}); err == nil || !errors.Is(err, manifest.ErrNewer) && !strings.Contains(err.Error(), "use a newer millrace") {
		t.Errorf("newer: got %v", err)
	}
}
