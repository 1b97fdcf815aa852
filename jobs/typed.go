package jobs

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/millrace/millrace/jobs/internal/codec"
)

// typed is the program of a typed map and reduce function. It never changes; what an attempt changes is made by
// mapBlocks, combinePairs and reduceGroups for themselves.
type typed[K, V, Out any] struct {
	each      []blockMapper[K, V] // of known.Inputs
	grouped   []bool              // of each: the map function takes several records at once
	reduce    func(K, Values[V], func(Out)) error
	combine   func(a, b V) V   // or nil
	partition func(K, int) int // or nil
	order     *valueOrder[V]   // or nil
	keys      *codec.Codec
	values    *codec.Codec
	rows      *rowPlan
	known     Info
}

// newTyped compiles the types of a job and checks that the options fit them.
func newTyped[K, V, Out any](inputs []Source[K, V], r func(K, Values[V], func(Out)) error, s *settings) (*typed[K, V, Out], error) {
	if s.err != nil {
		return nil, s.err
	}
	if r == nil {
		return nil, errNoFunction
	}
	p := &typed[K, V, Out]{reduce: r}
	for _, in := range inputs {
		switch {
		case in.err != nil:
			return nil, in.err
		case in.each == nil:
			return nil, errors.New("a Source is empty: make inputs with jobs.From")
		}
		p.known.Inputs = append(p.known.Inputs, Input{Name: in.name, Format: in.format})
		p.each, p.grouped = append(p.each, in.each), append(p.grouped, in.grouped)
	}
	var err error
	compileKey := codec.Key
	if s.order != nil { // more comes behind the key
		compileKey = codec.KeyPart
	}
	if p.keys, err = compileKey(reflect.TypeFor[K]()); err != nil {
		return nil, fmt.Errorf("key type %s: %w", typeName[K](), err)
	}
	if p.values, err = codec.Value(reflect.TypeFor[V]()); err != nil {
		return nil, fmt.Errorf("value type %s: %w", typeName[V](), err)
	}
	if p.rows, err = newRowPlan(reflect.TypeFor[Out]()); err != nil {
		return nil, fmt.Errorf("row type %s: %w", typeName[Out](), err)
	}
	if err := p.setOptions(s); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *typed[K, V, Out]) setOptions(s *settings) error {
	var ok bool
	if s.combine != nil {
		if p.combine, ok = s.combine.(func(a, b V) V); !ok {
			return fmt.Errorf("option Combine: the function is a %T, but the values are %s: give a func(a, b %[2]s) %[2]s", s.combine, typeName[V]())
		}
	}
	if s.partition != nil {
		if p.partition, ok = s.partition.(func(K, int) int); !ok {
			return fmt.Errorf("option Partition: the function is a %T, but the keys are %s: give a func(key %[2]s, n int) int", s.partition, typeName[K]())
		}
	}
	if s.totalOrder && s.partition != nil {
		return errors.New("options Partition and TotalOrder exclude each other: both choose the partition of a key")
	}
	if s.order != nil {
		if p.order, ok = s.order.(*valueOrder[V]); !ok {
			return fmt.Errorf("option OrderBy: the function takes a %s, but the values are %s: give a func(value %[2]s)", s.order, typeName[V]())
		}
	}
	if s.order != nil && s.combine != nil {
		return errors.New("options Combine and OrderBy exclude each other: a combiner leaves a key with one value, which has no order")
	}
	p.known.Ordered = p.order != nil
	p.known.Combines = p.combine != nil
	p.known.Partitions = p.partition != nil || p.order != nil && !s.totalOrder // a hash would take in the order as well
	p.known.TotalOrder = s.totalOrder
	p.known.Reducers = s.reducers
	p.known.Schema = p.rows.schema
	return nil
}

func (p *typed[K, V, Out]) info() Info { return p.known }

// coder encodes and decodes values of type T with one heap value in between, so that no value escapes by itself.
// One goroutine uses it, for one thing at a time.
type coder[T any] struct {
	codec *codec.Codec
	slot  *T
}

func newCoder[T any](c *codec.Codec) coder[T] { return coder[T]{c, new(T)} }

func (c coder[T]) append(buf []byte, v T) []byte {
	*c.slot = v
	return c.codec.Append(buf, unsafe.Pointer(c.slot))
}

// decode reads a value whose strings and byte slices are views into b.
func (c coder[T]) decode(b []byte) (T, error) {
	var zero T
	*c.slot = zero
	err := c.codec.Decode(b, unsafe.Pointer(c.slot))
	return *c.slot, err
}

// print is the printable form of an encoded value.
func (c coder[T]) print(b []byte) string {
	v, err := c.decode(b)
	if err != nil {
		return fmt.Sprintf("%q", clip(string(b), 200))
	}
	return printKey(v)
}
