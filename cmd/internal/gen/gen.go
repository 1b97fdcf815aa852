// Package gen writes repeatable test data: the same kind and seed give the same bytes on every machine, and a larger size
// begins with the blocks of a smaller one. It knows neither jobs nor storage; "millrace gen" and benchmarks call it.
//
//	text     lines of some 75 bytes that read like prose: capitals, commas, full stops. Words follow Zipf's law over
//	         some ten thousand, and rare ones are compounds of two, so that there are ever more as the text grows
//	records  100 bytes each: a key of 10 printable ASCII characters, a space, the record's number in 20 digits, 68 letters,
//	         LF; in the shape of the records of sort benchmarks, and each record is another one
//
// Data is made in blocks, each from the seed and its number alone.
package gen

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
)

// Kinds are the kinds of data that Write knows.
func Kinds() []string { return []string{"text", "records"} }

// blockSize is the bytes made and written at a time: whole records.
const blockSize = 1_000_000

// filler fills a block of so many bytes, of which it is the given one, from 0.
type filler func(dst []byte, block int64, rnd *rand.PCG)

// Write writes size bytes of the kind to w. Text has exactly size bytes and ends with a line; of records there are as many
// whole ones as fit. A size that is negative, or too small for one record, is an error, as is what w returns.
func Write(w io.Writer, kind string, size int64, seed uint64) error {
	if size < 0 {
		return fmt.Errorf("gen %s: size %d is negative", kind, size)
	}
	var fill filler
	switch kind {
	case "text":
		fill = newVocabulary().fill
	case "records":
		if size > 0 && size < recordSize {
			return fmt.Errorf("gen records: %d bytes are less than one record: ask for %d or more", size, recordSize)
		}
		size -= size % recordSize
		fill = fillRecords
	default:
		return fmt.Errorf("gen %s: no such kind of data: use %s", kind, strings.Join(Kinds(), " or "))
	}
	buf := make([]byte, min(size, blockSize))
	kindSeed := uint64(slices.Index(Kinds(), kind)) << 56
	for block, left := int64(0), size; left > 0; block++ {
		buf = buf[:min(left, blockSize)]
		fill(buf, block, rand.NewPCG(seed, kindSeed|uint64(block)))
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("gen %s: at byte %d: %w", kind, size-left, err)
		}
		left -= int64(len(buf))
	}
	return nil
}
