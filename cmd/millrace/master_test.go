package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The default data directory is one for each address, in the user's folder for state; without a fixed port there is none.
func TestDefaultDataDir(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, xdg, user, want string }{
		{"127.0.0.1:7800", "", "/u/ann", "/u/ann/.local/state/millrace/master-127.0.0.1-7800"},
		{"127.0.0.1:7801", "/s", "/u/ann", "/s/millrace/master-127.0.0.1-7801"},
		{"[::1]:7800", "relative", "/u/ann", "/u/ann/.local/state/millrace/master-..1-7800"},
		{"127.0.0.1:7800", "", "", "error: HOME is not set"},
		{"127.0.0.1:0", "/s", "/u/ann", "error: --data-dir"},
	} {
		got, err := defaultDataDir(c.listen, func(name string) string {
			return map[string]string{"XDG_STATE_HOME": c.xdg, "HOME": c.user}[name]
		})
		if want, bad := strings.CutPrefix(c.want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %q, %v", c, got, err)
			}
		} else if got != c.want || err != nil {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

// A second master on a folder that is in use is refused, and the first goes on.
func TestTwoMastersOneFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startProcess(t, "first", "master", "--listen", "127.0.0.1:0", "--data-dir", dir)
	addr, err := first.FirstLine(t.Context())
	must(t, err)
	r := cli(t, t.TempDir(), 1, "master", "--listen", "127.0.0.1:0", "--data-dir", dir)
	if !strings.Contains(r.errout, dir) || !strings.Contains(r.errout, "another process uses this data directory") {
		t.Errorf("the second master: %+v", r)
	}
	if got := cli(t, dir, 0, "list", "--master", addr); got.errout != "" && !strings.Contains(got.out+got.errout, "no jobs") {
		t.Errorf("list of the first: %+v", got)
	}
}

// A master on an older copy of its data directory is told to begin above the terms that workers have heard of, also right after the
// one before was killed.
func TestBumpTerm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addr := "127.0.0.1:0"
	for _, want := range []string{"term=1", "term=42", "term=43"} {
		args := []string{"master", "--listen", addr, "--data-dir", dir}
		if want == "term=42" {
			args = append(args, "--bump-term", "41")
		}
		p := startProcess(t, want, args...)
		_, err := p.FirstLine(t.Context())
		must(t, err)
		for log := ""; !strings.Contains(log, "msg=elected "+want+"\n"); {
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
	}
}
