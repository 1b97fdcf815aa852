package console

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// What a replay says: the input, the figures, where the result lies, and whether it is the one before.
func TestReplay(t *testing.T) {
	t.Parallel()
	m := Replayed{
		Job: "wordcount", ID: "0123456789abcdef", Task: wire.TaskID{Phase: wire.Map, Index: 3}, Took: 310 * time.Millisecond,
		Outcome:  &wire.Outcome{Records: 4050, Counters: map[string]int64{"words": 40_000}, Map: &wire.MapResult{URL: "file:///tmp/again/map-00003.0.run", Size: 101_608, Checksum: 0xda2a540254b2e33f, Pairs: 9800}},
		Pieces:   []plan.Piece{{Object: plan.Object{URL: "s3://b/in.txt", Size: 3_000_000}, Offset: 900_000, Length: 300_000}},
		Verdicts: map[string]Verdict{"": {Known: true, Same: true, Of: "the run that the master selected"}},
	}
	packed := m
	packed.Pieces, packed.Verdicts = nil, map[string]Verdict{"": {Known: true, Of: "the run that the master selected", Was: "0000000000000001"}}
	for i := range 12 {
		packed.Pieces = append(packed.Pieces, plan.Piece{Object: plan.Object{URL: fmt.Sprint("file:///in/", i), Size: 10}, Length: 10})
	}
	r := Replayed{
		Job: "wordcount", ID: "0123456789abcdef", Task: wire.TaskID{Phase: wire.Reduce, Index: 1}, Took: 2 * time.Second, Maps: 1234,
		Outcome: &wire.Outcome{Records: 33_512, Reduce: &wire.ReduceResult{Groups: 6490}, Parts: []wire.Part{
			{Name: "part-00001.arrow", Pending: storage.Pending{URL: "s3://b/again/part-00001.arrow", Size: 128_498, CRC32C: 0x142bc8f4}, Rows: 6490},
		}},
		Verdicts: map[string]Verdict{"part-00001.arrow": {Known: true, Same: true, Of: "the part in the manifest"}},
	}
	var b bytes.Buffer
	for _, x := range []Replayed{m, packed, r} {
		if err := Replay(&b, x); err != nil {
			t.Fatal(err)
		}
	}
	if !m.Same() || packed.Same() || !r.Same() {
		t.Errorf("same: %v, %v and %v", m.Same(), packed.Same(), r.Same())
	}
	golden(t, "replay", b.Bytes())
}
