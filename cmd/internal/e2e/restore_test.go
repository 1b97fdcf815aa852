package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/master/etcdha/backup"
	"github.com/millrace/millrace/master/wire"
)

// A master whose disk is lost in the middle of a job is refused with an empty data directory. Restored from a snapshot that is older
// than its last term it is refused until that is said to be meant, and then goes on with the job: what was done when the snapshot was
// taken does not run again, the workers are the same ones, and the result is the oracle's.
func TestRestoreMaster(t *testing.T) {
	ctx := processes(t)
	w := killWordcount(t, smallSize/8)
	k, c := stageCluster(ctx, t, w, 2)
	bucket := k.p.root + "/snapshots"
	c.more = []string{"--snapshots", bucket, "--snapshot-every", "1s"}
	if err := c.master.Kill(); err != nil {
		t.Fatal(err)
	}
	c.startMaster(ctx) // with snapshots

	out := k.p.root + "/out"
	id := c.submit(ctx, w, k.options(out, 25_000))
	s := c.await(ctx, id, "a third of the maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/3 })
	done, after := s.Map.Done, time.Now()
	var old *backup.Snapshot
	until(ctx, t, "a snapshot knows of them", func() bool {
		f, err := backup.Find(ctx, k.p.store, bucket)
		if err != nil {
			t.Fatal(err)
		}
		old = f.Snapshot
		return old != nil && old.Taken.After(after)
	})
	if err := c.master.Kill(); err != nil {
		t.Fatal(err)
	}
	c.startMaster(ctx)
	if s := c.await(ctx, id, "the next master leads", func(*wire.JobStatus) bool { return true }); !s.Ended.IsZero() {
		t.Fatal("the job has ended already: it proves nothing")
	}
	if err := c.master.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(c.data); err != nil {
		t.Fatal(err)
	}

	bump := fmt.Sprint(old.Term + 1) // the last term
	master := append([]string{"master", "--listen", c.addr, "--data-dir", c.data}, c.more...)
	c.refused(ctx, master, "would be forgotten", "millrace master restore "+bucket)
	restored, err := c.run(ctx, "master", "restore", old.URL, "--data-dir", c.data)
	if err != nil || !strings.Contains(restored, "--bump-term "+bump+"\n") {
		t.Fatalf("restore: %v\n%s", err, restored)
	}
	c.refused(ctx, master, "older", "--bump-term "+bump+" once")
	c.more = append(slices.Clone(c.more), "--bump-term", bump)
	c.startMaster(ctx)
	c.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	e, err := c.client.Explain(ctx, &wire.ExplainArgs{Job: id})
	if err != nil {
		t.Fatal(err)
	}
	if e.Missing < done {
		t.Errorf("%d tasks had ended before the snapshot, but only %d were not run again", done, e.Missing)
	}
	t.Logf("%d of %d tasks were not run again", e.Missing, s.Map.Tasks+s.Reduce.Tasks)
	c.wantNoTemp()
}

// run runs a command of the binary to its end.
func (c *cluster) run(ctx context.Context, args ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, c.bin, args...)
	var b bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &b, &b
	err = cmd.Run()
	return b.String(), err
}

// refused runs a command that must fail and say all of these things.
func (c *cluster) refused(ctx context.Context, args []string, texts ...string) {
	c.t.Helper()
	output, err := c.run(ctx, args...)
	if err == nil {
		c.t.Fatalf("millrace %q ended well", args)
	}
	for _, text := range texts {
		if !strings.Contains(output, text) {
			c.t.Errorf("millrace %q says\n%s\nand not %q", args, output, text)
		}
	}
}
