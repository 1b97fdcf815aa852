package console

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/arrowfile"
)

var update = flag.Bool("update", false, "rewrite the golden texts")

// golden compares text with testdata/name.txt.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the text is\n%s\nwant that of %s:\n%s\n(go test -update rewrites it)", got, path, want)
	}
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fakeClock is moved by hand.
type fakeClock struct{ at time.Time }

func (c *fakeClock) now() time.Time          { return c.at }
func (c *fakeClock) advance(d time.Duration) { c.at = c.at.Add(d) }

// finished is a committed job as the master reports it.
func finished() wire.JobStatus {
	return wire.JobStatus{
		ID: "5f0c9e1ab2d34c6e8f7a6b5c4d3e2f10", Job: "wordcount", State: wire.Done,
		Params: map[string]string{"min": "3", "lower": "true"},
		Inputs: []string{"s3://logs/2026/*.gz", "file:///data/more text"}, Output: "file:///tmp/words",
		Submitted: start, Ended: start.Add(5210 * time.Millisecond),
		Map:     wire.PhaseStatus{Tasks: 18, Done: 18, Bytes: 1_800_000_000, BytesDone: 1_800_000_000},
		Reduce:  wire.PhaseStatus{Tasks: 4, Done: 4, Bytes: 34_500_000, BytesDone: 34_500_000},
		Workers: 4, Retries: 1, Objects: 12,
		InBytes: 1_800_000_000, Records: 23_456_789, Pairs: 1_234_567, Shuffled: 34_500_000, Spilled: 12_000_000,
		Rows: 123_456, OutBytes: 4_500_000, NumParts: 4,
		Outputs: []wire.OutputStatus{{Name: "errors", Parts: 3, Rows: 17, Bytes: 5_100}, {Name: "strange"}},
		Parts: []string{"file:///tmp/words/part-00000.arrow", "file:///tmp/words/part-00001.arrow",
			"file:///tmp/words/part-00002.arrow", "file:///tmp/words/part-00003.arrow"},
		Counters: map[string]int64{"words": 98_765_432, "bad lines": 12},
		Warnings: []string{"its tasks count under more than 1000 names"},
	}
}

// running is a job that is done with n tenths of its maps, and of its reduces once the maps are done.
func running(n int) wire.JobStatus {
	st := finished()
	st.State, st.Ended, st.NumParts, st.Parts = wire.Running, time.Time{}, 0, nil
	maps, reduces := min(n, 10), max(0, n-10)
	st.Map = wire.PhaseStatus{Tasks: 10, Done: maps, Running: min(4, 10-maps), Bytes: 1e9, BytesDone: int64(maps) * 1e8}
	st.Shuffled = int64(maps) * 5e7
	st.Reduce = wire.PhaseStatus{Tasks: 10, Done: reduces, Bytes: st.Shuffled, BytesDone: int64(reduces) * 5e7}
	st.Retries = 0
	return st
}

func wordSchema() arrowfile.Schema {
	return arrowfile.Schema{Fields: []arrowfile.Field{
		{Name: "word", Type: arrowfile.TypeString}, {Name: "n", Type: arrowfile.TypeInt64}}}
}

func textColumn(values ...string) arrowfile.Column {
	c := arrowfile.Column{Offsets: []int32{0}}
	for _, v := range values {
		c.Data = append(c.Data, v...)
		c.Offsets = append(c.Offsets, int32(len(c.Data)))
	}
	return c
}

func int64Column(values ...int64) arrowfile.Column {
	var c arrowfile.Column
	for _, v := range values {
		c.Data = binary.LittleEndian.AppendUint64(c.Data, uint64(v))
	}
	return c
}

func float64Column(values ...float64) arrowfile.Column {
	var c arrowfile.Column
	for _, v := range values {
		c.Data = binary.LittleEndian.AppendUint64(c.Data, math.Float64bits(v))
	}
	return c
}

func words(values ...string) arrowfile.Batch {
	numbers := make([]int64, len(values))
	for i := range values {
		numbers[i] = int64(i) * 1000
	}
	return arrowfile.Batch{Rows: len(values), Columns: []arrowfile.Column{textColumn(values...), int64Column(numbers...)}}
}
