package jobs

import "context"

// Program is a job's code bound to its parameters, behind the border of bytes: the engine hands in blocks of whole
// records and sorted pairs, and takes back batches of encoded pairs and of columns. It never sees a record, a key type
// or a row struct. A typed Go job (New, Define), a child process, a stream command and a WebAssembly module all stand
// behind this one interface.
//
// The engine calls each method once per attempt, each call from one goroutine; calls for different attempts run at the
// same time. A batch that has crossed the border is never changed again, so views into it stay good for as long as they
// are kept.
type Program interface {
	// Info states what the engine must know to plan and run the job. It is the same for every call.
	Info() Info
	// Map runs the map function over every record that in yields and puts the pairs into out, which is nil if Info.MapOnly.
	// An error of the user's function comes back as a *RecordError.
	Map(ctx context.Context, t *Task, in BlockSource, out PairSink) error
	// Combine appends to out the pairs of in with the values of each key combined to one, and returns out.
	// in is a batch of sorted pairs; the result is sorted too. It is called only if Info.Combines. It keeps neither in nor
	// out: both are used again.
	Combine(ctx context.Context, t *Task, in, out []byte) ([]byte, error)
	// Reduce runs the reduce function over every group of the sorted pairs that in yields and puts the rows into out.
	Reduce(ctx context.Context, t *Task, in PairSource, out RowSink) error
}

// Info is what the engine knows of a program.
type Info struct {
	Inputs     []Input // what the job reads, each with a map function of its own; one at least
	Combines   bool    // Combine may be called, any number of times, on any subset of a key's values
	Partitions bool    // the program fills Pairs.Partitions; otherwise the engine partitions by the key's bytes
	Ordered    bool    // the job orders the values of a key: behind the key, a pair's has what its value is ordered by
	TotalOrder bool    // partition p holds only keys below those of partition p+1; the engine samples the boundaries
	MapOnly    bool    // there is no reduce function: Map puts the job's rows into Task.Sinks.Rows, and no pairs
	// CombineBatch is how large a batch a call of Combine should get if there is memory for it, bytes, of a program whose calls cost
	// much: 0: 256 KiB, which stay in a core's second-level cache.
	CombineBatch int      `json:",omitempty"`
	Reducers     int      // the number of partitions unless the submitter states one; 0: by the size of the input
	Schema       Schema   // of the rows
	Outputs      []Output // where rows of other kinds go, by name
	// SideInputs are the small files that the parameters name: the engine gives their content as Task.Side.
	SideInputs []SideFile
}

// Output is a side output of a job, as its code declares it: rows of another kind than the job's, in files of their own.
type Output struct {
	Name   string
	Schema Schema
}

// Input is one of the inputs of a job, as its code declares it. Most jobs have one, without a name.
type Input struct {
	Name   string // by which the submitter says what belongs to it; "" for a job's only one
	Format Format // how it is cut into records
}

// Format is how an input's bytes are cut into records.
type Format struct {
	Kind    FormatKind
	Length  int  // bytes a record, for FormatFixed
	Offsets bool // a record tells where in its object it lies
	Raw     bool // compressed objects are taken as they are

	// For FormatCSV.
	Comma    byte // between fields
	NoQuotes bool // quotes have no meaning: each line is a record
	NoHeader bool // the first record of an object is not the names of the columns
	Whole    bool // objects are not cut

	// Columns are those that the program needs, for FormatColumns, in this order; none: all.
	Columns []string
}

// FormatKind names a way to cut records.
type FormatKind uint8

const (
	FormatLines   FormatKind = iota // text lines, ended by LF or CRLF; the last one may lack its end
	FormatFixed                     // records of Format.Length bytes
	FormatFile                      // each object is one record
	FormatCSV                       // text lines that have no quoted line ends in them
	FormatColumns                   // rows of an Arrow or Parquet file
)

// Block is a piece of one object made of whole records, about 1 MiB. Line blocks keep their line ends.
type Block struct {
	URL   string // the object
	Input int    // which of Info.Inputs the object belongs to
	// Offset is that of Data[0] in the object, bytes; of a compressed object in what it decompresses to; for FormatColumns the
	// number of the first row in the object, from 0.
	Offset int64
	// From is the compressed byte of the object at which the bytes begin that Offset counts, 0 for the object's first. It is not 0
	// only where Format.Offsets says that no record tells its offset.
	From int64
	Data []byte // never changed afterwards: views into it may be kept
	// Header is of FormatCSV, where Offset > 0: what the object has up to the end of its header.
	Header []byte

	// For FormatColumns in place of Data, and as unchanged: the columns of Format.Columns, or all of the object.
	Schema  Schema
	Columns Columns

	skip int // rows of Columns that are done already
}

// BlockSource yields a task's blocks in input order and then io.EOF.
type BlockSource interface {
	Next() (Block, error)
}

// Pairs is a batch of encoded pairs (see AppendPair). Every pair in a batch that Map puts spells out its key.
type Pairs struct {
	Data       []byte
	Count      int
	Partitions []uint32 // of each pair, if Info.Partitions; otherwise nil
}

// PairSink takes batches of pairs.
type PairSink interface {
	// Put takes b over and returns an empty batch, with capacity, to go on with.
	// Pass the zero Pairs to get the first one.
	Put(b Pairs) (Pairs, error)
}

// PairSource yields batches of sorted pairs and then io.EOF. The pairs of one key are adjacent, also across batches, in
// the order of the map tasks and, within one, of emission. If Info.Ordered, so are the pairs of one group, whose keys differ in
// what stands behind the group's.
type PairSource interface {
	Next() ([]byte, error)
}

// RowSink takes batches of rows. The sink is done with a batch when Put returns: its buffers may be used again.
type RowSink interface {
	Put(Columns) error
}
