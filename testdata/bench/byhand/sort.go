package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"os"
	"slices"
)

const (
	recordSize  = 100
	bucketCount = 1 << 14 // by the first two bytes, which are ASCII
	bucketsTask = 32
)

// ref is a record by its first ten bytes and its number.
type ref struct {
	first uint64
	rest  uint16
	index uint32
}

// sortRecords counts how many records begin with each two bytes, puts references into these buckets in place, sorts each
// bucket, and writes its records to where they belong.
func sortRecords(data []byte, out string) {
	refs, begins := distribute(data)
	f, err := os.Create(out)
	must(err)
	must(f.Truncate(int64(len(data))))
	bufs := make([][]byte, workers())
	parallel(bucketCount/bucketsTask, func(w, task int) {
		buf := bufs[w][:0]
		from, to := begins[task*bucketsTask], begins[(task+1)*bucketsTask]
		for i := task * bucketsTask; i < (task+1)*bucketsTask; i++ {
			bucket := refs[begins[i]:begins[i+1]]
			slices.SortFunc(bucket, func(a, b ref) int {
				if a.first != b.first {
					return cmp.Compare(a.first, b.first)
				}
				if a.rest != b.rest {
					return cmp.Compare(a.rest, b.rest)
				}
				return bytes.Compare(record(data, a.index), record(data, b.index))
			})
			for _, r := range bucket {
				buf = append(buf, record(data, r.index)...)
			}
		}
		bufs[w] = buf
		if to > from {
			_, err := f.WriteAt(buf, int64(from)*recordSize)
			must(err)
		}
	})
	must(f.Close())
}

func record(data []byte, i uint32) []byte { return data[int(i)*recordSize:][:recordSize] }

func bucketOf(r []byte) int { return int(r[0]&0x7f)<<7 | int(r[1]&0x7f) }

// distribute returns references in the order of their buckets, and where each bucket begins.
func distribute(data []byte) ([]ref, []int) {
	n, parts := len(data)/recordSize, workers()
	first := func(part int) int { return n * part / parts }
	next := make([][bucketCount]int, parts) // counts, then the place of a part's next record of a bucket
	parallel(parts, func(_, part int) {
		for i := first(part); i < first(part+1); i++ {
			next[part][bucketOf(data[i*recordSize:])]++
		}
	})
	begins := make([]int, bucketCount+1)
	place := 0
	for b := range bucketCount {
		begins[b] = place
		for part := range parts {
			place, next[part][b] = place+next[part][b], place
		}
	}
	begins[bucketCount] = place
	refs := make([]ref, n)
	parallel(parts, func(_, part int) {
		for i := first(part); i < first(part+1); i++ {
			r := record(data, uint32(i))
			p := &next[part][bucketOf(r)]
			refs[*p] = ref{binary.BigEndian.Uint64(r), binary.BigEndian.Uint16(r[8:]), uint32(i)}
			*p++
		}
	})
	return refs, begins
}
