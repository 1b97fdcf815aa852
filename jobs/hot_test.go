package jobs

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The hot keys of a reduce task are those with the most pairs, whatever the order of their sizes, whether or not the function
// looks at the values, and wherever the batches end.
func TestHotKeys(t *testing.T) {
	t.Parallel()
	job := New("hot", func(string, func(string, int64)) error { return nil }, func(_ string, ns Values[int64], emit func(struct{ N int64 })) error {
		for n := range ns.All() {
			if n == 1 {
				break // the rest of the group is left
			}
		}
		return nil
	})
	code, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 0))
		var want []HotKey
		var batches [][]byte
		pairs := int64(0)
		for i := range 60 {
			n := 1 + r.IntN(20)
			switch seed {
			case 0:
				n = i + 1
			case 1:
				n = 60 - i
			}
			key := fmt.Sprintf("key %02d", i)
			want = append(want, HotKey{fmt.Sprintf("%q", key), int64(n)})
			pairs += int64(n)
			for j := range n {
				value := codecInt(int64(j))
				if len(batches) == 0 || r.IntN(7) == 0 {
					batches = append(batches, AppendPair(nil, []byte(key), value))
				} else if b := &batches[len(batches)-1]; j > 0 {
					*b = AppendSame(*b, value)
				} else {
					*b = AppendPair(*b, []byte(key), value)
				}
			}
		}
		slices.SortStableFunc(want, func(a, b HotKey) int { return int(b.Pairs - a.Pairs) })
		task := new(Task)
		if err := code.Reduce(context.Background(), task, &batchSource{batches}, noRows{}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(task.Hot, want[:MaxHot]) || task.Records != pairs || task.Groups != 60 {
			t.Fatalf("seed %d: %d pairs of %d, got\n%v\nwant\n%v", seed, task.Records, pairs, task.Hot, want[:MaxHot])
		}
	}
}

// A long key is kept and printed in part.
func TestHotKeyIsCut(t *testing.T) {
	t.Parallel()
	var h HotKeys
	h.Add([]byte(strings.Repeat("x", 1<<20)), 3)
	got := h.List(func(b []byte) string { return string(b) })
	if len(h.top[0].key) != hotKeyBytes || len(got) != 1 || len(got[0].Key) > hotPrinted+3 || !strings.HasSuffix(got[0].Key, "x...") {
		t.Errorf("%d bytes are kept, and %v printed", len(h.top[0].key), got)
	}
}

// codecInt is an encoded int64 value.
func codecInt(n int64) []byte {
	p, err := newTyped(Inputs(From("in", func(string, func(string, int64)) error { return nil })), func(string, Values[int64], func(struct{ N int64 })) error { return nil }, new(settings))
	if err != nil {
		panic(err)
	}
	return newCoder[int64](p.values).append(nil, n)
}

type batchSource struct{ batches [][]byte }

func (s *batchSource) Next() ([]byte, error) {
	if len(s.batches) == 0 {
		return nil, io.EOF
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return b, nil
}

type noRows struct{}

func (noRows) Put(Columns) error { return nil }
