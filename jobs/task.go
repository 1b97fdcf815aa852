package jobs

import "fmt"

// Task is one attempt at a task, as the job's code sees it. One goroutine uses it.
type Task struct {
	Reducers int   // number of partitions
	Memory   int64 // bytes that the program's own tables may use; 0: 16 MiB; below 0: no tables, every pair crosses as it was emitted

	// Index is the task's number among those of its phase, from 0.
	Index int
	// Scratch makes the folder that belongs to this attempt alone, for what its code writes, and returns its path; from then on it
	// returns the same. The engine removes it when the attempt ends. nil: the engine has none to give.
	Scratch func() (string, error)

	// Unordered leaves the order of values (OrderBy) out of the keys that Map emits. The engine chooses the boundaries of a
	// total order by such keys, and an oracle orders the values itself.
	Unordered bool

	// MaxRejected is how many bad records a map attempt may set aside: records on which decoding or the map function fails or
	// panics. What such a record emitted, counted or put into a side output is taken back, and no other record is lost. One more
	// ends the attempt with ErrRejects. 0: the first bad record ends it with a *RecordError.
	//
	// The map function may then be called again for records that it was called for already, if it takes several at once (Lines,
	// Batch): first with all of a block, and if that fails with one at a time.
	MaxRejected int64

	// Sinks are where rows go beside the sinks of Map and Reduce.
	Sinks Sinks

	// Side is the content of Info.SideInputs, for all attempts of the job in this process.
	Side *SideData

	// What the program has done so far; it keeps these up to date once a block or batch.
	Records int64 // given to the map function; of a reduce task, pairs
	Pairs   int64 // emitted by the map function, before any combining
	Groups  int64 // given to the reduce function
	Rows    int64 // emitted by the reduce function, or by the map function of a job without one
	// Of a map task: the records that were set aside, and the first errors, each a line; they are among Records.
	Rejected      int64
	FirstRejected []string
	Hot           []HotKey // of a reduce task, at its end: the keys with the most pairs, those first, MaxHot at most

	counters counters
	sides    []sideOutput // as declared
	sideErr  error        // the first mistake in a declaration
	shared   []sharer     // as declared by Shared
	owner    *bound       // whose code program is
	program  program      // of this attempt, from its first call on

	sideInputs []*opened // that the parameters name, in their order
}

// Sinks are the engine's sinks for the rows of an attempt. The zero value will do for a job with a reduce function and without
// side outputs.
type Sinks struct {
	Rows  RowSink   // of Map, if Info.MapOnly: the job's rows
	Sides []RowSink // of each of Info.Outputs
	// Rejected takes the records that a map attempt sets aside, rows of RejectedSchema. nil: they are counted only.
	Rejected RowSink
}

// RecordError is what the user's map or reduce function returned, or the panic it ended in.
type RecordError struct {
	URL    string // of the input object; empty for a reduce function
	Offset int64  // of the record in the object, bytes; as Block.Offset is, from From on
	From   int64  // as Block.From is
	Row    bool   // Offset is a row's number in place of bytes: the input is of columns
	Key    string // printable form of the group's key, for a reduce function
	Err    error
	Stack  string // of a panic; empty for a returned error
}

func (e *RecordError) Error() string {
	if e.URL == "" {
		return fmt.Sprintf("reduce key %s: %v", e.Key, e.Err)
	}
	if e.From > 0 {
		return fmt.Sprintf("map %s at byte %d of what decompresses from its byte %d on: %v", e.URL, e.Offset, e.From, e.Err)
	}
	if e.Row {
		return fmt.Sprintf("map %s at row %d: %v", e.URL, e.Offset, e.Err)
	}
	return fmt.Sprintf("map %s at byte %d: %v", e.URL, e.Offset, e.Err)
}

func (e *RecordError) Unwrap() error { return e.Err }
