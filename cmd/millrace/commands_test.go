package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs/plan"
)

// scripts copies scripts in the style of the tutorials of Hadoop Streaming into a folder; without Python the test is left out.
func scripts(t *testing.T, dir string) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("LEFT OUT: python3 is not installed")
	}
	must(t, os.CopyFS(dir, os.DirFS("testdata/streaming")))
}

// script is a command line that runs a script, which is named to lie beside the commands.
func script(flag, name string) []string {
	return []string{flag, "python3 " + name, "--file", name}
}

// Scripts for Hadoop Streaming run as they are: one that counts on sorted lines gives the parts of the job wordcount, byte for byte, with
// itself as combiner too; one that reads its file's name and groups by generators makes an index. A task of it that is run again gives
// the same.
func TestStreamingScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scripts(t, dir)
	write(t, dir+"/in/a.txt", strings.Repeat("the cat saw the dog,\nwho saw it, too\n", 200))
	write(t, dir+"/in/b.txt", "the Café\r\nwas shut\r\nthe end")
	cli(t, dir, 0, "run", "wordcount", "in", "-o", "want", "--reducers", "2", "--split-size", "3000", "-q")
	count := append(append([]string{"run"}, script("--mapper", "map.py")...), script("--reducer", "reduce.py")...)
	count = append(count, "in", "--columns", "word:string,n:int64", "--reducers", "2", "--split-size", "3000", "-q")
	cli(t, dir, 0, append(count, "-o", "words")...)
	cli(t, dir, 0, append(count, "-o", "combined", "--combiner", "python3 reduce.py")...)
	for _, out := range []string{"words", "combined"} {
		same(t, filepath.Join(dir, out), filepath.Join(dir, "want"))
	}
	r := cli(t, dir, 0, "replay", "words", "reduce-00001")
	if !strings.Contains(r.out, "as that of the part in the manifest") {
		t.Errorf("replay: %s", r.out)
	}
	index := append(append([]string{"run"}, script("--mapper", "index_map.py")...), script("--reducer", "index_reduce.py")...)
	summary := cli(t, dir, 0, append(index, "in", "-o", "index", "--json")...)
	if !strings.Contains(summary.out, `"index:lines": 403`) {
		t.Errorf("the counters are missing: %s", summary.out)
	}
	if r := cli(t, dir, 0, "cat", "index", "--format", "csv"); !strings.Contains(r.out, "the,a.txt b.txt\n") || !strings.Contains(r.out, "Café,b.txt\n") || !strings.Contains(r.out, "cat,a.txt\n") {
		t.Errorf("the index is %s", r.out)
	}
}

// A cluster runs the commands that its operator allows, with the files that are named; others it refuses when they are submitted, and says
// which flag admits them. A worker that was not told so refuses its tasks.
func TestClusterAllows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scripts(t, dir)
	write(t, dir+"/in.txt", "the cat\nthe dog\n")
	addr, _ := startMaster(t, "--allow-command", "python3 *")
	submit := func(code int, args ...string) result {
		return cli(t, dir, code, append([]string{"submit", "in.txt", "--master", addr, "-q"}, args...)...)
	}
	r := submit(1, "--mapper", "python3 map.py; id", "-o", "out")
	if want := "submit command: this master does not run the mapper \"python3 map.py; id\": it runs the commands that match python3 *; --allow-command with a pattern for it admits it"; !strings.Contains(r.errout, want) || strings.Count(r.errout, "\n") != 1 {
		t.Errorf("got %s", r.errout)
	}
	refuses := startProcess(t, "refuses", "worker", "--master", addr, "--slots", "1")
	r = submit(1, append(script("--mapper", "map.py"), "-o", "out")...)
	if want := "this worker does not run jobs of commands (--mapper): it is started with --allow builtin, and --allow builtin,command admits them"; !strings.Contains(r.errout, want) {
		t.Errorf("got %s", r.errout)
	}
	must(t, refuses.Stop(10*time.Second)) // so that the next job waits for the other
	startProcess(t, "runs", "worker", "--master", addr, "--slots", "1", "--allow", "builtin,command")
	args := append(append(script("--mapper", "map.py"), script("--reducer", "reduce.py")...), "--columns", "word:string,n:int64", "-o", "out")
	submit(0, args...)
	if r := cli(t, dir, 0, "cat", "out", "--format", "csv"); r.out != "word,n\ncat,1\ndog,1\nthe,2\n" {
		t.Errorf("got %s", r.out)
	}
}

// A cluster's processes are told what it may run, and nothing if it was told nothing.
func TestClusterAllowArgs(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]plan.Allow{
		"":                        {},
		"--allow builtin,command": {Kinds: []string{"builtin", "command"}},
		"--allow builtin":         {Kinds: []string{"builtin"}},
		"--allow-command cat --allow-command sort *": {Commands: []string{"cat", "sort *"}},
		"--allow command --allow-command cat":        {Kinds: []string{"command"}, Commands: []string{"cat"}},
	} {
		f := clusterFlags{allow: a}
		if got := strings.Join(f.allowArgs(), " "); got != want {
			t.Errorf("%+v: got %s, want %s", a, got, want)
		}
	}
}

// commandLine is a bad command line of commands.
func commandLine(args ...string) []string { return append([]string{"run"}, args...) }

var badCommands = []badRow{
	{name: "JOB and --mapper", args: commandLine("wordcount", "--mapper", "cat", "in", "-o", "out"), code: 2, want: []string{"there is no file wordcount", "leave it out, since --mapper stands in its place"}},
	{name: "JOB command", args: commandLine("command", "in", "-o", "out"), code: 2, want: []string{"told by its flags: write millrace run --mapper COMMAND --reducer COMMAND INPUT... -o OUTPUT"}},
	{name: "plan of JOB command", args: []string{"plan", "command", "in"}, code: 2, want: []string{"write millrace plan --mapper COMMAND --reducer COMMAND INPUT..."}},
	{name: "--reducer alone", args: commandLine("--reducer", "cat", "in", "-o", "out"), code: 2, want: []string{"--reducer is about a job of commands", "--mapper"}},
	{name: "--file of a JOB", args: commandLine("wordcount", "in", "--file", "x", "-o", "out"), code: 2, want: []string{"--file is about a job of commands"}},
	{name: "-p of commands", args: commandLine("--mapper", "cat", "-p", "a=b", "in", "-o", "out"), code: 2, want: []string{"-p is about the parameters of a JOB", "--mapper 'python3 map.py --lower'"}},
	{name: "commands without input", args: commandLine("--mapper", "cat", "-o", "out"), code: 2, want: []string{"no input: name files"}},
	{name: "commands skip no records", args: commandLine("--mapper", "cat", "in", "-o", "out", "--skip-bad-records", "3"), code: 2, want: []string{"skip bad records", "reporter:counter"}},
	{name: "commands without output", args: commandLine("--mapper", "cat", "in"), code: 2, want: []string{"no output", "-o OUTPUT"}},
	{name: "columns of no type", args: commandLine("--mapper", "cat", "in", "-o", "out", "--columns", "n:int"), code: 2, want: []string{`columns: n: there is no type "int"`, "int64"}},
	{name: "two files of one name", args: commandLine("--mapper", "cat", "in", "-o", "out", "--file", "in/a.txt", "--file", "a.txt"), code: 2, want: []string{"would both be named a.txt", "#NAME"}},
	{name: "a file with a bad name", args: commandLine("--mapper", "cat", "in", "-o", "out", "--file", "in/a.txt#../x"), code: 2, want: []string{"--file", `"../x" is no name`}},
	{name: "a file that is not there", args: commandLine("--mapper", "cat", "in", "-o", "out", "--file", "gone.py"), code: 1, want: []string{"--file gone.py: stat ", "/gone.py: not found: name one file", "that workers see under this name, too"}, after: absent("out")},
	{name: "reducers of maps", args: commandLine("--mapper", "cat", "in", "-o", "out", "--reducers", "3"), code: 2, want: []string{"reducers 3: the job has no reduce function"}},
	{name: "a mapper that fails", args: commandLine("--mapper", "echo why >&2; exit 3", "in", "-o", "out", "-q"), code: 1, after: absent("out"),
		want: []string{"map-00000 failed 4 times", "/in/a.txt from byte 0: the mapper `echo why >&2; exit 3` ended with exit code 3: why"}},
	{name: "a file that was not named", args: commandLine("--mapper", "sh in.txt", "in", "-o", "out", "-q"), code: 1, after: absent("out"),
		want: []string{"ended with exit code 2"}, more: []string{"(the commands name in.txt, which lies here but not where they run: add --file in.txt)"}},
	{name: "a line that is no row", args: commandLine("--mapper", "cat", "in", "-o", "out", "--columns", "n:int64", "-q"), code: 1, after: absent("out"),
		want: []string{`wrote the line "one two": column n: "one two" is not a whole number`, "--columns n:float64 or n:string"}},
	{name: "code of no kind", args: []string{"master", "--allow", "builtin,wsam"}, code: 2, want: []string{`--allow: "wsam" is no kind of code`, "builtin, command"}},
	{name: "a cluster's code of no kind", args: []string{"cluster", "--allow", "commands"}, code: 2, want: []string{`--allow: "commands" is no kind of code`}},
	{name: "a worker's code of no kind", args: []string{"worker", "--master", "h:1", "--allow-command", " "}, code: 2, want: []string{"--allow", "matches nothing"}},
}
