package jobs

import (
	"errors"
	"fmt"
)

// Option states how a job's pairs travel from map to reduce. Each may be given once.
type Option struct {
	name  string
	apply func(*settings)
}

// settings is what the options state. The functions are typed; newTyped checks that they fit the job.
type settings struct {
	combine    any // func(a, b V) V
	partition  any // func(K, n int) int
	order      any // *valueOrder[V]
	totalOrder bool
	length     int      // bytes a record; 0: records are lines
	table      bool     // records are rows
	columns    []string // that they have, if not those of a struct
	raw        bool
	csv        *CSVOptions
	reducers   int
	doc        string

	given map[string]bool
	err   error
}

func collect(opts []Option) *settings {
	s := &settings{given: map[string]bool{}}
	for _, o := range opts {
		if o.apply == nil {
			s.fail(errors.New("an Option is empty: make options with the functions of package jobs"))
			continue
		}
		if s.given[o.name] {
			s.fail(fmt.Errorf("option %s is given twice", o.name))
		}
		s.given[o.name] = true
		o.apply(s)
	}
	return s
}

// fail keeps the first mistake.
func (s *settings) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Combine lets the engine join two values of one key into one before they travel. f must be associative and commutative,
// and is called any number of times, on any of a key's values. It may change a and return it, but must not keep either.
// It must not look at the zone of a time: values that have travelled are in UTC.
func Combine[V any](f func(a, b V) V) Option {
	return Option{"Combine", func(s *settings) {
		if f == nil {
			s.fail(errors.New("option Combine: the function is nil"))
		}
		s.combine = f
	}}
}

// Partition chooses the partition of a key, from 0 to n-1, in place of a hash of the key. f must always give the same
// result for the same key and n.
func Partition[K any](f func(key K, n int) int) Option {
	return Option{"Partition", func(s *settings) {
		if f == nil {
			s.fail(errors.New("option Partition: the function is nil"))
		}
		s.partition = f
	}}
}

// TotalOrder orders keys over all parts: the keys of one part are below those of the next. The engine finds the boundaries
// by a sample of the input.
func TotalOrder() Option {
	return Option{"TotalOrder", func(s *settings) { s.totalOrder = true }}
}

// FixedLength cuts the input into records of n bytes instead of lines. The record type must be []byte.
func FixedLength(n int) Option {
	return Option{"FixedLength", func(s *settings) {
		if n < 1 {
			s.fail(fmt.Errorf("option FixedLength: %d bytes: a record has 1 byte at least", n))
		}
		s.length = n
	}}
}

// Raw takes compressed objects as they are. Without it an object whose first bytes say that it is compressed with gzip, bzip2,
// zstd, lz4 or snappy is decompressed before it is cut into records.
func Raw() Option {
	return Option{"Raw", func(s *settings) { s.raw = true }}
}

// Reducers sets the number of partitions, unless the submitter states one. 0 lets the size of the input decide.
func Reducers(n int) Option {
	return Option{"Reducers", func(s *settings) {
		if n < 0 {
			s.fail(fmt.Errorf("option Reducers: %d: it must be 1 or more, or 0 for a number by the size of the input", n))
		}
		s.reducers = n
	}}
}

// Doc describes the job for people: one line, then details if need be.
func Doc(text string) Option {
	return Option{"Doc", func(s *settings) { s.doc = text }}
}
