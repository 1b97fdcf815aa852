package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proves that the demonstration shows a job done on a bucket and says how to go on; that a step that fails ends it with the
// reason; that Ctrl-C is no fault and ends it in time; and that no file is left in any case.
func TestDemo(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "millrace")
	if text, err := exec.Command("go", "build", "-o", bin, "../../millrace").CombinedOutput(); err != nil {
		t.Fatalf("build millrace: %v\n%s", err, text)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1") // the demonstration has a store of its own
	t.Setenv("MILLRACE_MASTER", "127.0.0.1:1")            // and a cluster
	for _, c := range []struct {
		name       string
		objectSize int64
		stopAt     string // what it has written when it is interrupted
		err        string // what its error says
		written    []string
	}{
		{"to its end", 1 << 20, "cat s3://demo/words", "", []string{
			"2 objects of 1MiB", "a master at 127.0.0.1:", "wordcount committed", "2.1 MB in 2 objects", "export AWS_SECRET_ACCESS_KEY=",
			"export MILLRACE_MASTER=", "Ending it all.",
		}},
		{"a step fails", -1, "never", "generate text", nil},
		{"interrupted", 1 << 20, "data  ", context.Canceled.Error(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &until{text: c.stopAt, then: cancel}
			begun := time.Now()
			err := run(ctx, options{
				Millrace: bin, Workers: 2, Objects: 2, ObjectSize: c.objectSize, Wait: true, Out: out, Err: out,
			})
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got error %v, want %q\n%s", err, c.err, out.String())
			}
			for _, want := range c.written {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in\n%s", want, out.String())
				}
			}
			if took := time.Since(begun); took > readyWithin+2*stopGrace {
				t.Errorf("it took %v", took)
			}
			empty(t, temp)
		})
	}
}

// empty fails the test if something lies in dir.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s is left", e.Name())
	}
}

// until calls then once it has been written text. Several processes may write to it at a time.
type until struct {
	bytes.Buffer
	mu   sync.Mutex
	text string
	then func()
}

func (u *until) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, err := u.Buffer.Write(p)
	if strings.Contains(u.String(), u.text) {
		u.then()
	}
	return n, err
}
