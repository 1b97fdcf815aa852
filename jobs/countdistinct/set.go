package countdistinct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/axiomhq/hyperloglog"
)

// precision is the binary logarithm of the number of registers: 16,384 of a byte each, for a standard error of
// 1.04/sqrt(16384) = 0.81 %.
const precision = 14

// maxExact is how many different values are counted exactly: 8 KiB of hashes, half of what the registers take.
const maxExact = 1024

// set is what is known of the different values of a key: their hashes while they are few, then the registers of a HyperLogLog
// (Flajolet and others, 2007; the estimator is that of Qin, Kim and Tung: LogLog-Beta, 2016).
//
// It is the same, to the byte, however the values came together. The library's own way with few values is not: whether a sketch
// still is a list depends on the order of insertions. Here it depends on the number of different hashes alone.
//
// Invariant: either hashes are in order, each once, maxExact at most, and registers is nil; or hashes is nil.
type set struct {
	hashes    []uint64
	registers registers // nil, or a *hyperloglog.Sketch that is not sparse
}

// registers is what a set needs of the library's sketch. As an interface it also keeps the combine table from taking the
// size of the library's struct, which it cannot know, for that of an element: a set's memory is that of its encoding.
type registers interface {
	InsertHash(hash uint64)
	AppendBinary(data []byte) ([]byte, error)
	Estimate() uint64
}

func newRegisters() *hyperloglog.Sketch {
	s, err := hyperloglog.NewSketch(precision, false)
	if err != nil {
		panic(err) // the library does not know the precision: a constant
	}
	return s
}

// join is the combiner: the union of two sets. It keeps nothing of b.
func join(a, b set) set {
	switch {
	case b.registers != nil && a.registers != nil:
		if err := a.registers.(*hyperloglog.Sketch).Merge(b.registers.(*hyperloglog.Sketch)); err != nil {
			panic(err) // the precisions differ: there is one
		}
	case b.registers != nil:
		own := b.registers.(*hyperloglog.Sketch).Clone()
		for _, h := range a.hashes {
			own.InsertHash(h)
		}
		a = set{registers: own}
	default:
		for _, h := range b.hashes {
			a.add(h)
		}
	}
	return a
}

// add adds a value by its hash.
func (s *set) add(hash uint64) {
	if s.registers != nil {
		s.registers.InsertHash(hash)
		return
	}
	i, found := slices.BinarySearch(s.hashes, hash)
	if found {
		return
	}
	s.hashes = slices.Insert(s.hashes, i, hash)
	if len(s.hashes) <= maxExact {
		return
	}
	s.registers = newRegisters()
	for _, h := range s.hashes {
		s.registers.InsertHash(h)
	}
	s.hashes = nil
}

// count is how many different values there are, and whether that is exact.
func (s *set) count() (n int64, exact bool) {
	if s.registers != nil {
		return int64(s.registers.Estimate()), false
	}
	return int64(len(s.hashes)), true
}

// The encoding of a set:
//
//	0, then each hash as 8 bytes, big endian, in ascending order
//	1, then the library's encoding of registers
const (
	encodedHashes    = 0
	encodedRegisters = 1
)

// AppendBinary appends the set's encoding.
func (s *set) AppendBinary(buf []byte) ([]byte, error) {
	if s.registers != nil {
		return s.registers.AppendBinary(append(buf, encodedRegisters))
	}
	buf = append(buf, encodedHashes)
	for _, h := range s.hashes {
		buf = binary.BigEndian.AppendUint64(buf, h)
	}
	return buf, nil
}

var errNoSet = errors.New("these bytes are no set of values")

// UnmarshalBinary reads an encoding, and takes no other bytes than those that AppendBinary writes.
func (s *set) UnmarshalBinary(data []byte) error {
	*s = set{}
	switch {
	case len(data) == 0:
		return errNoSet
	case data[0] == encodedRegisters:
		own := newRegisters()
		// Of what the library reads, this is what newRegisters makes: its version 2, dense, of this precision.
		if head := [...]byte{2, precision, 0, 0}; len(data) < 1+len(head) || [4]byte(data[1:5]) != head {
			return errNoSet
		}
		if err := own.UnmarshalBinary(data[1:]); err != nil {
			return fmt.Errorf("%w: %w", errNoSet, err)
		}
		s.registers = own
		return nil
	case data[0] != encodedHashes || len(data)%8 != 1 || len(data)/8 > maxExact:
		return errNoSet
	}
	hashes := make([]uint64, 0, len(data)/8)
	for rest := data[1:]; len(rest) > 0; rest = rest[8:] {
		h := binary.BigEndian.Uint64(rest)
		if n := len(hashes); n > 0 && h <= hashes[n-1] {
			return errNoSet
		}
		hashes = append(hashes, h)
	}
	s.hashes = hashes
	return nil
}
