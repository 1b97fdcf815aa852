// Package records is the byte format of what a master writes into its journal. It knows neither what the master does with it
// nor where the journal lies: the master encodes and decodes, and the journal keeps the bytes.
//
// A record of the journal is a block, of one job:
//
//	byte 0    version of the format, 1
//	byte 1    kind, see Kind
//	byte 2    0: the body follows as it is; 1: it follows as a zstd frame
//	uvarint   with zstd: the body's length
//	rest      the body
//
// The body of all kinds but Tasks is a document that the caller gives: what is rare may be long. Tasks is what is hot, some
// hundred scheduler's records with the outcomes of the attempts that were selected, in less than 50 bytes each:
//
//	byte      1: numbers, times and texts begin anew (see below); 0: they go on from the job's last block
//	varint    when, milliseconds since 1970, as the difference to the last block's; of all records in the block
//	records   until the end
//
//	record    byte: sched.RecordKind | phase << 4 | 64 if the attempt's number is the last one's of its phase | 128 if the worker is
//	          the last one, and then by kind:
//	          Selected: attempt, worker text (without 128), checksum (8 bytes, little endian), outcome
//	          Lost, Remake: attempt
//	          State: byte state, reason
//	attempt   varint index, as the difference to the last one's of its phase; varint number, likewise (without 64)
//	outcome   uvarint fields (see has*), varint records, and what fields says, in its order:
//	          run      16 bytes in hexadecimal behind what its worker's last URL began with, or URL text; varint size; varint pairs;
//	                   and its checksum (8 bytes) if it is not the record's
//	          counters uvarint n, n times: name text, varint; without n and the names if they are those of the last outcome
//	          spilled  varint
//	          sample   uvarint n, n bounds
//	          reduce   varint groups, varint bytes
//	          cut      varint first, varint next
//	          parts    uvarint n, n times: name text; uvarint 2 × number of pieces + 1 and folder text, or that without the 1 and
//	                   URL text; the upload's id: uvarint bytes that it shares with the last one, and the rest; varint size;
//	                   CRC-32C (4 bytes); ETag text; varint rows
//	          first    uvarint n, n errors of bad records
//	text      uvarint 4 × prefix + form: prefix 0 is a new one, which follows, 1 the empty one, and p > 1 the (p-2)th of all that
//	          were new; behind it comes by form
//	          0 nothing · 1 the rest · 2 sixteen bytes in hexadecimal, suffix · 3 the attempt's index in five digits, suffix
//	suffix    uvarint: 0 is the empty one, 1 a new one, which follows, s > 1 the (s-2)th of all that were new
//	all others, "the rest", "bound", ...: uvarint length, bytes
//
// So what repeats (a worker, where it serves its runs, the names of counters and parts) costs a byte or two each time, and what
// does not is what a random name or checksum needs. A job's blocks must be read in order, from one that begins anew. A leader's first
// block of a job begins anew: it need not know what the leader before it had written last.
//
// What only this master's account of a job needs is not kept: an outcome's Work and Elapsed, and the Bytes of a map.
package records

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Kind is what a block says. The numbers are stored: append only.
type Kind byte

// The kinds of blocks.
const (
	Submission Kind = 1 // document: a job, as it was planned
	Tasks      Kind = 2 // what became of its tasks, and of it
	Chain      Kind = 3 // document: a chain's submission, a stage that is done, or its end
	Summary    Kind = 4 // document: what stays of an ended job, in place of all other blocks
	Cleaned    Kind = 5 // empty document: nothing of an ended job is left to clean up
	Bulk       Kind = 6 // document: where a block lies that is too long for the journal
)

func (k Kind) String() string {
	if k >= Submission && k <= Bulk {
		return [...]string{"submission", "tasks", "chain", "summary", "cleaned", "bulk"}[k-1]
	}
	return fmt.Sprintf("Kind(%d)", byte(k))
}

const (
	version = 1
	// maxPlain bounds a body that is unpacked, bytes: a damaged length must not take a master's memory.
	// A plan of ten million objects has half of it.
	maxPlain = 1 << 30
	// packFrom is the shortest body that is worth packing, bytes: a frame costs some twenty, and time.
	packFrom = 256

	packedNot  = 0
	packedZstd = 1
)

// ErrNewer is a block that a newer version wrote.
var ErrNewer = errors.New("it was written by a newer version of millrace: run a master of that version")

// ErrDamaged is a block that no version wrote.
var ErrDamaged = errors.New("it is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// Codec packs and unpacks blocks. It keeps the memory that this takes, for one of each at a time; others wait.
type Codec struct {
	pack   *zstd.Encoder
	unpack *zstd.Decoder
}

// NewCodec returns a codec.
func NewCodec() *Codec {
	// The next level takes twice the time for a byte less a task. A window is as large as what it is to hold.
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(fmt.Sprintf("records: make a zstd encoder: %v", err)) // the options are constants
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain))
	if err != nil {
		panic(fmt.Sprintf("records: make a zstd decoder: %v", err))
	}
	return &Codec{pack, unpack}
}

// Document makes a block of a document.
func (c *Codec) Document(k Kind, body []byte) []byte { return c.block(k, body) }

// block packs a body if that makes it shorter.
func (c *Codec) block(k Kind, body []byte) []byte {
	out := make([]byte, 0, 3+binary.MaxVarintLen64+len(body))
	out = append(out, version, byte(k), packedNot)
	if len(body) >= packFrom {
		out[2] = packedZstd
		out = c.pack.EncodeAll(body, binary.AppendUvarint(out, uint64(len(body))))
		if len(out) < 3+len(body) {
			return out
		}
		out = append(out[:2], packedNot)
	}
	return append(out, body...)
}

// Open returns a block's kind and body. The body may lie in the block's memory.
func (c *Codec) Open(block []byte) (Kind, []byte, error) {
	if len(block) < 3 {
		return 0, nil, damaged("it has %d bytes", len(block))
	}
	if block[0] != version {
		return 0, nil, fmt.Errorf("format %d: %w", block[0], ErrNewer)
	}
	k, body := Kind(block[1]), block[3:]
	if k < Submission || k > Bulk {
		return 0, nil, fmt.Errorf("kind %d: %w", block[1], ErrNewer)
	}
	switch block[2] {
	case packedNot:
		return k, body, nil
	case packedZstd:
		n, used := binary.Uvarint(body)
		if used <= 0 || n > maxPlain {
			return 0, nil, damaged("%s of an impossible length", k)
		}
		plain, err := c.unpack.DecodeAll(body[used:], nil)
		if err != nil || uint64(len(plain)) != n {
			return 0, nil, damaged("%s of %d bytes: unpacked it has %d (%v)", k, n, len(plain), err)
		}
		return k, plain, nil
	}
	return 0, nil, fmt.Errorf("packing %d: %w", block[2], ErrNewer)
}
