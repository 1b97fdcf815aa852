package arrowfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	flatbuffers "github.com/google/flatbuffers/go"
)

// The numbers of the columns of the tables in Message.fbs, and the kinds of messages.
const (
	messageKind   = 1
	messageHeader = 2
	messageBody   = 3

	headerSchema     = 1
	headerDictionary = 2
	headerBatch      = 3

	dictionaryMessageID    = 0
	dictionaryMessageData  = 1
	dictionaryMessageDelta = 2

	batchLength      = 0
	batchNodes       = 1
	batchBuffers     = 2
	batchCompression = 3
	batchVariadic    = 4

	structLen = 16 // a node: length, nulls; a buffer: offset, length; int64 each
)

// batchInfo is the description of a batch: positions into its message, all of them checked.
type batchInfo struct {
	rows     int
	nodes    []int64 // the length of each node
	buffers  []Range // of each buffer in the file
	variadic []int64
	codec    codec
	id       int64 // of a dictionary
	delta    bool
}

// messageOf is the root of a message.
func messageOf(meta []byte) table {
	return table{flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}}
}

// readMeta reads the description of a batch. Its length is that of a list that was read from the file, which the budget has
// room for.
func (s *Scanner) readMeta(b block) ([]byte, error) {
	if b.meta > maxMeta {
		return nil, fmt.Errorf("the batch at byte %d has a description of %d bytes: at most %d are read", b.offset, b.meta, maxMeta)
	}
	meta := make([]byte, b.meta)
	if err := readFull(s.r, meta, b.offset); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(meta) == math.MaxUint32 {
		meta = meta[4:]
	}
	if len(meta) < 8 {
		return nil, fmt.Errorf("no batch at byte %d", b.offset)
	}
	return meta[4:], nil
}

// readBatch checks the description of a batch or dictionary that lies at b.
func readBatch(meta []byte, b block) (info batchInfo, err error) {
	err = catch(fmt.Sprintf("the description of the batch at byte %d", b.offset), func() error {
		m := messageOf(meta)
		header, ok := m.child(messageHeader)
		if !ok {
			return fmt.Errorf("no batch at byte %d", b.offset)
		}
		switch m.GetByteSlot(slot(messageKind), 0) {
		case headerBatch:
		case headerDictionary:
			info.id = header.GetInt64Slot(slot(dictionaryMessageID), 0)
			info.delta = header.GetBoolSlot(slot(dictionaryMessageDelta), false)
			if header, ok = header.child(dictionaryMessageData); !ok {
				return fmt.Errorf("an empty dictionary at byte %d", b.offset)
			}
		default:
			return fmt.Errorf("no batch at byte %d", b.offset)
		}
		return info.read(header, b)
	})
	return info, err
}

func (info *batchInfo) read(t table, b block) error {
	rows := t.GetInt64Slot(slot(batchLength), 0)
	if rows < 0 || rows > math.MaxInt32-1 {
		return fmt.Errorf("the batch at byte %d has %d rows: at most %d can be read", b.offset, rows, math.MaxInt32-1)
	}
	info.rows = int(rows)
	n, at := t.vector(batchNodes, structLen)
	for i := range n {
		info.nodes = append(info.nodes, t.GetInt64(at+flatbuffers.UOffsetT(structLen*i)))
	}
	n, at = t.vector(batchBuffers, structLen)
	for i := range n {
		p := at + flatbuffers.UOffsetT(structLen*i)
		r := Range{t.GetInt64(p), t.GetInt64(p + 8)}
		if r.Offset < 0 || r.Length < 0 || r.Offset > b.body || r.Length > b.body-r.Offset {
			return fmt.Errorf("buffer %d of the batch at byte %d does not lie in it", i, b.offset)
		}
		r.Offset += b.offset + b.meta
		info.buffers = append(info.buffers, r)
	}
	n, at = t.vector(batchVariadic, 8)
	for i := range n {
		info.variadic = append(info.variadic, t.GetInt64(at+flatbuffers.UOffsetT(8*i)))
	}
	info.codec = codecNone
	if c, ok := t.child(batchCompression); ok {
		switch name := c.GetByteSlot(slot(0), 0); name {
		case 0:
			info.codec = codecLZ4
		case 1:
			info.codec = codecZstd
		default:
			return fmt.Errorf("compression %d is not known to this version", name)
		}
	}
	return nil
}

// cursor walks through the nodes and buffers of a batch in the order of its columns.
type cursor struct {
	batchInfo
	node, buffer, view int
	data               [][]byte // of each buffer that was read
}

var errFew = errors.New("the batch has fewer nodes or buffers than its schema asks for")

// skip goes past a column.
func (c *cursor) skip(f *scanField) error {
	n, err := f.buffers()
	if err != nil {
		return err
	}
	if f.kind == kindUtf8View || f.kind == kindBinaryView {
		more, err := c.views()
		if err != nil {
			return err
		}
		n += more
	}
	c.node++
	c.buffer += n
	if c.node > len(c.nodes) || c.buffer > len(c.buffers) {
		return errFew
	}
	for i := range f.children {
		if err := c.skip(&f.children[i]); err != nil {
			return err
		}
	}
	return nil
}

// views is how many buffers of data follow a column of views.
func (c *cursor) views() (int, error) {
	if c.view == len(c.variadic) || c.variadic[c.view] < 0 || c.variadic[c.view] > int64(len(c.buffers)) {
		return 0, errFew
	}
	c.view++
	return int(c.variadic[c.view-1]), nil
}

// fetch reads the buffers of the wanted columns.
func (s *Scanner) fetch(c *cursor, fields []scanField, wanted []bool) error {
	var ranges []Range
	var places []int
	walk := *c
	for i := range fields {
		begin := walk.buffer
		if err := walk.skip(&fields[i]); err != nil {
			return err
		}
		for at := begin; at < walk.buffer; at++ {
			if wanted[i] && c.buffers[at].Length > 0 {
				ranges, places = append(ranges, c.buffers[at]), append(places, at)
			}
		}
	}
	data, err := ReadRanges(s.r, ranges, s.budget)
	if err != nil {
		return err
	}
	c.data = make([][]byte, len(c.buffers))
	for i, at := range places {
		c.data[at] = data[i]
	}
	return nil
}

// Read reads a batch. Its buffers are new each time and never changed afterwards; from the budget they are given back at the
// next call.
func (s *Scanner) Read(group int, known *Counts) (b Batch, err error) {
	err = guard(func() error {
		s.budget.Back(s.held)
		m := s.batches[group]
		if err := s.readDictionaries(m.before); err != nil {
			return err
		}
		b, err = s.read(m.block)
		return err
	})
	if err == nil {
		err = s.schema.check(b)
	}
	if err != nil {
		return Batch{}, fmt.Errorf("read Arrow batch %d: %w", group, err)
	}
	known.grow(len(s.batches))
	known.rows[group] = int64(b.Rows) + 1
	return b, nil
}

func (s *Scanner) read(at block) (Batch, error) {
	if err := s.budget.Take(at.meta); err != nil {
		return Batch{}, err
	}
	meta, err := s.readMeta(at)
	if err != nil {
		return Batch{}, err
	}
	info, err := readBatch(meta, at)
	if err != nil {
		return Batch{}, err
	}
	c := cursor{batchInfo: info}
	if err := s.fetch(&c, s.all, s.wanted); err != nil {
		return Batch{}, err
	}
	columns := map[string]Column{}
	for i := range s.all {
		f := &s.all[i]
		if !s.wanted[i] {
			err = c.skip(f)
		} else {
			columns[f.field.Name], err = s.column(&c, f, info.rows)
		}
		if err != nil {
			return Batch{}, fmt.Errorf("column %q: %w", f.field.Name, err)
		}
	}
	b := Batch{Rows: info.rows}
	for _, f := range s.schema.Fields {
		b.Columns = append(b.Columns, columns[f.Name])
	}
	return b, nil
}

// dictionary is the values that positions of a column stand for.
type dictionary struct {
	column Column
	rows   int
}

// readDictionaries reads the file's dictionaries up to the nth that wanted columns use, those that are not read yet.
func (s *Scanner) readDictionaries(n int) error {
	used := map[int64]*scanField{}
	for i := range s.all {
		if s.wanted[i] {
			s.all[i].collect(used)
		}
	}
	if n < s.applied { // of a stream that is read anew
		s.applied, s.values = 0, map[int64]*dictionary{}
		s.held = 0
	}
	for ; s.applied < n; s.applied++ {
		at := s.dicts[s.applied].block
		if err := s.budget.Take(at.meta); err != nil {
			return err
		}
		meta, err := s.readMeta(at)
		if err != nil {
			return err
		}
		info, err := readBatch(meta, at)
		if err != nil {
			return err
		}
		if f := used[info.id]; f != nil {
			if err := s.addDictionary(info, f); err != nil {
				return fmt.Errorf("dictionary of column %q: %w", f.field.Name, err)
			}
		}
		s.held = s.budget.Live()
	}
	return nil
}

// collect finds the dictionaries that a column needs.
func (f *scanField) collect(used map[int64]*scanField) {
	if f.dictionary != nil {
		used[f.id] = f.dictionary
	}
	for i := range f.children {
		f.children[i].collect(used)
	}
}

// addDictionary reads a dictionary, or what is new in one.
func (s *Scanner) addDictionary(info batchInfo, f *scanField) error {
	c := cursor{batchInfo: info}
	if err := s.fetch(&c, []scanField{*f}, []bool{true}); err != nil {
		return err
	}
	column, err := s.column(&c, f, info.rows)
	if err != nil {
		return err
	}
	if err := checkColumn(f.field.Name, f.field, column, info.rows); err != nil {
		return err
	}
	old := s.values[info.id]
	if info.delta && old != nil {
		column, err = s.join(f.field, old, &dictionary{column, info.rows})
		if err != nil {
			return err
		}
		info.rows += old.rows
	}
	s.values[info.id] = &dictionary{column, info.rows}
	return nil
}
