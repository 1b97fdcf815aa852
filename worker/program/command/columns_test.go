package command

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// What is wrong with columns, files and commands is said by name, with what to write.
func TestParameters(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Params{
		"mapper: the command is empty: cat passes each line on":                 {Mapper: " "},
		"combiner: the command is empty: leave it out":                          {Mapper: "cat", Reducer: "cat", Combiner: "\t"},
		"combiner: without a reducer there are no pairs to combine":             {Mapper: "cat", Combiner: "cat", Reducer: "none"},
		"mapper: a command line cannot have a zero byte in it":                  {Mapper: "cat \x00"},
		"and 131071 are the most: put it into a script":                         {Mapper: "cat", Reducer: strings.Repeat("x", 1<<17)},
		`columns: "word": write NAME:TYPE, as in word:string,n:int64`:           {Mapper: "cat", Columns: "word"},
		`columns: ":string": write NAME:TYPE`:                                   {Mapper: "cat", Columns: "a:string,:string"},
		`columns: n: there is no type "int": choose one of string, bytes, int6`: {Mapper: "cat", Columns: "n:int"},
		"columns: two columns are named n: give one another name":               {Mapper: "cat", Columns: "n:int64, n:string"},
		`columns: the name "\xff" is not UTF-8`:                                 {Mapper: "cat", Columns: "\xff:int64"},
		"files a/x.py and b/x.py would both be named x.py":                      {Mapper: "cat", Files: "a/x.py,b/x.py"},
		`file "#x": nothing is named`:                                           {Mapper: "cat", Files: "#x"},
		`"a/b" is no name of a file in the commands' folder`:                    {Mapper: "cat", Files: "x#a/b"},
		`file "s3://b/": it has no name`:                                        {Mapper: "cat", Files: "s3://b/.."},
		"the text ends with a single backslash":                                 {Mapper: "cat", Files: `x\`},
	} {
		if want == `file "s3://b/": it has no name` {
			want = `file "s3://b/..": it has no name`
		}
		if _, err := New(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100q: got %v, want %s", p, err, want)
		}
	}
	for _, line := range []string{strings.Repeat("x", 1<<17-1), "true"} {
		if _, err := New(Params{Mapper: line}); err != nil {
			t.Error(err)
		}
	}
}

// A line that is no row is an error that shows its beginning and names the column and the remedy.
func TestRowErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("y", 300)
	for _, row := range []struct{ columns, text, want string }{
		{"", "\xff\tx", `wrote the line "\xff\tx": column key: it is not valid UTF-8: write UTF-8, or take bytes as they are with --columns key:bytes,value:string`},
		{"", "x\t\xff", "column value: it is not valid UTF-8: write UTF-8, or take bytes as they are with --columns key:string,value:bytes"},
		{"w:string,n:int64", "a", `wrote the line "a", which has 1 field, and --columns w:string,n:int64 names 2: write one for each, with tabs between them`},
		{"w:string,n:int64", "a\t1\t2", `which has 3 fields, and --columns w:string,n:int64 names 2`},
		{"w:string,n:int64", "a\t1 2", `column n: "1 2" is not a whole number that 64 bits hold: write one, or declare the column as what it is with --columns w:string,n:float64 or n:string in it`},
		{"w:string,n:int64", "a\t9223372036854775808", `column n: "9223372036854775808" is not a whole number that 64 bits hold`},
		{"w:string,n:int64", "a\t", `column n: "" is not a whole number`},
		{"f:float64", "1,5", `column f: "1,5" is not a number that 64 bits hold: write one, or declare the column as what it is with --columns f:string`},
		{"f:float64", "1e999", `column f: "1e999" is not a number`},
		{"b:bool", "yes", `column b: "yes" is not true or false`},
		{"n:int64", long, `"` + long[:100] + `"...: column n: "` + long[:100] + `"... is not a whole number`},
	} {
		c, err := parseColumns(row.columns)
		if err != nil {
			t.Fatal(err)
		}
		err = newRowWriter(c, new(jobs.Task), new(noRows)).lines([]byte(row.text + "\n"))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: got %v, want %s", row.text, err, row.want)
		}
	}
}

// Files are one text that reads back the same, whatever their names and URLs have in them.
func FuzzFiles(f *testing.F) {
	for _, seed := range []string{"", "a", "map.py,s3://b/x,y", `a\,b#c,d\\e`, "#,", `x\`, "a#b#c,/x/y#y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		files, err := ParseFiles(text)
		if err != nil {
			return
		}
		back, err := ParseFiles(FormatFiles(files))
		if err != nil || len(back) != len(files) {
			t.Fatalf("%q: %q reads back as %q, %v", text, FormatFiles(files), back, err)
		}
		for i, file := range files {
			if back[i] != file || file.URL == "" || file.Name == "" || strings.Contains(file.Name, "/") {
				t.Fatalf("%q: %q reads back as %q", text, file, back[i])
			}
		}
	})
}

// A file's own name is the last part of its path; another stands behind a #, the last one if there are several.
func TestParseFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]File{
		"map.py": {"map.py", "map.py"}, "/x/y/map.py#m": {"/x/y/map.py", "m"}, "s3://b/k/model.bin": {"s3://b/k/model.bin", "model.bin"},
		"a#b#c": {"a#b", "c"}, "x,y": {"x,y", "x,y"},
	} {
		got, err := ParseFile(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if back, err := ParseFile(got.String()); err != nil || back != got {
			t.Errorf("%s is written %s, which is %+v, %v", text, got, back, err)
		}
	}
}
