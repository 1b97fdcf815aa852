package parquetfile

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// oneByOne is the plain reference of runs: it decodes a number at a time, and a bit at a time.
func oneByOne(data []byte, width uint) (out []uint32) {
	for len(data) > 0 {
		head, n := binary.Uvarint(data)
		data = data[n:]
		if head&1 == 0 {
			var v uint32
			for i := range int(width+7) / 8 {
				v |= uint32(data[i]) << (8 * i)
			}
			data = data[(width+7)/8:]
			for range head >> 1 {
				out = append(out, v)
			}
			continue
		}
		for i := range int(head>>1) * 8 {
			var v uint32
			for b := range int(width) {
				bit := i*int(width) + b
				v |= uint32(data[bit/8]>>(bit%8)&1) << b
			}
			out = append(out, v)
		}
		data = data[int(head>>1)*int(width):]
	}
	return out
}

// someRuns makes runs of both kinds.
func someRuns(rng *rand.Rand, width uint, runs int) (data []byte) {
	for range runs {
		n := 1 + rng.IntN(20)
		if rng.IntN(2) == 0 {
			data = binary.AppendUvarint(data, uint64(n)<<1)
			v := rng.Uint32() & uint32(1<<width-1)
			for i := range int(width+7) / 8 {
				data = append(data, byte(v>>(8*i)))
			}
			continue
		}
		data = binary.AppendUvarint(data, uint64(n)<<1|1)
		for range n * int(width) {
			data = append(data, byte(rng.Int()))
		}
	}
	return data
}

// Runs of every width decode as their reference does, however many numbers are asked for at a time, and end where they end.
func TestRuns(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for width := range uint(33) {
		for range 20 {
			data := someRuns(rng, width, 1+rng.IntN(5))
			want := oneByOne(data, width)
			r := runs{data: data, width: width}
			var got []uint32
			for len(got) < len(want) {
				buf := make([]uint32, min(1+rng.IntN(30), len(want)-len(got)))
				if !r.fill(buf) {
					t.Fatalf("width %d: no more after %d of %d numbers", width, len(got), len(want))
				}
				got = append(got, buf...)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("width %d: got %v, want %v", width, got, want)
			}
			if r.fill(make([]uint32, 1)) {
				t.Fatalf("width %d: there is more than %d numbers", width, len(want))
			}
		}
	}
}

// Levels are counted over both kinds of runs; too few, and ones above the highest, are an error.
func TestCountLevels(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		data := someRuns(rng, 2, 4)
		levels := oneByOne(data, 2)
		want, above := 0, false
		for _, v := range levels {
			if v == 2 {
				want++
			}
			above = above || v > 2
		}
		got, err := countLevels(runs{data: data, width: 2}, len(levels), 2)
		if above != (err != nil) || err == nil && got != want {
			t.Fatalf("%v: got %d, %v: want %d", levels, got, err, want)
		}
		if _, err := countLevels(runs{data: data, width: 2}, len(levels)+1, 3); err == nil {
			t.Fatal("more levels than there are")
		}
	}
}

// BenchmarkRuns decodes a thousand packed numbers of 5 bits.
func BenchmarkRuns(b *testing.B) {
	data := append(binary.AppendUvarint(nil, 125<<1|1), make([]byte, 125*5)...)
	buf := make([]uint32, 1000)
	b.Run("runs", func(b *testing.B) {
		b.SetBytes(4000)
		b.ReportAllocs()
		for b.Loop() {
			r := runs{data: data, width: 5}
			if !r.fill(buf) {
				b.Fatal("too few")
			}
		}
	})
	b.Run("one by one", func(b *testing.B) {
		b.SetBytes(4000)
		for b.Loop() {
			oneByOne(data, 5)
		}
	})
}
