package jobs

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"reflect"

	"github.com/millrace/millrace/jobs/internal/codec"
)

// The secondary order. The engine sorts and merges pairs by the bytes of their keys and by nothing else. So the key of a pair
// is written with what its value is ordered by behind it:
//
//	key of a pair = the group's key (codec.KeyPart), order of the value (a key's encoding; its complement when descending)
//
// No group's key is the beginning of another's, hence pairs are sorted by group first and within it by order; equal orders stay
// as they came. Where the group's key ends is seen once a group, by decoding it; that a pair belongs to it, by its first bytes
// alone. The values stream as without an order: nothing is collected, here or in the engine.

// OrderBy has the values of each key come to the reduce function in ascending order of f, which gives the part of a value to
// order by: of any type that can be a key, ordered as keys are. Values of equal order come as without OrderBy. Nothing is held
// in memory for it. f must always give the same result for the same value.
//
// It excludes Combine.
func OrderBy[V, S any](f func(value V) S) Option { return orderBy(f, false) }

// OrderByDescending is OrderBy from high to low.
func OrderByDescending[V, S any](f func(value V) S) Option { return orderBy(f, true) }

func orderBy[V, S any](f func(V) S, descending bool) Option {
	return Option{"OrderBy", func(s *settings) {
		c, err := codec.KeyPart(reflect.TypeFor[S]())
		switch {
		case f == nil:
			s.fail(errors.New("option OrderBy: the function is nil"))
		case err != nil:
			s.fail(fmt.Errorf("option OrderBy: %w", err))
		}
		s.order = &valueOrder[V]{
			appender:   func() func([]byte, V) []byte { return orderAppender(f, c, descending) },
			of:         func(v V) any { return f(v) },
			descending: descending,
		}
	}}
}

// valueOrder is an order of values, whatever they are ordered by.
type valueOrder[V any] struct {
	appender   func() func(buf []byte, v V) []byte // makes the function, for one goroutine, that appends v's order
	of         func(v V) any
	descending bool
}

// String names the type of the values, for messages.
func (o *valueOrder[V]) String() string { return typeName[V]() }

func orderAppender[V, S any](f func(V) S, c *codec.Codec, descending bool) func([]byte, V) []byte {
	orders := newCoder[S](c)
	if !descending {
		return func(buf []byte, v V) []byte { return orders.append(buf, f(v)) }
	}
	return func(buf []byte, v V) []byte {
		begin := len(buf)
		buf = orders.append(buf, f(v))
		for i := begin; i < len(buf); i++ {
			buf[i] = ^buf[i]
		}
		return buf
	}
}

// ordered encodes a pair with the order of its value behind the key.
func (m *mapper[K, V]) ordered(k K, v V) {
	m.check()
	buf := m.batch.Data
	start := len(buf)
	buf = m.keys.append(append(buf, 0, 0), k)
	group := len(buf)
	if m.order != nil {
		buf = m.order(buf, v)
	}
	middle := len(buf)
	buf = m.values.append(buf, v)
	switch {
	case m.partition != nil:
		m.batch.Partitions = append(m.batch.Partitions, m.partitionOf(k))
	case m.states:
		m.batch.Partitions = append(m.batch.Partitions, groupPartition(buf[start+2:group], m.task.Reducers))
	}
	m.passed++
	m.batch.Data = closePair(buf, start, middle)
	m.batch.Count++
	if len(m.batch.Data) >= batchBytes {
		m.filled()
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// groupPartition maps a group's key to one of n partitions. Like the engine's own hash of keys, which would take in the order
// as well, it is fixed forever: the parts that a job makes depend on it. A CRC of keys that differ in few bits differs in few
// patterns: the multiplication spreads them.
func groupPartition(group []byte, n int) uint32 {
	h := uint64(crc32.Checksum(group, castagnoli))*mixA + uint64(len(group))
	h = (h ^ h>>32) * mixB
	hi, _ := bits.Mul64(h, uint64(n))
	return uint32(hi)
}

// orderOf decodes a value and returns what it is ordered by.
func (p *typed[K, V, Out]) orderOf(value []byte) (any, bool, error) {
	if p.order == nil {
		return nil, false, errors.New("the job does not order its values")
	}
	v, err := newCoder[V](p.values).decode(value)
	if err != nil {
		return nil, false, fmt.Errorf("order a value: %w", err)
	}
	return p.order.of(v), p.order.descending, nil
}
