package jobs

import (
	"errors"
	"reflect"
	"unsafe"
)

// trial is what a map attempt that sets bad records aside keeps of the record under way: all that it has done can be taken back
// until the next record does something. Nothing is asked of the loops over records but that they say where each one begins, so
// that a record that does nothing costs nothing.
//
// Invariant: of no record but the one at mark can anything be taken back.
type trial struct {
	walk     *walk // says which record is under way, and whether the attempt has failed
	mark     int64 // that of the record on trial
	open     bool  // there is one
	settling bool  // what it did is being made final; still so after an error there
	over     bool  // there are no more records: all is final at once
	parts    []undoable
}

// undoable is a part of an attempt that a record changes.
type undoable interface {
	// keep makes all that was done so far final.
	keep()
	// takeBack undoes all that was done since keep.
	takeBack()
}

// maxHeld bounds what one record may do before it ends, bytes of pairs or rows: it is held in memory, beyond the budget.
const maxHeld = 64 << 20

// ErrHeld reports a record that does too much to be taken back.
var ErrHeld = errors.New("it emits more than 64 MiB, which is too much to be held until it is known to be good: " +
	"run the job without --skip-bad-records, or emit less for one record")

// tooMuch is ErrHeld of the record under way.
func (w *walk) tooMuch() error {
	at := w.here()
	at.Err = ErrHeld
	return &at
}

// join adds a part. What it has done so far is final.
func (t *trial) join(p undoable) {
	t.parts = append(t.parts, p)
	p.keep()
}

// touch is called before the record under way does anything. After an error that the user's function recovered, those behind it
// belong to the record that failed: all of them are taken back, and come again.
func (t *trial) touch() {
	if t.open && t.walk.at == t.mark || t.settling || t.over || t.walk.err != nil {
		return
	}
	t.settle()
	t.open, t.mark = true, t.walk.at
}

// settle makes final what the record on trial did. A panic in it is no record's: a combiner's, or of a sink that failed. It is the
// attempt's error at once, as it may pass through the map function of the next record, which may recover it.
func (t *trial) settle() {
	if !t.open {
		return
	}
	t.settling = true
	defer t.settled()
	for _, p := range t.parts {
		p.keep()
	}
	t.open, t.settling = false, false
}

// settled ends settle.
func (t *trial) settled() {
	if r := recover(); r != nil {
		t.walk.err = t.walk.caught(r, t.walk.here())
		panic(stop{})
	}
}

// reject takes back what the record under way did.
func (t *trial) reject() {
	if !t.open || t.walk.at != t.mark {
		return
	}
	for _, p := range t.parts {
		p.takeBack()
	}
	t.open = false
}

// end settles when there are no more records. What the engine still calls, a combiner, is final.
func (t *trial) end() {
	if t != nil {
		t.settle()
		t.over = true
	}
}

// keep implements undoable. Only now a name takes the place of another one.
func (c *counters) keep() {
	for _, n := range c.touched {
		n.touched = false
		c.enlist(n)
	}
	c.touched = c.touched[:0]
}

// enlist lists a counter that a good record uses.
func (c *counters) enlist(n *Counter) {
	if !n.listed && c.list(n.name, n) {
		delete(c.unlisted, n.name)
	}
}

// takeBack implements undoable.
func (c *counters) takeBack() {
	for _, n := range c.touched {
		n.n, n.touched = n.before, false
	}
	c.touched = c.touched[:0]
}

// note remembers a counter's value from before the record under way.
func (c *counters) note(n *Counter) {
	c.trial.touch()
	switch {
	case c.trial.settling, c.trial.over: // by a combiner
		c.enlist(n)
	case !n.touched:
		n.touched, n.before = true, n.n
		c.touched = append(c.touched, n)
	}
}

// try puts a task's counters on trial.
func (c *counters) try(t *trial) {
	c.trial, c.unlisted = t, map[string]*Counter{}
	for name, n := range c.byName {
		n.of, n.name, n.listed = c, name, true
	}
	t.join(c)
}

// rowMark is how far a rowWriter had come.
type rowMark struct {
	rows    int
	bytes   int64
	count   int64
	columns []columnMark
}

// rowBatch is a full batch that waits for the end of the record that filled it.
type rowBatch struct {
	rows    int
	columns []*column
}

// try puts a writer on trial.
func (w *rowWriter[Out]) try(t *trial) {
	w.trial = t
	t.join(w)
}

// setFull puts a full batch aside and begins another one.
func (w *rowWriter[Out]) setFull() {
	w.fulls, w.held = append(w.fulls, rowBatch{w.rows, w.columns}), w.held+w.bytes
	w.columns = w.newColumns()
	w.rows, w.bytes = 0, 0
}

// keep implements undoable.
func (w *rowWriter[Out]) keep() {
	for _, b := range w.fulls {
		w.put(b.rows, b.columns)
	}
	w.fulls, w.held = nil, 0
	w.mark.rows, w.mark.bytes, w.mark.count = w.rows, w.bytes, *w.count
	w.mark.columns = w.mark.columns[:0]
	for _, c := range w.columns {
		w.mark.columns = c.mark(w.mark.columns)
	}
}

// takeBack implements undoable.
func (w *rowWriter[Out]) takeBack() {
	w.rows, w.bytes, *w.count = w.mark.rows, w.mark.bytes, w.mark.count
	if len(w.fulls) > 0 { // the first is the batch that the record began in
		w.columns, w.fulls, w.held = w.fulls[0].columns, nil, 0
	}
	rest := w.mark.columns
	for _, c := range w.columns {
		rest = c.cutBack(rest)
	}
}

// columnMark is how far a column had come.
type columnMark struct{ rows, nulls, valid, offsets, data int }

// mark appends the marks of the column and those within it.
func (c *column) mark(to []columnMark) []columnMark {
	to = append(to, columnMark{c.rows, c.nulls, len(c.valid), len(c.offsets), len(c.data)})
	for _, child := range c.children {
		to = child.mark(to)
	}
	return to
}

// cutBack makes the column end where it did when marks was made, and returns the marks of those after it.
func (c *column) cutBack(marks []columnMark) (rest []columnMark) {
	m := marks[0]
	c.rows, c.nulls = m.rows, m.nulls
	c.valid, c.offsets, c.data = c.valid[:m.valid], c.offsets[:m.offsets], c.data[:m.data]
	clearBeyond(c.valid, m.rows)
	if c.plan.field.Type == TypeBool {
		clearBeyond(c.data, m.rows)
	}
	rest = marks[1:]
	for _, child := range c.children {
		rest = child.cutBack(rest)
	}
	return rest
}

// clearBeyond clears the bits of a bitmap's last byte from bit n on: setBit sets, and does not clear.
func clearBeyond(bitmap []byte, n int) {
	if n&7 != 0 && len(bitmap) > 0 {
		bitmap[len(bitmap)-1] &= 1<<(n&7) - 1
	}
}

// tryPairs puts the mapper on trial, and returns its emit function. emit is the one that it has otherwise, for pairs that go
// straight into the batch; through the combine table nothing can be taken back, so that pairs wait for it: as they are if they are
// texts or numbers, which never change and can always be encoded, else encoded. With all of them encoded, and decoded again, words of
// prose took four times as long as without a trial (BenchmarkSift).
func (m *mapper[K, V]) tryPairs(t *trial, emit func(K, V)) func(K, V) {
	t.join(m)
	if m.table != nil {
		m.waiting.emit = emit
		if emit = m.hold; keepsAsIs(reflect.TypeFor[K]()) && keepsAsIs(reflect.TypeFor[V]()) && !m.values.codec.Own {
			emit = m.wait
		}
	}
	return func(k K, v V) {
		m.check()
		t.touch()
		emit(k, v)
	}
}

// pairMark is how far a mapper's batch had come.
type pairMark struct {
	data, partitions, count int
	passed                  int64
}

// waiting are pairs of the record on trial on their way to the combine table.
type waiting[K, V any] struct {
	emit  func(K, V) // through the table
	pairs []waitingPair[K, V]
	bytes int // of the pairs and their texts
}

type waitingPair[K, V any] struct {
	key   K
	value V
}

// maxWaiting is how many pairs there is room for between records.
const maxWaiting = 64 << 10

// keepsAsIs says whether values of a type can wait as they are.
func keepsAsIs(t reflect.Type) bool {
	return t.Kind() == reflect.String || t.Kind() >= reflect.Bool && t.Kind() <= reflect.Float64
}

// wait keeps a pair of the record on trial.
func (m *mapper[K, V]) wait(k K, v V) {
	if m.partition != nil {
		m.partitionOf(k)
	}
	w := &m.waiting
	w.pairs = append(w.pairs, waitingPair[K, V]{k, v})
	w.bytes += int(unsafe.Sizeof(waitingPair[K, V]{})) + textSize(k) + textSize(v)
	if w.bytes > maxHeld {
		m.fail(m.tooMuch())
	}
}

// textSize is what a string leads to, bytes; 0 for a number.
func textSize[T any](v T) int {
	if reflect.TypeFor[T]().Kind() == reflect.String {
		return len(asString(v))
	}
	return 0
}

// drop forgets the pairs, which are in the table or taken back.
func (w *waiting[K, V]) drop() {
	if cap(w.pairs) > maxWaiting {
		w.pairs = nil
	}
	w.pairs, w.bytes = w.pairs[:0], 0
}

// hold encodes a pair of the record on trial. One that panics on its way leaves nothing.
func (m *mapper[K, V]) hold(k K, v V) {
	if m.partition != nil {
		m.partitionOf(k)
	}
	buf := m.held
	start := len(buf)
	buf = m.keys.append(append(buf, 0, 0), k)
	middle := len(buf)
	m.held = closePair(m.values.append(buf, v), start, middle)
	if len(m.held) > maxHeld {
		m.fail(m.tooMuch())
	}
}

// heldBlock is the least room for held pairs, bytes.
const heldBlock = 64 << 10

// keep implements undoable.
func (m *mapper[K, V]) keep() {
	for i := range m.waiting.pairs {
		p := &m.waiting.pairs[i]
		m.waiting.emit(p.key, p.value)
	}
	m.waiting.drop()
	for rest := m.held; len(rest) > 0; {
		key, value, after, err := CutPair(rest, nil)
		if err != nil {
			m.fail(err)
		}
		k, err := m.keys.decode(key)
		if err != nil {
			m.fail(m.misfit(err))
		}
		v, err := m.values.decode(value)
		if err != nil {
			m.fail(m.misfit(err))
		}
		m.combine(view(key), k, v)
		rest = after
	}
	// Strings never change, and those that were decoded are views: no byte is used twice.
	if m.held = m.held[len(m.held):]; m.table != nil && cap(m.held) < heldBlock/16 {
		m.held = make([]byte, 0, heldBlock)
	}
	if len(m.batch.Data) >= batchBytes {
		m.put()
	}
	m.mark = pairMark{len(m.batch.Data), len(m.batch.Partitions), m.batch.Count, m.passed}
}

// misfit is the error of a key or value that does not come back from its encoding: a mistake in its type's own methods.
func (m *mapper[K, V]) misfit(err error) error {
	at := m.here()
	at.Err = err
	return &at
}

// takeBack implements undoable.
func (m *mapper[K, V]) takeBack() {
	m.waiting.drop()
	m.held = m.held[:0]
	m.batch.Data, m.batch.Partitions, m.batch.Count = m.batch.Data[:m.mark.data], m.batch.Partitions[:m.mark.partitions], m.mark.count
	m.passed = m.mark.passed
}

// filled is called when a batch is full. On trial it goes at the record's end.
func (m *mapper[K, V]) filled() {
	switch {
	case m.trial == nil || m.table != nil:
		m.put()
	case len(m.batch.Data)-m.mark.data > maxHeld:
		m.fail(m.tooMuch())
	}
}
