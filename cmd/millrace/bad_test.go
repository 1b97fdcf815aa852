package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/storage/storagetest/servers"
)

// badRow is one bad input. %D in args stands for the folder the command runs in.
type badRow struct {
	name  string
	args  []string
	setup func(t *testing.T, c *call) // after the common files were made
	code  int
	want  []string // all in the first line of stderr
	more  []string // of what follows it: the user's stack or message; without them stderr has one line
	after func(t *testing.T, c *call)
}

// TestBadInput proves that each mistake and misfortune ends with the right exit code and one clear line on stderr that names
// the thing and the remedy, and nothing on stdout.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for _, rows := range [][]badRow{badInputs, badOutputs, badWords, badJobs, badMachines, badCommands} {
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				row.check(t)
			})
		}
	}
}

// check runs a row in a folder with the inputs in/ and in.txt and the finished output done/.
func (row badRow) check(t *testing.T) {
	c := &call{args: append([]string(nil), row.args...), dir: t.TempDir()}
	write(t, c.dir+"/in/a.txt", "one two\n")
	write(t, c.dir+"/in/b.txt", "two three\n")
	write(t, c.dir+"/in.txt", "good\nbetter\nbad\nrest\n")
	write(t, c.dir+"/foreign/mine.txt", "precious\n")
	if row.setup != nil {
		row.setup(t, c)
	}
	for i := range c.args {
		c.args[i] = strings.ReplaceAll(c.args[i], "%D", c.dir)
	}
	r := c.run(t)
	first, rest, _ := strings.Cut(r.errout, "\n")
	for strings.HasPrefix(first, "map done") { // progress
		first, rest, _ = strings.Cut(rest, "\n")
	}
	if r.code != row.code || r.out != "" {
		t.Errorf("exit code %d, want %d; stdout %q, want nothing\nstderr: %s", r.code, row.code, r.out, r.errout)
	}
	for _, want := range row.want {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in the error: %s", want, first)
		}
	}
	if !strings.HasPrefix(first, "Error: ") || len(row.more) == 0 && rest != "" || strings.Contains(first, "file:///") {
		t.Errorf("not one clear line:\n%s", r.errout)
	}
	for _, want := range row.more {
		if strings.Count(r.errout, want) != 1 {
			t.Errorf("%q is there %d times, want once:\n%s", want, strings.Count(r.errout, want), r.errout)
		}
	}
	if row.after != nil {
		row.after(t, c)
	}
}

// absent checks that an output folder was left empty, or not made.
func absent(name string) func(*testing.T, *call) {
	return func(t *testing.T, c *call) {
		t.Helper()
		if got := names(t, filepath.Join(c.dir, name)); len(got) > 0 {
			t.Errorf("left in the output: %v", got)
		}
	}
}

func wordcount(args ...string) []string { return append([]string{"run", "wordcount"}, args...) }

var badInputs = []badRow{
	{name: "no such input", args: wordcount("inn", "-o", "out"), code: 1, want: []string{"/inn", "not found", "did you mean", "/in/"}},
	{name: "no such file", args: wordcount("in/a.tx", "-o", "out"), code: 1, want: []string{"/in/a.tx: not found", "did you mean", "a.txt"}},
	{name: "no such input to plan", args: []string{"plan", "wordcount", "inn"}, code: 1, want: []string{"/inn: not found", "did you mean"}},
	{name: "empty glob", args: wordcount("in/*.csv", "-o", "out"), code: 1, want: []string{"/in/*.csv", "the glob matches nothing"}},
	{name: "dangling link", args: wordcount("in/link", "-o", "out"), code: 1, want: []string{"/in/link", "not found"},
		setup: func(t *testing.T, c *call) { must(t, os.Symlink("nowhere", c.dir+"/in/link")) }},
	{name: "device", args: wordcount("/dev/null", "-o", "out"), code: 1, want: []string{"/dev/null", "not a regular file"}},
	{name: "unreadable file", args: wordcount("in", "-o", "%D/public/out"), code: 1, want: []string{"/in/a.txt", "denied"}, setup: unreadable},
	{name: "unknown scheme", args: wordcount("http://host/x", "-o", "out"), code: 1, want: []string{`unknown scheme "http://"`, "known are", "s3://"}},
	{name: "bad URL", args: wordcount("s3:/bucket/x", "-o", "out"), code: 2, want: []string{`"s3:/bucket/x"`, "write s3://"}},
	{name: "line over the limit", args: wordcount("long.txt", "-o", "out"), code: 1, after: absent("out"),
		want: []string{"/long.txt", "the line at byte 8 is longer than 67108864 bytes", "break the line"},
		setup: func(t *testing.T, c *call) {
			write(t, c.dir+"/long.txt", "1234567\n"+strings.Repeat("x", 64<<20+1)+"\n")
		}},
	{name: "half a record", args: []string{"run", "sort", "-p", "format=records", "in.txt", "-o", "out"}, code: 1,
		want: []string{"/in.txt", "21 bytes", "100-byte records"}},
}

// unreadable makes in/a.txt a file that the command's user may not read. Root may read everything, so root's tests run the
// command as another user.
func unreadable(t *testing.T, c *call) {
	must(t, os.Chmod(c.dir+"/in/a.txt", 0))
	must(t, os.Mkdir(c.dir+"/public", 0o777))
	must(t, os.Chmod(c.dir+"/public", 0o777))
	if os.Geteuid() == 0 {
		c.as = 65534
		open(t, c.dir)
	}
}

// open lets other users through to dir.
func open(t *testing.T, dir string) {
	for ; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var badOutputs = []badRow{
	{name: "no output", args: wordcount("in"), code: 2, want: []string{"no output", "-o OUTPUT"}},
	{name: "output not empty", args: wordcount("in", "-o", "foreign"), code: 1, want: []string{"/foreign", "not empty", "mine.txt", "choose another output"}},
	{name: "output finished", args: wordcount("in", "-o", "done"), code: 1, want: []string{"/done", "finished output already", "--overwrite"},
		setup: func(t *testing.T, c *call) { cli(t, c.dir, 0, "run", "wordcount", "in", "-o", "done") }},
	{name: "overwrite foreign files", args: wordcount("in", "-o", "foreign", "--overwrite"), code: 1,
		want: []string{"/foreign", "mine.txt", "no job wrote", "choose another output"},
		after: func(t *testing.T, c *call) {
			if b, err := os.ReadFile(c.dir + "/foreign/mine.txt"); err != nil || string(b) != "precious\n" {
				t.Errorf("the foreign file is %q, %v", b, err)
			}
		}},
	{name: "output inside input", args: wordcount("in", "-o", "in/out"), code: 1, want: []string{"/in/out", "lies inside the input", "choose a folder outside"}},
	{name: "input inside output", args: wordcount("in/", "-o", "."), code: 1, want: []string{"holds the input", "choose another folder"}},
	{name: "output is a file", args: wordcount("in", "-o", "in.txt"), code: 1, want: []string{"/in.txt", "it is a file", "choose a folder"}},
	{name: "cat of nothing", args: []string{"cat", "nothing"}, code: 1, want: []string{"/nothing", "no committed output", "_SUCCESS"}},
	{name: "cat of an input", args: []string{"cat", "in"}, code: 1, want: []string{"/in:", "no committed output"}},
}

var badWords = []badRow{
	{name: "unknown command", args: []string{"runn", "wordcount"}, code: 2, want: []string{`unknown command "runn"`, "did you mean run?"}},
	{name: "unknown job", args: []string{"run", "wordcont", "in", "-o", "out"}, code: 2, want: []string{`unknown job "wordcont"`, "did you mean wordcount?"}},
	{name: "unknown job to show", args: []string{"jobs", "gerp"}, code: 2, want: []string{`unknown job "gerp"`, "did you mean grep?"}},
	{name: "no job", args: []string{"run"}, code: 2, want: []string{"no job", "millrace jobs"}},
	{name: "no input", args: wordcount("-o", "out"), code: 2, want: []string{"no input", "name files"}},
	{name: "unknown parameter", args: wordcount("in", "-o", "out", "-p", "min-lenth=2"), code: 2, want: []string{`unknown parameter "min-lenth"`, "did you mean min-length?"}},
	{name: "bad parameter value", args: wordcount("in", "-o", "out", "-p", "min-length=x"), code: 2, want: []string{"min-length", `"x" is not a whole number`}},
	{name: "value of no use", args: wordcount("in", "-o", "out", "-p", "min-length=0"), code: 2, want: []string{"min-length", "1 letter at least"}},
	{name: "parameter without value", args: wordcount("in", "-o", "out", "-p", "lower"), code: 2, want: []string{`"lower"`, "NAME=VALUE"}},
	{name: "missing parameter", args: []string{"run", "grep", "in", "-o", "out"}, code: 2, want: []string{"job grep", "pattern is missing", "pattern=STRING"}},
	{name: "bad pattern", args: []string{"run", "grep", "in", "-o", "out", "-p", "pattern=a("}, code: 2, want: []string{"job grep", `"a("`, "missing closing )"}},
	{name: "bad size", args: wordcount("in", "-o", "out", "--split-size", "12Q"), code: 2, want: []string{`"12Q"`, "--split-size", "64MiB"}},
	{name: "too little memory", args: wordcount("in", "-o", "out", "--memory", "1000"), code: 2, want: []string{"--memory", "give at least"}},
	{name: "zero reducers", args: wordcount("in", "-o", "out", "--reducers", "0"), code: 2, want: []string{`"0"`, "--reducers", "give 1 or more, since each writes one part"}},
	{name: "negative reducers", args: wordcount("in", "-o", "out", "--reducers", "-1"), code: 2, want: []string{`"-1"`, "give 1 or more"}},
	{name: "reducers in words", args: wordcount("in", "-o", "out", "--reducers", "two"), code: 2, want: []string{`"two"`, "give 1 or more"}},
	{name: "too many reducers", args: wordcount("in", "-o", "out", "--reducers", "1000000"), code: 2, want: []string{"reducers 1000000", "at most 10000"}},
	{name: "zero workers", args: wordcount("in", "-o", "out", "--workers", "0"), code: 2, want: []string{"--workers", "1 or more"}},
	{name: "negative slots", args: wordcount("in", "-o", "out", "--slots", "-2"), code: 2, want: []string{"--slots", "1 or more"}},
	{name: "bad compression", args: wordcount("in", "-o", "out", "--compression", "gz"), code: 2, want: []string{`compression "gz"`, "none, lz4 or zstd"}},
	{name: "bad shuffle", args: wordcount("in", "-o", "out", "--shuffle", "mail"), code: 2, want: []string{`shuffle "mail"`, "local or bucket"}},
	{name: "unknown flag", args: wordcount("in", "-o", "out", "--fast"), code: 2, want: []string{"unknown flag: --fast", "millrace run --help"}},
	{name: "bad flag in the environment", args: wordcount("in", "-o", "out"), code: 2, want: []string{"MILLRACE_REDUCERS", `"none"`, "give 1 or more"},
		setup: func(_ *testing.T, c *call) { c.env = []string{"MILLRACE_REDUCERS=none"} }},
	{name: "bad format", args: []string{"cat", "in", "--format", "xml"}, code: 2, want: []string{"--format xml", "table, csv, ndjson, raw"}},
	{name: "negative limit", args: []string{"cat", "in", "--limit", "-1"}, code: 2, want: []string{"--limit -1", "0 for all rows"}},
	{name: "cat of two", args: []string{"cat", "in", "out"}, code: 2, want: []string{`what is "out"?`, "millrace cat OUTPUT"}},
	{name: "unknown kind of data", args: []string{"gen", "noise"}, code: 2, want: []string{"gen noise", "use one of text, records"}},
	{name: "arguments of version", args: []string{"version", "2"}, code: 2, want: []string{`what is "2"?`, "no arguments"}},
	{name: "submit without master", args: []string{"submit", "wordcount", "in", "-o", "out"}, code: 2, want: []string{"no master", "--master HOST:PORT", "MILLRACE_MASTER"}},
	{name: "bad master address", args: []string{"submit", "wordcount", "in", "-o", "out", "--master", "somewhere"}, code: 2, want: []string{"--master somewhere", "HOST:PORT"}},
	{name: "bad job id", args: []string{"submit", "wordcount", "in", "-o", "out", "--id", "../x", "--master", "h:1"}, code: 2, want: []string{"--id ../x", "32 hexadecimal digits"}},
	{name: "open to the world", args: []string{"master", "--listen", "0.0.0.0:0"}, code: 2, want: []string{"--listen 0.0.0.0:0", "loopback addresses only"}},
	{name: "master without a folder", args: []string{"master", "--listen", "127.0.0.1:0"}, code: 2, want: []string{"--listen 127.0.0.1:0", "--data-dir"}},
	{name: "two of --masters", args: []string{"master", "--masters", "127.0.0.1:1,127.0.0.1:3"}, code: 2, want: []string{"--masters: 2 masters", "give three"}},
	{name: "--masters side by side", args: []string{"master", "--masters", "127.0.0.1:7800,127.0.0.1:7801,127.0.0.1:7802"}, code: 2, want: []string{"--masters: ", "would listen at 127.0.0.1:7801", "HOST:PORT/PEERPORT"}},
	{name: "not among --masters", args: []string{"master", "--masters", "127.0.0.1:1,127.0.0.1:3,127.0.0.1:5"}, code: 2, want: []string{"127.0.0.1:7800, this master, is not among them", "--advertise"}},
	{name: "--masters elsewhere", args: []string{"master", "--listen", "127.0.0.1:0", "--data-dir", "%D/new", "--advertise", "h:1", "--masters", "h:1,h:3,h:5"}, code: 1, want: []string{"--peer-ca"}},
	{name: "--peer-ca alone", args: []string{"master", "--peer-ca", "ca.pem"}, code: 2, want: []string{"--peer-ca", "--masters"}},
	{name: "--etcd with a folder", args: []string{"master", "--etcd", "127.0.0.1:1", "--data-dir", "d"}, code: 2, want: []string{"--etcd", "leave --data-dir"}},
	{name: "--etcd-ca alone", args: []string{"master", "--etcd-ca", "ca.pem"}, code: 2, want: []string{"--etcd-ca", "name it with --etcd"}},
	{name: "--etcd elsewhere", args: []string{"master", "--listen", "127.0.0.1:0", "--etcd", "10.0.0.1:2379"}, code: 1, want: []string{"10.0.0.1:2379", "--etcd-ca"}},
	{name: "snapshots of an outside etcd", args: []string{"master", "--etcd", "127.0.0.1:1", "--snapshots", "%D/new"}, code: 2, want: []string{"--snapshots", "etcdctl snapshot save"}},
	{name: "snapshots in the data directory", args: []string{"master", "--data-dir", "%D/new", "--snapshots", "%D/new/snapshots"}, code: 2, want: []string{"/new/snapshots: it lies in the data directory", "elsewhere"}},
	{name: "a term out of reach", args: []string{"master", "--data-dir", "%D/new", "--bump-term", "1000000000000"}, code: 2, want: []string{"--bump-term 1000000000000", "999999999999 at most"}},
	{name: "snapshots to a file", args: []string{"master", "--data-dir", "%D/new", "--snapshots", "%D/in.txt"}, code: 2, want: []string{"--snapshots", "in.txt: it is a file", "give a folder"}},
	{name: "snapshots too often", args: []string{"master", "--snapshots", "%D/new", "--snapshot-every", "1ms"}, code: 2, want: []string{"--snapshot-every 1ms", "1s or more"}},
	{name: "snapshots to nowhere", args: []string{"master", "--snapshots-kept", "3"}, code: 2, want: []string{"--snapshots-kept", "where they go with --snapshots"}},
	{name: "no snapshots kept", args: []string{"master", "--snapshots", "%D/new", "--snapshots-kept", "0"}, code: 2, want: []string{"--snapshots-kept", "1 or more"}},
	{name: "snapshots by telegraph", args: []string{"master", "--listen", "127.0.0.1:0", "--data-dir", "%D/new", "--snapshots", "tele://graph"}, code: 1, want: []string{"tele://", "s3://"}},
	{name: "restore nothing", args: []string{"master", "restore"}, code: 2, want: []string{"no SNAPSHOT", "millrace master restore SNAPSHOT"}},
	{name: "restore from telegraph", args: []string{"master", "restore", "tele://graph", "--data-dir", "%D/new"}, code: 2, want: []string{"tele://", "s3://"}},
	{name: "restore what is none", args: []string{"master", "restore", "%D/in.txt", "--data-dir", "%D/new"}, code: 1, want: []string{"/in.txt", "the snapshot is damaged", "no snapshot's length"}},
	{name: "restore from an empty folder", args: []string{"master", "restore", "%D/empty", "--data-dir", "%D/new"}, code: 1, want: []string{"no cluster keeps its snapshots there", "/empty/cluster.json"}},
	{name: "restore over something", args: []string{"master", "restore", "%D/in.txt", "--data-dir", "%D/in"}, code: 1, want: []string{"/in: it is not empty", "--data-dir"}},
	{name: "snapshots of nobody", args: []string{"master", "snapshots", "%D/empty"}, code: 1, want: []string{"no cluster keeps its snapshots there"}},
	{name: "list a snapshot", args: []string{"master", "snapshots", "%D/in.txt"}, code: 1, want: []string{"is a snapshot", "millrace master restore"}},
	{name: "master on a foreign folder", args: []string{"master", "--listen", "127.0.0.1:0", "--data-dir", "%D/in"}, code: 1, want: []string{"not a data directory", "/in holds ", "--data-dir"}},
	{name: "master on a file", args: []string{"master", "--listen", "127.0.0.1:0", "--data-dir", "%D/in.txt"}, code: 1, want: []string{"/in.txt", "--data-dir"}},
	{name: "cluster at no address", args: []string{"cluster", "--listen", "here"}, code: 2, want: []string{"--listen here", "HOST:PORT"}},
	{name: "two masters", args: []string{"cluster", "--masters", "2"}, code: 2, want: []string{"--masters 2", "give 1, 3 or 5", "of 2 no more may die than of 1"}},
	{name: "four masters", args: []string{"cluster", "--masters", "4"}, code: 2, want: []string{"--masters 4", "of 4 no more may die than of 3"}},
	{name: "seven masters", args: []string{"cluster", "--masters", "7"}, code: 2, want: []string{"--masters 7", "give 1, 3 or 5"}},
	{name: "no ports for masters", args: []string{"cluster", "--masters", "5", "--listen", "127.0.0.1:65527"}, code: 2, want: []string{"--listen 127.0.0.1:65527", "at most 65526"}},
	{name: "masters kept nowhere", args: []string{"cluster", "--masters", "3", "--listen", "127.0.0.1:0", "--data-dir", "%D/new"}, code: 2, want: []string{"--listen 127.0.0.1:0: give a port", "/new needs the same"}},
	{name: "three masters on one's folder", args: []string{"cluster", "--masters", "3", "--data-dir", "%D/in"}, code: 2, want: []string{"--data-dir ", "/in: it is the data directory of a single master"},
		setup: func(t *testing.T, c *call) { write(t, c.dir+"/in/millrace.json", "{}") }},
}

// bad runs a job of the test program badjobs over in.txt.
func bad(job string, args ...string) badRow {
	return badRow{
		name: "job " + job, args: append([]string{"run", job, "in.txt", "-o", "out"}, args...), code: 1, after: absent("out"),
		setup: func(_ *testing.T, c *call) { c.bin = binaries.badjobs },
	}
}

func (row badRow) saying(want ...string) badRow {
	row.want = append([]string{"job failed: " + row.args[1] + " "}, want...)
	return row
}

func (row badRow) and(more ...string) badRow {
	row.more = more
	return row
}

var badJobs = []badRow{
	bad("fail").saying("map-00000 failed 4 times", "/in.txt at byte 12", `cannot parse "bad"`),
	bad("panic").saying("map-00000 failed 4 times", "/in.txt at byte 12", "panic: the map of the world is wrong at bad").
		and("main.panicked", "badjobs/main.go:55"),
	bad("lines").saying("map-00000 failed 4 times", "/in.txt at byte 12", "first line").and("second line of bad"),
	bad("reduce-fail").saying("reduce-00000 failed 4 times", `reduce key "bad"`, `cannot parse "bad"`),
	bad("reduce-panic").saying("reduce-00000 failed 4 times", `reduce key "bad"`, "panic: the map of the world").and("main.panicked"),
	bad("rewrite", "-p", "path=%D/in.txt", "--split-size", "5", "--slots", "1").saying("input changed during the job", "/in.txt", "run the job again"),
	bad("rewrite").missing(),
}

func (row badRow) missing() badRow {
	row.name, row.code, row.want = "parameter of an own job", 2, []string{"job rewrite", "path is missing", "file to change"}
	return row
}

var badMachines = []badRow{
	{name: "no master there", args: []string{"list"}, code: 3, want: []string{"no master reached", "127.0.0.1:", "is it running?"}, setup: closedMaster},
	{name: "no master to submit to", args: []string{"submit", "wordcount", "in", "-o", "out"}, code: 3, want: []string{"no master reached"}, setup: closedMaster},
	{name: "endpoint down", args: wordcount("s3://bucket/x", "-o", "out"), code: 1, want: []string{"s3://bucket/x", "unreachable", "http://127.0.0.1:"},
		setup: func(t *testing.T, c *call) {
			c.env = []string{"AWS_ENDPOINT_URL_S3=http://" + closedAddress(t), "AWS_ACCESS_KEY_ID=someone", "AWS_SECRET_ACCESS_KEY=hidden-secret", "AWS_REGION=us-east-1"}
		}},
	{name: "no temporary folder", args: wordcount("in", "-o", "out", "--temp-dir", "%D/in.txt"), code: 1, want: []string{"temporary folder", "/in.txt", "--temp-dir"}},
	{name: "disk full in the temporary folder", args: wordcount("in.txt", "-o", "out", "--temp-dir", "%D/small"), code: 1,
		want: []string{"job failed: wordcount ", "map-00000 failed 4 times", "no space left on device", "/small/"}, setup: smallDisk, after: absent("out")},
}

func closedMaster(t *testing.T, c *call) { c.args = append(c.args, "--master", closedAddress(t)) }

// closedAddress is a loopback address where nobody listens.
func closedAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// smallDisk mounts a file system of 16 KiB and makes an input with more words than fit.
func smallDisk(t *testing.T, c *call) {
	dir := c.dir + "/small"
	must(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("LEFT OUT: disk full in the temporary folder: mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "%s\n", letters(i*7919))
	}
	write(t, c.dir+"/in.txt", b.String())
}

// letters is a word for a number.
func letters(n int) string {
	var b []byte
	for ; n > 0; n /= 26 {
		b = append(b, byte('a'+n%26))
	}
	return string(b)
}

// TestBadBucket proves the same for a real S3 server: a bucket that is missing, and credentials that are wrong.
func TestBadBucket(t *testing.T) {
	t.Parallel()
	s := servers.MinIO(t)
	bucket := s.NewBucket(t)
	wrong := append(s.Env(), "AWS_SECRET_ACCESS_KEY=not-the-secret")
	for _, row := range []badRow{
		{name: "bucket missing", args: wordcount("s3://no-such-bucket/x", "-o", "out"), want: []string{"s3://no-such-bucket/x", "bucket"}},
		{name: "bucket of the output missing", args: wordcount("in", "-o", "s3://no-such-bucket/x"), want: []string{"s3://no-such-bucket/x", "bucket"}},
		{name: "no such object", args: wordcount("s3://"+bucket+"/x", "-o", "out"), want: []string{"s3://" + bucket + "/x", "not found"}},
		{name: "empty glob", args: wordcount("s3://"+bucket+"/*.log", "-o", "out"), want: []string{"s3://" + bucket + "/*.log", "the glob matches nothing"}},
		{name: "wrong credentials", args: wordcount("s3://"+bucket+"/x", "-o", "out"), want: []string{"s3://" + bucket + "/x", "denied"},
			setup: func(_ *testing.T, c *call) { c.env = wrong }},
		{name: "no credentials", args: wordcount("s3://"+bucket+"/x", "-o", "out"), want: []string{"access denied", "AWS_ACCESS_KEY_ID"},
			setup: func(_ *testing.T, c *call) { c.env = []string{"AWS_ENDPOINT_URL_S3=" + s.Endpoint, "HOME=" + c.dir} }},
	} {
		row.code = 1
		if row.setup == nil {
			row.setup = func(_ *testing.T, c *call) { c.env = s.Env() }
		}
		t.Run(row.name, row.check)
	}
}
