package arrowfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Scanner reads columns of an Arrow file that anybody wrote: the IPC file format, also known as Feather V2, or the stream
// format. Arrow's own reader of v15 reads and decompresses every column of a batch and believes the sizes that a file
// declares; a Scanner reads the buffers of the columns that are wanted, and nothing before its size is within the budget.
// A damaged or hostile file gives an error. It is not safe for concurrent use.
//
//	Arrow                                        column
//	bool, intN, uintN, float32, float64          the same
//	float16                                      float32
//	utf8, large_utf8, utf8_view                  utf8
//	binary, large_binary, binary_view,
//	fixed_size_binary                            binary
//	date32; date64                               date32; timestamp[ms]
//	timestamp of any unit, zone or none          timestamp of that unit, an instant
//	time32, time64, duration                     duration[ns]
//	decimal32, 64, 128, 256                      utf8: all digits, "-12.30"
//	list, large_list, fixed_size_list            list
//	map                                          list of struct of key and value
//	struct, null                                 the same
//	a dictionary of one of these, not nested     what its values are
type Scanner struct {
	r       io.ReaderAt
	size    int64
	all     []scanField
	wanted  []bool // of all
	schema  Schema // of the wanted ones
	budget  *Budget
	zstd    Zstd
	held    int64 // of the budget, for as long as the scanner lives
	dicts   []message
	batches []message
	values  map[int64]*dictionary
	applied int  // dicts read into values
	stream  bool // the file has no footer: its batches cannot be found but one after the other
}

// message is where a batch or a dictionary lies in the file.
type message struct {
	block
	before int // of a batch: how many dictionaries precede it
}

// errNotArrow reports bytes that are no Arrow file.
var errNotArrow = errors.New("not an Arrow file")

// IsArrow says whether a file that begins with head is an Arrow file or stream.
func IsArrow(head []byte) bool {
	return bytes.HasPrefix(head, []byte(magic+"\x00\x00")) || bytes.HasPrefix(head, []byte{0xff, 0xff, 0xff, 0xff})
}

// NewScanner opens the file of size bytes to read the named columns, in that order; of no names: all columns.
func NewScanner(r io.ReaderAt, size int64, columns []string, b *Budget) (*Scanner, error) {
	s := &Scanner{r: r, size: size, budget: b, values: map[int64]*dictionary{}}
	err := guard(func() error { return s.open(columns) })
	if err != nil {
		return nil, fmt.Errorf("read Arrow file: %w", err)
	}
	return s, nil
}

func (s *Scanner) open(columns []string) error {
	head := make([]byte, min(8, s.size))
	if err := readFull(s.r, head, 0); err != nil {
		return err
	}
	if !IsArrow(head) {
		return errNotArrow
	}
	var err error
	if string(head[:len(magic)]) == magic {
		err = s.openFile()
	} else {
		err = s.openStream()
	}
	if err != nil {
		return err
	}
	return s.project(columns)
}

// openFile reads the footer.
func (s *Scanner) openFile() error {
	tail := &window{r: s.r, size: s.size}
	if err := tail.fill(max(0, s.size-tailGuess), min(s.size, tailGuess)); err != nil {
		return err
	}
	if n := len(tail.data); n >= tailLen {
		if err := s.budget.Take(min(maxFooter, int64(flatbuffers.GetUint32(tail.data[n-tailLen:])))); err != nil {
			return fmt.Errorf("footer: %w", err)
		}
	}
	footer, err := readFooter(tail, s.size)
	if err != nil {
		return err
	}
	return catch("its footer", func() error {
		root := table{flatbuffers.Table{Bytes: footer, Pos: flatbuffers.GetUOffsetT(footer)}}
		schema, ok := root.child(footerSchema)
		if !ok {
			return errors.New("its footer has no schema")
		}
		if s.all, err = readSchema(schema); err != nil {
			return err
		}
		end := s.size - int64(tailLen) - int64(len(footer))
		dicts, err := screenBlocks(root, footerDictionaries, end)
		if err != nil {
			return fmt.Errorf("dictionary %w", err)
		}
		batches, err := screenBlocks(root, footerBatches, end)
		if err != nil {
			return err
		}
		for _, b := range dicts {
			s.dicts = append(s.dicts, message{block: b})
		}
		for _, b := range batches {
			s.batches = append(s.batches, message{block: b, before: len(dicts)})
		}
		return nil
	})
}

// catch turns a panic of flatbuffers, which indexes out of range where a file lies, into an error.
func catch(what string, f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New(what + " points outside of itself")
		}
	}()
	return f()
}

const (
	// maxMeta bounds the description of one batch: 10,000 columns take less than a hundredth of it.
	maxMeta = 64 << 20
	// maxMessages bounds the batches of a stream, which has no list of them.
	maxMessages = 1 << 20
)

// openStream walks the messages of a stream.
func (s *Scanner) openStream() error {
	s.stream = true
	for at := int64(0); at < s.size; {
		meta, length, err := s.metaAt(at)
		if err != nil || length == 0 { // the mark of a stream's end
			return err
		}
		b := block{offset: at, meta: length}
		err = catch("a message", func() error {
			m := messageOf(meta)
			b.body = m.GetInt64Slot(slot(messageBody), 0)
			if b.body < 0 || b.body > s.size-at-length {
				return fmt.Errorf("the message at byte %d has %d bytes: it does not lie in the file", at, b.body)
			}
			kind := m.GetByteSlot(slot(messageKind), 0)
			header, ok := m.child(messageHeader)
			if !ok || (kind == headerSchema) == (s.all != nil) {
				return fmt.Errorf("the message at byte %d is out of place", at)
			}
			switch kind {
			case headerSchema:
				s.all, err = readSchema(header)
			case headerDictionary:
				s.dicts = append(s.dicts, message{block: b})
			case headerBatch:
				s.batches = append(s.batches, message{block: b, before: len(s.dicts)})
			default:
				err = fmt.Errorf("the message at byte %d is of kind %d: only batches can be read", at, kind)
			}
			if s.all == nil {
				s.all = []scanField{}
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(s.batches)+len(s.dicts) > maxMessages {
			return fmt.Errorf("a stream of more than %d batches: write a file in its place", maxMessages)
		}
		at += length + b.body
	}
	return nil
}

// metaAt reads a message's description, and returns it with the bytes that it takes in the file; 0 at the end of a stream.
func (s *Scanner) metaAt(at int64) ([]byte, int64, error) {
	if s.size-at < 8 {
		return nil, 0, fmt.Errorf("the stream is cut off at byte %d", at)
	}
	var head [8]byte
	if err := readFull(s.r, head[:], at); err != nil {
		return nil, 0, err
	}
	n := int64(binary.LittleEndian.Uint32(head[4:]))
	if binary.LittleEndian.Uint32(head[:]) != math.MaxUint32 || n > maxMeta || n > s.size-at-8 {
		return nil, 0, fmt.Errorf("no message of a stream at byte %d", at)
	}
	if n == 0 {
		return nil, 0, nil
	}
	live := s.budget.Live()
	defer s.budget.Back(live)
	if err := s.budget.Take(n); err != nil {
		return nil, 0, err
	}
	meta := make([]byte, n)
	return meta, 8 + n, readFull(s.r, meta, at+8)
}

// project chooses the columns.
func (s *Scanner) project(columns []string) error {
	s.wanted = make([]bool, len(s.all))
	names := make([]string, len(s.all))
	for i, f := range s.all {
		names[i] = f.field.Name
	}
	order, err := Choose(names, columns)
	if err != nil {
		return err
	}
	for _, i := range order {
		f := &s.all[i]
		if f.refused != "" {
			return fmt.Errorf("column %q is a %s, which cannot be read: name the columns that you need, or convert it with the program that wrote the file",
				f.field.Name, f.refused)
		}
		s.wanted[i] = true
		s.schema.Fields = append(s.schema.Fields, f.field)
	}
	s.held = s.budget.Live()
	return nil
}

// Choose returns the places in names of the columns that are wanted, in that order; of no columns: all. It refuses names that
// are not there or not clear.
func Choose(names, columns []string) ([]int, error) {
	place := make(map[string]int, len(names))
	for i, name := range names {
		if _, twice := place[name]; twice {
			i = -1
		}
		place[name] = i
	}
	if len(columns) == 0 {
		columns = names
	}
	order := make([]int, len(columns))
	for i, name := range columns {
		at, ok := place[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("it has no column %q: its columns are %.500q", name, names)
		case at < 0:
			return nil, fmt.Errorf("it has two columns with the name %q: rename one", name)
		}
		order[i] = at
	}
	return order, nil
}

// Schema returns the wanted columns.
func (s *Scanner) Schema() Schema { return s.schema }

// Groups returns where the batches begin, in the order of the file. Those of a stream all count as at its beginning, so that one
// task reads them.
func (s *Scanner) Groups() []int64 {
	out := make([]int64, len(s.batches))
	for i, m := range s.batches {
		if !s.stream {
			out[i] = m.offset
		}
	}
	return out
}

// parallelHeads bounds the requests under way at once for the sizes of batches.
const parallelHeads = 16

// Row returns the number of a batch's first row in the file, from 0. Nothing but the batches themselves says how many rows they
// have: the descriptions of those before it that are not in known yet are read, and then known has them.
func (s *Scanner) Row(group int, known *Counts) (int64, error) {
	var reads errgroup.Group
	reads.SetLimit(parallelHeads)
	known.grow(len(s.batches))
	var longest int64
	for _, m := range s.batches[:group] {
		longest = max(longest, m.meta)
	}
	live := s.budget.Live()
	defer s.budget.Back(live)
	if err := s.budget.Take(parallelHeads * longest); err != nil {
		return 0, fmt.Errorf("read Arrow file: the descriptions of its batches: %w", err)
	}
	for i, m := range s.batches[:group] {
		if known.rows[i] > 0 {
			continue
		}
		reads.Go(func() error {
			return guard(func() error {
				meta, err := s.readMeta(m.block)
				if err != nil {
					return err
				}
				b, err := readBatch(meta, m.block)
				known.rows[i] = int64(b.rows) + 1
				return err
			})
		})
	}
	if err := reads.Wait(); err != nil {
		return 0, fmt.Errorf("read Arrow file: %w", err)
	}
	row := int64(0)
	for _, n := range known.rows[:group] {
		row += n - 1
	}
	return row, nil
}

// Counts is how many rows the batches of a file have, as far as they are known. It may be kept for another Scanner of the same
// file; one goroutine uses it.
type Counts struct{ rows []int64 } // and 1 each; 0 is not known

// Clone returns a copy.
func (c *Counts) Clone() *Counts { return &Counts{slices.Clone(c.rows)} }

func (c *Counts) grow(n int) {
	for len(c.rows) < n {
		c.rows = append(c.rows, 0)
	}
}
