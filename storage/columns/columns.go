// Package columns reads a map task's input where it is made of columns: the pieces of a split of Arrow and Parquet objects become
// blocks of rows, of the wanted columns only. It knows no jobs, tasks or kinds of storage; the worker calls it as it calls
// package input for bytes.
//
// A row belongs to the piece in which its group begins: the record batch or the row group that holds it, which is where the
// file's footer says (a Parquet row group begins with its first column). So pieces can be cut at any byte, and who cuts them needs
// no footer. Of the Arrow stream format, which has none, all belongs to the piece at its beginning. Groups are read in the order
// in which they begin, whatever the footer's.
//
// An object is read as it was listed (by its ETag) or not at all.
package columns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
)

// ErrUnreadable reports an object that no attempt can read: damaged, without a column that is wanted, or too large for the
// memory.
var ErrUnreadable = errors.New("unreadable columns")

// Source reads ranges of objects; *storage.Store is one.
type Source interface {
	// Read opens n bytes of the object from off, as long as its ETag is etag. Otherwise the error is storage.ErrChanged.
	Read(ctx context.Context, url string, off, n int64, etag string) (io.ReadCloser, storage.Info, error)
}

// Piece is a byte range of one object.
type Piece struct {
	URL     string
	ETag    string // that the object must have
	Size    int64  // of the whole object
	Offset  int64
	Length  int64
	Columns []string // the wanted ones, in this order; none: all
	Input   int      // the caller's, given back in the blocks
}

// Block is some rows of one object.
type Block struct {
	URL    string
	Input  int   // the piece's
	Row    int64 // the number of its first row in the object, from 0
	Schema arrowfile.Schema
	Batch  arrowfile.Batch // the receiver's: never changed
}

// Options tune a Reader. The zero value means the defaults.
type Options struct {
	// Memory bounds what reading one object takes, bytes, the block that Next returned last included; 0: 1 GiB.
	Memory int64
	// Sample reads a few rows for each piece that is not a whole object: as many as its bytes are worth, from the group that its
	// first byte lies in, as far into it as that byte. What they are depends on the object and the piece alone.
	Sample bool
	// Counts is shared by the readers of a process, so that they do not count the rows of a file again; nil: none.
	Counts *Counts
}

// table is an open object: package arrowfile's or parquetfile's reader.
type table interface {
	Schema() arrowfile.Schema
	Groups() []int64                // where each one begins
	Row(group int) (int64, error)   // the number of its first row
	Read(group int) (int64, error)  // begins to read a group; returns its rows
	Next() (arrowfile.Batch, error) // of the group; io.EOF at its end
}

// Reader yields the blocks of a list of pieces in order. One goroutine calls Next and Close; Bytes may be called by any.
type Reader struct {
	ctx    context.Context // a Reader lives no longer than the call that opens it
	src    Source
	pieces []Piece // from the current one on
	o      Options

	file  *object // of the current piece; kept for the next one of the same object
	queue []int   // groups that the piece owns and that are not read yet
	group bool    // the first one of them is being read
	row   int64   // of the next block in its object

	place *place // of a sample

	owned, read int64 // rows of groups: of the piece, and of those that were read
	before      int64 // bytes of the pieces before this one
	bytes       atomic.Int64
	err         error
}

// Open starts to read pieces. The caller must Close the Reader; cancelling ctx makes Next fail.
func Open(ctx context.Context, src Source, pieces []Piece, o Options) *Reader {
	return &Reader{ctx: ctx, src: src, pieces: pieces, o: o}
}

// Next returns the next block, or io.EOF after the last one. An error names the object and stays.
func (r *Reader) Next() (Block, error) {
	for r.err == nil {
		if r.err = context.Cause(r.ctx); r.err != nil {
			break
		}
		if len(r.pieces) == 0 {
			r.err = io.EOF
			break
		}
		b, err := r.next(r.pieces[0])
		switch {
		case err == errPieceEnd:
			r.before += r.pieces[0].Length
			r.bytes.Store(r.before)
			r.pieces = r.pieces[1:]
			r.queue, r.place = nil, nil
		case err != nil:
			r.err = r.file.explain(err)
		case b.Batch.Rows > 0:
			return b, nil
		}
	}
	return Block{}, r.err
}

var errPieceEnd = errors.New("the piece has no more rows")

func (r *Reader) next(p Piece) (Block, error) {
	if r.queue == nil && r.place == nil {
		if err := r.open(p); err != nil {
			return Block{}, err
		}
	}
	if r.place != nil {
		return r.sample(p)
	}
	for len(r.queue) > 0 {
		if !r.group {
			if err := r.begin(r.queue[0]); err != nil {
				return Block{}, err
			}
		}
		batch, err := r.file.table.Next()
		if err == io.EOF {
			r.queue, r.group = r.queue[1:], false
			continue
		}
		if err != nil {
			return Block{}, err
		}
		b := Block{URL: p.URL, Input: p.Input, Row: r.row, Schema: r.file.table.Schema(), Batch: batch}
		r.row += int64(batch.Rows)
		r.progress(p, int64(batch.Rows))
		return b, nil
	}
	return Block{}, errPieceEnd
}

// begin starts a group. Where the footer says how many rows there are, so does progress; else groups count alike.
func (r *Reader) begin(group int) error {
	row, err := r.file.table.Row(group)
	if err != nil {
		return err
	}
	_, err = r.file.table.Read(group)
	r.row, r.group = row, err == nil
	return err
}

// progress counts rows that Next returns: the bytes of those before them are done.
func (r *Reader) progress(p Piece, rows int64) {
	share := min(1, float64(r.read)/float64(max(1, r.owned)))
	r.bytes.Store(r.before + int64(share*float64(p.Length)))
	r.read += rows
}

// open finds the groups that a piece owns.
func (r *Reader) open(p Piece) error {
	r.queue, r.group, r.read, r.owned = []int{}, false, 0, 0
	if r.file == nil || r.file.piece.URL != p.URL || !slices.Equal(r.file.piece.Columns, p.Columns) {
		r.close()
		r.file = &object{ctx: r.ctx, src: r.src, piece: p}
		if err := r.file.open(r.o); err != nil {
			return err
		}
	}
	r.file.piece = p
	if r.o.Sample && p.Length < p.Size {
		return r.openPlace(p)
	}
	for _, g := range r.file.order {
		if at := r.file.groups[g]; at >= p.Offset && at < p.Offset+p.Length {
			r.queue = append(r.queue, g)
			r.owned += r.file.weight(g)
		}
	}
	return nil
}

// Bytes returns how much of the pieces' Length lies in blocks that the caller is done with.
func (r *Reader) Bytes() int64 { return r.bytes.Load() }

// Close ends the reading. Blocks that were returned stay good.
func (r *Reader) Close() error {
	r.close()
	if r.err == nil {
		r.err = errors.New("columns: reader is closed")
	}
	return nil
}

func (r *Reader) close() {
	if r.file != nil {
		r.file.keep(r.o.Counts)
	}
}

// inOrder returns the groups in the order in which they begin.
func inOrder(groups []int64) []int {
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(groups[a], groups[b]) })
	return order
}

// fail is an error of this package's own.
func fail(url, format string, args ...any) error {
	return fmt.Errorf("read %s: "+format, append([]any{url}, args...)...)
}
