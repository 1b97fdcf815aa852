package records

import (
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// readBoth decodes a block by Tasks and by Read into a used Batch, and compares them.
func readBoth(t testing.TB, plain, batched *Reader, b *Batch, body []byte) error {
	t.Helper()
	n := 0
	err := batched.Read(body, b)
	want := plain.Tasks(body, func(at time.Time, rec sched.Record, o *wire.Outcome) error {
		if n >= len(b.Records) || b.Records[n] != rec || !reflect.DeepEqual(b.Outcomes[n], o) || !b.At.Equal(at) {
			t.Errorf("record %d of a batch is not %+v %+v", n, rec, o)
		}
		n++
		return nil
	})
	if n != len(b.Records) || len(b.Outcomes) != n || (err == nil) != (want == nil) || err != nil && err.Error() != want.Error() {
		t.Errorf("a batch has %d records, %v; want %d, %v", len(b.Records), err, n, want)
	}
	return err
}

// A Batch that is used again and again holds what Tasks yields of each block, whatever was in it before: other counters and fields,
// more records or fewer.
func TestBatch(t *testing.T) {
	t.Parallel()
	m := &maker{rand.New(rand.NewPCG(7, 1)), "", 20}
	var items []item
	for i := range 2000 {
		it := m.item(sched.Phase(1+i%2), i)
		switch i % 50 {
		case 10:
			it.o.Counters = nil
		case 20:
			it.o.Counters = map[string]int64{"alone": int64(i)}
		case 30:
			it.o.Counters = maps.Clone(it.o.Counters)
			it.o.Counters["more"] = 1
		case 40:
			it.o.FirstRejected, it.o.Spilled = []string{"bad record"}, 7
		}
		items = append(items, it)
	}
	plain, batched, b := NewReader(job), NewReader(job), new(Batch)
	for _, perBlock := range []int{300, 7, 1000} {
		blocks, _ := roundTrip(t, items, perBlock)
		for i, block := range blocks {
			_, body, err := NewCodec().Open(block)
			if err == nil {
				err = readBoth(t, plain, batched, b, body)
			}
			if err != nil || t.Failed() {
				t.Fatalf("block %d of %d: %v", i, perBlock, err)
			}
		}
	}
}

// What a Batch hands out of a block stays as it is when others are read by the same Reader without it; a damaged block is an error,
// with the records before the damage.
func TestBatchAndDamage(t *testing.T) {
	t.Parallel()
	m := &maker{rand.New(rand.NewPCG(8, 1)), "", 20}
	blocks, want := roundTrip(t, []item{m.item(sched.Map, 0), m.item(sched.Map, 1), m.item(sched.Map, 2)}, 2)
	c := NewCodec()
	r, b := NewReader(job), new(Batch)
	_, body, err := c.Open(blocks[0])
	if err == nil {
		err = r.Read(body, b)
	}
	if err != nil || len(b.Outcomes) != 2 {
		t.Fatalf("%d outcomes, %v", len(b.Outcomes), err)
	}
	if _, body, err = c.Open(blocks[1]); err != nil {
		t.Fatal(err)
	}
	if err := r.Tasks(body, func(time.Time, sched.Record, *wire.Outcome) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(b.Outcomes[0], want[0].o) || !reflect.DeepEqual(b.Outcomes[1], want[1].o) {
		t.Errorf("the batch holds %+v and %+v now", b.Outcomes[0], b.Outcomes[1])
	}
	_, body, _ = c.Open(blocks[0])
	if err := NewReader(job).Read(body[:len(body)-3], b); !errors.Is(err, ErrDamaged) || len(b.Records) != 1 {
		t.Errorf("a block that is cut off: %d records, %v", len(b.Records), err)
	}
}
