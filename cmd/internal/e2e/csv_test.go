//go:build unix

package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/input"
	"github.com/millrace/millrace/storage/storagetest/python"
)

// csvFile is a file that Python wrote, and what it reads in it.
type csvFile struct {
	Name  string
	Comma string
	Rows  [][]string // the header first
}

// seen are the records that a map function was given, by where they begin: a record that is given again is the same.
type seen struct {
	mu    sync.Mutex
	cells map[int64][]string
}

// job notes the records of CSV, and counts them by reducing.
func (s *seen) job(f csvFile) *jobs.Job {
	return jobs.New("csv", func(c jobs.Cells, emit func(string, int64)) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Equal(c.Names, f.Rows[0]) {
			return errors.New("the header is " + strings.Join(c.Names, "|"))
		}
		s.cells[c.Offset] = slices.Clone(c.Values)
		emit(c.Values[0], 1)
		return nil
	}, func(k string, ns jobs.Values[int64], emit func(int64)) error {
		emit(jobs.Total(ns))
		return nil
	}, jobs.CSV(jobs.CSVOptions{Comma: f.Comma[0]}))
}

// take returns the records in the order in which they begin, and forgets them.
func (s *seen) take() (rows [][]string) {
	for _, at := range slices.Sorted(maps.Keys(s.cells)) {
		rows = append(rows, s.cells[at])
	}
	s.cells = map[int64][]string{}
	return rows
}

// blocksOf hands the blocks of a piece to a program.
type blocksOf struct{ *input.Reader }

func (r blocksOf) Next() (jobs.Block, error) {
	b, err := r.Reader.Next()
	return jobs.Block{URL: b.URL, Offset: b.Offset, Data: b.Data, Header: b.Header}, err
}

// noPairs takes pairs and drops them.
type noPairs struct{}

func (noPairs) Put(jobs.Pairs) (jobs.Pairs, error) { return jobs.Pairs{}, nil }

// TestCSVFiles proves that files of Python's csv (in each of its dialects, with line ends, quotes, separators and a byte order mark
// in them), DuckDB, Polars, pyarrow and pandas (with an index, NaN and nothing for missing values) have the records that Python's csv reads: cut at every split size by themselves, and at some
// in jobs that run and commit.
func TestCSVFiles(t *testing.T) {
	rowsOnly(t)
	interpreter := python.Interpreter(t, filepath.Join("testdata", "csvfiles.txt"))
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), interpreter, filepath.Join("testdata", "csvfiles.py"), dir)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	list, err := os.ReadFile(filepath.Join(dir, "files.json"))
	if err != nil {
		t.Fatal(err)
	}
	var files []csvFile
	if err := json.Unmarshal(list, &files); err != nil || len(files) != 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, f.Name)
			pieceByPiece(t, path, f)
			s := &seen{cells: map[int64][]string{}}
			for _, split := range []int64{61, 500, 3000, 1 << 20} {
				_, err := millrace.Run(t.Context(), s.job(f), millrace.Options{
					Inputs: []string{path}, Output: filepath.Join(t.TempDir(), "out"), SplitSize: split, Memory: largeMemory, TempDir: t.TempDir(),
				})
				if err != nil {
					t.Fatalf("split %d: %v", split, err)
				}
				compareRows(t, split, s.take(), f.Rows[1:])
			}
		})
	}
}

func compareRows(t *testing.T, split int64, got, want [][]string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !slices.Equal(got[i], want[i]) {
			t.Fatalf("split %d, row %d: got %q, want %q", split, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("split %d: %d rows, want %d", split, len(got), len(want))
	}
}

// pieceByPiece reads a file at every split size, in blocks of a few records.
func pieceByPiece(t *testing.T, path string, f csvFile) {
	t.Helper()
	st := backends.New(backends.Options{})
	url, err := storage.ParseURL(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := st.Stat(t.Context(), url.String())
	if err != nil {
		t.Fatal(err)
	}
	s := &seen{cells: map[int64][]string{}}
	prog, err := s.job(f).Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	format := input.Format{Kind: input.CSV, Comma: f.Comma[0], Quotes: true, Header: true}
	step := int64(1)
	if testing.Short() {
		step = 97
	}
	for split := int64(40); split <= info.Size; split += step {
		next := int64(0)
		for off := int64(0); off < info.Size; off += split {
			p := input.Piece{URL: info.URL, ETag: info.ETag, Size: info.Size, Offset: off, Length: min(split, info.Size-off), Format: format}
			r := input.Open(t.Context(), st, []input.Piece{p}, input.Options{BlockSize: 200})
			err := prog.Map(t.Context(), &jobs.Task{Reducers: 1}, blocksOf{r}, noPairs{})
			if r.Close(); err != nil && err != io.EOF {
				t.Fatalf("split %d at %d: %v", split, off, err)
			}
			c := cmp.Or(r.Cut(), &input.Cut{First: 0, Next: info.Size})
			if c.First < 0 && next < off+p.Length || c.First >= 0 && c.First != next {
				t.Fatalf("split %d at %d: records are found from %d to %d, the next one begins at %d", split, off, c.First, c.Next, next)
			}
			if c.First >= 0 {
				next = c.Next
			}
		}
		compareRows(t, split, s.take(), f.Rows[1:])
	}
}
