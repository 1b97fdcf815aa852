package columns_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/columns"
)

// memory is a Source of one object.
type memory struct {
	data []byte
	etag string
	// reads counts the bytes that were asked for, requests how often; fail, if not nil, is what every read ends with.
	reads, requests atomic.Int64
	fail            error
}

func (m *memory) Read(_ context.Context, url string, off, n int64, etag string) (io.ReadCloser, storage.Info, error) {
	m.reads.Add(n)
	m.requests.Add(1)
	if m.fail != nil {
		return nil, storage.Info{}, m.fail
	}
	if etag != m.etag {
		return nil, storage.Info{}, fmt.Errorf("read %s: %w", url, storage.ErrChanged)
	}
	end := min(off+n, int64(len(m.data)))
	return io.NopCloser(bytes.NewReader(m.data[off:end])), storage.Info{Size: int64(len(m.data)), ETag: m.etag}, nil
}

// pieces cuts an object into pieces of so many bytes.
func pieces(size, length int64, names ...string) []columns.Piece {
	var out []columns.Piece
	for off := int64(0); off < size; off += length {
		out = append(out, columns.Piece{
			URL: "mem://input/0", Size: size, Offset: off, Length: min(length, size-off), Columns: names,
		})
	}
	return out
}

// read reads every row of the pieces, each by a reader of its own, and checks their numbers.
func read(src *memory, pieces []columns.Piece, o columns.Options) ([]any, error) {
	rows := []any{}
	for _, p := range pieces {
		r := columns.Open(context.Background(), src, []columns.Piece{p}, o)
		defer r.Close()
		for {
			b, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return rows, err
			}
			if b.Row != int64(len(rows)) {
				return rows, fmt.Errorf("a block begins with row %d: want %d", b.Row, len(rows))
			}
			for row := range b.Batch.Rows {
				rows = append(rows, exactRow(b.Schema.Fields, b.Batch.Columns, row))
			}
		}
		if got := r.Bytes(); got != p.Length {
			return rows, fmt.Errorf("%d bytes of a piece of %d are done at its end", got, p.Length)
		}
	}
	return rows, nil
}

// expected reads what the writer of a file read back from it.
func expected(t testing.TB, path string) []any {
	t.Helper()
	text, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var rows []any
	if err := d.Decode(&rows); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return rows
}

// dataFiles lists the files of a folder that write.py filled.
func dataFiles(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, ".json")
	}
	return names
}

// compare reads a file at several split sizes and memories, and compares each with what its writer read.
func compare(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, size := expected(t, path), int64(len(data))
	for _, length := range []int64{size, size/2 + 1, size/7 + 1, 1000, 97} {
		if length < size/100 {
			continue
		}
		for _, limit := range []int64{0, 2 << 20} {
			got, err := read(&memory{data: data}, pieces(size, length), columns.Options{Memory: limit})
			if err != nil {
				if errors.Is(err, columns.ErrUnreadable) && limit > 0 && strings.Contains(err.Error(), "memory for columns") {
					continue
				}
				t.Fatalf("pieces of %d bytes: %v", length, err)
			}
			if len(got) != len(want) {
				t.Fatalf("pieces of %d bytes: %d rows: want %d", length, len(got), len(want))
			}
			for i := range want {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("pieces of %d bytes: row %d is\n%v\nwant\n%v", length, i, got[i], want[i])
				}
			}
		}
	}
}
