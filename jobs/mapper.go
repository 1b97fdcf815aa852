package jobs

import (
	"context"
	"fmt"
	"reflect"
	"unsafe"
)

const (
	// batchBytes is when a batch of pairs goes to the engine: large enough that the border costs nothing per pair, small
	// enough to stay in a core's second-level cache. It is below the 256 KiB that the engine lends for a batch, as the pair
	// that fills one goes beyond: were the batch full, it would be copied into one twice as large, each time.
	batchBytes = 240 << 10
	// defaultTableBytes is the combine table's limit when the task states none.
	defaultTableBytes = 16 << 20
)

// mapper is one map attempt: it encodes what the map function emits, through the combine table if there is a combiner,
// and hands full batches to the engine.
type mapper[K, V any] struct {
	walk
	out       PairSink
	batch     Pairs
	keys      coder[K]
	values    coder[V]
	partition func(K, int) int             // or nil
	order     func(buf []byte, v V) []byte // of a job with OrderBy, unless the task leaves it out
	states    bool                         // the pairs' partitions, by partition or a hash of the key
	table     *table[V]                    // or nil
	gate      gate
	aside     bool   // emit must not look into the table: the gate is closed, or the attempt has failed
	held      []byte // on trial, if there is a table: encoded pairs of the record under way
	waiting   waiting[K, V]
	mark      pairMark
	passed    int64 // pairs that passed the table by
	combined  int64 // pairs that the table had taken when it was emptied last
}

func (p *typed[K, V, Out]) mapBlocks(ctx context.Context, t *Task, in BlockSource, out PairSink) error {
	m, err := p.newMapper(t, out)
	if err != nil {
		return err
	}
	emit := m.direct
	switch {
	case m.table != nil:
		emit = m.combining()
	case p.order != nil:
		emit = m.ordered
	}
	if err := m.setAside(p.grouped); err != nil {
		return err
	}
	if m.trial != nil {
		emit = m.tryPairs(m.trial, emit)
	}
	each := func(b Block) (int64, error) { return p.each[b.Input](b, &m.at, emit) }
	return m.over(ctx, in, p.known.Inputs, each, func() { t.Pairs = m.pairs() }, m.finish)
}

func (p *typed[K, V, Out]) newMapper(t *Task, out PairSink) (*mapper[K, V], error) {
	m := &mapper[K, V]{
		walk:      walk{task: t},
		out:       out,
		keys:      newCoder[K](p.keys),
		values:    newCoder[V](p.values),
		partition: p.partition,
		states:    p.known.Partitions,
	}
	if p.order != nil && !t.Unordered {
		m.order = p.order.appender()
	}
	if p.combine != nil && t.Memory >= 0 {
		m.table = newTable(tableLimit(t.Memory), p.combine, newKeeper[V](p.values))
	}
	var err error
	m.batch, err = out.Put(Pairs{})
	return m, err
}

// pairs is how many the map function has emitted.
func (m *mapper[K, V]) pairs() int64 {
	if m.table == nil {
		return m.passed
	}
	return m.passed + m.combined + int64(m.table.adds)
}

// fail ends the attempt. Whatever the map function still emits must learn of it.
func (m *mapper[K, V]) fail(err error) {
	m.aside = true
	m.failed.fail(err)
}

func tableLimit(memory int64) int64 {
	if memory == 0 {
		return defaultTableBytes
	}
	return memory
}

// finish hands over what is left.
func (m *mapper[K, V]) finish() {
	if m.table != nil {
		m.drain()
	}
	if m.batch.Count > 0 {
		m.put()
	}
}

// put hands the batch to the engine.
func (m *mapper[K, V]) put() {
	b, err := m.out.Put(m.batch)
	if err != nil {
		m.fail(err)
	}
	m.batch = b
}

// direct encodes a pair into the batch.
func (m *mapper[K, V]) direct(k K, v V) {
	m.check()
	m.write(k, v)
}

func (m *mapper[K, V]) write(k K, v V) {
	m.passed++
	buf := m.batch.Data
	start := len(buf)
	buf = m.keys.append(append(buf, 0, 0), k)
	middle := len(buf)
	buf = m.values.append(buf, v)
	if m.partition != nil {
		m.batch.Partitions = append(m.batch.Partitions, m.partitionOf(k))
	}
	m.batch.Data = closePair(buf, start, middle)
	m.batch.Count++
	if len(m.batch.Data) >= batchBytes {
		m.filled()
	}
}

func (m *mapper[K, V]) partitionOf(k K) uint32 {
	n := m.task.Reducers
	i := m.partition(k, n)
	if i < 0 || i >= n {
		at := m.here()
		at.Err = fmt.Errorf("the Partition function gave %d for key %s: it must be from 0 to %d", i, printKey(k), n-1)
		m.fail(&at)
	}
	return uint32(i)
}

// combining returns the emit function that goes through the combine table, made for the kind of key.
func (m *mapper[K, V]) combining() func(K, V) {
	switch reflect.TypeFor[K]().Kind() {
	case reflect.String, reflect.Slice: // a slice is of bytes, and begins with what a string is
		if m.table.keeper == nil {
			return m.emitText()
		}
		return func(key K, v V) { m.combine(*(*string)(unsafe.Pointer(&key)), key, v) }
	case reflect.Int, reflect.Int64:
		return m.emitWord(1 << 63)
	case reflect.Uint, reflect.Uint64:
		return m.emitWord(0)
	}
	var buf []byte
	return func(key K, v V) {
		buf = m.keys.append(buf[:0], key)
		m.combine(view(buf), key, v)
	}
}

// combine puts a pair, whose encoded key is given, into the table.
func (m *mapper[K, V]) combine(encoded string, key K, v V) {
	if m.aside && m.passes() {
		m.write(key, v)
		return
	}
	first, last := keyEnds(encoded)
	m.combineHashed(hash(first, last, encoded), first, last, encoded, len(encoded), key, v)
}

// combineHashed is combine for an encoded key of which hash and ends are known. One of up to 16 bytes is its ends and size.
func (m *mapper[K, V]) combineHashed(h, first, last uint64, encoded string, size int, key K, v V) {
	if m.aside && m.passes() || size > maxTableKey {
		m.write(key, v)
		return
	}
	switch m.table.addHashed(h, first, last, encoded, size, v) {
	case combined:
	case inserted:
		m.inserted(key)
	case full:
		m.gate.full(m.table.used, m.table.adds)
		m.drain()
		m.combineAgain(m.table.addHashed(h, first, last, encoded, size, v), key, v)
		m.aside = m.gate.passing > 0
	}
}

// passes reports whether this pair passes the table by, and looks whether the next one will.
func (m *mapper[K, V]) passes() bool {
	m.check()
	passes := m.gate.closed()
	m.aside = m.gate.passing > 0
	return passes
}

// inserted checks a new key's partition at once, so that an error names the record that brought it.
func (m *mapper[K, V]) inserted(key K) {
	if m.partition != nil {
		m.partitionOf(key)
	}
}

// combineAgain ends an insertion into a table just emptied: it fits, or it never will.
func (m *mapper[K, V]) combineAgain(r outcome, key K, v V) {
	if r == full {
		m.write(key, v)
		return
	}
	m.inserted(key)
}

// drain writes the table's pairs into batches and empties it.
func (m *mapper[K, V]) drain() {
	t := m.table
	for i := range t.slots {
		s := &t.slots[i]
		if s.size == 0 {
			continue
		}
		buf := m.batch.Data
		start := len(buf)
		buf = t.appendKey(append(buf, 0, 0), s)
		middle := len(buf)
		if m.partition != nil {
			key, err := m.keys.decode(buf[start+2 : middle : middle])
			if err != nil {
				m.fail(err)
			}
			m.batch.Partitions = append(m.batch.Partitions, m.partitionOf(key))
		}
		buf = m.values.append(buf, s.value)
		m.batch.Data = closePair(buf, start, middle)
		m.batch.Count++
		if len(m.batch.Data) >= batchBytes {
			m.put()
		}
	}
	m.combined += int64(t.adds)
	t.reset()
}
