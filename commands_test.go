package millrace

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/wordcount"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	streaming "github.com/millrace/millrace/worker/program/command"
)

// wordCommands count words as the job wordcount does, where words are of ASCII letters.
func wordCommands(more map[string]string) map[string]string {
	p := map[string]string{
		"mapper":  `tr -cs 'A-Za-z' '\n' | awk '/./ { print $0 "\t1" }'`,
		"reducer": `awk -F '\t' 'NR > 1 && $1 != key { print key "\t" n; n = 0 } { key = $1; n += $2 } END { if (NR > 0) print key "\t" n }'`,
		"columns": "word:string,n:int64",
	}
	maps.Copy(p, more)
	return p
}

// englishTexts are some objects of words.
func englishTexts() (objects []jobstest.Object) {
	for i := range 3 {
		var b strings.Builder
		for n := range 3000 {
			fmt.Fprintf(&b, "the %c%c and the%d, %s\n", 'a'+n%26, 'a'+(n*n+i)%26, i, strings.Repeat("o", n%11))
		}
		objects = append(objects, jobstest.Object{URL: fmt.Sprintf("mem://b/in/%d", i), Data: []byte(b.String())})
	}
	return objects
}

// partsOfRun runs a job and returns the bytes of its parts.
func partsOfRun(t *testing.T, job *jobs.Job, objects []jobstest.Object, o Options) (map[string][]byte, *JobStatus) {
	t.Helper()
	o.Store = storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
	for _, object := range objects {
		if err := o.Store.Put(t.Context(), object.URL, object.Data, false); err != nil {
			t.Fatal(err)
		}
	}
	o.Inputs, o.Output, o.TempDir = []string{"mem://b/in/"}, "mem://b/out", t.TempDir()
	status, err := Run(t.Context(), job, o)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(o.TempDir); len(left) > 0 || err != nil {
		t.Errorf("left in the workers' folder: %v, %v", left, err)
	}
	parts := map[string][]byte{}
	var names []string
	if err := o.Store.List(t.Context(), "mem://b/out/part-", func(i storage.Info) bool { names = append(names, i.URL); return true }); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		body, _, err := o.Store.Read(t.Context(), name, 0, -1, "")
		if err != nil {
			t.Fatal(err)
		}
		if parts[name], err = io.ReadAll(body); err != nil {
			t.Fatal(err)
		}
		_ = body.Close()
	}
	return parts, status
}

// A word count by commands gives the parts of the Go job, byte for byte, for every split size, number of workers, slots, reducers and
// memory budget, with and without a combiner, whether the runs lie with the workers or in the bucket.
func TestCommandsGiveTheSameParts(t *testing.T) {
	t.Parallel()
	objects := englishTexts()
	for _, o := range []Options{
		{Reducers: 3}, {SplitSize: 9000, Workers: 3, Slots: 2, Reducers: 2}, {SplitSize: 40_000, Slots: 4, Shuffle: "bucket"},
		{SplitSize: 1 << 20, Memory: 8 << 20, Slots: 2, Reducers: 5, Compression: "zstd"},
	} {
		for name, more := range map[string]map[string]string{"plain": nil, "combined": {"combiner": wordCommands(nil)["reducer"]}} {
			t.Run(fmt.Sprintf("%s split %d reducers %d", name, o.SplitSize, o.Reducers), func(t *testing.T) {
				t.Parallel()
				o := o
				want, wanted := partsOfRun(t, wordcount.Job(), objects, o)
				o.Params = wordCommands(more)
				got, status := partsOfRun(t, streaming.Job(), objects, o)
				if !maps.EqualFunc(got, want, bytes.Equal) {
					t.Errorf("%d parts differ from the %d of the Go job", len(got), len(want))
				}
				if status.Records != wanted.Records || status.Rows != wanted.Rows || status.Rows < 80 {
					t.Errorf("%d records, %d rows: want %d and %d", status.Records, status.Rows, wanted.Records, wanted.Rows)
				}
			})
		}
	}
}

// Memory for a fraction of the pairs makes spills and many calls of the combiner, and the same parts.
func TestCommandsSpill(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 140_000 {
		n := i % 70_000
		fmt.Fprintf(&b, "%s ", []byte{'k', 'a' + byte(n%26), 'a' + byte(n/26%26), 'a' + byte(n/676%26), 'a' + byte(n/17576), 'y'})
		if i%7 == 0 {
			b.WriteByte('\n')
		}
	}
	objects := []jobstest.Object{{URL: "mem://b/in/0", Data: []byte(b.String())}}
	o := Options{Reducers: 1, Slots: 1, Memory: 4 << 20}
	want, _ := partsOfRun(t, wordcount.Job(), objects, o)
	for name, combiner := range map[string]string{"without a combiner": "", "with one": wordCommands(nil)["reducer"], "with one that combines nothing": "cat"} {
		o.Params = wordCommands(map[string]string{"combiner": combiner})
		got, status := partsOfRun(t, streaming.Job(), objects, o)
		if !maps.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s: %d parts differ from the %d of the Go job", name, len(got), len(want))
		}
		if status.Rows != 70_000 { // more than a batch of rows has
			t.Errorf("%s: %d rows", name, status.Rows)
		}
		if status.Spilled == 0 {
			t.Errorf("%s: nothing was spilled", name)
		}
	}
}
