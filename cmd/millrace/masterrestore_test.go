package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A master's snapshots are listed, the newest is restored, and what is printed is the command that starts a master on it; a folder
// with a state is left alone.
func TestSnapshotCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, bucket := filepath.Join(dir, "data"), filepath.Join(dir, "bucket")
	p := startProcess(t, "master", "master", "--listen", "127.0.0.1:0", "--data-dir", data, "--snapshots", bucket, "--snapshot-every", "1s")
	for log := ""; !strings.Contains(log, "snapshot taken"); {
		select {
		case <-p.Done():
			t.Fatalf("it ended: %v", p.Err())
		case <-time.After(10 * time.Millisecond):
		}
		b, err := os.ReadFile(p.Log)
		must(t, err)
		log = string(b)
	}
	must(t, p.Kill())
	must(t, filepath.WalkDir(bucket, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others than the user can get at %s: %v", name, info.Mode())
		}
		return err
	}))
	list := cli(t, dir, 0, "master", "snapshots", bucket)
	row := regexp.MustCompile(`(?m)^cluster [0-9a-f]{32}, last term 1, which 127\.0\.0\.1:\d+ began at \S+Z\nTAKEN +TERM +REVISION +SIZE +URL\n(\S+Z)  1 +\d+ +\d+ kB  ` +
		regexp.QuoteMeta(bucket) + `/[0-9a-f]{32}/snapshot-0000\S+\n`)
	if !row.MatchString(list.out) || list.errout != "" {
		t.Fatalf("the list is\n%s%s", list.out, list.errout)
	}
	if r := cli(t, dir, 1, "master", "restore", bucket, "--data-dir", data); !strings.Contains(r.errout, "it is not empty, it holds etcd") || r.out != "" {
		t.Errorf("over a state: %+v", r)
	}
	must(t, os.RemoveAll(data))
	r := cli(t, dir, 0, "master", "restore", bucket, "--data-dir", data)
	start := "\n  millrace master --data-dir " + data + " --snapshots " + bucket + "/\n"
	if !strings.HasSuffix(r.out, start) || !strings.Contains(r.out, "last term  1\njobs       0") || r.errout != "" {
		t.Errorf("restored:\n%s%s", r.out, r.errout)
	}
	p = startProcess(t, "next", append(strings.Fields(start)[1:], "--listen", "127.0.0.1:0")...)
	_, err := p.FirstLine(t.Context())
	must(t, err)
	if left, err := filepath.Glob(filepath.Join(data, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left in the data directory: %v, %v", left, err)
	}
}

// The command that restore prints means to a shell what it says, whatever the folders' names are.
func TestShellWord(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"/var/lib/millrace", "my data", "it's", "$HOME", "a;b", "*", "", "s3://bucket/x-1_2"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellWord(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q is %q to a shell, %v", text, out, err)
		}
	}
	if got := shellWord("/var/lib/millrace"); got != "/var/lib/millrace" {
		t.Errorf("a plain name is printed as %s", got)
	}
}
