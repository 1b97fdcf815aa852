package command

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/millrace/millrace/jobs"
)

// objects are a split's blocks, object by object.
type objects struct {
	task   *jobs.Task
	in     jobs.BlockSource
	block  jobs.Block // the one to come
	ready  bool       // it is known
	url    string     // of the object under way
	offset int64      // of its first byte in the split, as jobs.Block has it
	from   int64
	open   bool // its last block had no line end
}

// nextObject goes to the next object that has a line in the split; false: there is none.
func (o *objects) nextObject() (bool, error) {
	if err := o.peek(); err != nil {
		if err == io.EOF {
			err = nil
		}
		return false, err
	}
	o.url, o.offset, o.from, o.open = o.block.URL, o.block.Offset, o.block.From, false
	return true, nil
}

// peek makes sure that the block to come is known.
func (o *objects) peek() (err error) {
	if !o.ready {
		o.block, err = o.in.Next()
		o.ready = err == nil
	}
	return err
}

// next is the next piece of the object for the mapper's standard input, or io.EOF. A block goes there as it is, unless it has the
// line ends of Windows; a last line without an end gets one, since many programs do not read such a line.
func (o *objects) next() ([]byte, error) {
	err := o.peek()
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case err == io.EOF || o.block.URL != o.url:
		if o.open {
			o.open = false
			return []byte{'\n'}, nil
		}
		return nil, io.EOF
	}
	data := o.block.Data
	o.ready, o.block = false, jobs.Block{}
	if len(data) == 0 {
		return o.next()
	}
	o.open = data[len(data)-1] != '\n'
	o.task.Records += int64(bytes.Count(data, []byte{'\n'}))
	if o.open {
		o.task.Records++
	}
	return plainEnds(data), nil
}

// skip goes to the end of the object.
func (o *objects) skip() error {
	for {
		if _, err := o.next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// plainEnds is data with LF in place of each CR LF.
func plainEnds(data []byte) []byte {
	i := bytes.Index(data, []byte("\r\n"))
	if i < 0 {
		return data
	}
	out := make([]byte, 0, len(data))
	for ; i >= 0; i = bytes.Index(data, []byte("\r\n")) {
		out = append(out, data[:i]...)
		data = data[i+1:]
	}
	return append(out, data...)
}

// where is the object under way, for errors.
func (o *objects) where() string {
	if o.from > 0 {
		return fmt.Sprintf("map %s from byte %d of what decompresses from its byte %d on", o.url, o.offset, o.from)
	}
	return fmt.Sprintf("map %s from byte %d", o.url, o.offset)
}

// variables tell the mapper what it reads. Where an object's lines begin is known unless it is read from amid a compressed one.
func (o *objects) variables() []string {
	var v variables
	v.set(o.url, "mapreduce_map_input_file", "map_input_file")
	if o.from == 0 {
		v.set(strconv.FormatInt(o.offset, 10), "mapreduce_map_input_start", "map_input_start")
	}
	return v
}

// pairWriter hands the mapper's lines to the engine as pairs.
type pairWriter struct {
	task  *jobs.Task
	out   jobs.PairSink
	batch jobs.Pairs
	begun bool
}

// pairBatch is when a batch of pairs goes to the engine: a little less than the 256 KiB that it lends for one, since the pair that fills
// it goes beyond.
const pairBatch = 240 << 10

func (w *pairWriter) lines(data []byte) error {
	for len(data) > 0 {
		if !w.begun || len(w.batch.Data) >= pairBatch {
			if err := w.put(); err != nil {
				return err
			}
		}
		var n int
		w.batch.Data, data, n = appendPairs(w.batch.Data, data, pairBatch)
		w.batch.Count += n
		w.task.Pairs += int64(n)
	}
	return nil
}

func (w *pairWriter) put() (err error) {
	w.batch, err = w.out.Put(w.batch)
	w.begun = true
	return err
}

// end hands over what is left.
func (w *pairWriter) end() error {
	if w.batch.Count == 0 {
		return nil
	}
	return w.put()
}
