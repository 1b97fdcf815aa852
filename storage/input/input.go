// Package input reads a map task's input: the pieces of a split become blocks of whole records, read ahead of the
// computation. It knows no jobs, tasks or kinds of storage; the worker calls it with anything that reads ranges.
//
// A record belongs to the piece in which it begins, so that pieces can be cut at any byte:
//
//	lines   a piece from offset > 0 starts after the first LF at or after offset-1, and ends with the line that
//	        begins before its end, read on beyond it as far as need be
//	fixed   pieces begin and end between records
//	csv     a piece from offset > 0 starts with the first record that begins there or beyond, as far as that can be told
//	        (see startSearch), and ends as lines do; Reader.Cut says where, so that a false guess is found out
//	file    the object is one record
//
// An object whose first bytes say that it is compressed is decompressed on the way: what is cut into records are its plain
// bytes, and offsets count them. Pieces of it are ranges of its own bytes: one has the blocks (see storage/encoding) that begin
// in it, and of the lines those that begin in these blocks, but for one that begins with the very first byte of them, which
// belongs to the piece before, and with one that begins with the first byte of the next piece's: whether an LF lies before such
// a line only the block before tells. The line that a piece ends with is read on into the blocks of the next ones.
//
// An object is read as it was listed (by its ETag) or not at all.
package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/encoding"
)

// errClosed is a block that is asked for after Close.
var errClosed = errors.New("input: reader is closed")

// ErrRecord reports input that no attempt can read: a record over the limit, or half of one.
var ErrRecord = errors.New("unreadable record")

// Source reads ranges of objects; *storage.Store is one.
type Source interface {
	// Read opens n bytes of the object from off, as long as its ETag is etag. Otherwise the error is storage.ErrChanged.
	Read(ctx context.Context, url string, off, n int64, etag string) (io.ReadCloser, storage.Info, error)
}

// Prompter is a Source that tells of objects whose reading cannot be sped up by beginning early. *storage.Store is one.
type Prompter interface {
	Prompt(ctx context.Context, url string) bool
}

// Piece is a byte range of one object.
type Piece struct {
	URL    string
	ETag   string // that the object must have
	Size   int64  // of the whole object
	Offset int64
	Length int64
	Format Format // how it is cut into records
	Input  int    // the caller's, given back in the blocks

	// Encoding is how the object's bytes are compressed, as far as the caller knows. Of one that it has not looked at the
	// first bytes decide, when it is read as a whole; a piece of one is not compressed.
	Encoding encoding.Kind
	Raw      bool // take the bytes as they are, compressed or not

	// Most is how many plain bytes of a compressed object are read at the most, and Every every how many of them a small block
	// is given, for a sample; 0: all.
	Most, Every int64
}

func (p Piece) end() int64 { return p.Offset + p.Length }

// Format is how an object's bytes are cut into records.
type Format struct {
	Kind   Kind
	Length int // bytes a record, for Fixed

	// For CSV.
	Comma  byte // between fields
	Quotes bool // fields can be in quotes, and have line ends then
	Header bool // the first record of each object names the columns
}

// Kind names a way to cut records.
type Kind uint8

const (
	Lines Kind = iota // ended by LF; the last one may lack its end
	Fixed             // of Format.Length bytes
	File              // each object is one record
	CSV               // ended by LF, but not in quotes; the last one may lack its end
)

// Block is a part of one object made of whole records. Lines keep their ends.
type Block struct {
	URL    string
	Input  int   // the piece's
	Offset int64 // of Data[0] in the object's plain bytes
	// From is the compressed byte at which the plain bytes begin that Offset counts; 0: the object's first. Amid some compressed
	// objects nobody knows how many came before.
	From   int64
	Data   []byte // the receiver's: allocated for this block, never changed
	Header []byte // CSV with a header, Offset > 0: what the object has up to the end of its header
}

// Cut is where the records of a piece of CSV begin and end. Pieces of one object were read right if each one's First is the Next of
// the one before it that has records.
type Cut struct {
	First int64 // where its first record begins; -1 if none begins in it
	Next  int64 // where the record after its last one begins, or the object ends
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
	// parallel, up to 16. Pieces that a Prompter says are prompt are not read ahead but in Next.
	ReadAhead int
	// Unpacked bounds what compressed objects may come to, and the memory for it.
	Unpacked encoding.Limits
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
	pull    func() (progress, bool) // reads the next block in place, if not nil; nothing of a stream is there then
	endPull func()

	streams chan *stream // of the pieces, in order
	stopped error        // why not of all of them; set before streams is closed
	stop    context.CancelFunc
	done    sync.WaitGroup
	room    *semaphore.Weighted // of Options.ReadAhead; a stream holds its share until Next has its last block

	cut   *Cut              // of the last piece of CSV that was read to its end
	dec   *encoding.Decoder // of the stream that is now, or of the piece that is read in place; nil until one needs it
	now   *stream
	read  int64 // of the block that Next returned last
	err   error // that ended the reader
	bytes atomic.Int64
}

// stream is one piece being read.
type stream struct {
	blocks chan progress
	ahead  *semaphore.Weighted // of aheadOf, in blocks; a block that waits for Next holds its share
	share  int64               // of Reader.room
	turn   chan struct{}       // closed when the stream is Reader.now
	err    error               // set before blocks is closed, as is rest
	rest   int64               // of the piece's Length, which held no record of its own
	cut    *Cut
}

// progress is a block and what part of its piece's Length lies before its end, beyond the blocks before it.
type progress struct {
	Block
	read  int64
	ahead int64 // its share of stream.ahead
}

// mostAhead is how many blocks of a piece that is read alone may wait for Next. Reading gets a processor when computing has
// used them up, so they come in batches of about so many: a word count from a server on the same machine takes 2.5 to 2.8 s a GB
// with 4 and 2.8 to 3.1 s with 1; stats gain a few percent, and no more with 8.
const mostAhead = 4

// aheadOf is how many blocks of a piece may wait for Next while another one is being read. Several pieces hide more when they
// are opened in parallel.
func aheadOf(pieces int, o Options) int64 {
	if pieces > 1 {
		return 1
	}
	return int64(min(mostAhead, max(1, o.ReadAhead-1)))
}

// inMemory is how many bytes of a piece are read ahead: a file is a block by itself; of other pieces some blocks wait for
// Next while the next one is being read.
func inMemory(p Piece, o Options, ahead int64) int64 {
	if p.Format.Kind == File {
		return p.Length
	}
	return min((ahead+1)*int64(o.BlockSize), 2*p.Length)
}

// Open starts to read pieces. The caller must Close the Reader, which ends its goroutines; cancelling ctx makes Next fail.
func Open(ctx context.Context, src Source, pieces []Piece, o Options) *Reader {
	o = o.filled()
	if prompt(ctx, src, pieces) {
		return openPrompt(ctx, src, pieces, o)
	}
	ctx, stop := context.WithCancel(ctx)
	room, ahead := int64(o.ReadAhead)*int64(o.BlockSize), aheadOf(len(pieces), o)
	r := &Reader{streams: make(chan *stream, maxOpen), stop: stop, room: semaphore.NewWeighted(room)}
	r.done.Go(func() {
		defer close(r.streams)
		for _, p := range pieces {
			share := min(room, max(room/maxOpen, inMemory(p, o, ahead)))
			if r.room.Acquire(ctx, share) != nil {
				r.stopped = context.Cause(ctx)
				return
			}
			s := &stream{blocks: make(chan progress, ahead), ahead: semaphore.NewWeighted(ahead), share: share, turn: make(chan struct{})}
			r.done.Go(func() {
				defer close(s.blocks)
				in := newObject(src, p, func(b progress) error {
					// A block that a long record made large counts for as many as it is as large as.
					b.ahead = min(ahead, max(1, int64((len(b.Data)+o.BlockSize-1)/o.BlockSize)))
					if s.ahead.Acquire(ctx, b.ahead) != nil {
						return context.Cause(ctx)
					}
					s.blocks <- b // never blocks: it has room for all that hold a share
					return nil
				})
				// Objects are decompressed one at a time, in order: each decoder takes memory. What was read of them until
				// then is read.
				in.turn = func(ctx context.Context) (*encoding.Decoder, error) {
					select {
					case <-s.turn:
						return r.decoder(o), nil
					case <-ctx.Done():
						return nil, context.Cause(ctx)
					}
				}
				s.err = in.read(ctx, o)
				s.rest, s.cut = p.end()-in.sent, in.cut()
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

// prompt says whether none of the pieces is worth reading ahead. What holds for an object holds for all of its host.
func prompt(ctx context.Context, src Source, pieces []Piece) bool {
	p, ok := src.(Prompter)
	host := ""
	for i, piece := range pieces {
		if h := hostOf(piece.URL); ok && (i == 0 || h != host) {
			host, ok = h, p.Prompt(ctx, piece.URL)
		}
	}
	return ok
}

// hostOf is a URL's scheme and host.
func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	_, key, _ := strings.Cut(rest, "/")
	return url[:len(url)-len(key)]
}

// promptBlock is the largest block that is read in place: it stays in a processor's second-level cache from its reading to the
// end of its use. A search for a word in 1 GB takes 0.76 s of CPU with it and 0.85 s with 1 MiB.
const promptBlock = 256 << 10

// openPrompt makes a Reader that reads a block when Next asks for it. Reading and computing take turns on one processor, so
// a block is still in its cache when it is used: read ahead by another goroutine, each goes through memory between two
// processors, and the goroutines of a hundred thousand small files cost more than their reading.
func openPrompt(ctx context.Context, src Source, pieces []Piece, o Options) *Reader {
	o.BlockSize = min(o.BlockSize, promptBlock)
	ctx, stop := context.WithCancel(ctx)
	r := &Reader{stop: stop}
	turn := func(context.Context) (*encoding.Decoder, error) { return r.decoder(o), nil } // objects are read one after the other
	r.pull, r.endPull = iter.Pull(func(yield func(progress) bool) {
		for _, p := range pieces {
			in := newObject(src, p, func(b progress) error {
				if !yield(b) {
					return errClosed
				}
				return context.Cause(ctx)
			})
			in.turn = turn
			if r.err = in.read(ctx, o); r.err != nil {
				return
			}
			r.bytes.Add(p.end() - in.sent)
			r.cut = in.cut()
		}
		r.err = io.EOF
	})
	return r
}

// Next returns the next block, or io.EOF after the last one. An error names the object and stays.
func (r *Reader) Next() (Block, error) {
	r.bytes.Add(r.read)
	r.read = 0
	for r.err == nil {
		if r.pull != nil {
			b, ok := r.pull()
			if ok {
				r.read = b.read
				return b.Block, nil
			}
			continue // to r.err, which is set at the end
		}
		if r.now == nil {
			r.nextStream()
			continue
		}
		b, ok := <-r.now.blocks
		if ok {
			r.now.ahead.Release(b.ahead)
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
		close(s.turn)
	case r.stopped != nil:
		r.err = fmt.Errorf("read input: %w", r.stopped)
	default:
		r.err = io.EOF
	}
}

// decoder returns the Reader's decoder to the one stream whose turn it is.
func (r *Reader) decoder(o Options) *encoding.Decoder {
	if r.dec == nil {
		r.dec = encoding.NewDecoder(o.Unpacked)
	}
	return r.dec
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
	r.cut = s.cut
}

// Cut returns where the records of the last piece begin and end, once Next has returned io.EOF; nil if the piece is not CSV with
// quotes, or is its whole object.
func (r *Reader) Cut() *Cut { return r.cut }

// Bytes returns how much of the pieces' Length lies in blocks that the caller is done with: those before the last one
// that Next returned.
func (r *Reader) Bytes() int64 { return r.bytes.Load() }

// Close ends the reading and waits for it. Blocks that were returned stay good.
func (r *Reader) Close() error {
	r.stop()
	r.done.Wait()
	err := r.err
	if r.pull != nil {
		r.endPull()
	}
	if r.err = err; err == nil {
		r.err = errClosed
	}
	return nil
}
