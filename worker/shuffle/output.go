package shuffle

import (
	"fmt"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage/runfile"
)

// output cuts sorted pairs into the blocks of a run. Where it cuts depends on the pairs and the block size alone.
type output struct {
	run       *runfile.Writer
	blockSize int
	maxPair   int64
	block     []byte
	pairs     int // in block
	partition int
}

// add appends a pair of a partition. same says that its key is that of the pair before, in the same partition.
func (o *output) add(partition int, key, value []byte, same bool) error {
	if err := o.enter(partition); err != nil {
		return err
	}
	same = same && o.pairs > 0
	size := pairSize(key, value)
	if same {
		size = 1 + uvarintSize(len(value)) + len(value)
	}
	if o.pairs > 0 && len(o.block)+size > o.blockSize {
		if err := o.flush(); err != nil {
			return err
		}
		same = false
	}
	if same {
		o.block = jobs.AppendSame(o.block, value)
	} else {
		if int64(size) > o.maxPair {
			return tooLarge(size, o.maxPair)
		}
		o.block = jobs.AppendPair(o.block, key, value)
	}
	o.pairs++
	return nil
}

// addEncoded appends a pair of another key than the one before it, given its encoding.
func (o *output) addEncoded(partition int, pair []byte) error {
	if partition != o.partition || len(o.block)+len(pair) > o.blockSize {
		if err := o.makeRoom(partition, len(pair)); err != nil {
			return err
		}
	}
	o.block = append(o.block, pair...)
	o.pairs++
	return nil
}

// makeRoom ends the block where the next pair must not go into it.
func (o *output) makeRoom(partition, size int) error {
	if int64(size) > o.maxPair {
		return tooLarge(size, o.maxPair)
	}
	if err := o.enter(partition); err != nil || len(o.block)+size <= o.blockSize {
		return err
	}
	return o.flush()
}

// enter ends the block if it is another partition's.
func (o *output) enter(partition int) error {
	if partition == o.partition {
		return nil
	}
	err := o.flush()
	o.partition = partition
	return err
}

// flush writes the block.
func (o *output) flush() error {
	if o.pairs == 0 {
		return nil
	}
	err := o.run.Block(o.partition, o.block, o.pairs)
	o.block, o.pairs = o.block[:0], 0
	return err
}

// close ends the run.
func (o *output) close() (runfile.Summary, error) {
	if err := o.flush(); err != nil {
		return runfile.Summary{}, err
	}
	return o.run.Close()
}

// pairSize is the length of a pair's encoding with its key.
func pairSize(key, value []byte) int {
	return uvarintSize(len(key)+1) + uvarintSize(len(value)) + len(key) + len(value)
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// tooLarge reports a pair beyond what the budget allows.
func tooLarge(size int, limit int64) error {
	if limit == runfile.MaxBlock {
		return fmt.Errorf("a pair of %d bytes is larger than %d, the most that a run holds: emit smaller pairs", size, limit)
	}
	return fmt.Errorf("a pair of %d bytes is larger than the %d bytes that the memory budget allows for one: "+
		"emit smaller pairs, or give each slot %d bytes or more with --memory", size, limit, int64(size)*maxPairShare)
}
