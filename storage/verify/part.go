package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
)

// batchBytes is what a batch of parts that are read side by side may take. Those that jobs write have about a megabyte.
const batchBytes = 64 << 20

// finding is what a part turned out to be.
type finding struct {
	size   int64
	read   int64 // bytes; less than size when it was not worth reading, or could not be
	crc    uint32
	schema arrowfile.Schema
	rows   int64
	broken error // why it is no Arrow file
}

// part checks one part. The error is the end of ctx: all else is a problem of the part.
func (c *checker) part(ctx context.Context, p manifest.Part) error {
	f, err := c.look(ctx, p, c.o.batchBytes)
	if errors.Is(f.broken, arrowfile.ErrLimit) && ctx.Err() == nil {
		select {
		case c.alone <- struct{}{}:
			f, err = c.look(ctx, p, arrowfile.DefaultMaxBatchBytes)
			<-c.alone
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	problems := c.judge(p, f, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, problem := range problems {
		c.report.add(problem)
	}
	c.report.Bytes += f.read
	c.report.Rows += f.rows
	if len(problems) == 0 {
		c.report.Good++
	}
	return nil
}

// look reads a part, unless its size is another than the manifest's.
func (c *checker) look(ctx context.Context, p manifest.Part, limit int64) (f finding, err error) {
	body, info, err := c.store.Read(ctx, c.url+"/"+p.Name, 0, -1, "")
	if err != nil {
		return f, err
	}
	s := &source{ctx: ctx, store: c.store, info: info, body: body, count: c.progress}
	defer s.close()
	f.size = info.Size
	if info.Size != p.Bytes {
		return f, nil
	}
	f.schema, f.rows, f.broken = rowsIn(s, limit)
	if s.err == nil && !errors.Is(f.broken, arrowfile.ErrLimit) {
		s.rest()
	}
	f.read, f.crc = s.at, s.crc
	return f, s.err
}

// rowsIn counts the rows of an Arrow file; reading a batch checks it.
func rowsIn(s *source, limit int64) (schema arrowfile.Schema, rows int64, err error) {
	if err := s.begin(); err != nil {
		return schema, 0, err
	}
	r, err := arrowfile.NewReader(s, s.info.Size, arrowfile.Options{MaxBatchBytes: limit})
	if err != nil {
		return schema, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		b, err := r.Next()
		if err == io.EOF {
			return r.Schema(), rows, nil
		}
		if err != nil {
			return r.Schema(), rows, err
		}
		rows += int64(b.Rows)
	}
}

// judge says what is wrong with a part. err is why it could not be read.
func (c *checker) judge(p manifest.Part, f finding, err error) (found []Problem) {
	add := func(kind Kind, format string, args ...any) {
		found = append(found, Problem{kind, p.Name, fmt.Sprintf(format, args...)})
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		add(Missing, "it is not there")
		return found
	case errors.Is(err, storage.ErrChanged):
		add(Read, "it changed while it was read: somebody writes to this output")
		return found
	case err != nil:
		add(Read, "it cannot be read: %v", err)
		return found
	case f.size != p.Bytes:
		add(Size, "it has %d bytes, the manifest says %d", f.size, p.Bytes)
		return found
	}
	if f.crc != p.CRC32C {
		add(Checksum, "the CRC32C of its bytes is %08x, the manifest says %08x", f.crc, p.CRC32C)
	}
	if f.broken != nil {
		add(Content, "%v", f.broken)
		return found
	}
	if want := c.columns[path.Dir(p.Name)]; want != nil {
		if text := differ(want, columns("", f.schema.Fields)); text != "" {
			add(Schema, "%s, as the manifest says", text)
		}
	}
	if f.rows != p.Rows {
		add(Rows, "it has %d rows, the manifest says %d", f.rows, p.Rows)
	}
	return found
}
