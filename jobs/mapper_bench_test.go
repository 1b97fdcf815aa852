package jobs

import (
	"context"
	"io"
	"testing"
)

// repeatBlocks yields one block so many times.
type repeatBlocks struct {
	block Block
	times int
}

func (r *repeatBlocks) Next() (Block, error) {
	if r.times == 0 {
		return Block{}, io.EOF
	}
	r.times--
	return r.block, nil
}

// reuseSink throws batches away and gives their memory back.
type reuseSink struct{ pairs int }

func (s *reuseSink) Put(b Pairs) (Pairs, error) {
	s.pairs += b.Count
	if b.Data == nil {
		b.Data = make([]byte, 0, batchBytes+64<<10)
	}
	return Pairs{Data: b.Data[:0], Partitions: b.Partitions[:0]}, nil
}

// fastWords is a tokenizer for ASCII text that costs next to nothing.
func fastWords(line string, emit func(string, int64)) error {
	start := 0
	for i := range len(line) {
		if line[i] == ' ' {
			if i > start {
				emit(line[start:i], 1)
			}
			start = i + 1
		}
	}
	if start < len(line) {
		emit(line[start:], 1)
	}
	return nil
}

type wordRow struct {
	Word string
	N    int64
}

func wordReduce(word string, ns Values[int64], emit func(wordRow)) error {
	emit(wordRow{word, Total(ns)})
	return nil
}

func benchmarkMap(b *testing.B, job *Job, block []byte) {
	prog, err := job.Bind(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	sink := &reuseSink{}
	in := &repeatBlocks{Block{Data: block}, 0}
	in.times = 1
	for b.Loop() {
		in.times = 8
		if err := prog.Map(context.Background(), &Task{Reducers: 4}, in, sink); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(8 * len(block)))
}

// BenchmarkMap is the whole of a map attempt but the engine: records, the user's function, pairs, combine table, batches.
func BenchmarkMap(b *testing.B) {
	text := []byte(prose(1 << 20))
	fixed := func(r []byte, emit func([]byte, []byte)) error {
		emit(r[:10], r[10:])
		return nil
	}
	first := func(k []byte, vs Values[[]byte], emit func([]byte)) error { return nil }
	b.Run("words/combine", func(b *testing.B) {
		benchmarkMap(b, New("words", fastWords, wordReduce, Combine(Sum[int64])), text)
	})
	b.Run("words/direct", func(b *testing.B) {
		benchmarkMap(b, New("words", fastWords, wordReduce), text)
	})
	b.Run("tokenizer", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		n := int64(0)
		for b.Loop() {
			for _, line := range lines(text) {
				_ = fastWords(line, func(_ string, v int64) { n += v })
			}
		}
	})
	b.Run("sort/direct", func(b *testing.B) {
		benchmarkMap(b, New("sort", fixed, first, FixedLength(100)), text[:len(text)/100*100])
	})
}
