// Package input reads a map task's input: the pieces of a split become blocks of whole records, read ahead of the
// computation. It knows no jobs, tasks or kinds of storage; the worker calls it with anything that reads ranges.
//
// A record belongs to the piece in which it begins, so that pieces can be cut at any byte:
//
//	lines   a piece from offset > 0 starts after the first LF at or after offset-1, and ends with the line that
//	        begins before its end, read on beyond it as far as need be
//	fixed   pieces begin and end between records
//	file    the object is one record
//
// An object is read as it was listed (by its ETag) or not at all.
package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/millrace/millrace/storage"
)

// ErrRecord reports input that no attempt can read: a record over the limit, or half of one.
var ErrRecord = errors.New("unreadable record")

// Source reads ranges of objects; *storage.Store is one.
type Source interface {
	// Read opens n bytes of the object from off, as long as its ETag is etag. Otherwise the error is storage.ErrChanged.
	Read(ctx context.Context, url string, off, n int64, etag string) (io.ReadCloser, storage.Info, error)
}

// Piece is a byte range of one object.
type Piece struct {
	URL    string
	ETag   string // that the object must have
	Size   int64  // of the whole object
	Offset int64
	Length int64
}

func (p Piece) end() int64 { return p.Offset + p.Length }

// Format is how an object's bytes are cut into records.
type Format struct {
	Kind   Kind
	Length int // bytes a record, for Fixed
}

// Kind names a way to cut records.
type Kind uint8

const (
	Lines Kind = iota // ended by LF; the last one may lack its end
	Fixed             // of Format.Length bytes
	File              // each object is one record
)

// Block is a part of one object made of whole records. Lines keep their ends.
type Block struct {
	URL    string
	Offset int64  // of Data[0] in the object
	Data   []byte // the receiver's: allocated for this block, never changed
}

// Options tune a Reader. The zero value means the defaults.
type Options struct {
	// BlockSize is the aimed size of a block, bytes; 0: 1 MiB. A block is larger only when a record is.
	BlockSize int
	// MaxRecord is the longest line or fixed record, bytes without line end; 0: 64 MiB.
	MaxRecord int
	// MaxFile is the largest object read as one record, bytes; 0: 1 GiB.
	MaxFile int64
	// ReadAhead is the memory for blocks that Next has not returned yet, in blocks; 0: 4. Pieces that fit are opened in
	// parallel, up to 16.
	ReadAhead int
}

const maxOpen = 16 // pieces read at the same time: hides the latency of a bucket's small objects

func (o Options) filled() Options {
	if o.BlockSize <= 0 {
		o.BlockSize = 1 << 20
	}
	if o.MaxRecord <= 0 {
		o.MaxRecord = 64 << 20
	}
	if o.MaxFile <= 0 {
		o.MaxFile = 1 << 30
	}
	if o.ReadAhead <= 0 {
		o.ReadAhead = 4
	}
	// A line within a block is then always within the limit, so only a block's first line needs to be measured.
	o.BlockSize = min(o.BlockSize, o.MaxRecord)
	return o
}

// Reader yields the blocks of a list of pieces in order. One goroutine calls Next and Close; Bytes may be called by any.
type Reader struct {
	streams chan *stream // of the pieces, in order
	stopped error        // why not of all of them; set before streams is closed
	stop    context.CancelFunc
	done    sync.WaitGroup
	room    *semaphore.Weighted // of Options.ReadAhead; a stream holds its share until Next has its last block

	now   *stream
	read  int64 // of the block that Next returned last
	err   error // that ended the reader
	bytes atomic.Int64
}

// stream is one piece being read.
type stream struct {
	blocks chan progress
	share  int64 // of Reader.room
	err    error // set before blocks is closed, as is rest
	rest   int64 // of the piece's Length, which held no record of its own
}

// progress is a block and what part of its piece's Length lies before its end, beyond the blocks before it.
type progress struct {
	Block
	read int64
}

// inMemory is how many bytes of a piece are read ahead: a file is a block by itself; of other pieces one block waits for
// Next while the next one is being read.
func inMemory(p Piece, f Format, o Options) int64 {
	if f.Kind == File {
		return p.Length
	}
	return 2 * min(p.Length, int64(o.BlockSize))
}

// Open starts to read pieces. The caller must Close the Reader, which ends its goroutines; cancelling ctx makes Next fail.
func Open(ctx context.Context, src Source, pieces []Piece, f Format, o Options) *Reader {
	o = o.filled()
	ctx, stop := context.WithCancel(ctx)
	room := int64(o.ReadAhead) * int64(o.BlockSize)
	r := &Reader{streams: make(chan *stream, maxOpen), stop: stop, room: semaphore.NewWeighted(room)}
	r.done.Go(func() {
		defer close(r.streams)
		for _, p := range pieces {
			share := min(room, max(room/maxOpen, inMemory(p, f, o)))
			if r.room.Acquire(ctx, share) != nil {
				r.stopped = context.Cause(ctx)
				return
			}
			s := &stream{blocks: make(chan progress, 1), share: share}
			r.done.Go(func() {
				defer close(s.blocks)
				in := &object{src: src, piece: p, pos: p.Offset, sent: p.Offset, to: s.blocks}
				s.err = in.read(ctx, f, o)
				s.rest = p.end() - in.sent
			})
			select {
			case r.streams <- s:
			case <-ctx.Done():
				r.stopped = context.Cause(ctx)
				return
			}
		}
	})
	return r
}

// Next returns the next block, or io.EOF after the last one. An error names the object and stays.
func (r *Reader) Next() (Block, error) {
	r.bytes.Add(r.read)
	r.read = 0
	for r.err == nil {
		if r.now == nil {
			r.nextStream()
			continue
		}
		b, ok := <-r.now.blocks
		if ok {
			r.read = b.read
			return b.Block, nil
		}
		r.endStream()
	}
	return Block{}, r.err
}

// nextStream sets now, or err when no stream is left.
func (r *Reader) nextStream() {
	s, ok := <-r.streams
	switch {
	case ok:
		r.now = s
	case r.stopped != nil:
		r.err = fmt.Errorf("read input: %w", r.stopped)
	default:
		r.err = io.EOF
	}
}

// endStream settles the stream that has no more blocks. After an error the others are not worth reading.
func (r *Reader) endStream() {
	s := r.now
	r.now = nil
	r.room.Release(s.share)
	if s.err != nil {
		r.err = s.err
		r.stop()
		return
	}
	r.bytes.Add(s.rest)
}

// Bytes returns how much of the pieces' Length lies in blocks that the caller is done with: those before the last one
// that Next returned.
func (r *Reader) Bytes() int64 { return r.bytes.Load() }

// Close ends the reading and waits for it. Blocks that were returned stay good.
func (r *Reader) Close() error {
	r.stop()
	r.done.Wait()
	if r.err == nil {
		r.err = errors.New("input: reader is closed")
	}
	return nil
}
