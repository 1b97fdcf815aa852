package columns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/parquetfile"
)

// object is one open object. It is the io.ReaderAt of its table; several goroutines may read at once.
type object struct {
	ctx    context.Context
	src    Source
	piece  Piece
	table  table
	budget *arrowfile.Budget
	groups []int64
	order  []int    // of the groups by where they begin
	now    *current // of a sample

	mu      sync.Mutex
	readErr error // the source's, which is no fault of the object's bytes
}

// open finds out what the object is, by its first bytes, and reads its footer.
func (o *object) open(opts Options) error {
	o.budget = arrowfile.NewBudget(opts.Memory)
	p := o.piece
	if p.Offset < 0 || p.Length < 0 || p.Offset > p.Size || p.Length > p.Size-p.Offset {
		return fmt.Errorf("bytes %d+%d of an object of %d bytes: not a piece of it", p.Offset, p.Length, p.Size)
	}
	head := make([]byte, min(8, p.Size))
	if _, err := o.ReadAt(head, 0); err != nil {
		return err
	}
	switch {
	case parquetfile.IsParquet(head):
		f, err := parquetfile.Open(o, p.Size, p.Columns, o.budget)
		if err != nil {
			return err
		}
		o.table = &parquetTable{File: f}
	case arrowfile.IsArrow(head):
		s, err := arrowfile.NewScanner(o, p.Size, p.Columns, o.budget)
		if err != nil {
			return err
		}
		o.table = &arrowTable{Scanner: s, counts: opts.Counts.get(p)}
	default:
		return fmt.Errorf("neither an Arrow nor a Parquet file: it begins with %q", head)
	}
	o.groups = o.table.Groups()
	o.order = inOrder(o.groups)
	return nil
}

// weight is a group's share of the progress: its rows if they are known, else all groups count alike.
func (o *object) weight(group int) int64 {
	if t, ok := o.table.(*parquetTable); ok {
		return t.Rows(group)
	}
	return 1
}

// ReadAt implements io.ReaderAt: it makes one request.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.read(p, off)
	if err != nil {
		o.mu.Lock()
		o.readErr = err
		o.mu.Unlock()
	}
	return n, err
}

func (o *object) read(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	body, info, err := o.src.Read(o.ctx, o.piece.URL, off, int64(len(p)), o.piece.ETag)
	if err != nil {
		return 0, err
	}
	if info.Size != o.piece.Size {
		body.Close()
		return 0, fail(o.piece.URL, "it has %d bytes now, had %d: %w", info.Size, o.piece.Size, storage.ErrChanged)
	}
	n, err := io.ReadFull(body, p)
	if err != nil {
		body.Close()
		return n, fmt.Errorf("input at byte %d: %w", off+int64(n), err)
	}
	return n, body.Close()
}

// explain says what an error means: the source's own come out as they are, all others are the object's fault.
func (o *object) explain(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case errors.Is(err, storage.ErrChanged):
		return fmt.Errorf("input changed during the job: %w", err)
	case o.readErr != nil:
		return fail(o.piece.URL, "%w", err)
	}
	return fail(o.piece.URL, "%w: %w", ErrUnreadable, err)
}

// keep gives what was learned of the object to the other readers of the process.
func (o *object) keep(c *Counts) {
	if t, ok := o.table.(*arrowTable); ok {
		c.put(o.piece, t.counts)
	}
}

// parquetTable reads a Parquet file.
type parquetTable struct {
	*parquetfile.File
	rows *parquetfile.Rows
}

func (t *parquetTable) Row(group int) (int64, error) { return t.File.Row(group), nil }

// Rows returns how many rows a group has.
func (t *parquetTable) Rows(group int) int64 { return t.File.Row(group+1) - t.File.Row(group) }

func (t *parquetTable) Read(group int) (n int64, err error) {
	t.rows, err = t.File.Read(group)
	return t.Rows(group), err
}

func (t *parquetTable) Next() (arrowfile.Batch, error) { return t.rows.Next() }

// arrowTable reads an Arrow file, of which a group is a single batch.
type arrowTable struct {
	*arrowfile.Scanner
	counts *arrowfile.Counts
	batch  *arrowfile.Batch
}

func (t *arrowTable) Row(group int) (int64, error) { return t.Scanner.Row(group, t.counts) }

func (t *arrowTable) Read(group int) (int64, error) {
	b, err := t.Scanner.Read(group, t.counts)
	t.batch = &b
	return int64(b.Rows), err
}

func (t *arrowTable) Next() (arrowfile.Batch, error) {
	if t.batch == nil {
		return arrowfile.Batch{}, io.EOF
	}
	b := *t.batch
	t.batch = nil
	return b, nil
}

// Counts remembers how many rows the batches of Arrow files have, which only the batches say: each task would count those before
// its own again. It is safe for concurrent use; nil remembers nothing.
type Counts struct {
	mu    sync.Mutex
	files map[counted]*arrowfile.Counts
}

type counted struct {
	url, etag string
	size      int64
}

// maxCounted bounds the files that are remembered; beyond it all are forgotten.
const maxCounted = 1000

func (c *Counts) get(p Piece) *arrowfile.Counts {
	if c == nil {
		return new(arrowfile.Counts)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.files[counted{p.URL, p.ETag, p.Size}]; known != nil {
		return known.Clone()
	}
	return new(arrowfile.Counts)
}

func (c *Counts) put(p Piece, known *arrowfile.Counts) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil || len(c.files) >= maxCounted {
		c.files = map[counted]*arrowfile.Counts{}
	}
	c.files[counted{p.URL, p.ETag, p.Size}] = known.Clone()
}
