package jobs

import (
	"fmt"
	"reflect"
	"unsafe"
)

// A batch of rows ends at a number of rows or bytes counted from the rows alone: so the same rows make the same batches,
// whatever the memory or worker. Whoever makes columns without this package, for a RowSink, ends them so too: a row counts for the
// width of its numbers, for 1 byte a bool, and for 4 and its bytes a text.
const (
	BatchRows     = 64 << 10
	BatchRowBytes = 8 << 20
	maxRowBytes   = 1 << 30 // a batch and the largest row stay far below the 2 GiB that an offset can reach
)

// rowWriter collects the rows of an attempt in columns and hands over full batches.
type rowWriter[Out any] struct {
	failed  *failed
	count   *int64 // of rows
	out     RowSink
	slot    *Out // what the columns are filled from: it escapes, as a row would each time
	columns []*column
	rows    int
	bytes   int64
	cells   []Column
	trial   *trial // nil unless records are set aside
	fail    func(error)
	mark    rowMark
	fulls   []rowBatch // on trial: full ones with rows of the record under way
	held    int64      // bytes of their rows
	plan    *rowPlan
}

// newRowWriter makes a writer; at says where the attempt is, for messages.
func newRowWriter[Out any](plan *rowPlan, out RowSink, f *failed, count *int64, at func() RecordError) *rowWriter[Out] {
	w := &rowWriter[Out]{failed: f, count: count, out: out, slot: new(Out), plan: plan}
	w.fail = func(err error) {
		e := at()
		e.Err = err
		f.fail(&e)
	}
	w.columns = w.newColumns()
	return w
}

func (w *rowWriter[Out]) newColumns() (columns []*column) {
	for i := range w.plan.columns {
		columns = append(columns, newColumn(&w.plan.columns[i], w.fail))
	}
	return columns
}

// emit adds a row.
func (w *rowWriter[Out]) emit(row Out) {
	w.failed.check()
	if w.trial != nil {
		w.trial.touch()
	}
	*w.slot = row
	size := addRow(w.columns, unsafe.Pointer(w.slot))
	if size > maxRowBytes {
		w.columns[0].limit(maxRowBytes + 1)
	}
	w.bytes += size
	w.rows++
	*w.count++
	if w.full() || len(w.fulls) > 0 {
		w.filled()
	}
}

// full says whether a batch is to be handed over.
func (w *rowWriter[Out]) full() bool { return w.rows >= BatchRows || w.bytes >= BatchRowBytes }

// filled is called when a batch is full. On trial it waits for the record's end.
func (w *rowWriter[Out]) filled() {
	if w.trial == nil {
		w.flush()
		return
	}
	if w.held+w.bytes-w.mark.bytes > maxHeld {
		w.fail(ErrHeld)
	}
	if w.full() {
		w.setFull()
	}
}

// flush hands over the rows collected so far, if any.
func (w *rowWriter[Out]) flush() {
	if w.rows == 0 {
		return
	}
	w.put(w.rows, w.columns)
	for _, c := range w.columns {
		c.reset()
	}
	w.rows, w.bytes = 0, 0
}

func (w *rowWriter[Out]) put(rows int, columns []*column) {
	w.cells = w.cells[:0]
	for _, c := range columns {
		w.cells = append(w.cells, c.batch())
	}
	if err := w.out.Put(Columns{Rows: rows, Columns: w.cells}); err != nil {
		w.failed.fail(err)
	}
}

// ColumnsOf makes columns of rows, as the rows that a job emits become columns: for tests, which have no file to read them from.
// The error names the column that cannot hold a value.
func ColumnsOf[R any](rows ...R) (schema Schema, out Columns, err error) {
	plan, err := newRowPlan(reflect.TypeFor[R]())
	if err != nil {
		return Schema{}, Columns{}, fmt.Errorf("row type %s: %w", typeName[R](), err)
	}
	var f failed
	defer func() {
		if r := recover(); r != nil {
			if f.err == nil {
				panic(r)
			}
			err = f.err
		}
	}()
	columns := make([]*column, len(plan.columns))
	for i := range columns {
		columns[i] = newColumn(&plan.columns[i], f.fail)
	}
	for i := range rows {
		addRow(columns, unsafe.Pointer(&rows[i]))
	}
	out.Rows = len(rows)
	for _, c := range columns {
		out.Columns = append(out.Columns, c.batch())
	}
	return plan.schema, out, nil
}
