// Package histogram counts how often the values of each key fall into which bucket, from lines of "key;value". Values are
// fixed-point numbers: that 0.3 lies in the bucket that begins at 0.3 floating-point numbers could not promise.
package histogram

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	Width     string   `param:"width" default:"" help:"width of all buckets, such as 10 or 0.5: they begin at its multiples"`
	Bounds    []string `param:"bounds" default:"" help:"bounds of buckets in place of a width, such as 0,1,5,10: one bucket lies below the first, one above the last"`
	Separator string   `param:"separator" default:";" help:"what stands between key and value; the last one in a line counts"`
	Decimals  int      `param:"decimals" default:"6" help:"the most digits that values have after the point, from 0 to 18; with 6, values are below 9 million million"`
}

// Row is a row of the result: one bucket of a key, with Lower <= value < Upper. Buckets without values have none.
type Row struct {
	Key   string
	Lower *float64 // null: the bucket has no lower bound
	Upper *float64 // null: the bucket has no upper bound
	Count int64
}

// place is the key: the rows of a key come by bucket.
type place struct {
	Key    string
	Bucket int64 // lower bound divided by the width; or how many bounds are no greater than the values
}

// Job returns the job "histogram".
func Job() *jobs.Job {
	return jobs.Define("histogram", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		cut, err := jobs.FixedCutter(p.Separator, p.Decimals)
		if err != nil {
			return jobs.Code{}, fmt.Errorf("parameter %w", err)
		}
		b, err := newBuckets(p)
		if err != nil {
			return jobs.Code{}, err
		}
		m := func(line string, emit func(place, int64)) error {
			key, value, err := cut(line)
			if err != nil {
				return fmt.Errorf("%w: correct the line, or state what it is with -p separator and -p decimals", err)
			}
			if !utf8.ValidString(key) {
				return fmt.Errorf("the key %.100q is not valid UTF-8: convert the input to UTF-8", key)
			}
			emit(place{key, b.of(value)}, 1)
			return nil
		}
		r := func(at place, ns jobs.Values[int64], emit func(Row)) error {
			lower, upper := b.limits(at.Bucket)
			emit(Row{at.Key, lower, upper, jobs.Total(ns)})
			return nil
		}
		return jobs.MapReduce(m, r, jobs.Combine(jobs.Sum[int64]), jobs.Partition(byKey)), nil
	}, jobs.Doc("Counts into which bucket the values of each key fall, from lines of \"key;value\". One row per key and bucket that has values.\n"+
		"Give the buckets as -p width=10 or as -p bounds=0,1,5,10. All buckets of a key are in one part, in order."))
}

// byKey keeps all buckets of a key in one partition.
func byKey(at place, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(at.Key)) // never fails
	return int(h.Sum32() % uint32(n))
}

// buckets is what buckets there are, in units of the last decimal.
type buckets struct {
	width  int64   // or 0
	bounds []int64 // in order
	one    float64 // so many units make 1
}

func newBuckets(p Params) (*buckets, error) {
	if (p.Width == "") == (len(p.Bounds) == 0) {
		return nil, errors.New("parameters width and bounds: give one of them, as in -p width=10 or -p bounds=0,1,5,10")
	}
	b := &buckets{one: math.Pow10(p.Decimals)}
	if p.Width != "" {
		var err error
		if b.width, err = jobs.ParseFixed(p.Width, p.Decimals); err != nil {
			return nil, fmt.Errorf("parameter width: %w", err)
		}
		if b.width <= 0 {
			return nil, fmt.Errorf("parameter width: %s: must be more than 0", p.Width)
		}
		return b, nil
	}
	for i, text := range p.Bounds {
		bound, err := jobs.ParseFixed(text, p.Decimals)
		if err != nil {
			return nil, fmt.Errorf("parameter bounds: %w", err)
		}
		if i > 0 && bound <= b.bounds[i-1] {
			return nil, fmt.Errorf("parameter bounds: %s does not lie above %s: give them in order", text, p.Bounds[i-1])
		}
		b.bounds = append(b.bounds, bound)
	}
	return b, nil
}

// of is the bucket of a value.
func (b *buckets) of(value int64) int64 {
	if b.width == 0 {
		i, found := slices.BinarySearch(b.bounds, value)
		if found {
			i++
		}
		return int64(i)
	}
	bucket := value / b.width
	if value%b.width < 0 { // division is towards zero
		bucket--
	}
	return bucket
}

// limits are the bounds of a bucket.
func (b *buckets) limits(bucket int64) (lower, upper *float64) {
	if b.width > 0 {
		index, width := float64(bucket), float64(b.width) // so that the last bucket's upper bound does not wrap around
		return b.number(index * width), b.number((index + 1) * width)
	}
	if bucket > 0 {
		lower = b.number(float64(b.bounds[bucket-1]))
	}
	if bucket < int64(len(b.bounds)) {
		upper = b.number(float64(b.bounds[bucket]))
	}
	return lower, upper
}

func (b *buckets) number(units float64) *float64 {
	x := units / b.one
	return &x
}
