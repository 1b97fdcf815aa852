// Package runfile is the byte format of a run: the sorted output of one map attempt, partition by partition. It knows
// blocks of opaque bytes and their sums; what a block holds, how pairs are sorted and who fetches them is worker/shuffle's
// affair. All numbers are little endian.
//
//	run     = header, sections in partition order, index, footer
//	section = blocks of one partition; a partition without pairs has none
//
//	header  16   0  8  magic "millrun" and the version's byte, 1
//	             8  4  partitions
//	            12  4  CRC32C of bytes 0 to 12
//	block   16   0  4  payload length n, 1 to MaxBlock
//	             4  4  pairs in the payload
//	             8  4  number of the block in its section, from 0
//	            12  4  CRC32C of bytes 0 to 12 and of the payload
//	             n     payload
//	index   40 per partition:
//	             0  8  offset of the section in the file
//	             8  8  length of the section
//	            16  8  pairs
//	            24  8  sum: h(i) = XXH3(header of block i, seed h(i-1)), h(-1) = 0
//	            32  4  blocks
//	            36  4  CRC32C of the partition's number (4 bytes) and of bytes 0 to 36
//	footer  32   0  8  pairs in all
//	             8  8  checksum: XXH3 of the index
//	            16  4  partitions
//	            20  4  CRC32C of bytes 0 to 20
//	            24  8  magic and version
//
// The index lies at the end, so a run is written in one pass without seeking; an entry's place follows from the file's size
// and the number of partitions, so one section is found with one or two reads from the tail, whatever their number.
// Every block's CRC flows into its section's sum, every sum into the checksum: equal checksums mean equal runs.
package runfile

import (
	"errors"
	"hash/crc32"
)

const (
	// BlockSize is the payload size that writers aim for, bytes: long enough for sequential disk speed, short enough that
	// a merge of a thousand runs holds a block of each in 256 MiB.
	BlockSize = 256 << 10
	// MaxBlock is the largest payload, bytes: a pair of 64 MiB, and its header.
	MaxBlock = 64<<20 + 1<<10
	// MaxPartitions bounds the index to 40 MiB.
	MaxPartitions = 1 << 20

	magic          = "millrun\x01"
	headerSize     = 16
	blockHeadSize  = 16
	entrySize      = 40
	footerSize     = 32
	tailSize       = 4 << 10 // read at once to find a section: the footer and the index of up to 100 partitions
	readStep       = 1 << 20 // a reader grows its buffer by this much at a time, so a false length costs no memory
	formatOverhead = headerSize + footerSize
)

// ErrCorrupt reports bytes that are not what a Writer wrote.
var ErrCorrupt = errors.New("corrupt run")

// castagnoli is the CRC32C polynomial's table, for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)
