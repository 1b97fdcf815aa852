package columns_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/columns"
)

// The files under testdata, which pyarrow, DuckDB and Polars wrote, read as these read them, at every split size.
func TestFiles(t *testing.T) {
	t.Parallel()
	for _, path := range dataFiles(t, "testdata") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			compare(t, path)
		})
	}
}

const (
	hostileMemory = 8 << 20
	// hostileRows ends the reading of files that have a billion nulls: there is no harm in it, but no end either.
	hostileRows = 200_000
)

// drain reads all rows of an object, or the first ones of many, and looks at every value of them.
func drain(data []byte) error {
	src := &memory{data: data}
	r := columns.Open(context.Background(), src, pieces(int64(len(data)), int64(max(1, len(data)))), columns.Options{Memory: hostileMemory})
	defer r.Close()
	for rows := 0; rows < hostileRows; {
		b, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		rows += b.Batch.Rows
		for row := range min(b.Batch.Rows, 1000) {
			exactRow(b.Schema.Fields, b.Batch.Columns, row)
		}
		if last := b.Batch.Rows - 1; last >= 0 {
			exactRow(b.Schema.Fields, b.Batch.Columns, last)
		}
	}
	return nil
}

func seeds(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, path := range dataFiles(t, "testdata") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = data
	}
	return files
}

// Whatever the bytes, reading ends with rows or an error: no panic, no endless work, no memory beyond the limit.
// (go test -fuzz FuzzRead -fuzzminimizetime 100x ./storage/columns: without it all time goes into shrinking the seeds)
func FuzzRead(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := drain(data)
		if err != nil && !errors.Is(err, columns.ErrUnreadable) {
			t.Errorf("error is %v: want one that wraps %v", err, columns.ErrUnreadable)
		}
	})
}

// Files cut off anywhere, and with bytes overwritten by the numbers that hurt most, give rows or an error, and never take more
// memory than they may.
func TestDamagedFiles(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	rng := rand.New(rand.NewPCG(1, 2))
	tries := 150
	if testing.Short() {
		tries = 30
	}
	refused := 0
	for name, data := range seeds(t) {
		for range tries {
			bad := bytes.Clone(data)
			switch at := rng.IntN(len(bad)); rng.IntN(6) {
			case 0:
				bad = bad[:at]
			case 1:
				bad[at] = byte(rng.Int())
			case 2:
				bad[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[rng.IntN(5)]
			case 3:
				binary.LittleEndian.PutUint32(bad[min(at, len(bad)-4):], []uint32{math.MaxUint32, math.MaxInt32, 1 << 30}[rng.IntN(3)])
			case 4: // a number of variable length, as Thrift and Parquet have them
				copy(bad[at:], []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
			case 5:
				copy(bad[at:], bad[rng.IntN(len(bad)):][:min(16, len(bad)-at)%16])
			}
			if err := drain(bad); err != nil {
				refused++
				if !errors.Is(err, columns.ErrUnreadable) || !strings.Contains(err.Error(), "mem://input/0") {
					t.Errorf("%s: error is %v: want one that names the object", name, err)
				}
			}
		}
	}
	if least := tries * 5; refused < least {
		t.Errorf("only %d damaged files were refused: want %d", refused, least)
	}
	runtime.ReadMemStats(&after)
	// What the collector has not given back counts too: ten times the limit is far from the gigabytes that the files ask for.
	if grown := int64(after.Sys) - int64(before.Sys); grown > 16*hostileMemory {
		t.Errorf("%d bytes of memory for files that may take %d", grown, hostileMemory)
	}
}

// A file may be well-formed and yet need more than there is: a batch, a page or a dictionary is refused before it is allocated,
// with an error that says what to do.
func TestBudget(t *testing.T) {
	t.Parallel()
	for name, data := range seeds(t) {
		if !strings.HasPrefix(name, "nested") && !strings.HasPrefix(name, "polars-deep") {
			continue
		}
		_, err := read(&memory{data: data}, pieces(int64(len(data)), int64(len(data))), columns.Options{Memory: 6 << 10})
		if !errors.Is(err, arrowfile.ErrBudget) || !errors.Is(err, columns.ErrUnreadable) || !strings.Contains(err.Error(), "give the worker more memory") {
			t.Errorf("%s: error is %v: want %v", name, err, arrowfile.ErrBudget)
		}
	}
}
