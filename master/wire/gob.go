package wire

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
)

// Every message is a gob stream of its own: the definitions of its types, then the value. gob takes some 100 µs to describe
// or to learn the types of a Poll and a few to move its value, so each end of a connection keeps, for each Go type, an
// encoder that has written the definitions and a decoder that has read them. The bytes are those of fresh ones: the
// encoder's definitions are put before each value, and the decoder skips them when they are the ones that it knows.

// maxKept is the longest message after which a coder is kept, bytes: gob's buffers do not shrink.
const maxKept = 64 << 10

// gobWriter encodes messages. It is used by one goroutine at a time. The zero value is ready.
type gobWriter struct {
	types map[reflect.Type]*typeWriter
}

// typeWriter writes values of one type.
type typeWriter struct {
	definitions []byte
	enc         *gob.Encoder // it has written them
	to          *bytes.Buffer
}

// Write implements io.Writer for enc.
func (w *typeWriter) Write(p []byte) (int, error) { return w.to.Write(p) }

// write appends v's message to buf.
func (g *gobWriter) write(buf *bytes.Buffer, v any) error {
	t := reflect.TypeOf(v)
	w := g.types[t]
	known := w != nil
	if !known {
		w = new(typeWriter)
		w.enc = gob.NewEncoder(w)
	}
	delete(g.types, t) // one that failed is not used again
	begin := buf.Len()
	buf.Write(w.definitions)
	w.to = buf
	err := w.enc.Encode(v)
	w.to = nil
	if err != nil {
		return err
	}
	message := buf.Bytes()[begin:]
	if len(message) > maxKept {
		return nil
	}
	if !known {
		n, err := definitions(message)
		if err != nil {
			return err
		}
		w.definitions = bytes.Clone(message[:n])
	}
	if g.types == nil {
		g.types = map[reflect.Type]*typeWriter{}
	}
	g.types[t] = w
	return nil
}

// definitions is the length of the definitions that a message begins with.
func definitions(b []byte) (int, error) {
	for at := 0; at < len(b); {
		n, used := readUint(b[at:])
		if used == 0 || n > uint64(len(b)-at-used) {
			break
		}
		g := guard{b: b[at+used : at+used+int(n)]}
		id, err := g.int()
		if err != nil || id >= 0 {
			return at, err
		}
		at += used + int(n)
	}
	return 0, fmt.Errorf("%w: no value", errGob)
}

// gobReader decodes messages. It is used by one goroutine at a time. The zero value is ready.
type gobReader struct {
	types map[reflect.Type]*typeReader
}

// typeReader reads values into one Go type.
type typeReader struct {
	definitions []byte
	types       map[int]gobType // what they define
	dec         *gob.Decoder    // it has read them
	from        bytes.Reader
}

// read decodes a message of at most that many values in all into v. gob promises nothing for hostile bytes: the guard goes
// first, and a panic of gob's ends here.
func (g *gobReader) read(b []byte, v any, values int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decode %T: panic: %v", v, p)
		}
	}()
	t := reflect.TypeOf(v)
	r := g.types[t]
	delete(g.types, t) // what fails must leave nothing behind
	if r == nil || !bytes.HasPrefix(b, r.definitions) {
		r = new(typeReader)
		r.dec = gob.NewDecoder(&r.from)
	}
	rest := b[len(r.definitions):] // all of it, if r is new
	walk := guard{types: r.types, values: values}
	if walk.types == nil {
		walk.types = map[int]gobType{}
	}
	n, err := walk.message(rest)
	if err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	r.from.Reset(rest)
	err = r.dec.Decode(v)
	r.from.Reset(nil)
	if err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	if len(b) > maxKept {
		return nil
	}
	if n > 0 {
		r.definitions, r.types = append(r.definitions, rest[:n]...), walk.types
	}
	if g.types == nil {
		g.types = map[reflect.Type]*typeReader{}
	}
	g.types[t] = r
	return nil
}
