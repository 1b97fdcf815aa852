package e2e

import (
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/termvector"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// On a cluster of processes over a real S3 server each worker reads a side input with one GET, whatever the number of tasks; a
// worker that is killed and the one in its place change nothing of the result; and an object that is missing or too large is
// refused by the master.
func TestSideInputProcesses(t *testing.T) {
	ctx := processes(t)
	const workers = 2
	server := servers.MinIO(t)
	p := inBucket(t, "minio", server)
	books := []file{killInput(t, "text", smallSize/4)}
	w := workload{name: "vectors", job: termvector.Job(), reducers: 2, files: books, side: map[string]file{"stop-words": {"stop words.txt", books[0].data[:20_000]}}}
	in, err := w.write(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	w = w.in(p)
	want := undisturbed(ctx, t, w, p, in, 0)
	c := startCluster(ctx, t, server, workers)

	gets := func(w workload, out string) int64 {
		o := millrace.Options{Inputs: []string{in}, Output: p.root + out, SplitSize: 100_000, NoBackup: true}
		id := c.submit(ctx, w, o)
		if s := c.finish(ctx, id); s.Map.Tasks < 20 || s.Retries > 0 {
			t.Fatalf("%d map tasks, %d retries: the run proves nothing", s.Map.Tasks, s.Retries)
		}
		x, err := c.client.Explain(ctx, &wire.ExplainArgs{Job: id})
		if err != nil {
			t.Fatal(err)
		}
		return x.Tasks.Get
	}
	bare := w
	bare.params, bare.side = nil, nil
	if with, without := gets(w, "/with"), gets(bare, "/without"); with-without != workers {
		t.Errorf("%d GETs with a side input and %d without: %d workers should read it once each", with, without, workers)
	}
	if d := w.read(ctx, t, p, p.root+"/with").diff(want); d != "" {
		t.Error(d)
	}

	id := c.submit(ctx, w, millrace.Options{Inputs: []string{in}, Output: p.root + "/killed", SplitSize: 50_000})
	c.await(ctx, id, "some maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= 5 })
	c.replace(0)
	c.finish(ctx, id)
	if d := w.read(ctx, t, p, p.root+"/killed").diff(want); d != "" {
		t.Error(d)
	}
	c.wantNoTemp()

	for name, want := range map[string]string{
		p.root + "/nothing": "parameter stop-words: side input: stat " + p.root + "/nothing: not found (",
		in + "/":            "it names a folder, not an object",
	} {
		w.params["stop-words"] = name
		_, err := millrace.Run(ctx, w.job, millrace.Options{Inputs: []string{in}, Output: p.root + "/refused", Params: w.params, Store: p.store, TempDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}
