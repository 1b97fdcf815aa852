// Package gen writes repeatable test data: the same kind and seed give the same bytes on every machine, and a larger size
// begins with the blocks of a smaller one. It knows neither jobs nor storage; "millrace gen" and benchmarks call it.
//
//	text          lines of some 75 bytes that read like prose: capitals, commas, full stops. Words follow Zipf's law over
//	              some ten thousand, and rare ones are compounds of two, so that there are ever more as the text grows
//	records       100 bytes each: a key of 10 printable ASCII characters, a space, the record's number in 20 digits, 68
//	              letters, LF; in the shape of the records of sort benchmarks, and each record is another one
//	measurements  lines of some 14 bytes like "Córdoba;-12.3": one of 413 stations, and a temperature in °C
//	access-log    lines of some 190 bytes in Apache's combined format: 200,000 clients, of which few come often, and paths
//	              after Zipf's law, among them calls of an API, some of which fail, and of a login that is not there
//	numbers       random 64-bit numbers in decimal, a line each: nearly all of them are different
//
// Data is made in blocks, each from the seed and its number alone, and so by as many processors as there are.
package gen

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
)

// blockSize is the bytes of a block, of which a filler may leave some.
const blockSize = 1_000_000

// maxFillers is how many goroutines fill blocks: more of them are faster than what takes the data.
const maxFillers = 4

// filler fills a block with whole lines, of which it is the given one, from 0, and returns how many bytes it took.
type filler func(dst []byte, block int64, rnd *rand.PCG) int

// kinds are the kinds of data. The place of one in the list is part of its random numbers' seed.
var kinds = []struct {
	name  string
	least int64 // bytes of the largest line, below which nothing can be made; text can always
	open  func() filler
}{
	{"text", 0, func() filler { return newVocabulary().fill }},
	{"records", recordSize, func() filler { return fillRecords }},
	{"measurements", maxMeasurement, func() filler { return newStations().fill }},
	{"access-log", maxRequest, func() filler { return newSite().fill }},
	{"numbers", maxNumber, func() filler { return fillNumbers }},
}

// Kinds are the kinds of data that Write knows.
func Kinds() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Write writes size bytes of the kind to w. Text has exactly size bytes; of the others there are as many whole lines as fit
// into each block of 1,000,000 bytes. A size that is negative, or too small for one line, is an error, as is what w returns.
func Write(w io.Writer, kind string, size int64, seed uint64) error {
	if size < 0 {
		return fmt.Errorf("gen %s: size %d is negative", kind, size)
	}
	for i, k := range kinds {
		if k.name != kind {
			continue
		}
		if size > 0 && size < k.least {
			return fmt.Errorf("gen %s: %d bytes may be less than one line: ask for %d or more", kind, size, k.least)
		}
		if err := write(w, size, k.open(), seed, uint64(i)<<56); err != nil {
			return fmt.Errorf("gen %s: %w", kind, err)
		}
		return nil
	}
	return fmt.Errorf("gen %s: no such kind of data: use one of %s", kind, strings.Join(Kinds(), ", "))
}

// write has blocks filled in parallel and writes them in order. Filler i of n fills blocks i, i+n, i+2n and so on; each has
// two buffers, so that it fills one while the other is written.
func write(w io.Writer, size int64, fill filler, seed, kindSeed uint64) error {
	blocks := (size + blockSize - 1) / blockSize
	n := min(blocks, int64(runtime.GOMAXPROCS(0)), maxFillers)
	full, empty := make([]chan []byte, n), make([]chan []byte, n)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		full[i], empty[i] = make(chan []byte, 2), make(chan []byte, 2)
		for range 2 {
			empty[i] <- make([]byte, min(size, blockSize))
		}
		wg.Go(func() {
			for block := i; block < blocks; block += n {
				select {
				case buf := <-empty[i]:
					buf = buf[:min(blockSize, size-block*blockSize)]
					full[i] <- buf[:fill(buf, block, rand.NewPCG(seed, kindSeed|uint64(block)))]
				case <-stop:
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	var written int64
	for block := range blocks {
		buf := <-full[block%n]
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("at byte %d: %w", written, err)
		}
		written += int64(len(buf))
		empty[block%n] <- buf[:cap(buf)]
	}
	return nil
}
