// Package plan turns a job's spec and the listing of its inputs into splits and tasks, as plain values. It does no I/O
// and knows no master, worker or clock: the same spec and the same listing give the same plan. The master calls it to run
// a job, the CLI to show what a run would do.
package plan

import "github.com/millrace/millrace/jobs"

// Spec is a job as its submitter states it.
type Spec struct {
	Job       string            // the job's name
	Params    map[string]string // as given; the job's defaults fill the rest
	Program   string            // digest of what carries the code
	Info      jobs.Info         // of the program bound to Params
	Inputs    []string          // URLs, globs, prefixes
	Output    string            // URL of the folder of the parts
	Overwrite bool

	Reducers    int    // 0: Info.Reducers, and if that is 0 too, by input size
	SplitSize   int64  // bytes; 0: DefaultSplitSize
	Shuffle     string // "local" or "bucket"; "": local
	Compression string // "none", "lz4" or "zstd"; "": none
	MaxAttempts int    // per task; 0: 4
	Backup      bool   // run backup attempts of slow tasks
	Weight      int    // share of the slots relative to other jobs; 0: 1
}

// Object is one input object as listed.
type Object struct {
	URL  string
	Size int64
	ETag string
}

// Piece is a byte range of one object. A record belongs to the piece in which it begins.
type Piece struct {
	Object
	Offset int64
	Length int64
}

// Split is the input of one map task: a byte range of one object, or several small objects, in input order.
type Split struct {
	Pieces []Piece
}
